# frozen_string_literal: true

require "json"
require "open3"

module Bench
  # The cost of the gate for a request during which no swap happens.
  class Gate < Measure
    PROGRAM = File.expand_path("../passes.rb", __dir__)

    def rows = native + ruby

    private

    def native
      name = "gate in and out, native"
      return [Row.left_out(name, "cargo is not here", target: {value: ..500})] unless Command.there?("cargo")

      figures = program("cargo", "bench", "--quiet", "--locked", "--package", "hotswap-core", "--bench", "gate")
      [Row.new(name, value: figures.fetch("alone"), unit: "ns", target: {value: ..500}, runs: figures.fetch("runs"),
        note: "#{figures.fetch("contended").round} ns with two threads at it")]
    end

    def ruby
      alone, member = [[], ["--member"]].map { |options| program(*bundled("ruby", "-I", File.join(ROOT, "lib"), PROGRAM, *options)) }
      [
        row("gate in and out, from Ruby", "gate", alone, {value: ..1000}),
        row("gate, middleware and executor hook", "request", alone, {value: ..2000}),
        row("the same in a process that is a member of a fleet", "request", member, {value: ..2000})
      ]
    end

    def row(name, key, figures, target)
      Row.new(name, value: figures.fetch(key), unit: "ns", target: target, runs: figures.fetch("runs"))
    end

    def bundled(*command) = ["bundle", "exec", *command]

    def program(*command)
      said, complaint, status = Open3.capture3(*command)
      raise "#{command.join(" ")} failed:\n#{complaint}" unless status.success?

      JSON.parse(said)
    end
  end
end
