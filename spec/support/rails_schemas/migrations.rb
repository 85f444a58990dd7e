# frozen_string_literal: true

# The history of an application, as its production has been through it: every kind of column, key and index, and every
# change that makes Rails rewrite a table. Each line is one migration.
def migrations(rails)
  [
    -> { create_table(:items) { |t| t.string :name } },
    -> { create_table(:users) { |t| t.string(:email, null: false, limit: 100) && t.boolean(:admin, default: false, null: false) && t.boolean(:on, default: true) && t.timestamps } },
    lambda do
      create_table :posts do |t|
        t.string :title
        t.text :body, default: ""
        t.integer :rank, default: 0
        t.float :score, default: 1.0
        t.decimal :price, precision: 10, scale: 2, default: "9.90"
        t.decimal :weight, precision: 8, default: 0
        t.datetime :at
        t.datetime :seconds, precision: nil
        t.timestamp :milliseconds, precision: 3
        t.date :day, default: "2024-01-01"
        t.time :clock
        t.json :meta, default: {}
        t.binary :blob
        t.bigint :big, default: 5
        t.string :quoted, default: "it's \"quoted\""
        t.references :user, foreign_key: true
        t.timestamps
      end
    end,
    -> { create_table(:comments) { |t| t.text(:body) && t.references(:post, foreign_key: true) && t.references(:user, foreign_key: {on_delete: :cascade}) && t.datetime(:seen, default: -> { "CURRENT_TIMESTAMP" }) } },
    -> { create_table(:tags, id: :string) { |t| t.string(:name, collation: "NOCASE") && t.index(:name, unique: true) } },
    -> { create_table(:pairs, primary_key: %i[a b]) { |t| t.integer(:a) && t.integer(:b) && t.string(:v) } },
    -> { create_table(:joins, id: false) { |t| t.belongs_to(:user) && t.belongs_to(:post) } },
    -> { add_index :joins, %i[user_id post_id], unique: true, name: "joined" },
    -> { add_index :posts, %i[title rank], order: {rank: :desc, title: :asc} },
    -> { add_index :posts, :day, where: "rank > 5" },
    -> { add_index :posts, "lower(title), rank DESC", name: "by_lower_title" },
    -> { add_check_constraint :posts, "rank >= 0", name: "rank_positive" },
    -> { add_check_constraint :users, "length(email) > 1" },
    -> { change_column_null :comments, :body, false, "" },
    -> { add_column :users, :nick, :string, default: "it's", null: false },
    -> { add_column :posts, :flag, :boolean, default: false, null: false },
    -> { add_reference :posts, :editor, foreign_key: {to_table: :users} },
    -> { add_reference :comments, :parent, foreign_key: {to_table: :comments, on_delete: :nullify, deferrable: :deferred} },
    -> { rename_column :users, :nick, :nickname },
    -> { change_column_default :users, :nickname, from: "it's", to: nil },
    -> { change_column_null :users, :nickname, true },
    -> { change_column :posts, :rank, :integer, default: 3, null: false },
    -> { remove_column :posts, :clock, :time },
    -> { rename_table :joins, :memberships },
    -> { add_column(:pairs, :w, :integer, default: 1) && change_column_null(:pairs, :v, false, "x") },
    -> { add_column(:tags, :hidden, :boolean, default: true) && change_column_null(:tags, :hidden, false, true) },
    -> { remove_foreign_key(:comments, :users) && add_foreign_key(:comments, :users, on_delete: :restrict) },
    -> { rename_index :posts, "by_lower_title", "by_small_title" },
    *(from_7_2 if rails >= "7.2"),
    *(from_8_0 if rails >= "8.0")
  ]
end

def from_7_2
  [
    -> { create_table(:computed) { |t| t.string(:a) && t.virtual(:up, type: :string, as: "upper(a)") && t.virtual(:low, type: :string, as: "lower(a)", stored: true) } },
    -> { add_column(:computed, :b, :integer) && change_column_default(:computed, :b, from: nil, to: 4) }
  ]
end

def from_8_0
  [
    -> { create_virtual_table :searches, :fts5, ["title", "body", "tokenize='porter'"] }
  ]
end
