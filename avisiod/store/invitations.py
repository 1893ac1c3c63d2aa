"""Invitations: the keyed hash of each code, and whether it was used."""

import msgspec
from sqlalchemy import Connection, insert, select, update

from avisiod.calls.ids import CallId
from avisiod.store.schema import invitations


class InvitationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as it is kept: never the code, only its keyed hash."""

    call: CallId
    hash: str
    issued_utc: str
    spent_utc: str | None = None


def save(connection: Connection, call: CallId, code_hash: str, at_utc: str) -> None:
    """Keep the call's one invitation. IntegrityError where it has one."""
    connection.execute(insert(invitations).values(call=call, hash=code_hash, issued_utc=at_utc))


def spend(connection: Connection, call: CallId, at_utc: str) -> bool:
    """Mark as used. False, and nothing changed, where it was used before or never issued."""
    unspent = (invitations.c.call == call) & invitations.c.spent_utc.is_(None)
    return connection.execute(update(invitations).where(unspent).values(spent_utc=at_utc)).rowcount == 1


def get(connection: Connection, call: CallId) -> InvitationRecord | None:
    """The call's invitation."""
    row = connection.execute(select(invitations).where(invitations.c.call == call)).one_or_none()
    return None if row is None else InvitationRecord(**row._mapping)
