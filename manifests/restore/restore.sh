#!/bin/sh
# Restores $1/backup.dump into $DATABASE, all of it or nothing. The server and the login, that of the
# database's owner, come from PGHOST, PGPORT, PGUSER, PGPASSWORD.
set -eu
dump=$1/backup.dump
pg_restore --list "$dump" >/dev/null
tables=$(psql --no-password --no-psqlrc -At -v ON_ERROR_STOP=1 -d "$DATABASE" -c \
  "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
if [ "$tables" -gt 0 ] && [ "$REPLACE" != yes ]; then
  echo "$DATABASE holds $tables tables: restore into an empty one, or set REPLACE=yes." >&2
  exit 1
fi
pg_restore --no-password --single-transaction --exit-on-error --no-owner --no-privileges \
  --clean --if-exists --dbname="$DATABASE" "$dump"
echo "restored $DATABASE"
