#!/bin/sh
# Writes one file in pg_dump's custom format per database of $BACKUP_DATABASES into $1. The server and
# the login come from PGHOST, PGPORT, PGUSER, PGPASSWORD. A file has its name only when it is whole.
set -eu
umask 077
for database in $BACKUP_DATABASES; do
  pg_dump --format=custom --no-password --lock-wait-timeout=60s \
    --file="$1/$database.partial" --dbname="$database"
  pg_restore --list "$1/$database.partial" >/dev/null
  mv "$1/$database.partial" "$1/$database.dump"
  echo "dumped $database: $(wc -c <"$1/$database.dump") bytes"
done
