# frozen_string_literal: true

# Streams that stay open, such as server-sent events.
RSpec.describe "a stream that calls Hotswap.release" do
  # A push in place waits for SQLite's write lock first.
  let(:in_the_application) { /locked by a transaction\. It is open in process \d+, which belongs to this application: perhaps in a console, inside Hotswap\.release/ }

  def visit(path) = Streams::Visitor.new(app.port, path).tap { |visitor| (@visitors ||= []) << visitor }

  after { @visitors&.each(&:leave) }

  def file(version) = TestDatabase.new(app.root.join("files").tap(&:mkpath)).release(version)

  def push(version) = app.hotswap("cp", file(version), "database")

  shared_examples "a stream that does not block a push" do |path, visitors: 2|
    it "stays open during three pushes, and reads the new rows after each" do
      expect(push("zero").exit_code).to eq 0
      visiting = Array.new(visitors) { visit(path) }
      visiting.each { |visitor| visitor.wait_for("version zero") }

      %w[one two three].each do |version|
        pushed = push(version)
        expect(pushed).to have_attributes(exit_code: 0, stdout: "OK\n"), pushed.stderr
        visiting.each do |visitor|
          visitor.wait_for("version #{version}")
          visitor.wait_for("version ")
          expect(visitor.unread.reject { |line| line.match?(/version #{version}|\A\h*\z/) }).to eq []
        end
      end
    end
  end

  shared_examples "a stream in a transaction" do |path|
    it "raises an error" do
      visit(path).wait_for("refused: Hotswap.release was called inside a block that holds a database connection", from_now: false)
      expect(push("after a refused release").exit_code).to eq 0
    end
  end

  rails = proc do |app|
    app.write("app/controllers/events_controller.rb", <<~RUBY)
      class EventsController < ApplicationController
        include ActionController::Live

        def live
          stream { loop { tell && Hotswap.release { sleep 0.05 } } }
        end

        def whole
          stream { Hotswap.release { loop { tell && sleep(0.002) } } }
        end

        # A loop that would read from the query cache for ever.
        def cached
          stream { Release.cache { loop { tell && Hotswap.release { sleep 0.05 } } } }
        end

        def late
          stream { Hotswap.release { sleep 0.01 until Rails.root.join("tmp/tell").exist? } || tell }
        end

        def in_a_transaction
          stream { Item.transaction { Item.first && Hotswap.release { sleep 0.01 } } }
        end

        def behind_active_record
          connection = Item.respond_to?(:lease_connection) ? Item.lease_connection : Item.connection
          connection.begin_db_transaction
          stream { Hotswap.release { sleep 0.01 } }
        ensure
          connection.rollback_db_transaction
        end

        # Keeps a transaction open inside the block until the file is there.
        def transaction_inside
          stream do
            Hotswap.release do
              Item.transaction do
                Item.create!(name: "inside", token: "inside")
                tell
                sleep 0.01 until Rails.root.join("tmp/commit").exist?
                raise "the database was swapped" unless Item.exists?(token: "inside")
              end
              response.stream.write("committed\\n")
            end
          end
        end

        private

        def stream
          response.headers["Content-Type"] = "text/event-stream"
          yield
        rescue ActionController::Live::ClientDisconnected
          logger.info("a visitor left")
        rescue Hotswap::ReleaseRefused => error
          response.stream.write("refused: \#{error.message}\\n")
        ensure
          response.stream.close
        end

        def tell
          response.stream.write("version \#{Release.current}\\n")
          true
        end
      end
    RUBY
    app.write("app/controllers/feeds_controller.rb", <<~RUBY)
      class FeedsController < ApplicationController
        def show
          response.headers["Last-Modified"] = Time.now.httpdate
          self.response_body = Enumerator.new do |body|
            loop do
              body << "version \#{Release.current}\\n"
              Hotswap.release { sleep 0.05 }
            end
          end
        end
      end
    RUBY
    routes = app.root.join("config/routes.rb")
    actions = %w[live whole cached late in_a_transaction behind_active_record transaction_inside]
    lines = actions.map { |action| "get \"events/#{action}\", to: \"events##{action}\"" }
    routes.write(routes.read.sub(/^end/, "  #{lines.join("\n  ")}\n  get \"feed\", to: \"feeds#show\"\nend"))
  end

  context "with Rails" do
    running_app(threads: 8, initializer: "Rails.application.config.hotswap.timeout = 5; Rails.application.config.hotswap.max_pause = 2", &rails)

    it_behaves_like "a stream that does not block a push", "/events/live"
    it_behaves_like "a stream that does not block a push", "/events/whole"
    it_behaves_like "a stream that does not block a push", "/events/cached"
    it_behaves_like "a stream that does not block a push", "/feed"
    it_behaves_like "a stream in a transaction", "/events/in_a_transaction"

    it "raises an error in a transaction that Active Record does not know" do
      visit("/events/behind_active_record").wait_for("refused: Hotswap.release was called while a transaction is open on", from_now: false)
      expect(push("after").exit_code).to eq 0
    end

    it "does not block a push before its first byte" do
      visitor = visit("/events/late")
      eventually { app.log.include?('Started GET "/events/late"') }
      expect(push("meanwhile").exit_code).to eq 0
      app.write("tmp/tell", "")
      visitor.wait_for("version meanwhile")
    end

    it "makes a push wait for a transaction inside the block" do
      expect(push("before").exit_code).to eq 0
      visitor = visit("/events/transaction_inside")
      visitor.wait_for("version before")
      refused = push("never")
      app.write("tmp/commit", "")

      expect(refused.exit_code).to eq 4
      expect(refused.stderr).to match(Project.linux? ? %r{ on storage/production\.sqlite3 in GET /events/transaction_inside, inside Hotswap\.release} : in_the_application)
      visitor.wait_for("committed", from_now: false)
      expect(push("after it").exit_code).to eq 0
    end
  end

  context "with Rails in a cluster" do
    running_app(workers: 2, threads: 4, initializer: "Rails.application.config.hotswap.timeout = 5; Rails.application.config.hotswap.max_pause = 2", &rails)

    it_behaves_like "a stream that does not block a push", "/events/live", visitors: 4
    it_behaves_like "a stream that does not block a push", "/feed", visitors: 4
  end

  context "with a plain Rack application" do
    running_app(RackServer, threads: 8, config: <<~RUBY) { |app| TestDatabase.new(app.root).release("v1", name: "app.sqlite3") }
      require "hotswap"
      Hotswap.configure { |config| config.timeout = 5 and config.max_pause = 2 }
      Hotswap.register("app.sqlite3")
      Hotswap.start

      READ = lambda do
        db = SQLite3::Database.new("app.sqlite3")
        "version \#{db.get_first_value("SELECT version FROM releases ORDER BY id DESC LIMIT 1")}\\n"
      ensure
        db&.close
      end

      class Stream
        def each
          loop do
            yield READ.call
            Hotswap.release { sleep 0.05 }
          end
        end
      end

      REFUSED = lambda do |&work|
        work.call
        "not refused\\n"
      rescue Hotswap::ReleaseRefused => error
        "refused: \#{error.message}\\n"
      end

      SEND = lambda do |socket, before = "", &pause|
        socket.write(before)
        loop { socket.write(READ.call) && pause.call }
      rescue SystemCallError, IOError
        socket.close
      end

      use Hotswap::Middleware
      run lambda { |env|
        plain = {"content-type" => "text/plain"}
        case env["PATH_INFO"]
        when "/endless" then [200, plain, Stream.new]
        when "/block"
          db = SQLite3::Database.new("app.sqlite3")
          [200, plain, [REFUSED.call { db.transaction { Hotswap.release { sleep 0.01 } } }]].tap { db.close }
        when "/begun"
          KEPT = SQLite3::Database.new("app.sqlite3")
          Hotswap.on_disconnect { KEPT.close unless KEPT.closed? }
          KEPT.execute("BEGIN IMMEDIATE")
          body = Enumerator.new do |lines|
            lines << READ.call
            Hotswap.release { sleep 0.01 until File.exist?("tmp/commit") }
            KEPT.execute("COMMIT")
            lines << "committed\\n"
          end
          [200, plain, body]
        when "/hijacked"
          socket = env["rack.hijack"].call
          Thread.new { SEND.call(socket, "HTTP/1.1 200 OK\\r\\n\\r\\n") { sleep 0.05 } }
          [-1, {}, []]
        when "/hijacked-here"
          SEND.call(env["rack.hijack"].call, "HTTP/1.1 200 OK\\r\\n\\r\\n") { Hotswap.release { sleep 0.05 } }
          [-1, {}, []]
        when "/partly" then [200, plain.merge("rack.hijack" => ->(socket) { SEND.call(socket) { Hotswap.release { sleep 0.05 } } }), []]
        else [200, plain, [READ.call]]
        end
      }
    RUBY

    it_behaves_like "a stream that does not block a push", "/endless"
    it_behaves_like "a stream that does not block a push", "/hijacked"
    it_behaves_like "a stream that does not block a push", "/hijacked-here"
    it_behaves_like "a stream that does not block a push", "/partly"
    it_behaves_like "a stream in a transaction", "/block"

    it "makes a push wait for a transaction on its own connection, and the push then closes it" do
      visitor = visit("/begun")
      visitor.wait_for("version ")
      refused = push("never")
      expect(refused.exit_code).to eq 4
      expect(refused.stderr).to match(Project.linux? ? /has a transaction open on app\.sqlite3, on a connection that was opened with SQLite3::Database\.new/ : in_the_application)

      app.write("tmp/commit", "")
      visitor.wait_for("committed", from_now: false)
      expect(push("after it").exit_code).to eq 0
    end
  end
end
