"""Sealed recordings: where each file lies, and its digest."""

import msgspec
from sqlalchemy import Connection, select

from avisiod.calls.ids import CallId
from avisiod.ports import Recording
from avisiod.store.columns import upsert
from avisiod.store.schema import recordings


def save(connection: Connection, recording: Recording) -> None:
    """Keep one; the same path again changes nothing.

    IntegrityError where the call has another one, or is confidential: that line is never recorded.
    """
    new = upsert(connection.dialect, recordings).values(msgspec.structs.asdict(recording))
    connection.execute(new.on_conflict_do_nothing(index_elements=["path"]))


def get(connection: Connection, call: CallId) -> Recording | None:
    """The call's recording."""
    row = connection.execute(select(recordings).where(recordings.c.call == call)).one_or_none()
    return None if row is None else Recording(**row._mapping)
