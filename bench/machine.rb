# frozen_string_literal: true

require "etc"
require "sqlite3"
require "time"

module Bench
  # The machine and the versions that the figures apply to.
  module Machine
    class << self
      def to_h
        {
          at: Time.now.utc.iso8601, commit: commit, processor: processor, cores: Etc.nprocessors, memory: memory,
          system: "#{Etc.uname[:sysname]} #{Etc.uname[:release][/\A\d+\.\d+/]}", disk: disk, ruby: RUBY_DESCRIPTION[/\Aruby [^ ]+/],
          rails: version_of("rails"), puma: version_of("puma"), sqlite3: version_of("sqlite3"), sqlite: sqlite, shell: shell
        }
      end

      def to_s
        facts = to_h
        "#{facts[:cores]} × #{facts[:processor]}, #{facts[:memory]}, #{facts[:disk]}, #{facts[:system]}; " \
          "#{facts[:ruby]}, Rails #{facts[:rails]}, Puma #{facts[:puma]}, sqlite3 #{facts[:sqlite3]} on SQLite #{facts[:sqlite]}"
      end

      # The load of other programs on this machine, which a reader of the figures has to know.
      def load = Etc.respond_to?(:getloadavg) ? Etc.getloadavg.first : File.read("/proc/loadavg").to_f

      def version_of(name) = Gem.loaded_specs[name]&.version.to_s

      private

      def commit
        dirty = `git -C #{ROOT} status --porcelain --untracked-files=no -- ext lib exe 2>/dev/null`.empty? ? "" : " with changes"
        `git -C #{ROOT} rev-parse --short HEAD 2>/dev/null`.strip + dirty
      end

      def processor = File.read("/proc/cpuinfo")[/^model name\s*: (.*)/, 1] || Etc.uname[:machine]

      def memory = "#{(File.read("/proc/meminfo")[/^MemTotal:\s*(\d+)/, 1].to_i / 1024.0 / 1024).round} GB"

      def disk = `stat -f -c %T #{WORK}`.strip.then { |type| (type == "ext2/ext3") ? "ext4" : type }

      def sqlite = SQLite3::Database.new(":memory:").then { |db| db.get_first_value("SELECT sqlite_version()").tap { db.close } }

      def shell = `sqlite3 --version`[/\A\S+/]
    end
  end
end
