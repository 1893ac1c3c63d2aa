"""Contacts of the inventory, and which phones may call them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.sqlite import insert

from avisiod.calls.ids import ContactId, Number, PhoneId
from avisiod.ports import Contact
from avisiod.store.schema import contact_phones, contacts


def sync(connection: Connection, listed: Sequence[Contact]) -> None:
    """Make the tables say what the inventory says; contacts that left it are kept, unlisted."""
    connection.execute(update(contacts).values(listed=False))
    connection.execute(delete(contact_phones))
    for contact in listed:
        values = {"number": contact.number, "confidential": contact.confidential, "listed": True}
        added = insert(contacts).values(id=contact.id, **values)
        connection.execute(added.on_conflict_do_update(index_elements=["id"], set_=values))
        for phone in contact.phones:
            connection.execute(plain_insert(contact_phones).values(contact=contact.id, phone=phone))


def by_number(connection: Connection, number: Number) -> Contact | None:
    """The listed contact with this number."""
    row = connection.execute(select(contacts).where((contacts.c.number == number) & contacts.c.listed)).one_or_none()
    return None if row is None else _contact(connection, row)


def get(connection: Connection, contact: ContactId) -> Contact | None:
    """A contact that is listed."""
    row = connection.execute(select(contacts).where((contacts.c.id == contact) & contacts.c.listed)).one_or_none()
    return None if row is None else _contact(connection, row)


def for_phone(connection: Connection, phone: PhoneId) -> Sequence[Contact]:
    """Every listed contact that this phone may call, by id."""
    rows = connection.execute(select(contacts).where(contacts.c.listed).order_by(contacts.c.id)).all()
    found = [_contact(connection, row) for row in rows]
    return [contact for contact in found if not contact.phones or phone in contact.phones]


def _contact(connection: Connection, row: Row[Any]) -> Contact:
    query = select(contact_phones.c.phone).where(contact_phones.c.contact == row.id).order_by(contact_phones.c.phone)
    return Contact(
        id=ContactId(row.id),
        number=Number(row.number),
        confidential=row.confidential,
        phones=tuple(PhoneId(phone) for phone in connection.scalars(query)),
    )
