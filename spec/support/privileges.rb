# frozen_string_literal: true

# For specs about file modes, which do not apply to root.
module Privileges
  CAPABILITIES = "-dac_override,-dac_read_search"

  # A command prefix that makes file modes apply. Skips the example if that is impossible.
  def unprivileged(capabilities = CAPABILITIES)
    return [] unless Process.uid.zero?

    prefix = ["setpriv", "--inh-caps=#{capabilities}", "--bounding-set=#{capabilities}"]
    skip "this root cannot give up its privileges (setpriv)" unless system(*prefix, "true", err: File::NULL)
    prefix
  end

  # What comes before a command so that it runs as another user, who reads what the specs' own files need. Skips where
  # that cannot be had.
  def as_user(user, groups: [user])
    capability = "-all,+dac_read_search"
    prefix = ["setpriv", "--reuid=#{user}", "--regid=#{groups.first}", "--groups=#{groups.join(",")}",
      "--inh-caps=#{capability}", "--ambient-caps=#{capability}", "--bounding-set=#{capability}"]
    skip "needs root and setpriv, to become another user" unless Process.uid.zero? && system(*prefix, "true", err: File::NULL)
    prefix
  end
end
