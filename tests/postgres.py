"""A real PostgreSQL server for tests: a cluster of its own in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2


class Postgres:
    """A server that can be stopped, killed and started again; its data stay until `remove`."""

    def __init__(self) -> None:
        self.bin = _newest_bin()
        # Short, for the name of a socket may not be long; readable for the server's own user.
        self.folder = Path(tempfile.mkdtemp(prefix="realmat-pg-"))
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "-D", str(self.data), "-U", "realmat", "-A", "trust", "--no-sync")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        return f"postgresql+psycopg2://realmat@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new empty database; returns its address."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="realmat", dbname="postgres"
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')
        connection.close()
        return self.url(database)

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c max_connections=120"
        )
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-l", f"{self.folder}/log", "-o", options, "start"
        )

    def stop(self) -> None:
        """As a crash would: at once, without closing connections first."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        # The server refuses to run as root.
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid} if self.user else {}
        done = subprocess.run(
            [str(self.bin / program), *arguments], capture_output=True, text=True, cwd=self.folder,
            check=False, **who,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")


def installed() -> bool:
    """Whether this machine has the server's programs."""
    return _newest_bin().is_dir()


def _newest_bin() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    return found[-1] if found else Path("/usr/lib/postgresql/bin")


def wait_until_ready(postgres: Postgres, seconds: float = 20) -> None:
    """Return once the server takes connections."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg2.connect(
                host="127.0.0.1", port=postgres.port, user="realmat", dbname="postgres"
            ).close()
            return
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
