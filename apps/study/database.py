"""The study's database: SQLite by default, PostgreSQL by its address; migrated when opened."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session, sessionmaker

from components.core.errors import UserError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MILLISECONDS = 10_000
POOL = 16
READING = "realmat_reading"
LOCK = 7_236_283
"""Number of the PostgreSQL lock under which servers that start together migrate one by one."""


class Database:
    """An open database; `session()` is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        sqlite = engine.dialect.name == "sqlite"
        self._writer = threading.Lock() if sqlite else contextlib.nullcontext()
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._readers = sessionmaker(
            engine.execution_options(**{READING: True}), expire_on_commit=False
        )

    @classmethod
    def open(cls, url: str) -> Database:
        """Connect and bring the tables up to date; UserError for what cannot be reached."""
        try:
            engine = _engine(url)
            migrate(engine)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise UserError(
                f"{_shown(url)} is no address of a database: give sqlite:///FILE or "
                "postgresql+psycopg2://USER:PASSWORD@HOST/NAME."
            ) from error
        except CommandError as error:
            raise UserError(
                f"The database {_shown(url)} has tables that this version does not know ({error}): "
                "it was opened by a newer version of RealMat; use that one."
            ) from error
        except OperationalError as error:
            raise UserError(
                f"The database {_shown(url)} cannot be opened ({_reason(error)}): check its "
                "address and that it runs."
            ) from error
        except DatabaseError as error:
            raise UserError(
                f"The database {_shown(url)} cannot be used ({_reason(error)}): give one that is "
                "empty or a study's, and a user who may create tables in it."
            ) from error
        except OSError as error:
            raise UserError(
                f"The database {_shown(url)} cannot be opened ({error.strerror}): choose another "
                "address."
            ) from error
        return cls(engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back by an exception."""
        # SQLite has one writer at a time, and lets whoever asks next in by chance: some would wait
        # for ever. Here they queue.
        with self._writer, self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads, and waits for no writer."""
        with self._readers.begin() as session:
            yield session

    def answers(self) -> bool:
        """Whether the database can be asked."""
        try:
            with self.reading() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        # A connection that a restarted server has cut is noticed before it is used.
        return create_engine(
            address, pool_pre_ping=True, pool_size=POOL, max_overflow=POOL, hide_parameters=True
        )
    if address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    # Errors end in logs, and what is written is of participants.
    engine = create_engine(address, pool_size=POOL, max_overflow=POOL, hide_parameters=True)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_immediately)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # or the driver begins transactions when it likes
    cursor = connection.cursor()
    for setting in (
        "journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MILLISECONDS}",
        "foreign_keys=ON",
    ):  # fmt: skip
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_immediately(connection: Any) -> None:
    # A transaction that first reads and then writes could not wait for another writer.
    reading = connection.get_execution_options().get(READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the tables up to `revision`, in one transaction, one process at a time."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _reason(error: DatabaseError) -> str:
    return (str(error.orig).splitlines() or ["no reason given"])[0]


def _shown(url: str) -> str:
    """The address without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the given text"
