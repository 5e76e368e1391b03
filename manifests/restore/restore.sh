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
# In one transaction: whatever is there goes, also tables that are newer than the dump, on which a
# migration would fail the next time, then the dump's own objects are made. A dump that is not written
# out to its end has no COMMIT, and a statement that ends psql in its place.
{
  cat <<'SQL'
BEGIN;
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' AND nspname <> 'public'
  LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
END $$;
DROP SCHEMA IF EXISTS public CASCADE;
CREATE SCHEMA public;
ALTER SCHEMA public OWNER TO pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
SQL
  if pg_restore --no-owner --no-privileges --file=- "$dump"; then
    echo 'COMMIT;'
  else
    echo "DO \$\$ BEGIN RAISE 'the dump is not whole'; END \$\$;"
  fi
} | psql --no-password --no-psqlrc --quiet -v ON_ERROR_STOP=1 -d "$DATABASE" >/dev/null
echo "restored $DATABASE"
