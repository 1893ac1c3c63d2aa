"""A small prison for the tests of rules, money and trail."""

import datetime

from sqlalchemy import Connection, insert

from avisiod.calls import ledger
from avisiod.calls.ids import CallId, ClassId, DetaineeId
from avisiod.calls.tariff import Tariff
from avisiod.ports import CallRecord
from avisiod.store import books, schema, schema_rules

from .records import CALL, CONTACT, LAWYER, PHONE, SECOND, START, call

ANNA = DetaineeId("d-anna")
BILAL = DetaineeId("d-bilal")
PER_MINUTE = Tariff(id="std", unit="minute", price=1500, valid_from=datetime.date(2026, 1, 1))
"""15 cents a started minute."""


def settle_in(connection: Connection) -> None:
    """Two detainees, two phones, two contacts."""
    connection.execute(
        insert(schema_rules.detainees),
        [
            {
                "id": name,
                "register_number": number,
                "name": name.title(),
                "language": "fr",
                "regime": "ordinary",
                "building": "A",
                "cell": "101",
                "status": status,
                "suspended": False,
                "identifier": number,
                "pin_hash": "",
                "listed": True,
            }
            for name, number, status in ((ANNA, "1001", "convicted"), (BILAL, "1002", "remand"))
        ],
    )
    connection.execute(
        insert(schema.phones),
        [
            {
                "id": phone.id,
                "cell": phone.cell,
                "realm": "avisio",
                "ha1": phone.ha1,
                "language": phone.language,
                "listed": True,
                "building": "A",
                "shared": phone is SECOND,
                "occupant": None if phone is SECOND else ANNA,
                "origin": "office",
            }
            for phone in (PHONE, SECOND)
        ],
    )
    connection.execute(
        insert(schema.contacts),
        [
            {"id": each.id, "number": each.number, "listed": True, "cls": each.cls, "origin": "office"}
            for each in (CONTACT, LAWYER)
        ],
    )


def pay_in(connection: Connection, cents: int, key: str = "1", detainee: DetaineeId = ANNA) -> bool:
    booking = books.Booking(at_utc=START, actor="unix:clerk", detainee=detainee)
    return books.book(connection, ledger.top_up(key, detainee, cents, "cash at the counter"), booking)


def paid_call(state: str, *, of: CallId = CALL, hold: int = 300, **changes: object) -> CallRecord:
    values: dict[str, object] = {
        "detainee": ANNA,
        "contact": CONTACT.id,
        "cls": ClassId("ordinary"),
        "tariff": PER_MINUTE,
        "hold_cents": hold,
        "limit_s": 1200.0,
    }
    return call(state, of=of, **(values | changes))
