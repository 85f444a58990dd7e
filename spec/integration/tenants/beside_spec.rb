# frozen_string_literal: true

# A swap of one tenant closes the gate of its database, and not the one of the process.
RSpec.describe "a push to one tenant, beside requests of others", :unhurried do
  include Writers

  [0, 2].each do |workers|
    context(workers.zero? ? "in one process" : "in a cluster") do
      running_app(Tenants, workers: workers, initializer: <<~RUBY)
        Rails.application.config.hotswap.max_pause = 4
        # As long as this file is there, the gates stay closed.
        Hotswap.on_disconnect do |database|
          held = Rails.root.join("tmp/held")
          sleep 0.01 while database.path.include?("beta") && held.exist?
        end
      RUBY

      let(:beta) { "storage/tenants/beta/main.sqlite3" }

      def open_everywhere(*tenants) = tenants.each { |tenant| Array.new(12) { Thread.new { app.notes(tenant) } }.each(&:join) }

      def push(note, *options) = app.hotswap("cp", *options, app.notes_file(note, note), beta)

      # Runs the block while the path is being requested.
      def beside(path)
        request = Thread.new { app.get(path) }
        eventually { app.log.include?(%(Started GET "#{path}")) }
        yield
        request.value
      end

      def seconds = Eventually.now.then { |since| yield && Eventually.now - since }

      it "does not wait for them" do
        open_everywhere("acme", "beta")
        took = nil
        beside("/tenants/acme/slow?seconds=6") { took = seconds { expect(push("quick")).to have_attributes(exit_code: 0) } }
        expect(took).to be < 5
        expect(Array.new(6) { app.notes("beta") }.uniq).to eq ["quick"]
      end

      it "does not hold them, and holds those of the same tenant" do
        open_everywhere("acme", "beta")
        app.root.join("tmp/held").write("")
        held = nil
        pushed = Thread.new { push("held", "--json") }
        held = Thread.new { app.notes("beta") } while held.nil? || held.join(0.5)
        waits = Array.new(40) { seconds { app.notes("acme") } }
        expect(held).to be_alive
        FileUtils.rm(app.root.join("tmp/held"))
        expect(pushed.value).to have_attributes(exit_code: 0), pushed.value.stderr
        expect(held.value).to eq "held"
        expect(waits.max).to be < 0.5
      end

      it "keeps its promises while requests read and write both tenants" do
        open_everywhere("acme", "beta")
        current, answers, lost = [app.notes("beta")[/\A[^,]+/]], Queue.new, []
        reader = lambda do |number, _|
          before = current.last
          answers << [before, app.notes("beta")] if number.zero?
          app.notes("acme") unless number.zero?
        end
        beside_writers(reader, count: 3) do
          4.times do |number|
            expect(push("version #{number}")).to have_attributes(exit_code: 0)
            current << "version #{number}"
            acknowledged = Array.new(5) { |note| "note #{note}".tap { |text| expect(app.post("/tenants/beta", text: text).status).to eq 201 } }
            lost += acknowledged - app.notes("beta").split(",")
          end
        end
        expect(lost).to eq []
        read = Array.new(answers.size) { answers.pop }
        expect(read.size).to be > 8
        # A request after OK gets this version or a later one.
        expect(read.reject { |before, answer| current.index(answer[/\A[^,]+/]) >= current.index(before) }).to eq []
      end

      %w[in_unit in_thread in_fiber in_raw after_wrapped].each do |way|
        it "never shows a request two versions, when it reads #{way.tr("_", " ")}" do
          open_everywhere("acme", "beta")
          app.get("/tenants/beta/twice?way=#{way}&seconds=0")
          before = app.notes("beta")
          answer = beside("/tenants/beta/twice?way=#{way}&seconds=2") { expect(push("after #{way}")).to have_attributes(exit_code: 0) }
          expect(answer.body).to eq [before, before].join("|")
          expect(app.notes("beta")).to eq "after #{way}"
        end
      end

      it "gets between the statements of a thread that uses the tenant all the time" do
        open_everywhere("acme", "beta")
        busy = app.root.join("tmp/busy").tap { |file| file.write("") }
        app.get("/tenants/beta/busy")
        3.times { |number| expect(push("busy #{number}", "--timeout", "4")).to have_attributes(exit_code: 0) }
        expect(app.notes("beta")).to eq "busy 2"
      ensure
        busy.delete
        # Until the next swap, the process remembers that such a thread has used the tenant.
        sleep 0.5
        expect(push("idle")).to have_attributes(exit_code: 0)
      end

      it "names only requests that use the tenant when it gives up" do
        open_everywhere("acme", "beta")
        refused = nil
        beside("/tenants/acme/slow?seconds=5") do
          beside("/tenants/beta/slow?seconds=5") { refused = push("late", "--timeout", "1.5") }
        end
        expect(refused.exit_code).to eq 4
        expect(refused.stderr).to include("GET /tenants/beta/slow").and(satisfy { |text| !text.include?("acme") })
      end

      it "makes a new column usable at once, in a push that holds every request" do
        open_everywhere("acme", "beta")
        file = app.notes_file("wider", "wider")
        SQLite3::Database.new(file) { |db| db.execute("ALTER TABLE notes ADD COLUMN author TEXT") }
        pushed = app.hotswap("cp", "--skip-schema-check", file, beta)
        expect(pushed).to have_attributes(exit_code: 0), pushed.stderr
        expect(Array.new(8) { app.get("/tenants/beta/columns").json }.uniq).to eq [%w[id text author]]
        expect(app.hotswap("rollback", beta)).to have_attributes(exit_code: 0)
        expect(Array.new(8) { app.get("/tenants/beta/columns").json }.uniq).to eq [%w[id text]]
      end
    end
  end
end
