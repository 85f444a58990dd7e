# frozen_string_literal: true

require_relative "../../crash/support/watched_server"
require_relative "../../../support/mounted_folder"

# A server whose storage folder lies on a file system of its own: MountedServer.start(on: :xfs)
class MountedServer < WatchedServer
  attr_reader :disk

  def initialize(on:, image: nil, **options)
    super(**options)
    @kind = on
    @image = image
  end

  def self.start(**options, &block)
    super do |server|
      block&.call(server)
      server.mount
    end
  end

  def mount = @disk = MountedFolder.new(@kind, root.join("storage"), image: @image).mount

  private

  # Otherwise the folder cannot be removed.
  def abandon
    process&.kill
    @disk&.unmount
    super
  end
end
