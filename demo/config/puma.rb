# frozen_string_literal: true

threads_count = Integer(ENV.fetch("RAILS_MAX_THREADS", 5))
threads threads_count, threads_count

# Puma itself reads the number of workers from WEB_CONCURRENCY.
preload_app! ENV.fetch("PRELOAD", "1") == "1"

bind ENV.fetch("BIND") { "tcp://127.0.0.1:#{ENV.fetch("PORT", 3000)}" }
pidfile ENV["PIDFILE"] if ENV["PIDFILE"]

plugin :tmp_restart
plugin :solid_queue if ENV["SOLID_QUEUE_IN_PUMA"] && Gem.loaded_specs.key?("solid_queue")
