# frozen_string_literal: true

module Hotswap
  # A file name consists of bytes. If no locale is set, Ruby does not tag names with other than ASCII characters as
  # UTF-8, and raises an error when such a name is joined with a UTF-8 string. This module tags all names as UTF-8,
  # valid or not.
  module FileName
    AS_THEY_ARE = [Encoding::US_ASCII, Encoding::BINARY].freeze

    class << self
      # @param name [#to_s] converted from another encoding, such as UTF-16, as the sqlite3 gem does it
      # @return [String] in UTF-8
      def utf8(name)
        name = name.to_s
        AS_THEY_ARE.include?(name.encoding) ? name.dup.force_encoding(Encoding::UTF_8) : name.encode(Encoding::UTF_8)
      end

      # @return [String] absolute, in UTF-8
      def expand(name, folder)
        File.expand_path(utf8(name), utf8(folder))
      end

      # @return [String, nil] nil if the folder has been deleted, such as an old release
      def current_folder
        utf8(Dir.pwd)
      rescue SystemCallError
        nil
      end

      # @return [String, Array<Integer>] the name if it is valid UTF-8, otherwise its bytes
      def to_json_value(name)
        name.valid_encoding? ? name : name.bytes
      end
    end
  end
end
