# frozen_string_literal: true

# A database for each customer.
RSpec.describe "an application with 1,500 databases" do
  many = 1500
  name = ->(number) { "storage/customers/a-customer-with-a-rather-long-name-#{number}.sqlite3" }

  running_app do |app|
    entries = <<~YAML
      <% (1..#{many}).each do |number| %>
        customer_<%= number %>:
          adapter: sqlite3
          database: #{name["<%= number %>"]}
      <% end %>
    YAML
    app.write("config/database.yml", app.root.join("config/database.yml").read.sub(/^<% end %>\Z/) { |line| entries + line })
    app.write("config/initializers/customers.rb", <<~RUBY)
      # A pool for each of them.
      Rails.application.config.after_initialize do
        (1..#{many}).each do |number|
          name = :"customer_\#{number}"
          ActiveRecord::Base.connection_handler.establish_connection(name, owner_name: ActiveRecord::Base, shard: name)
        end
      end
    RUBY
    customer = TestDatabase.new(app.root.join("files").tap(&:mkpath)).release("customer")
    app.root.join("storage/customers").mkpath
    [1, 2, many].each { |number| FileUtils.cp(customer, app.root.join(name[number])) }
  end

  it "can push, pull and list its databases, by name and by path" do
    customer = app.root.join(name[many]).to_s
    pushed = app.hotswap("cp", app.databases.release("new"), customer)
    expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n"), pushed.stderr
    expect(TestDatabase.read(customer) { |db| db.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1") }).to eq "new"

    pulled = app.hotswap("cp", "customer_#{many}", "backup.sqlite3")
    expect(pulled).to have_attributes(exit_code: 0, stderr: /^OK\n\z/)

    lost = app.hotswap("cp", "nothing.sqlite3", "nowhere.sqlite3")
    expect(lost.exit_code).to eq 2
    expect(lost.stderr).to match(/\(.*storage.* and \d+ more\)/)
    expect(lost.stderr.size).to be < 5_000
    expect(app.log).to match(/managing 150\d database\(s\): .*, and \d+ more$/)
  end

  it "refuses the files of every database" do
    refused = app.hotswap("cp", app.databases.release("new"), "#{name[many]}-wal")
    expect(refused).to have_attributes(exit_code: 2)
    expect(refused.stderr).to include("belongs to the managed database #{name[many]}")
  end
end
