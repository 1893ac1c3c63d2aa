"""Detainees, their hours, contacts and money, written into the stage's database as staff's programs do."""

import datetime
from collections.abc import Iterable
from typing import NamedTuple

from argon2 import PasswordHasher
from sqlalchemy import Connection, insert, update

from avisiod.calls import ledger
from avisiod.calls.ids import DetaineeId
from avisiod.calls.schedule import DAY_MINUTES
from avisiod.calls.tariff import Tariff
from avisiod.store import books, schema, schema_rules
from avisiod.store.database import Database
from tests.e2e.stage import Stage

TODAY = datetime.date(2026, 1, 1)
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CENT_A_SECOND = Tariff(id="std", unit="second", price=100, valid_from=TODAY)


class Person(NamedTuple):
    """A detainee who may call every contact of the stage; without `phone`, only from shared phones."""

    id: DetaineeId
    phone: str = ""
    identifier: str = ""
    pin: str = ""
    hours: tuple[int, int] = (0, DAY_MINUTES)
    """Minutes of each local day."""
    cents: int = 1000


def enter(stage: Stage, people: Iterable[Person], tariff: Tariff = CENT_A_SECOND, shared: Iterable[str] = ()) -> None:
    """Write them beside the running daemon; it sees them from the next call on."""
    database = Database(stage.database)
    try:
        with database.writing() as connection:
            for person in people:
                _enter(connection, person, [contact.id for contact in stage.contacts])
            for phone in shared:
                connection.execute(update(schema.phones).where(schema.phones.c.id == phone).values(shared=True))
            price = {"id": tariff.id, "unit": tariff.unit, "price": tariff.price, "valid_from": tariff.valid_from}
            hours = {"weekdays": "0123456", "begins": tariff.begins, "ends": tariff.ends}
            connection.execute(insert(schema_rules.tariffs), {**price, **hours})
    finally:
        database.close()


def _enter(connection: Connection, person: Person, contacts: Iterable[str]) -> None:
    known = {
        "id": person.id,
        "name": person.id,
        "register_number": person.id,
        "identifier": person.identifier or None,
        "pin_hash": PasswordHasher().hash(person.pin) if person.pin else "",
    }
    common = {"language": "fr", "regime": "ordinary", "building": "", "cell": "", "status": "convicted"}
    connection.execute(insert(schema_rules.detainees), {**known, **common, "suspended": False, "listed": True})
    granted = {"state": "granted", "authority": "head", "author": "stage", "decided_on": TODAY, "changed_utc": NOW}
    for contact in contacts:
        connection.execute(
            insert(schema_rules.authorisations), {**granted, "detainee": person.id, "contact": contact}
        )
    begins, ends = person.hours
    window = {"scope_kind": "detainee", "scope_id": person.id, "begins": begins, "ends": ends}
    connection.execute(
        insert(schema_rules.windows), [{**window, "id": f"{person.id}-{day}", "weekday": day} for day in range(7)]
    )
    if person.phone:
        of_phone = update(schema.phones).where(schema.phones.c.id == person.phone)
        connection.execute(of_phone.values(occupant=person.id))
    if person.cents:
        paid = ledger.top_up(person.id, person.id, person.cents, "cash at the counter")
        books.book(connection, paid, books.Booking(at_utc=NOW, detainee=person.id))


def accounts(stage: Stage) -> dict[str, int]:
    """What stands in every account, in cents."""
    return {row["id"]: row["cents"] for row in stage.rows("select * from accounts")}
