"""A database as large as a large prison's: 2,000 detainees, 20,000 contacts, a year of calls."""

import datetime
import random
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from avisiod.calls import ledger
from avisiod.calls.ids import DetaineeId
from avisiod.store import books, schema, schema_rules
from avisiod.store.database import Database

DETAINEES = 2000
CONTACTS = 20_000
CALLS_EACH = 150
"""In a year: about three a week."""
NOW = datetime.datetime(2026, 11, 24, 10, 0, tzinfo=datetime.UTC)
DAYS = 365
PAID_CENTS = 5000


def build(path: Path, *, contacts: bool = True) -> Database:
    """Make it; the same each time."""
    database = Database(path)
    chance = random.Random(2026)
    with database.writing() as connection:
        _people(connection)
        _rules(connection)
        if contacts:
            _contacts(connection)
            _authorisations(connection)
            _calls(connection, chance)
    with database.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
    return database


def number(place: int) -> str:
    return f"+336{place:08}"


def _local(day: int, hour: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, day, hour)  # noqa: DTZ001 - the site's own time


def contact_of(detainee: int, place: int) -> int:
    """Each has ten of their own."""
    return detainee * 10 + place


def _people(connection: Connection) -> None:
    connection.execute(
        insert(schema_rules.detainees),
        [
            {
                "id": f"d-{n}",
                "register_number": str(10_000 + n),
                "name": f"Detainee {n}",
                "language": "fr",
                "regime": "ordinary",
                "building": "ABCDEFGH"[n % 8],
                "cell": str(n),
                "status": "convicted" if n % 3 else "remand",
                "suspended": False,
                "identifier": str(10_000 + n),
                "pin_hash": "",
                "listed": True,
            }
            for n in range(DETAINEES)
        ],
    )
    connection.execute(
        insert(schema.phones),
        [
            {
                "id": f"cell-{n}",
                "cell": str(n),
                "realm": "avisio",
                "ha1": "0" * 32,
                "language": "fr",
                "listed": True,
                "occupant": f"d-{n}",
                "origin": "office",
            }
            for n in range(DETAINEES)
        ],
    )
    for n in range(DETAINEES):
        name = DetaineeId(f"d-{n}")
        top_up = ledger.top_up(f"p-{n}", name, PAID_CENTS, "payment")
        books.book(connection, top_up, books.Booking(at_utc=NOW, detainee=name))


def _rules(connection: Connection) -> None:
    scopes = [("site", ""), *(("building", letter) for letter in "ABCDEFGH"), ("regime", "ordinary")]
    connection.execute(
        insert(schema_rules.windows),
        [
            {
                "id": f"{kind}-{name}-{day}-{begins}",
                "scope_kind": kind,
                "scope_id": name,
                "weekday": day,
                "begins": begins,
                "ends": begins + 180,
            }
            for kind, name in scopes
            for day in range(7)
            for begins in (480, 840, 1080)
        ],
    )
    limits: dict[str, Any] = {"calls_day": 2, "calls_week": 7, "minutes_month": 600, "pause_s": 900}
    connection.execute(insert(schema_rules.allowances), [{"scope_kind": "site", "scope_id": "", **limits}])
    connection.execute(
        insert(schema_rules.tariffs),
        [
            {
                "id": "std",
                "unit": "minute",
                "price": 1500,
                "valid_from": datetime.date(2025, 1, 1),
                "weekdays": "0123456",
                "begins": 0,
                "ends": 1440,
            }
        ],
    )
    connection.execute(
        insert(schema_rules.schedule_exceptions),
        [
            {
                "id": f"x-{n}",
                "scope_kind": "detainee",
                "scope_id": f"d-{n}",
                "kind": "extra",
                "from_local": _local(20 + n % 8, 8),
                "to_local": _local(21 + n % 8, 20),
                "why": "birth",
            }
            for n in range(0, DETAINEES, 4)
        ],
    )


def _contacts(connection: Connection) -> None:
    connection.execute(
        insert(schema.contacts),
        [
            {
                "id": f"c-{n}",
                "number": number(n),
                "listed": True,
                "cls": "confidential" if n % 10 == 9 else "ordinary",
                "origin": "office",
            }
            for n in range(CONTACTS)
        ],
    )


def _authorisations(connection: Connection) -> None:
    connection.execute(
        insert(schema_rules.authorisations),
        [
            {
                "detainee": f"d-{n}",
                "contact": f"c-{contact_of(n, place)}",
                "state": "granted",
                "authority": "head" if n % 3 else "magistrate",
                "author": "bench",
                "decided_on": datetime.date(2026, 1, 1),
                "changed_utc": NOW,
            }
            for n in range(DETAINEES)
            for place in range(10)
        ],
    )


def _calls(connection: Connection, chance: random.Random) -> None:
    for n in range(DETAINEES):
        rows = []
        for place in range(CALLS_EACH):
            begun = NOW - datetime.timedelta(days=chance.uniform(0.5, DAYS))
            seconds = chance.uniform(30, 1200)
            rows.append(
                {
                    "id": f"k-{n}-{place}",
                    "phone": f"cell-{n}",
                    "contact": f"c-{contact_of(n, place % 10)}",
                    "state": "ended",
                    "confidential": False,
                    "created_utc": begun,
                    "connected_utc": begun,
                    "ended_utc": begun + datetime.timedelta(seconds=seconds),
                    "connected_s": seconds,
                    "limit_s": 1200.0,
                    "end_reason": "relative_hung_up",
                    "charged": True,
                    "detainee": f"d-{n}",
                    "cls": "ordinary",
                }
            )
        connection.execute(insert(schema.calls), rows)
