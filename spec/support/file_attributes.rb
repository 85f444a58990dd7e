# frozen_string_literal: true

# The extended attributes of a file, which Ruby cannot read: labels, and access control lists.
module FileAttributes
  # Read and write for the owner, read for user 1234 and for the group, nothing for others.
  ACCESS_LIST = [2, 1, 6, -1, 2, 4, 1234, 4, 4, -1, 16, 4, -1, 32, 0, -1].pack("l<s<s<l<s<s<l<s<s<l<s<s<l<s<s<l<")
  # A label can be set without SELinux, by root.
  ALL = {
    "user.label" => "of-a-user", "trusted.label" => "of-root", "system.posix_acl_access" => ACCESS_LIST,
    "security.selinux" => "system_u:object_r:httpd_sys_rw_content_t:s0\0"
  }.transform_values(&:b).freeze

  module_function

  # Sets what this file system and this user allow. Returns that.
  def set(file) = ALL.select { |name, value| call("setxattr", file, name, value, value.bytesize, 0).zero? }

  def of(file)
    ALL.keys.filter_map do |name|
      value = ("\0" * 256).b
      length = call("getxattr", file, name, value, value.bytesize)
      [name, value.byteslice(0, length)] unless length.negative?
    end.to_h
  end

  def available?
    require "fiddle"
    true
  rescue LoadError
    false
  end

  def call(name, file, *arguments)
    kinds = [file, *arguments].map { |argument| argument.is_a?(String) ? Fiddle::TYPE_VOIDP : Fiddle::TYPE_SIZE_T }
    Fiddle::Function.new(Fiddle::Handle::DEFAULT[name], kinds, Fiddle::TYPE_SSIZE_T).call(file.to_s, *arguments)
  end
  private_class_method :call
end
