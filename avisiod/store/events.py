"""The journal: what happened to each call, in order. Each entry has its line in the audit trail."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from avisiod.calls.ids import CallId
from avisiod.log import redact
from avisiod.ports import JournalEntry
from avisiod.store import trail
from avisiod.store.schema import events
from avisiod.store.trail_check import EVENT, event_digest

_details: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def append(connection: Connection, entry: JournalEntry, state: str = "") -> None:
    """Add to the journal; `state` is the call's after it.

    Texts in `details` pass the same redaction as log lines: the journal outlives the log.
    """
    details = {name: redact(value) if isinstance(value, str) else value for name, value in entry.details.items()}
    values = {
        "call": entry.call,
        "at_utc": entry.at_utc,
        "at_monotonic": entry.at,
        "event": entry.event,
        "state": state,
        "details": msgspec.json.encode(details).decode(),
    }
    (number,) = connection.execute(insert(events).values(values)).inserted_primary_key or (0,)
    row = connection.execute(select(events).where(events.c.id == number)).one()
    trail.append(
        connection,
        trail.Line(
            at_utc=entry.at_utc,
            actor=trail.SERVICE,
            action=entry.event,
            kind="call",
            object=entry.call,
            details={EVENT: number, "digest": event_digest(row)},
        ),
    )


def of(connection: Connection, call: CallId) -> Sequence[JournalEntry]:
    """The call's journal, oldest first."""
    return [
        JournalEntry(
            call=call,
            at_utc=row.at_utc,
            at=row.at_monotonic,
            event=row.event,
            state=row.state,
            details=_details.decode(row.details),
        )
        for row in connection.execute(select(events).where(events.c.call == call).order_by(events.c.id))
    ]
