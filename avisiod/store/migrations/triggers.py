"""Rules that the database itself keeps, written once for SQLite and PostgreSQL."""

from alembic import op


def postgresql() -> bool:
    """Whether the migration runs on PostgreSQL."""
    return op.get_context().dialect.name == "postgresql"


def refuse(name: str, event: str, table: str, condition: str, message: str) -> None:
    """Abort a statement where `condition` holds for a row (`OLD`, `NEW`); in both databases as a broken constraint.

    `event` as in `BEFORE UPDATE OF name`; conditions compare with IS [NOT] DISTINCT FROM where NULL may stand.
    """
    if postgresql():
        row = "OLD" if "DELETE" in event else "NEW"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {condition} THEN RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = '{message}'; END IF; "
            f"RETURN {row}; END $$"
        )
        op.execute(f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
    else:
        op.execute(
            f"CREATE TRIGGER {name} {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


def after(name: str, event: str, table: str, statement: str) -> None:
    """Run one statement after each row that was written."""
    if postgresql():
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NEW; END $$"
        )
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
    else:
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {statement}; END")
