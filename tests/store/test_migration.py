"""What the first version had written is there after the upgrade, and the new tables are joined to it."""

import datetime
from pathlib import Path
from typing import Any

import alembic.command
from sqlalchemy import Connection, create_engine, make_url, text

from avisiod.store import calls, contacts, database, events, opening, phones, trail, trail_check
from avisiod.store.database import Database

from .records import CALL, CONTACT, LAWYER, PHONE, START

OLD = (
    "INSERT INTO phones VALUES ('cell-101', 'A 101', 'avisio', '00000000000000000000000000000000', 'fr', TRUE)",
    "INSERT INTO contacts VALUES ('c-0001', '+33639980001', FALSE, TRUE), ('c-0002', '+33639980002', TRUE, TRUE)",
    "INSERT INTO contact_phones VALUES ('c-0001', 'cell-101')",
    (
        "INSERT INTO calls VALUES ('mfrggzdfmztwq2lkmnsgk3tu', 'cell-101', 'c-0001', 'ended', FALSE, "
        "'2026-11-23T16:00:00.123456Z', NULL, '2026-11-23T16:01:00.123456Z', 0, 1200, 'code_expired', FALSE)"
    ),
    (
        "INSERT INTO events (call, at_utc, at_monotonic, event, state, details) VALUES "
        "('mfrggzdfmztwq2lkmnsgk3tu', '2026-11-23T16:00:00.123456Z', 100, 'Granted', 'inviting', '{}')"
    ),
    "INSERT INTO invitations VALUES ('mfrggzdfmztwq2lkmnsgk3tu', 'aa', '2026-11-23T16:00:00.123456Z', NULL, NULL)",
)


def first_version(connection: Connection) -> None:
    """The schema 0001, with data in it."""
    config = database._alembic()
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "0001")
    for statement in OLD:
        connection.execute(text(statement))


def test_data_of_the_first_version_survives_the_upgrade(where: Path | str) -> None:
    if isinstance(where, Path):
        where.parent.mkdir()
        url: Any = f"sqlite:///{where}"
    else:
        url = make_url(where).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.begin() as connection:
        first_version(connection)
    engine.dispose()
    upgraded: Database = opening.open_database(where)
    with upgraded.writing() as connection:
        assert phones.get(connection, PHONE.id) == PHONE
        assert contacts.by_number(connection, CONTACT.number) == CONTACT
        assert contacts.get(connection, LAWYER.id) == LAWYER
        record = calls.get(connection, CALL)
        assert record is not None
        assert (record.state, record.created_utc, record.hold_cents, record.detainee) == ("ended", START, 0, None)
        assert [entry.event for entry in events.of(connection, CALL)] == ["Granted"]
        line = trail.Line(at_utc=START, actor="test", action="look", kind="call", object=CALL)
        assert trail.append(connection, line) == 1
        assert trail_check.verify(connection).good
    upgraded.close()


def test_the_default_data_is_there(database: Database) -> None:
    with database.reading() as connection:
        classes = connection.execute(text("SELECT id, confidential, exempt FROM contact_classes ORDER BY id")).all()
        assert [tuple(row) for row in classes] == [
            ("confidential", True, "schedule,quota,pause,price,authorisation"),
            ("ordinary", False, ""),
        ]
        rows = connection.execute(text("SELECT status, authority FROM authorities ORDER BY status")).all()
        assert [tuple(row) for row in rows] == [("convicted", "head"), ("remand", "magistrate")]


def test_a_day_is_a_day() -> None:
    from avisiod.store.columns import DayText

    day = datetime.date(2026, 3, 29)
    kind: Any = DayText()
    assert kind.process_result_value(kind.process_bind_param(day, None), None) == day
