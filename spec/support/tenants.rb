# frozen_string_literal: true

require_relative "app_server"

# The demo with a database for each tenant, as activerecord-tenanted has them: one entry in database.yml, and a pool for
# each tenant that is made with the first query, dropped when there are more than a few, and never listed anywhere.
#
# The gem is not installed here. TenantRecord below calls what the gem calls: `connected_to(shard:)`,
# `establish_connection` with a configuration of its own, and `remove_connection_pool`.
class Tenants < AppServer
  SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
  ENTRY = <<-YAML
  tenant:
    adapter: sqlite3
    database: storage/tenants/%{tenant}/main.sqlite3
    tenanted: true
    database_tasks: false
    max_connection_pools: 3
    checkout_timeout: 1
    timeout: 5000
  YAML
  RECORD = <<~RUBY
    class TenantRecord < ActiveRecord::Base
      self.abstract_class = true
      self.connection_class = true
      self.default_shard = :none

      LOCK = Mutex.new
      POOLS = {}

      class << self
        def with(tenant, &block) = connected_to(shard: tenant, role: :writing, &block)

        def connection_pool
          return TenantRecord.connection_pool unless equal?(TenantRecord)

          pool = known_pool || LOCK.synchronize { known_pool || make_pool }
          POOLS.delete(current_shard)
          POOLS[current_shard] = pool
          drop(POOLS.keys.first) while POOLS.size > configuration.configuration_hash[:max_connection_pools]
          pool
        end

        # Rails 7.1 asks for a connection, and not for its pool.
        def retrieve_connection = (ActiveRecord.version < Gem::Version.new("7.2")) ? connection_pool.connection : super

        def create(tenant)
          path = Rails.root.join(of(tenant).database)
          path.dirname.mkpath
          FileUtils.touch(path)
          with(tenant) { connection_pool.with_connection { |connection| connection.execute(#{SCHEMA.inspect}) } }
        end

        private

        def configuration = ActiveRecord::Base.configurations.find_db_config(:tenant) || ActiveRecord::Base.configurations.configs_for(env_name: Rails.env, name: "tenant", include_hidden: true)

        def of(tenant)
          ActiveRecord::DatabaseConfigurations::HashConfig.new(Rails.env, "tenant_\#{tenant}", configuration.configuration_hash.merge(database: format(configuration.database, tenant: tenant)))
        end

        def known_pool = connection_handler.retrieve_connection_pool(name_of_connection, role: current_role, shard: current_shard)

        def make_pool
          raise ActiveRecord::RecordNotFound, "no such tenant" unless Rails.root.join(of(current_shard).database).exist?

          establish_connection(of(current_shard))
        end

        def drop(tenant)
          POOLS.delete(tenant)
          connection_handler.remove_connection_pool(name_of_connection, role: :writing, shard: tenant)
        end

        def name_of_connection = connection_specification_name
      end
    end
  RUBY
  CONTROLLER = <<~RUBY
    class NotesController < ActionController::Base
      skip_forgery_protection

      def show = TenantRecord.with(params[:id]) { render plain: Note.order(:id).pluck(:text).join(",") }

      def create
        TenantRecord.create(params[:id]) if params[:new]
        TenantRecord.with(params[:id]) { Note.create!(text: params[:text]) }
        head :created
      end

      # Holds the tenant's database for a while.
      def slow
        TenantRecord.with(params[:id]) { Note.transaction { Note.count && sleep(params[:seconds].to_f) } }
        head :ok
      end

      # Reads twice, with a pause, in a way that does not show which request waits for it.
      def twice
        render plain: send(:"twice_\#{params[:way]}").join("|")
      end

      # Forks a child, which reads the tenant now, and again as soon as tmp/go is there.
      def forked
        read, write = IO.pipe
        TenantRecord.with(params[:id]) { texts }
        child = fork do
          write.puts(TenantRecord.with(params[:id]) { texts })
          sleep 0.02 until Rails.root.join("tmp/go").exist?
          Rails.root.join("tmp/child.new").write(TenantRecord.with(params[:id]) { Note.uncached { texts } })
          File.rename(Rails.root.join("tmp/child.new"), Rails.root.join("tmp/child"))
        ensure
          exit!
        end
        Process.detach(child)
        render plain: read.gets.chomp
      end

      # Forks a child, which reads the tenant. Says what it has read, and whether after_swap has run in it.
      def child
        read, write = IO.pipe
        Process.detach(fork do
          swapped = Queue.new
          Hotswap.after_swap { swapped << true }
          write.puts("\#{TenantRecord.with(params[:id]) { texts }} \#{swapped.pop(timeout: 1).inspect}")
        ensure
          exit!
        end)
        render plain: read.gets.chomp
      end

      def job
        HoldJob.perform_later(params[:id], params[:seconds].to_f)
        head :ok
      end

      # Begins a thread that is no request, and uses the tenant for as long as tmp/busy is there.
      def busy
        Thread.new(params[:id]) { |id| TenantRecord.with(id) { Note.uncached { Note.count } } while Rails.root.join("tmp/busy").exist? }
        head :ok
      end

      # A connection that the application keeps by itself, after its pool is gone.
      KEPT = {}

      def kept
        connection = KEPT[params[:id]] ||= TenantRecord.with(params[:id]) { TenantRecord.connection_pool.checkout }
        render plain: connection.select_values("SELECT text FROM notes ORDER BY id").join(",")
        KEPT.delete(params[:id]) if params[:drop]
      end

      def columns = TenantRecord.with(params[:id]) { render json: Note.new.attributes.keys }

      private

      def twice_in_unit = two_answers { TenantRecord.with(params[:id]) { Note.uncached { texts } } }

      def twice_in_thread = Thread.new { twice_in_unit }.value

      # The second time without the thread.
      def twice_after_wrapped
        [Thread.new { Rails.application.executor.wrap { TenantRecord.with(params[:id]) { texts } } }.value, sleep(params[:seconds].to_f) &&
          TenantRecord.with(params[:id]) { texts }]
      end

      def twice_in_fiber = Enumerator.new { |all| twice_in_unit.each { |answer| all << answer } }.then { |all| [all.next, all.next] }

      def twice_in_raw
        two_answers { RAW[params[:id]].execute("SELECT text FROM notes ORDER BY id").flatten.join(",") }
      end

      def two_answers
        [yield, sleep(params[:seconds].to_f) && yield]
      end

      def texts = Note.order(:id).pluck(:text).join(",")

      # Connections that requests share, without Active Record.
      RAW = Hash.new { |all, id| all[id] = SQLite3::Database.new(Rails.root.join("storage/tenants", id, "main.sqlite3").to_s) }
      Hotswap.on_disconnect { |database| RAW.delete(database.path.split("/")[-2])&.close }
    end
  RUBY

  # Uses the database of a tenant for a while.
  JOB = <<~RUBY
    class HoldJob < ActiveJob::Base
      self.queue_adapter = :async

      def perform(tenant, seconds) = TenantRecord.with(tenant) { Note.count && sleep(seconds) }
    end
  RUBY

  def tenant_path(tenant) = root.join("storage/tenants", tenant, "main.sqlite3").to_s

  def notes(tenant) = get("/tenants/#{tenant}").body

  # A file to push into the database of a tenant.
  def notes_file(name, *notes)
    path = root.join("files", "#{name}.sqlite3").tap { |file| file.dirname.mkpath }.to_s
    self.class.make(path, *notes)
    path
  end

  def self.make(path, *notes)
    FileUtils.mkdir_p(File.dirname(path))
    FileUtils.rm_f(path)
    SQLite3::Database.new(path) do |db|
      db.execute("PRAGMA journal_mode = WAL")
      db.execute(SCHEMA)
      notes.each { |note| db.execute("INSERT INTO notes (text) VALUES (?)", [note]) }
    end
  end

  private

  def prepare
    super
    yaml = root.join("config/database.yml")
    write("config/database.yml", yaml.read.sub(/^<% end %>\Z/) { |line| ENTRY + line })
    write("app/models/tenant_record.rb", RECORD)
    write("app/models/note.rb", "class Note < TenantRecord\nend\n")
    write("app/controllers/notes_controller.rb", CONTROLLER)
    write("app/jobs/hold_job.rb", JOB)
    routes = root.join("config/routes.rb")
    routes.write(routes.read.sub("draw do\n", <<~RUBY))
      draw do
        get "tenants/:id", to: "notes#show"
        post "tenants/:id", to: "notes#create"
        get "tenants/:id/slow", to: "notes#slow"
        get "tenants/:id/twice", to: "notes#twice"
        get "tenants/:id/columns", to: "notes#columns"
        get "tenants/:id/kept", to: "notes#kept"
        get "tenants/:id/forked", to: "notes#forked"
        get "tenants/:id/child", to: "notes#child"
        get "tenants/:id/job", to: "notes#job"
        get "tenants/:id/busy", to: "notes#busy"
    RUBY
    %w[acme beta].each { |tenant| self.class.make(tenant_path(tenant), "of #{tenant}") }
  end
end
