"""A call's progress: its state, the event that led to it, its money and what belongs to both, in one transaction."""

import datetime

from sqlalchemy import Connection

from avisiod.calls.ids import CallId, DetaineeId
from avisiod.calls.ledger import Transaction
from avisiod.calls.reasons import EndReason
from avisiod.ports import (
    AcceptanceRecord,
    CallRecord,
    InvitationRecord,
    InvitationSpent,
    JournalEntry,
    Kept,
    Recording,
    StoreRefused,
)
from avisiod.store import acceptances, books, calls, events, invitations, recordings


def save(connection: Connection, record: CallRecord, entry: JournalEntry, *with_it: Kept) -> None:
    """One step of a call. StoreRefused where something of it contradicts what is kept."""
    calls.save(connection, record, entry.at_utc)
    events.append(connection, entry, record.state)
    for thing in with_it:
        keep(connection, thing, entry.at_utc, record.id, record.detainee)


def end_open(
    connection: Connection, reason: EndReason, at_utc: datetime.datetime, at: float, box: str = ""
) -> list[CallId]:
    """End and settle every call that was left open, with a journal entry each; their ids. With `box` only its own."""
    ended = calls.end_open(connection, reason, at_utc, box)
    for call in ended:
        details = {"reason": reason.value}
        entry = JournalEntry(call=call, at_utc=at_utc, at=at, event="ended_at_start", details=details)
        events.append(connection, entry, "ended")
    return ended


def end_of_box(
    connection: Connection, box: str, reason: EndReason, at_utc: datetime.datetime, at: float
) -> list[CallId]:
    """End and settle every call of another box, which is gone, with a journal entry each; their ids."""
    ended = calls.end_of_box(connection, box, reason, at_utc)
    for call in ended:
        details = {"reason": reason.value, "box": box}
        entry = JournalEntry(call=call, at_utc=at_utc, at=at, event="ended_for_its_box", details=details)
        events.append(connection, entry, "ended")
    return ended


def keep(
    connection: Connection,
    thing: Kept,
    at_utc: datetime.datetime,
    call: CallId,
    detainee: DetaineeId | None = None,
) -> None:
    """What belongs to a step."""
    match thing:
        case InvitationRecord():
            if not invitations.save(connection, thing):
                raise StoreRefused("the code of this call is spent: it cannot be issued anew")
        case InvitationSpent():
            if not invitations.spend(connection, thing):
                raise StoreRefused("the code of this call is spent already, or was never issued")
        case AcceptanceRecord():
            acceptances.save(connection, thing)
        case Recording():
            recordings.save(connection, thing)
        case Transaction():
            books.book(connection, thing, books.Booking(at_utc=at_utc, detainee=detainee, call=call))
