# frozen_string_literal: true

require "open3"

# Records a command's system calls for the files of one folder, and can make one of them fail, come up short, or be the
# last one of its process. See shim.c.
class SystemCalls
  SOURCE = File.join(__dir__, "shim.c")

  # One call of a command. `nth`: among those of the same kind for the same file.
  Step = Struct.new(:program, :call, :file, :nth) do
    def to_s = "#{program}: #{call} #{file}#{" (#{nth})" if nth > 1}"
  end

  Call = Struct.new(:program, :call, :file, :inode, :result, :to, :at, :data) do
    def succeeded? = result >= 0
  end

  ACTIONS = {killed_before: -1, killed_after: -2, short: -3, slow: -4}.freeze

  class << self
    # There is no C compiler, or none whose result this system can preload.
    def available? = !library.nil?

    def library
      return @library if defined?(@library)

      target = Project::CACHE.tap(&:mkpath).join("shim-#{Digest::SHA256.file(SOURCE).hexdigest[0, 12]}.so").to_s
      @library = (File.exist?(target) || compiled(target)) ? target : nil
    end

    private

    def compiled(target)
      _, status = Open3.capture2e("cc", "-shared", "-fPIC", "-O1", "-o", "#{target}.new-#{Process.pid}", SOURCE, "-ldl")
      status.success? && File.rename("#{target}.new-#{Process.pid}", target)
    rescue Errno::ENOENT
      false
    end
  end

  # folder: the one that is watched; it may come to exist. notes: where the trace and the plan lie, outside of it.
  def initialize(folder, notes)
    @folder = File.realdirpath(folder)
    @trace = File.join(notes, "calls.trace")
    @plan = File.join(notes, "calls.plan")
    File.write(@trace, "")
    File.write(@plan, "")
  end

  # For the programs to be watched.
  def environment
    {"LD_PRELOAD" => self.class.library, "CALLS_FOLDER" => @folder, "CALLS_TRACE" => @trace, "CALLS_PLAN" => @plan}
  end

  # Runs the block. Returns the calls that were made meanwhile, in order.
  def traced
    File.truncate(@trace, 0)
    yield
    calls
  end

  # While the block runs, processes that start meet the trouble. action: an error's name, or one of ACTIONS.
  # lasting: not at that call alone, but from it on.
  def with(step, action, lasting: false)
    number = ACTIONS[action] || Errno.const_get(action)::Errno
    File.write(@plan, [step.program, step.call, step.file, step.nth, number, lasting ? 1 : 0].join(" "))
    yield
  ensure
    File.write(@plan, "")
  end

  def self.steps(calls)
    seen = Hash.new(0)
    calls.map { |call| Step.new(call.program, call.call, call.file, seen[[call.program, call.call, call.file]] += 1) }
  end

  private

  def calls
    File.open(@trace, "rb") do |file|
      found = []
      while (line = file.gets)
        program, call, name, inode, result, to, at, length = line.split
        data = file.read(Integer(length))
        file.read(1)
        found << Call.new(program, call, name, Integer(inode), Integer(result), to, Integer(at), data)
      end
      found
    end
  end
end
