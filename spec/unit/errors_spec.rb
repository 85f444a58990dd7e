# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Error do
  codes = {
    Hotswap::Error => :error,
    Hotswap::ServerNotFound => :server_not_found,
    Hotswap::UsageError => :usage,
    Hotswap::Refused => :refused,
    Hotswap::Busy => :busy,
    Hotswap::Failed => :failed,
    Hotswap::Changed => :changed,
    Hotswap::RolledBack => :rolled_back,
    Hotswap::GateTimeout => :gate_timeout,
    Hotswap::ConfigurationError => :configuration,
    Hotswap::DisconnectRefused => :disconnect_refused,
    Hotswap::ReleaseRefused => :release_refused
  }

  codes.each do |error, code|
    it "covers #{error}, with the code #{code}" do
      expect(error.new("why")).to be_a(Hotswap::Error).and be_a(StandardError).and have_attributes(code: code, message: "why")
    end
  end

  it "has a listed code for every subclass" do
    classes = Hotswap.constants.map { |name| Hotswap.const_get(name) }.select { |constant| constant.is_a?(Class) && constant <= described_class }

    expect(classes).to match_array(codes.keys)
  end

  it "is raised by the extension as the class for its exit status" do
    expect { Hotswap::Native.join("/proc/no/such/folder/app.sqlite3", false) }.to raise_error(Hotswap::Failed, %r{/proc/no/such/folder/app\.sqlite3})
  end

  it "has a class for every status that the extension knows" do
    source = File.read(File.expand_path("../../ext/hotswap/src/lib.rs", __dir__))
    named = source[/fn class_of.*?^}/m].scan(/Error::\w+\(_\) => "(\w+)"/).flatten

    expect(named.map { |name| Hotswap.const_get(name) }).to eq [Hotswap::ServerNotFound, Hotswap::UsageError, Hotswap::Refused, Hotswap::Busy, Hotswap::Failed, Hotswap::Changed, Hotswap::RolledBack]
  end
end
