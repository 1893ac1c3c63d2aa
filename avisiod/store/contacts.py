"""Contacts, and which phones may call them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from avisiod.calls.ids import ClassId, ContactId, Number, PhoneId
from avisiod.calls.people import CONFIDENTIAL, ORDINARY
from avisiod.ports import Contact
from avisiod.store.columns import upsert
from avisiod.store.schema import contact_phones, contacts
from avisiod.store.schema_rules import contact_classes

INVENTORY = contacts.c.origin == "inventory"


def sync(connection: Connection, listed: Sequence[Contact]) -> None:
    """Make the inventory's contacts say what the file says; those that left it are kept, unlisted.

    Contacts that staff have entered stay as they are. IntegrityError where a number is theirs already.
    """
    old = select(contacts.c.id).where(INVENTORY)
    connection.execute(delete(contact_phones).where(contact_phones.c.contact.in_(old)))
    connection.execute(update(contacts).where(INVENTORY).values(listed=False))
    for contact in listed:
        values = {
            "number": contact.number,
            "cls": CONFIDENTIAL.id if contact.confidential and contact.cls == ORDINARY.id else contact.cls,
            "listed": True,
        }
        added = upsert(connection.dialect, contacts).values(id=contact.id, **values)
        changed = {contacts.c[name]: value for name, value in values.items()}
        connection.execute(added.on_conflict_do_update(index_elements=["id"], set_=changed, where=INVENTORY))
        for phone in contact.phones:
            connection.execute(insert(contact_phones).values(contact=contact.id, phone=phone))


def by_number(connection: Connection, number: Number) -> Contact | None:
    """The listed contact with this number."""
    row = connection.execute(_query().where((contacts.c.number == number) & contacts.c.listed)).one_or_none()
    return None if row is None else _contact(connection, row)


def get(connection: Connection, contact: ContactId) -> Contact | None:
    """A contact that is listed."""
    row = connection.execute(_query().where((contacts.c.id == contact) & contacts.c.listed)).one_or_none()
    return None if row is None else _contact(connection, row)


def for_phone(connection: Connection, phone: PhoneId) -> Sequence[Contact]:
    """Every listed contact that this phone may call, by id."""
    rows = connection.execute(_query().where(contacts.c.listed).order_by(contacts.c.id)).all()
    found = [_contact(connection, row) for row in rows]
    return [contact for contact in found if not contact.phones or phone in contact.phones]


def _query() -> Any:
    joined = contacts.outerjoin(contact_classes, contact_classes.c.id == contacts.c.cls)
    return select(contacts, contact_classes.c.confidential).select_from(joined)


def _contact(connection: Connection, row: Row[Any]) -> Contact:
    query = select(contact_phones.c.phone).where(contact_phones.c.contact == row.id).order_by(contact_phones.c.phone)
    return Contact(
        id=ContactId(row.id),
        number=Number(row.number),
        confidential=bool(row.confidential),
        phones=tuple(PhoneId(phone) for phone in connection.scalars(query)),
        cls=ClassId(row.cls),
        relation=row.relation,
        language=row.language,
    )
