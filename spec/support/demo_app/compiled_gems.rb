# frozen_string_literal: true

# Keeps the compiled form of each file of a gem and of Ruby's library, as bootsnap does in most applications: the specs
# boot the demo application hundreds of times. Ruby loads this file first (RUBYOPT).
module CompiledGems
  ROOT = File.expand_path("../../..", __dir__)
  FOLDER = "#{ROOT}/tmp/specs/compiled-#{RUBY_VERSION}-#{RUBY_PLATFORM}".freeze
  FOREIGN = %r{/gems/|/ruby/(?:vendor_ruby|\d)}
  # Each run compiles hotswap itself, with its warnings.
  OURS = "#{ROOT}/lib/".freeze

  # Ruby calls this for every file that it loads. With nil, it compiles the file as usual.
  def load_iseq(path)
    return if !path.match?(FOREIGN) || path.start_with?(OURS)

    file = File.stat(path)
    compiled = "#{FOLDER}/#{path.tr("/", "+")}.#{file.mtime.to_i}.#{file.size}"
    return load_from_binary(File.binread(compiled)) if File.exist?(compiled)

    compile_file(path).tap do |code|
      draft = "#{compiled}.#{Process.pid}"
      File.binwrite(draft, code.to_binary)
      File.rename(draft, compiled)
    end
  rescue SystemCallError, SyntaxError, ArgumentError, TypeError, RuntimeError
    nil # the disk, a name that is too long, or code that has no such form
  end
end

begin
  Dir.mkdir(CompiledGems::FOLDER) unless File.directory?(CompiledGems::FOLDER)
  RubyVM::InstructionSequence.singleton_class.prepend(CompiledGems)
rescue SystemCallError
  nil # another user's program
end
