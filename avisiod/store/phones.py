"""Phones of the inventory."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert

from avisiod.calls.ids import PhoneId
from avisiod.ports import Phone
from avisiod.store.schema import phones


def sync(connection: Connection, listed: Sequence[Phone], realm: str) -> None:
    """Make the table say what the inventory says; phones that left it are kept, unlisted."""
    connection.execute(update(phones).values(listed=False))
    for phone in listed:
        values = {"cell": phone.cell, "realm": realm, "ha1": phone.ha1, "language": phone.language, "listed": True}
        added = insert(phones).values(id=phone.id, **values)
        connection.execute(added.on_conflict_do_update(index_elements=["id"], set_=values))


def get(connection: Connection, phone: PhoneId) -> Phone | None:
    """A phone that is listed."""
    row = connection.execute(select(phones).where((phones.c.id == phone) & phones.c.listed)).one_or_none()
    return None if row is None else Phone(id=PhoneId(row.id), cell=row.cell, ha1=row.ha1, language=row.language)


def listed(connection: Connection) -> Sequence[PhoneId]:
    """Every listed phone, by id."""
    return [PhoneId(name) for name in connection.scalars(select(phones.c.id).where(phones.c.listed).order_by("id"))]
