# frozen_string_literal: true

require "fileutils"
require_relative "spec_run"

# A file of specs, as bin/specs sees it.
class SpecFile
  STATUS = "tmp/specs/status-#{ENV.fetch("HOTSWAP_LANE", "default")}.txt".freeze

  # The files that took longest the last time come first, so that none of them is left over at the end. Before them come
  # the files that have not run yet: those with slow examples or many processes, and then those with the longest text.
  def self.all(paths)
    paths = ["spec"] if paths.empty?
    names = paths.flat_map { |path| File.directory?(path) ? Dir[File.join(path, "**/*_spec.rb")] : path }
    seconds = times
    names.map { |name| new(name) }.sort_by { |file| [-seconds.fetch(file.name, Float::INFINITY), file.heavy? ? 0 : 1, -file.text.size] }
  end

  # How long the examples of each file took when they last ran: RSpec keeps that.
  def self.times
    return {} unless File.exist?(STATUS)

    File.readlines(STATUS).each_with_object({}) do |line, seconds|
      name, taken = line.match(%r{\A\./(\S+)\[[\d:]+\].*\| ([\d.]+) seconds?})&.captures
      seconds[name] = seconds.fetch(name, 0.0) + taken.to_f if name
    end
  end

  attr_reader :name, :text

  def initialize(name)
    @name = name
    @text = File.read(name)
  end

  # The tags of the examples that bin/specs keeps for a later stage.
  LATER = %i[quiet alone].freeze

  def in?(stage) = !LATER.include?(stage) || text.match?(/, :#{stage}\b/)

  def run(stage)
    tags = LATER.include?(stage) ? [stage.to_s] : LATER.select { |later| in?(later) }.map { |later| "~#{later}" }
    SpecRun.new(name, stage, tags.flat_map { |tag| ["--tag", tag] })
  end

  def heavy? = text.match?(/, :(slow|fleet)\b|\bslow: true/)
end
