# frozen_string_literal: true

return if Release.exists?

WORDS = %w[
  rails puma sqlite page cache lock write read commit frame journal backup table index row query thread worker
  request answer deploy server socket stream token release gate swap snapshot
].freeze
STARTED_AT = Time.utc(2024, 5, 7, 9)

# The same seed gives the same database on every machine, so that runs can be compared.
chance = Random.new(2024)
words = ->(range) { Array.new(chance.rand(range)) { WORDS.sample(random: chance) }.join(" ") }
stamps = ->(minutes) { {created_at: STARTED_AT + minutes * 60, updated_at: STARTED_AT + minutes * 60} }

ApplicationRecord.transaction do
  Release.insert_all!([{version: "v1", created_at: STARTED_AT}])

  User.insert_all!(Array.new(100) do |n|
    {id: n + 1, screen_name: "user-#{n + 1}", about: words.call(5..20), **stamps.call(n)}
  end)

  Post.insert_all!(Array.new(1_000) do |n|
    {id: n + 1, user_id: chance.rand(1..100), title: words.call(3..6).capitalize, body: words.call(40..120), **stamps.call(n)}
  end)

  1.upto(1_000).each_slice(100) do |post_ids|
    Comment.insert_all!(post_ids.product((1..10).to_a).map do |post_id, n|
      {post_id: post_id, user_id: chance.rand(1..100), body: words.call(5..30), **stamps.call(post_id * 10 + n)}
    end)
  end

  Item.insert_all!(Array.new(100) { |n| {id: n + 1, name: "item-#{n + 1}", note: "as in v1"} })
end
