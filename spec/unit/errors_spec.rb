# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::Error do
  codes = {
    Hotswap::Error => :error,
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
end
