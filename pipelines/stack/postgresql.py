"""A PostgreSQL server of our own from Debian's programs, for the stack and for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2
from psycopg2 import sql

from components.core.errors import UserError


class Postgres:
    """A server that can be stopped, killed and started again; its data stay until `remove`.

    With a password every connection must give it; without, the server trusts this machine, for
    tests.
    """

    def __init__(
        self, port: int, password: str = "", folder: Path | None = None, owner: str = "realmat"
    ) -> None:
        """`folder` holds the data of a server that ran before; None makes a new one, of `owner`."""
        self.bin = _newest_bin()
        self.port = port
        self.password = password
        self.owner = owner
        # The server refuses to run as root; Debian's package has made a user for it.
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if folder is not None:
            self.folder = folder
            return
        # Short, for the name of a socket may not be long; readable for the server's own user.
        self.folder = Path(tempfile.mkdtemp(prefix="realmat-pg-"))
        self._initialise()

    @property
    def data(self) -> Path:
        """The server's own folder."""
        return self.folder / "data"

    def url(self, database: str) -> str:
        """The address of a database, as SQLAlchemy takes it."""
        signed = f"{self.owner}:{self.password}" if self.password else self.owner
        return f"postgresql+psycopg2://{signed}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """An empty database of this name, made unless it is there; returns its address."""
        if not self._exists("pg_database", "datname", database):
            self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.url(database)

    def create_owned(self, name: str, password: str) -> None:
        """A database and a user of the same name, who owns it, alone may use it, and no more."""
        user = sql.Identifier(name)
        if not self._exists("pg_roles", "rolname", name):
            login = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            self._execute(login.format(user, sql.Literal(password)))
        if not self._exists("pg_database", "datname", name):
            self._execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(user, user))
            self._execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(user))

    def _exists(self, table: str, column: str, name: str) -> bool:
        query = sql.SQL("SELECT 1 FROM {} WHERE {} = {}").format(
            sql.Identifier(table), sql.Identifier(column), sql.Literal(name)
        )
        return bool(self._execute(query))

    def _execute(self, statement: sql.Composable) -> list[tuple[object, ...]]:
        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def connect(self, database: str = "postgres") -> psycopg2.extensions.connection:
        """A connection; the caller closes it."""
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=self.owner, dbname=database,
            password=self.password or None,
        )  # fmt: skip

    def start(self) -> None:
        """Start the server; returns when it takes connections."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c max_connections=120"
        )
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-l", f"{self.folder}/log", "-o", options, "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """End it: "immediate" is as a crash would, "fast" closes connections first."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def running(self) -> bool:
        """Whether the server's process lives."""
        if not self.data.exists():
            return False
        done = self._call("pg_ctl", "-D", str(self.data), "status")
        return done.returncode == 0

    def remove(self) -> None:
        """End it and remove its data."""
        if self.running():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_until_ready(self, seconds: float = 20) -> None:
        """Returns once the server takes connections."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.connect().close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _initialise(self) -> None:
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        trust = ["-A", "trust", "--no-sync"]
        if not self.password:
            self._run("initdb", "-D", str(self.data), "-U", self.owner, *trust)
            return
        file = self.folder / "password"
        file.write_text(self.password)
        if self.user:
            os.chown(file, self.user.pw_uid, self.user.pw_gid)
        file.chmod(0o600)
        try:
            signed = ["-A", "scram-sha-256", f"--pwfile={file}"]
            self._run("initdb", "-D", str(self.data), "-U", self.owner, *signed)
        finally:
            file.unlink()

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            raise UserError(f"PostgreSQL's {program} failed: {done.stderr or done.stdout}")

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = self.bin / program
        if not path.exists():
            raise UserError("PostgreSQL is missing: install it as root: apt-get install postgresql")
        user, group = (self.user.pw_uid, self.user.pw_gid) if self.user else (None, None)
        return subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            [str(path), *arguments], capture_output=True, text=True, cwd=self.folder, check=False,
            user=user, group=group,
        )  # fmt: skip


def installed() -> bool:
    """Whether this machine has the server's programs."""
    return _newest_bin().is_dir()


def _newest_bin() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    return found[-1] if found else Path("/usr/lib/postgresql/bin")
