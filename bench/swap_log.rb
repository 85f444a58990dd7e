# frozen_string_literal: true

require "time"

module Bench
  # hotswap's log lines since this object was made, with times on the visitors' clock.
  class SwapLog
    Line = Struct.new(:at, :pid, :text)
    FORMAT = /\A\w, \[(\S+) #(\d+)\]\s+\w+ -- [^:]*: (?:\[hotswap\] )?(.*)\Z/

    def initialize(path)
      @path = path
      @from = File.exist?(path) ? File.size(path) : 0
    end

    def lines
      return [] unless File.exist?(@path)

      offset = Clock.offset
      File.read(@path, nil, @from, encoding: "UTF-8").each_line.filter_map do |line|
        at, pid, text = line.match(FORMAT)&.captures
        Line.new(Time.iso8601("#{at}#{Time.now.strftime("%:z")}").to_f + offset, pid.to_i, text) if at
      end
    end

    # The stages of the only push, with the time of each, in order.
    def stages
      marks = {copy: /\Apush started/, check: /running integrity check/, swap: /acquiring swap lock/, done: /\Apush complete/}
      instants = marks.transform_values { |mark| instant(mark) }
      instants.each_cons(2).filter_map { |(stage, began), (_, ended)| [stage, began..ended] if began && ended }.to_h
    end

    # The time of the only pull.
    def pull = instant(/\Apull started/)..instant(/\Apull complete/)

    # For each push, how long no process had the file open, in milliseconds.
    def closed = lines.filter_map { |line| line.text[/closed for ([\d.]+) ms/, 1]&.to_f }

    # For each write in place, the estimate of the worker, in milliseconds.
    def estimated = lines.filter_map { |line| line.text[/writing in place.*, about ([\d.]+) s/, 1]&.to_f&.*(1000) }

    # For each time that a process held requests up, how long it took from the first waiting request until none
    # waited, in milliseconds.
    def held_back = lines.group_by(&:pid).values.flat_map { |of_one| waits(of_one) }

    private

    def instant(mark) = lines.find { |line| line.text.match?(mark) }&.at

    def waits(lines)
      waiting = 0
      since = nil
      lines.filter_map do |line|
        if line.text.start_with?("request queued")
          since = line.at if waiting.zero?
          waiting += 1
          nil
        elsif line.text.start_with?("swap complete, resuming")
          waiting -= 1
          (line.at - since) * 1000 if waiting.zero?
        end
      end
    end
  end
end
