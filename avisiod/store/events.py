"""The journal: what happened to each call, in order."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from avisiod.calls.ids import CallId
from avisiod.log import redact
from avisiod.ports import JournalEntry
from avisiod.store.schema import events


def append(connection: Connection, entry: JournalEntry) -> None:
    """Add to the journal. Texts in `details` pass the same redaction as log lines: it outlives the log."""
    try:
        details = _redacted(msgspec.json.decode(entry.details))
    except msgspec.DecodeError:
        details = {"text": redact(entry.details)}
    connection.execute(
        insert(events).values(
            call=entry.call,
            at_utc=entry.at_utc,
            at_monotonic=entry.at_monotonic,
            event=entry.event,
            state=entry.state,
            details=msgspec.json.encode(details).decode(),
        )
    )


def of(connection: Connection, call: CallId) -> Sequence[JournalEntry]:
    """The call's journal, oldest first."""
    return [
        JournalEntry(
            call=call,
            at_utc=row.at_utc,
            at_monotonic=row.at_monotonic,
            event=row.event,
            state=row.state,
            details=row.details,
        )
        for row in connection.execute(select(events).where(events.c.call == call).order_by(events.c.id))
    ]


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case list():
            return [_redacted(item) for item in value]
        case dict():
            return {name: _redacted(item) for name, item in value.items()}
        case _:
            return value
