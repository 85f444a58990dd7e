# frozen_string_literal: true

require "tsort"

# Reads the paths that the Rust files of the core name (`use` lines and inline paths), and looks at each folder: its
# files and subfolders may import each other in one direction only. A circle of files anywhere in the tree is a circle
# of the members of one folder, so this finds all of them.
module Imports
  SOURCE = File.expand_path("../../ext/hotswap-core/src", __dir__)

  # One Rust file: the module it is, the modules it names, and the names it re-exports.
  class Source
    attr_reader :name, :path

    def initialize(name)
      @name = name
      @path = name.delete_suffix(".rs").split("/")
      @path.pop if %w[mod lib].include?(@path.last)
      # Imports in tests do not count.
      @text = File.read(File.join(SOURCE, name)).sub(/^#\[cfg\(test\)\]\nmod tests \{.*/m, "").gsub(%r{//.*}, "")
    end

    # Each import as a path from the crate's root: ["worker", "disk", "staged", "Staged"].
    def imports
      used = @text.scan(/^\s*(?:pub(?:\([^)]*\))? )?use (\w[^;]*);/m).flat_map { |(tree)| expand(tree) }
      inline = @text.scan(/\b((?:crate|super)(?:::\w+)+)/).map { |(path)| path.split("::") }
      below = @text.scan(/^mod (\w+);|^pub(?:\([^)]*\))? mod (\w+);/).flatten.compact
      children = @text.scan(/(?<![:\w])(\w+)::/).flatten & below
      used.select! { |path| %w[crate super self].include?(path.first) || below.include?(path.first) }
      (used + inline + children.map { |name| ["self", name] }).filter_map { |path| absolute(path) }.uniq
    end

    # Name => path, for `pub use child::Name`.
    def exports
      @exports ||= @text.scan(/^pub(?:\([^)]*\))? use ([^;]*);/m).flat_map { |(tree)| expand(tree) }.to_h do |path|
        [path.last, absolute(path) || @path + path]
      end
    end

    private

    # "a::{b, c::{d, e}}" => [[a, b], [a, c, d], [a, c, e]]
    def expand(tree)
      tree = tree.gsub(/\s+/, " ").strip
      return [tree.sub(/ as \w+\z/, "").split("::")] unless tree.include?("{")

      head, rest = tree.split("{", 2)
      branches(rest.sub(/\}\s*\z/, "")).flat_map { |branch| expand(branch).map { |path| head.split("::") + (path - ["self"]) } }
    end

    def branches(list)
      depth = 0
      branches = list.each_char.slice_when do |before, _|
        depth += {"{" => 1, "}" => -1}.fetch(before, 0)
        before == "," && depth.zero?
      end
      branches.map { |characters| characters.join.delete_suffix(",").strip }.reject(&:empty?)
    end

    def absolute(path)
      return path.drop(1) if path.first == "crate"
      return @path + path - ["self"] unless path.first == "super"

      ups = path.take_while { |part| part == "super" }.size
      @path[0...-ups] + path.drop(ups)
    end
  end

  class << self
    # [importing file, imported file], by name.
    def all
      sources.values.flat_map { |source| source.imports.filter_map { |path| edge(source, path) } }.uniq
    end

    # The circles among the members of each folder, as text.
    def circles
      folders = all.group_by { |pair| common_folder(*pair) }
      folders.flat_map do |folder, pairs|
        graph = pairs.map { |pair| pair.map { |name| member(folder, name) } }.uniq.reject { |a, b| a == b }.group_by(&:first)
        components = TSort.strongly_connected_components(
          ->(&block) { graph.keys.each(&block) }, ->(node, &block) { graph.fetch(node, []).map(&:last).each(&block) }
        )
        components.select { |component| component.size > 1 }.map { |component| circle(folder, component, pairs) }
      end
    end

    private

    def sources
      @sources ||= Dir.glob("**/*.rs", base: SOURCE).to_h { |name| Source.new(name).then { |source| [source.path, source] } }
    end

    def edge(source, path)
      target = resolve(path)
      [source.name, target.name] if target && target != source
    end

    # The file that a path leads to, through re-exports.
    def resolve(path, hops = 0)
      depth = path.size.downto(0).find { |size| sources.key?(path.take(size)) }
      file = sources.fetch(path.take(depth))
      exported = path[depth] && file.exports[path[depth]]
      return file if hops > 5 || exported.nil? || exported.take(depth + 1) == path.take(depth + 1)

      resolve(exported + path.drop(depth + 1), hops + 1)
    end

    def common_folder(one, other)
      one.split("/")[0...-1].zip(other.split("/")[0...-1]).take_while { |a, b| a == b && a }.map(&:first)
    end

    def member(folder, name)
      name.split("/")[folder.size]
    end

    def circle(folder, component, pairs)
      inside = pairs.select { |pair| pair.map { |name| member(folder, name) }.then { |a, b| a != b && ([a, b] - component).empty? } }
      "in #{["src", *folder].join("/")}: #{component.sort.join(", ")}\n" + inside.map { |a, b| "  #{a} imports #{b}" }.join("\n")
    end
  end
end

RSpec.describe "The modules of the core" do
  it "are found, with their imports" do
    expect(Imports.all.size).to be > 100
    expect(Imports.all).to include(["client/mod.rs", "protocol/message.rs"])
  end

  it "never import each other in a circle" do
    expect(Imports.circles).to be_empty, -> { Imports.circles.join("\n") }
  end
end
