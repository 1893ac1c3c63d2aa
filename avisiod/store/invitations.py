"""Invitations: the keyed hash of each code, and whether it was used."""

from sqlalchemy import Connection, select, update

from avisiod.calls.ids import CallId
from avisiod.ports import InvitationRecord, InvitationSpent
from avisiod.store.columns import upsert
from avisiod.store.schema import invitations


def save(connection: Connection, record: InvitationRecord) -> bool:
    """Insert, or replace one that is not spent. False, and nothing changed, where it is spent."""
    values = {
        "call": record.call,
        "hash": record.hash,
        "issued_utc": record.issued_utc,
        "expires_utc": record.expires_utc,
        "spent_utc": record.spent_utc,
    }
    replace = upsert(connection.dialect, invitations).values(values)
    changed = {name: value for name, value in values.items() if name != "call"}
    replace = replace.on_conflict_do_update(
        index_elements=["call"], set_=changed, where=invitations.c.spent_utc.is_(None)
    )
    return connection.execute(replace.returning(invitations.c.call)).one_or_none() is not None


def spend(connection: Connection, spent: InvitationSpent) -> bool:
    """Mark as used. False, and nothing changed, where it was used before or never issued."""
    unspent = (invitations.c.call == spent.call) & invitations.c.spent_utc.is_(None)
    return connection.execute(update(invitations).where(unspent).values(spent_utc=spent.at_utc)).rowcount == 1


def get(connection: Connection, call: CallId) -> InvitationRecord | None:
    """The call's invitation."""
    row = connection.execute(select(invitations).where(invitations.c.call == call)).one_or_none()
    return None if row is None else InvitationRecord(**row._mapping)
