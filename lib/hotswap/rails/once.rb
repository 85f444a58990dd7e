# frozen_string_literal: true

require "fileutils"
require "hotswap"
require "hotswap/rails/outline"

module Hotswap
  # The hooks of ONCE, in the folder of an application whose config/application.rb is loaded.
  module Once
    # An hour is longer than ONCE takes to copy the files.
    LONGEST_COPY = 3600
    # What belongs to the content of a database file.
    SUFFIXES = ["", "-wal", "-journal"].freeze

    class << self
      # Takes a snapshot of each database. ONCE then copies them with all other files.
      def pre_backup
        # If this fails, ONCE pauses the application. There must be no snapshots then, because post_restore would use
        # them.
        FileUtils.rm_rf([snapshots, unfinished])
        carry_out do |databases|
          unfinished.mkdir(0o700)
          databases.each { |name, database| take(database, unfinished.join(name)) if File.exist?(database.path) }
          unfinished.rename(snapshots)
        end
      ensure
        FileUtils.rm_rf(unfinished)
      end

      # Puts the snapshots into place. It may be run again after it has failed.
      def post_restore
        return unless snapshots.directory?

        carry_out do |databases|
          pairs = snapshots.glob("*.sqlite3").sort.to_h { |file| [file, managed(databases, file)] }
          make_way(pairs)
          pairs.each do |file, database|
            # The file that was copied during the backup may be damaged, so there is no schema to compare with.
            Hotswap.push(file, to: database, skip_schema_check: true)
            file.delete
          end
          FileUtils.rm_rf(snapshots)
        end
      end

      private

      def snapshots = ::Rails.application.root.join("storage/once_snapshots")

      def unfinished = ::Rails.application.root.join("storage/once_snapshots.new")

      def carry_out
        RailsOutline.load
        yield Hotswap.databases.existing.to_h { |database| ["#{(database.name || database.label).tr("/", "_")}.sqlite3", database] }
      rescue Error, SystemCallError => error
        abort "ERROR: #{error.message}"
      end

      # The snapshot's time is one before which every write is in the snapshot.
      def take(database, file)
        began = Time.now
        Hotswap.pull(database, to: file)
        file.utime(began, began)
      end

      def managed(databases, file)
        databases.fetch(file.basename.to_s) do
          raise Error, "hotswap does not manage the database of the snapshot #{file}. Add the database to the configuration, or remove the snapshot from the backup"
        end
      end

      # Without the mark, a second run would take the databases that the first one has put into place for newer ones.
      def make_way(pairs)
        mark = snapshots.join("checked")
        return if mark.exist?

        pairs.each { |file, database| refuse_old(file, database) }
        pairs.each { |file, database| keep(database, file.mtime) if written?(database, file.mtime) }
        FileUtils.touch(mark)
      end

      # ONCE does not run pre_backup while the application is stopped. The backup then contains snapshots of an earlier
      # one.
      def refuse_old(file, database)
        return unless written?(database, file.mtime + LONGEST_COPY)

        raise Error, "#{database.label} was written more than an hour after the snapshots in storage/once_snapshots, so the application was " \
          "stopped during this backup. To use its databases, remove data/once_snapshots from the backup. To back up a stopped application, start it first"
      end

      # A backup has whole seconds.
      def written?(database, time)
        files(database.resolved_path).any? { |file| File.mtime(file).to_i >= time.to_i }
      end

      # The application may have been stopped soon after the snapshot. Then this is a whole database with newer rows.
      def keep(database, time)
        path = database.resolved_path
        aside = "#{path}.before-restore-#{time.utc.strftime("%Y%m%dT%H%M%SZ")}"
        files(path).each { |file| File.rename(file, aside + file.delete_prefix(path)) }
        warn "#{database.label} was written after the snapshot of #{time.utc}. The snapshot takes its place. If the application was stopped during this " \
          "backup, the newer rows are in #{aside}"
      end

      def files(path) = SUFFIXES.map { |suffix| path + suffix }.select { |file| File.exist?(file) }
    end
  end
end
