# frozen_string_literal: true

require "stringio"
require_relative "unit_helper"

RSpec.describe Hotswap::Middleware::Body do
  include_context "with hotswap in this process"

  subject(:wrapped) { described_class.new(body, unit) }

  let(:unit) { gate.enter("request") }
  let(:closed) { [] }

  # A body like those of applications: it knows the given methods, and notes that it was closed.
  def body_with(methods)
    closed = self.closed
    Object.new.tap do |body|
      methods.each { |name, answer| body.define_singleton_method(name, &answer) }
      body.define_singleton_method(:close) { closed << true }
    end
  end

  after { wrapped.close }

  context "with an array" do
    let(:body) { %w[a b] }

    it "ends the request when to_ary has read it" do
      expect(wrapped).to respond_to(:to_ary, :each)
      expect(wrapped.to_ary).to eq %w[a b]
      expect(inside).to eq 0
    end
  end

  context "with a body that closes" do
    let(:body) { body_with(each: ->(&block) { block.call("a") }, to_ary: -> { ["a"] }) }

    it "closes it once, however it is read" do
      wrapped.to_ary
      2.times { wrapped.close }

      expect(closed).to eq [true]
    end

    it "ends the request even if closing it raises" do
      body.define_singleton_method(:close) { raise IOError, "broken" }

      expect { wrapped.close }.to raise_error(IOError)
      expect(inside).to eq 0
    end
  end

  context "with a stream that is called" do
    let(:body) { body_with(call: ->(stream) { stream.write("streamed") }) }

    it "does not respond to each" do
      expect(wrapped).to respond_to(:call)
      expect(wrapped).not_to respond_to(:each)
      expect(wrapped).not_to respond_to(:to_ary)
    end

    it "is called with the stream, and ends the request when the server closes it" do
      output = StringIO.new
      wrapped.call(output)

      expect(output.string).to eq "streamed"
      expect(inside).to eq 1
      wrapped.close
      expect(inside).to eq 0
      expect(closed).to eq [true]
    end
  end

  context "with a stream that Rails makes from an Enumerator" do
    let(:body) { body_with(each: ->(&block) { block.call("a") }, to_ary: -> { ["a"].each }) }

    it "ends the request when the server closes it, and not before" do
      expect(wrapped.to_ary).to be_a(Enumerator)
      expect(inside).to eq 1
      wrapped.close
      expect(inside).to eq 0
    end
  end

  context "with a file" do
    let(:body) { body_with(each: ->(&block) { block.call("a") }, to_path: -> { "/srv/file" }) }

    it "keeps to_path, so that servers can send it themselves" do
      expect(wrapped).to respond_to(:to_path)
      expect(wrapped.to_path).to eq "/srv/file"
    end
  end

  context "with a body that has more methods" do
    let(:body) { body_with(each: ->(&) {}, seek: ->(to:) { to }) }

    it "passes calls through, with keywords, and responds to nothing else" do
      expect(wrapped.seek(to: 3)).to eq 3
      expect(wrapped).not_to respond_to(:to_path)
      expect { wrapped.to_path }.to raise_error(NoMethodError)
    end
  end
end
