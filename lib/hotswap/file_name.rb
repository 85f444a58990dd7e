# frozen_string_literal: true

module Hotswap
  # A file's name is bytes. Where the process has no locale, Ruby takes those beyond ASCII for anything but UTF-8, and raises
  # where such a name meets another one. Here all names are UTF-8, valid or not.
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

      # @return [String, nil] nil where it has been deleted, as an old release is
      def current_folder
        utf8(Dir.pwd)
      rescue SystemCallError
        nil
      end

      # @return [String, Array<Integer>] text where it is UTF-8, and its bytes otherwise
      def to_json_value(name)
        name.valid_encoding? ? name : name.bytes
      end
    end
  end
end
