# frozen_string_literal: true

require "cgi/escape"
require "erb"

module Hotswap
  class Dashboard
    # An ERB file next to this one. It escapes all that it inserts: file names, labels and command lines are untrusted.
    # Only what a template itself made stays as it is.
    class Template < ERB
      # HTML that a template or the chart made.
      class Html < String; end

      # What `<%= %>` becomes.
      class Compiler < ERB::Compiler
        def add_insert_cmd(out, content)
          out.push("#{@insert_cmd}(::Hotswap::Dashboard::Template.html((#{content})))")
        end
      end

      # Gives the view a method that renders the file.
      # @param name [String] the file's, without .erb
      # @param view [Class]
      def self.define(name, view)
        file = File.expand_path("#{name}.erb", __dir__.to_s)
        source = new(File.read(file, encoding: Encoding::UTF_8), trim_mode: "-").src
        # Not ERB#def_method, in which the template would not see our constants. The source has one line more, at its
        # start.
        view.class_eval("def #{name} = ::Hotswap::Dashboard::Template::Html.new(begin; #{source}\nend)", file, 0) # rubocop:disable Style/EvalWithLocation
      end

      # @return [Html] the text, escaped. Characters that are invisible or change how others are shown appear as escapes
      def self.html(text)
        return text if text.is_a?(Html)

        lines = text.to_s.b.split("\n", -1).map { |line| Native.visible(line) }
        Html.new(CGI.escapeHTML(lines.join("\n")))
      end

      def make_compiler(trim_mode) = Compiler.new(trim_mode)
    end
  end
end
