"""The study's database: migrated from nothing, the same as the models say, on both servers."""

from datetime import datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from apps.study.database import Database, migrate
from apps.study.schema import Base, Study, Vote
from components.core.errors import UserError
from tests.postgres import Postgres


def test_migrations_make_the_tables_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_opening_again_keeps_what_is_there(database: Database) -> None:
    with database.session() as session:
        session.add(
            Study(name="one", question="?", methods=["a", "b"], minimum_seconds=1, salt="s")
        )
    url = database.engine.url.render_as_string(hide_password=False)
    again = Database.open(url)
    with again.session() as session:
        assert session.query(Study).one().methods == ["a", "b"]
    again.close()


FILLED = (
    "INSERT INTO studies VALUES (1, 'one', '?', '[\"a\", \"b\"]', 1, 's', :now, false)",
    "INSERT INTO surveys VALUES (1, 1, 0)",
    "INSERT INTO items VALUES (1, 1, 0, 'plain', 'brick', 'brick', 'p', '', NULL, '{}')",
    "INSERT INTO participants VALUES (1, 1, 'h', :now, '')",
    "INSERT INTO sessions VALUES (1, 1, 1, :now)",
    "INSERT INTO trials VALUES ('t', 1, 1, 0, '[\"a\", \"b\"]', :now)",
    "INSERT INTO votes VALUES (1, 't', 'a', 'left', 1.5, :now)",
)
"""A vote and what it hangs on, in the words of the first schema."""


def test_a_filled_database_of_the_first_schema_is_brought_up_to_date(database_url: str) -> None:
    engine = create_engine(database_url)
    migrate(engine, "0001")
    with engine.begin() as connection:
        for statement in FILLED:
            connection.execute(text(statement), {"now": datetime(2026, 1, 1)})
    engine.dispose()
    database = Database.open(database_url)
    with database.reading() as session:
        vote = session.query(Vote).one()
        assert (vote.choice, vote.side, vote.seconds) == ("a", "left", 1.5)
        assert vote.trial.item.prompt == "brick"
        current = session.execute(text("SELECT version_num FROM alembic_version")).scalar()
    assert current == "0002"
    for change in ("UPDATE votes SET choice = 'b'", "DELETE FROM votes"):
        with pytest.raises(DBAPIError, match="only ever added"), database.session() as session:
            session.execute(text(change))
    with database.reading() as session:
        assert session.query(Vote).one().choice == "a"
    database.close()


def test_an_exception_undoes_the_transaction(database: Database) -> None:
    def fail() -> None:
        with database.session() as session:
            session.add(Study(name="x", question="", methods=[], minimum_seconds=0, salt=""))
            session.flush()
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    with database.session() as session:
        assert session.query(Study).count() == 0


def test_sqlite_keeps_acknowledged_votes_and_checks_references(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'new' / 'study.db'}")
    with database.engine.connect() as connection:
        settings = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]
    database.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "no address of a database"),
        ("oracle+nothing://host/x", "no address of a database"),
        ("sqlite:////proc/nowhere/x.db", "cannot be opened"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/x", "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_without_the_password(
    url: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        Database.open(url)
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 500)
    with pytest.raises(UserError, match=r"cannot be used \(file is not a database\)"):
        Database.open(f"sqlite:///{tmp_path / 'notes.txt'}")


def test_a_database_of_a_newer_version_is_told(database: Database, database_url: str) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match="newer version of RealMat"):
        Database.open(database_url)


def test_a_user_without_rights_is_told(postgres: Postgres) -> None:
    url = make_url(postgres.create("locked"))
    owner = create_engine(url)
    with owner.begin() as connection:
        connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'secret'"))
        connection.execute(text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
    owner.dispose()
    guest = url.set(username="guest", password="secret")
    with pytest.raises(UserError, match="a user who may create tables") as error:
        Database.open(guest.render_as_string(hide_password=False))
    assert "secret" not in str(error.value)
