#!/bin/sh
# ONCE runs this after it has restored /storage from a backup, before the application boots. It puts the snapshots of
# hooks/pre-backup into place. Without snapshots, the application was paused or stopped during the backup, and its
# database files are whole.
#
# Created by bin/rails generate hotswap:once. These are the names in config/database.yml:
set -eu
databases="<%= databases %>"

snapshots=storage/once_snapshots
[ -d "$snapshots" ] || exit 0

latest() {
  find "$@" -type f \( -name '*.sqlite3' -o -name '*.sqlite3-wal' \) -exec date -r {} +%s \; | sort -n | tail -n 1
}

# ONCE does not run hooks/pre-backup while the application is stopped. The backup then contains snapshots of an earlier
# one. An hour is longer than ONCE takes to copy the files.
written=$(latest storage -path "$snapshots" -prune -o)
taken=$(latest "$snapshots")
if [ "${written:-0}" -gt $((taken + 3600)) ]; then
  echo "The snapshots in $snapshots are older than the databases, so the application was stopped during this backup." \
    "To use its databases, remove data/once_snapshots from the backup. To back up a stopped application, start it first" >&2
  exit 1
fi

for database in $databases; do
  # The file that was copied during the backup may be damaged, so there is no schema to compare with.
  bin/hotswap cp "$snapshots/$database.sqlite3" "$database" --offline --skip-schema-check --quiet
done
rm -rf "$snapshots"
