#!/bin/sh
# Makes a role and a database of its own for each service, and the role that backs them up. Runs
# once, as superuser, when the server's volume is empty; the passwords come from the environment.
set -eu

# A password reaches psql through its environment, not through a command line or the server's log.
role() { # name, variable with the password
  PASSWORD_OF_ROLE=$(printenv "$2") psql -v ON_ERROR_STOP=1 -v role="$1" -d postgres <<'SQL'
\getenv password PASSWORD_OF_ROLE
SET log_statement = 'none';
SET password_encryption = 'scram-sha-256';
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

database() { # name, which is also its owner's
  psql -v ON_ERROR_STOP=1 -v name="$1" -d postgres <<'SQL'
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

role mlflow MLFLOW_DATABASE_PASSWORD
role label_studio LABEL_STUDIO_DATABASE_PASSWORD
role realmat REALMAT_DATABASE_PASSWORD
role backup BACKUP_DATABASE_PASSWORD
for name in mlflow label_studio realmat; do
  database "$name"
done
psql -v ON_ERROR_STOP=1 -d postgres <<'SQL'
GRANT pg_read_all_data TO backup;
GRANT CONNECT ON DATABASE mlflow, label_studio, realmat TO backup;
SQL
