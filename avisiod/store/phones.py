"""Phones: how the edge and the calls know them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from avisiod.calls.ids import DetaineeId, PhoneId
from avisiod.ports import Phone
from avisiod.store.columns import upsert
from avisiod.store.schema import phones
from avisiod.store.schema_devices import phone_keys


def sync(connection: Connection, listed: Sequence[Phone], realm: str) -> None:
    """Make the inventory's phones say what the file says; those that left it are kept, unlisted.

    What staff have entered stays: phones of their own, and the building, floor and occupant of the file's. So does
    the password of a phone that has fetched one from us: the file's was for the time before.
    """
    served = set(connection.scalars(select(phone_keys.c.phone).where(phone_keys.c.served_utc.is_not(None))))
    connection.execute(update(phones).where(phones.c.origin == "inventory").values(listed=False))
    for phone in listed:
        values = {"cell": phone.cell, "realm": realm, "ha1": phone.ha1, "language": phone.language, "listed": True}
        added = upsert(connection.dialect, phones).values(id=phone.id, **values)
        if phone.id in served:
            del values["ha1"]
        ours = phones.c.origin == "inventory"
        connection.execute(added.on_conflict_do_update(index_elements=["id"], set_=values, where=ours))


def get(connection: Connection, phone: PhoneId) -> Phone | None:
    """A phone that is listed."""
    row = connection.execute(select(phones).where((phones.c.id == phone) & phones.c.listed)).one_or_none()
    if row is None:
        return None
    return Phone(
        id=PhoneId(row.id),
        cell=row.cell,
        ha1=row.ha1,
        language=row.language,
        building=row.building,
        floor=row.floor,
        shared=row.shared,
        occupant=DetaineeId(row.occupant) if row.occupant is not None else None,
    )


def listed(connection: Connection) -> Sequence[PhoneId]:
    """Every listed phone, by id."""
    return [PhoneId(name) for name in connection.scalars(select(phones.c.id).where(phones.c.listed).order_by("id"))]
