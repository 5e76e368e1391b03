"""The deployed backup and restore, file by file, against a real PostgreSQL and a real S3 server."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
from moto.server import ThreadedMotoServer

from tests.manifests.rendered import objects
from tests.postgres import Postgres, installed
from tests.services import missing

PREFIX = "postgresql"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if not installed():
        missing("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@dataclass
class Place:
    """A database, a bucket and the scripts as the cluster mounts them."""

    postgres: Postgres
    endpoint: str
    scripts: Path
    folder: Path
    name: str = field(default_factory=lambda: f"votes{next(_numbers)}")

    def __post_init__(self) -> None:
        self.environment = {
            "PATH": f"{self.postgres.bin}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": "127.0.0.1", "PGPORT": str(self.postgres.port), "PGUSER": "realmat",
            "PGPASSWORD": "unasked", "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret", "BACKUP_DATABASES": self.name,
            "BACKUP_BUCKET": self.name, "BACKUP_PREFIX": PREFIX, "BACKUP_KEEP": "3",
            "REPLACE": "no",
        }  # fmt: skip
        self.bucket = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="key",
            aws_secret_access_key="secret",
        )  # fmt: skip
        self.bucket.create_bucket(Bucket=self.name)
        self.postgres.create(self.name)

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A script as its container starts it."""
        program, script, *rest = command
        known = {"sh": "sh", "python": sys.executable}
        return subprocess.run(
            [known[program], str(self.scripts / script), *rest], env={**self.environment, **more},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def backup(self, **more: str) -> list[str]:
        """One run of the CronJob; returns the backups that there are then, oldest first."""
        for command in (("sh", "dump.sh"), ("python", "ship.py")):
            done = self.run(*command, str(self.folder), **more)
            assert done.returncode == 0, done.stderr
        return [key for key in self.stored() if key.endswith(".dump")]

    def restore(self, key: str, database: str, **more: str) -> str:
        """One run of the restoring Job; returns what it complained of, "" if it succeeded."""
        given = {"BACKUP": key, "DATABASE": database, **more}
        for command in (("python", "fetch.py"), ("sh", "restore.sh")):
            done = self.run(*command, str(self.folder), **given)
            if done.returncode:
                return done.stderr
        return ""

    def stored(self) -> list[str]:
        found = self.bucket.list_objects_v2(Bucket=self.name).get("Contents", [])
        return sorted(item["Key"] for item in found)

    def sql(self, text: str, database: str = "") -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.postgres.port, user="realmat", dbname=database or self.name
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows


@pytest.fixture
def place(postgres: Postgres, s3: str, tmp_path: Path) -> Place:
    """With a table, its index and a sequence, and text that a dump could spoil."""
    scripts, folder = tmp_path / "scripts", tmp_path / "dumps"
    scripts.mkdir()
    folder.mkdir()
    for target in ("overlays/production", "restore"):
        for one in objects(target, "ConfigMap"):
            if one["metadata"]["name"].startswith(("realmat-backup-scr", "realmat-restore-scr")):
                for name, content in one["data"].items():
                    (scripts / name).write_text(content)
    made = Place(postgres, s3, scripts, folder)
    made.sql(
        "CREATE TABLE votes (id serial PRIMARY KEY, choice text UNIQUE, at timestamptz);"
        "INSERT INTO votes (choice, at) SELECT 'ä' || n || E'\\\\t\\n', now() "
        "FROM generate_series(1, 500) n"
    )
    return made


VOTES = "SELECT * FROM votes ORDER BY id"


def test_a_backup_restored_into_an_empty_database_is_the_same(place: Place) -> None:
    (key,) = place.backup()
    place.postgres.create(f"{place.name}_again")
    assert place.restore(key, f"{place.name}_again") == ""
    assert place.sql(VOTES, f"{place.name}_again") == place.sql(VOTES)
    count = "INSERT INTO votes (choice) VALUES ('next') RETURNING id"
    assert place.sql(count, f"{place.name}_again") == [(501,)]
    with pytest.raises(psycopg2.errors.UniqueViolation):
        place.sql("INSERT INTO votes (choice) VALUES ('next')", f"{place.name}_again")


def test_a_database_with_tables_is_replaced_only_when_that_was_said(place: Place) -> None:
    before = place.sql(VOTES)
    (key,) = place.backup()
    place.sql("DELETE FROM votes WHERE id > 100")
    assert "REPLACE=yes" in place.restore(key, place.name)
    assert len(place.sql(VOTES)) == 100
    assert place.restore(key, place.name, REPLACE="yes") == ""
    assert place.sql(VOTES) == before


UPGRADE = """
CREATE TABLE later (id int PRIMARY KEY, vote int REFERENCES votes (id));
CREATE VIEW few AS SELECT * FROM votes;
CREATE TYPE kind AS ENUM ('old', 'new');
ALTER TABLE votes ADD COLUMN kind kind;
CREATE SCHEMA more;
CREATE TABLE more.things (id int REFERENCES votes (id));
INSERT INTO later SELECT 1, min(id) FROM votes;
"""
EVERYTHING = """
SELECT n.nspname, c.relname, CAST(c.relkind AS text) FROM pg_class c JOIN pg_namespace n
  ON n.oid = c.relnamespace
  WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
UNION SELECT n.nspname, t.typname, CAST(t.typtype AS text) FROM pg_type t JOIN pg_namespace n
  ON n.oid = t.typnamespace WHERE n.nspname = 'public' AND t.typcategory = 'E'
UNION SELECT nspname, pg_get_userbyid(nspowner), CAST(nspacl AS text) FROM pg_namespace
  WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
"""


def test_a_restore_undoes_an_upgrade_which_can_then_be_made_again(place: Place) -> None:
    """What a newer version added goes, also where it hangs on what the dump holds."""
    before, everything = place.sql(VOTES), set(place.sql(EVERYTHING))
    (key,) = place.backup()
    for _ in range(2):
        place.sql(UPGRADE)
        assert len(place.sql("SELECT * FROM later")) == 1
        assert place.restore(key, place.name, REPLACE="yes") == ""
        assert set(place.sql(EVERYTHING)) == everything
        assert place.sql(VOTES) == before
    (*_, newest) = place.backup()  # a database that was restored is backed up as any other
    assert place.restore(newest, place.name, REPLACE="yes") == ""
    assert set(place.sql(EVERYTHING)) == everything
    assert place.sql(VOTES) == before


def test_the_owner_of_a_database_can_restore_it(place: Place) -> None:
    """As on a cluster, where each service owns its database and is no superuser. Label Studio's has
    an extension, of which some things are the superuser's."""
    owner = f"{place.name}_owner"
    place.sql(f"CREATE ROLE {owner} LOGIN; ALTER DATABASE {place.name} OWNER TO {owner}")
    place.sql(
        f"ALTER TABLE votes OWNER TO {owner}; SET ROLE {owner}; CREATE EXTENSION pg_trgm;"
        "CREATE INDEX ON votes USING gin (choice gin_trgm_ops)"
    )
    before = place.sql(VOTES)
    (key,) = place.backup()
    place.sql(f"SET ROLE {owner};{UPGRADE}")
    assert place.restore(key, place.name, REPLACE="yes", PGUSER=owner) == ""
    assert place.sql(VOTES) == before


def test_a_damaged_dump_is_refused_and_nothing_is_touched(place: Place) -> None:
    (key,) = place.backup()
    body = bytearray(place.bucket.get_object(Bucket=place.name, Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    place.bucket.put_object(Bucket=place.name, Key=key, Body=bytes(body))
    place.sql("INSERT INTO votes (choice) VALUES ('since')")
    for path in place.folder.iterdir():
        path.unlink()
    said = place.restore(key, place.name, REPLACE="yes")
    assert "is damaged" in said
    assert len(place.sql(VOTES)) == 501
    assert not list(place.folder.iterdir())


def test_a_dump_without_its_checksum_is_no_backup(place: Place) -> None:
    (key,) = place.backup()
    place.bucket.delete_object(Bucket=place.name, Key=f"{key}.sha256")
    assert "cannot be read" in place.restore(key, place.name, REPLACE="yes")


def test_a_restore_that_fails_half_way_leaves_what_was_there(place: Place) -> None:
    # A rule that finds its table by the search path, of which a restore has none: the rows are
    # refused when everything that was there has been dropped.
    place.sql(
        "CREATE TABLE choices AS SELECT choice FROM votes;"
        "CREATE FUNCTION known(text) RETURNS bool LANGUAGE plpgsql AS"
        " 'BEGIN RETURN $1 IN (SELECT choice FROM choices); END';"
        "ALTER TABLE votes ADD CHECK (known(choice))"
    )
    (key,) = place.backup()
    place.sql("DELETE FROM votes WHERE id > 100; CREATE VIEW few AS SELECT * FROM votes")
    assert 'relation "choices" does not exist' in place.restore(key, place.name, REPLACE="yes")
    assert len(place.sql("SELECT * FROM few")) == 100
    with pytest.raises(psycopg2.errors.UniqueViolation):
        place.sql("INSERT INTO votes (choice) SELECT choice FROM votes LIMIT 1")


def test_a_dump_that_breaks_off_leaves_what_was_there(place: Place) -> None:
    (key,) = place.backup()
    place.sql("DELETE FROM votes WHERE id > 100")
    broken = place.scripts.parent / "bin"
    broken.mkdir()
    (broken / "pg_restore").write_text(
        f'#!/bin/sh\n[ "$1" = --list ] && exec {place.postgres.bin}/pg_restore "$@"\n'
        f'{place.postgres.bin}/pg_restore "$@" | head -n 40; exit 1\n'
    )
    (broken / "pg_restore").chmod(0o755)
    path = f"{broken}{os.pathsep}{place.environment['PATH']}"
    assert "the dump is not whole" in place.restore(key, place.name, REPLACE="yes", PATH=path)
    assert len(place.sql(VOTES)) == 100


def test_the_newest_are_kept_and_what_was_cut_off_goes(place: Place) -> None:
    made: list[str] = []
    for _ in range(3):
        made = place.backup()
    cut_off = made[-1].replace("Z.dump", "Y.dump")  # a little before the newest
    foreign = f"{PREFIX}/other/2000-01-01T000000.000000Z.dump"
    for key in (cut_off, foreign):
        place.bucket.put_object(Bucket=place.name, Key=key, Body=b"half a dump")
    after = place.backup()
    ours = [key for key in after if key != foreign]
    assert len(ours) == 3
    assert ours[:2] == made[1:]
    assert cut_off not in after
    assert foreign in after
    assert {f"{key}.sha256" for key in ours} == {k for k in place.stored() if k.endswith("256")}


def test_a_backup_that_fails_removes_nothing(place: Place) -> None:
    for _ in range(3):
        place.backup()
    before = place.stored()
    assert place.run("sh", "dump.sh", str(place.folder), BACKUP_DATABASES="absent").returncode != 0
    assert place.run("python", "ship.py", str(place.folder), BACKUP_KEEP="0").returncode != 0
    (place.folder / f"{place.name}.dump").unlink()
    assert place.run("python", "ship.py", str(place.folder)).returncode != 0
    assert place.stored() == before
