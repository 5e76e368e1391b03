"""Votes are only ever added: the database itself refuses to change or delete one."""

from alembic import op

revision = "0002"
down_revision = "0001"

SENTENCE = "votes are only ever added: flag the participant instead"


def upgrade() -> None:
    """Add the triggers."""
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER votes_no_{event.lower()} BEFORE {event} ON votes "
                f"BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION votes_are_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{SENTENCE}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER votes_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON votes "
        "FOR EACH STATEMENT EXECUTE FUNCTION votes_are_kept()"
    )
