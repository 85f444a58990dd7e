# frozen_string_literal: true

require "json"
require_relative "project"

# docs/json.schema.json: what the JSON of every command looks like. It has the words of JSON Schema that it needs, and
# one more: `values`, for an object whose keys are free.
module JsonContract
  SHAPES = JSON.parse(Project::ROOT.join("docs/json.schema.json").read)
  TYPES = {"object" => Hash, "array" => Array, "string" => String, "integer" => Integer, "number" => Numeric}.freeze

  # What is wrong with a value. A property that the contract does not name is wrong, too.
  def self.breaches(value, shape, at = shape.is_a?(String) ? shape : "")
    shape = SHAPES.fetch(shape) if shape.is_a?(String)
    return breaches(value, shape["$ref"], at) if shape["$ref"]
    return (shape["enum"].include?(value) ? [] : ["#{at} is #{value.inspect}"]) if shape["enum"]
    return ["#{at} is no #{shape["type"]}: #{value.inspect}"] unless of_type?(value, shape["type"])
    return ["#{at} is #{value.inspect}"] if shape["pattern"] && !value.match?(Regexp.new(shape["pattern"]))

    case value
    when Hash then breaches_of_object(value, shape, at)
    when Array then value.flat_map.with_index { |one, index| breaches(one, shape["items"], "#{at}[#{index}]") }
    else []
    end
  end

  def self.of_type?(value, type) = (type == "boolean") ? [true, false].include?(value) : value.is_a?(TYPES.fetch(type))

  def self.breaches_of_object(object, shape, at)
    return object.flat_map { |key, value| breaches(value, shape["values"], "#{at}.#{key}") } if shape["values"]

    missing = (shape.fetch("required", []) - object.keys).map { |name| "#{at} has no #{name}" }
    missing + object.flat_map do |name, value|
      known = shape.fetch("properties")[name]
      known ? breaches(value, known, "#{at}.#{name}") : ["#{at} has #{name}, which docs/json.md does not document"]
    end
  end

  # Every property of every shape, as the document has to name it.
  def self.properties = SHAPES.transform_values { |shape| shape["properties"].keys }
end
