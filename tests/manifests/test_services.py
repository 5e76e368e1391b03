"""The files that the cluster runs beside our images: MLflow's start, the databases, the buckets."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
from moto import mock_aws

from tests.manifests.rendered import MANIFESTS
from tests.postgres import Postgres, installed
from tests.services import missing

PASSWORDS = {
    "MLFLOW_DATABASE_PASSWORD": "50% of 'this' \"and\" \\that",
    "LABEL_STUDIO_DATABASE_PASSWORD": "$(touch pwned); DROP ROLE mlflow",
    "REALMAT_DATABASE_PASSWORD": "simple",
    "BACKUP_DATABASE_PASSWORD": "x",
}


def start() -> dict[str, Any]:
    return runpy.run_path(str(MANIFESTS / "base" / "mlflow" / "start.py"))


def test_mlflow_reads_the_login_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server.auth.config import read_auth_config

    address = "postgresql+psycopg2://mlflow:p%2525%40@postgresql:5432/mlflow"
    file = start()["write_login"](tmp_path, {"MLFLOW_BACKEND_STORE_URI": address})
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(file))
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "from the Secret")
    read = read_auth_config()
    assert read.database_uri == address
    assert read.default_permission == "READ"
    assert (read.admin_username, read.admin_password) == ("admin", "from the Secret")


def test_mlflows_tables_are_made_once_and_found_the_second_time(tmp_path: Path) -> None:
    import sqlite3

    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    migrate = start()["migrate"]
    migrate(address)
    migrate(address)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server whose databases the deployed script has made, and which asks for passwords."""
    if not installed():
        missing("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres()
    boss = {"host": "127.0.0.1", "port": server.port, "dbname": "postgres"}
    # The test's server has a superuser of the name that the script gives to a service.
    with psycopg2.connect(user="realmat", **boss) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE boss SUPERUSER LOGIN")
    connection.close()
    with psycopg2.connect(user="boss", **boss) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER ROLE realmat RENAME TO first")
    connection.close()
    script = MANIFESTS / "overlays" / "dev" / "postgresql" / "databases.sh"
    environment = {
        "PATH": f"{server.bin}{os.pathsep}{os.environ['PATH']}", "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port), "PGUSER": "boss", **PASSWORDS,
    }  # fmt: skip
    done = subprocess.run(
        ["sh", str(script)], env=environment, capture_output=True, text=True, check=False,
        cwd=server.folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rules = server.data / "pg_hba.conf"
    rules.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    server.stop()
    server.start()
    yield server
    server.remove()


def connect(server: Postgres, role: str, password: str, database: str) -> Any:
    return psycopg2.connect(
        host="127.0.0.1", port=server.port, user=role, password=password, dbname=database
    )


def test_each_service_owns_its_database_and_enters_no_other(postgres: Postgres) -> None:
    roles = ("mlflow", "label_studio", "realmat")
    for role in roles:
        password = PASSWORDS[f"{role.upper()}_DATABASE_PASSWORD"]
        with connect(postgres, role, password, role) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE things AS SELECT 1 AS one")
        connection.close()
        for other in set(roles) - {role}:
            with pytest.raises(psycopg2.OperationalError, match="permission denied"):
                connect(postgres, role, password, other)
        with pytest.raises(psycopg2.OperationalError, match="password"):
            connect(postgres, role, "wrong", role)


def test_the_role_of_the_backup_reads_everything_and_writes_nothing(postgres: Postgres) -> None:
    for database in ("mlflow", "label_studio", "realmat"):
        connection = connect(postgres, "backup", "x", database)
        with connection.cursor() as cursor:
            cursor.execute("SELECT one FROM things")
            assert cursor.fetchall() == [(1,)]
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("DELETE FROM things")
        connection.close()


def test_passwords_reach_neither_the_log_nor_a_shell(postgres: Postgres) -> None:
    log = (postgres.folder / "log").read_text()
    assert not any(password in log for password in PASSWORDS.values() if len(password) > 5)
    assert not list(postgres.folder.rglob("pwned"))


def test_buckets_are_made_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(sys, "argv", ["buckets.py", "mlflow", "realmat"])
    file = MANIFESTS / "overlays" / "dev" / "s3" / "buckets.py"
    with mock_aws():  # here, for its keys must be gone before the settings are put back
        runpy.run_path(str(file), run_name="__main__")
        assert capsys.readouterr().out.split() == ["made", "mlflow", "made", "realmat"]
        runpy.run_path(str(file), run_name="__main__")
        assert capsys.readouterr().out == ""
        made = boto3.client("s3").list_buckets()["Buckets"]
        assert {bucket["Name"] for bucket in made} == {"mlflow", "realmat"}
