# frozen_string_literal: true

# For what a file's mode forbids: root may do it all the same.
module Privileges
  CAPABILITIES = "-dac_override,-dac_read_search"

  # What comes before a command so that the modes of files count for it. Skips where that cannot be had.
  def unprivileged(capabilities = CAPABILITIES)
    return [] unless Process.uid.zero?

    prefix = ["setpriv", "--inh-caps=#{capabilities}", "--bounding-set=#{capabilities}"]
    skip "this root cannot give up its privileges (setpriv)" unless system(*prefix, "true", err: File::NULL)
    prefix
  end
end
