# frozen_string_literal: true

require "fileutils"
require_relative "verdict"

# Keeps every database that was live, as it was when a push replaced it.
#
# The data of each generation contains its version, and so does the answer to each write. The spec looks for every
# acknowledged write in the generation that acknowledged it.
class Generations
  # O_PATH breaks no lease and drops no lock, and the descriptor keeps the inode after the rename.
  O_PATH = 0o10000000

  Push = Struct.new(:version, :started, :ended, :result, :moved) do
    def ok? = result.success?

    def moved? = moved

    def seconds = ended - started
  end

  attr_reader :pushes, :kept

  def initialize(app, folder: app.root.join("generations"))
    @app = app
    @folder = folder.tap(&:mkpath)
    @pushes = []
    @kept = {}
    @live = TestDatabase.version(app.database_path)
    @files = TestDatabase.new(@folder)
    @number = 0
  end

  # The version of the live database.
  attr_reader :live

  def push(*options, file: nil, **how)
    version = how.delete(:version) || "g#{@number += 1}"
    file ||= @files.release(version, name: "push.sqlite3")
    watching_the_file(version) { @app.hotswap("cp", file, "storage/production.sqlite3", *options, **how) }
  end

  # Runs a push and keeps the replaced file. The block returns the result of the push.
  def watching_the_file(version)
    before = File.open(@app.database_path, O_PATH)
    started = Eventually.now
    result = yield
    ended = Eventually.now
    moved = Project.linux? ? File.stat(@app.database_path).ino != before.stat.ino : result.success?
    push = Push.new(version, started, ended, result, moved)
    keep(before, version) if moved
    @pushes << push
    push
  ensure
    before&.close
  end

  # Compares the answers to the visitors with the databases.
  def verdict(report) = Verdict.new(self, report, @app.database_path)

  private

  def keep(before, version)
    path = @folder.join("kept-#{@live}.sqlite3").to_s
    File.open(replaced(before), "rb") { |old| IO.copy_stream(old, path) }
    @kept[@live] = path
    @live = version
  rescue Errno::EINTR
    retry # the worker keeps the file to itself for a moment still, and opening it waits
  end

  # A push in place leaves a copy of what it replaces.
  def replaced(before) = Project.linux? ? "/proc/self/fd/#{before.fileno}" : "#{@app.database_path}.previous"
end
