"""The journal: what happened to each call, in order."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, insert, select

from avisiod.calls.ids import CallId
from avisiod.log import redact
from avisiod.ports import JournalEntry
from avisiod.store.schema import events


def append(connection: Connection, entry: JournalEntry, state: str = "") -> None:
    """Add to the journal; `state` is the call's after it.

    Texts in `details` pass the same redaction as log lines: the journal outlives the log.
    """
    details = {name: redact(value) if isinstance(value, str) else value for name, value in entry.details.items()}
    connection.execute(
        insert(events).values(
            call=entry.call,
            at_utc=entry.at_utc,
            at_monotonic=entry.at,
            event=entry.event,
            state=state,
            details=msgspec.json.encode(details).decode(),
        )
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
            details=msgspec.json.decode(row.details),
        )
        for row in connection.execute(select(events).where(events.c.call == call).order_by(events.c.id))
    ]
