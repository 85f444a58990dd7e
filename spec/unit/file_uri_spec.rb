# frozen_string_literal: true

require_relative "unit_helper"

RSpec.describe Hotswap::FileUri do
  describe ".objection" do
    {
      "file:app.sqlite3?nolock=1" => /\Anolock=1/,
      "file:app.sqlite3?mode=rw&no%6cock=on" => /\Anolock=1/,
      "file:app.sqlite3?nolock=TRUE#fragment" => /\Anolock=1/,
      "file:app.sqlite3?immutable=1" => /\Aimmutable=1/,
      "file:app.sqlite3?vfs=unix-none" => /\Avfs=unix-none/,
      "file:app.sqlite3?vfs=unix-excl" => /\Avfs=unix-excl/,
      "file:app.sqlite3?vfs=cksmvfs&cache=shared" => /\Avfs=cksmvfs/
    }.each do |name, objection|
      it "exists for #{name}" do
        expect(described_class.objection(name)).to match objection
      end
    end

    [
      "app.sqlite3", "app.sqlite3?nolock=1", "", "file:app.sqlite3", "file:app.sqlite3?nolock=0", "file:app.sqlite3?nolock=off", "file:app.sqlite3?nolock",
      "file:app.sqlite3?mode=ro&cache=shared&psow=0&modeof=other&vfs=unix&timeout=5", "file:nolock=1", "file:app.sqlite3#?nolock=1"
    ].each do |name|
      it "does not exist for #{name.inspect}" do
        expect(described_class.objection(name)).to be_nil
      end
    end

    it "exists for a VFS that is passed separately" do
      expect(described_class.objection("app.sqlite3", "unix-none")).to match(/\Avfs=unix-none/)
      expect(described_class.objection("app.sqlite3", "unix")).to be_nil
    end
  end
end
