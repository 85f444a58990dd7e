#!/bin/sh
# ONCE runs this before it copies /storage into a backup. The databases are in use, so a copy of their files would be
# worthless. This takes a consistent snapshot of each one; hooks/post-restore puts them back.
#
# If this fails, ONCE pauses the application while it copies the files. There must be no snapshots then, because
# hooks/post-restore would prefer them.
#
# Created by bin/rails generate hotswap:once. These are the names in config/database.yml:
set -eu
databases="<%= databases %>"

snapshots=storage/once_snapshots
rm -rf "$snapshots" "$snapshots.new"
mkdir -m 700 "$snapshots.new"
for database in $databases; do
  bin/hotswap cp "$database" "$snapshots.new/$database.sqlite3" --quiet
done
mv "$snapshots.new" "$snapshots"
