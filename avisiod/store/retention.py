"""Recordings that are due, and destructions that were begun: what is kept so that each leaves its record."""

import datetime
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, true

from avisiod.store.schema import calls, destructions, events, recordings


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A recording whose call has ended."""

    call: str
    path: str
    bytes: int
    sha256: str
    ended_utc: datetime.datetime
    detainee: str | None


class Destruction(msgspec.Struct, frozen=True, kw_only=True):
    """One that was begun and has no record yet. `sha256` is empty where nobody knew it."""

    box: str
    path: str
    call: str
    bytes: int
    sha256: str
    detainee: str | None
    rule: str
    ended_utc: datetime.datetime
    begun_utc: datetime.datetime


_COLUMNS = (
    recordings.c.call,
    recordings.c.path,
    recordings.c.bytes,
    recordings.c.sha256,
    calls.c.ended_utc,
    calls.c.detainee,
)


def _of(box: str) -> ColumnElement[bool]:
    """The calls of this box; all where the database is its own."""
    return calls.c.box.in_(("", box)) if box else true()


def listed(
    connection: Connection, box: str, before: datetime.datetime | None = None, limit: int | None = None
) -> list[Listed]:
    """Recordings of this box whose call ended, and ended before this moment; newest first."""
    query = (
        select(*_COLUMNS)
        .join(calls, calls.c.id == recordings.c.call)
        .where(_of(box), calls.c.ended_utc.is_not(None))
        .order_by(calls.c.ended_utc.desc(), recordings.c.call)
        .limit(limit)
    )
    if before is not None:
        query = query.where(calls.c.ended_utc < before)
    return [Listed(**row._mapping) for row in connection.execute(query)]


def one(connection: Connection, call: str) -> Listed | None:
    """The recording of this call, once it has ended."""
    query = select(*_COLUMNS).join(calls, calls.c.id == recordings.c.call)
    row = connection.execute(query.where(calls.c.id == call, calls.c.ended_utc.is_not(None))).one_or_none()
    return None if row is None else Listed(**row._mapping)


def with_row(connection: Connection, names: Collection[str]) -> set[str]:
    """Which of these calls have a recording that is listed, whatever it is."""
    known: set[str] = set()
    ordered = sorted(names)
    for first in range(0, len(ordered), 500):
        part = ordered[first : first + 500]
        known.update(connection.scalars(select(recordings.c.call).where(recordings.c.call.in_(part))))
    return known


def proven_younger(
    connection: Connection, names: Sequence[str], since: datetime.datetime, until: datetime.datetime
) -> set[str]:
    """Of these calls, those that began after the journal had shown a time from `since` to `until`.

    The journal is in the order in which things happened, whatever the clock said: so such a call is younger than
    `since`, even if it bears an older time.
    """
    young = select(func.min(events.c.id)).where(events.c.at_utc >= since, events.c.at_utc <= until)
    first = connection.scalar(young)
    if first is None:
        return set()
    began = select(events.c.call).group_by(events.c.call).having(func.min(events.c.id) > first)
    found: set[str] = set()
    for start in range(0, len(names), 500):
        found.update(connection.scalars(began.where(events.c.call.in_(names[start : start + 500]))))
    return found


def begin(connection: Connection, destruction: Destruction) -> None:
    """Write down that it is being destroyed, before anything of it goes."""
    connection.execute(insert(destructions).values(msgspec.structs.asdict(destruction)))


def begun(connection: Connection, box: str) -> list[Destruction]:
    """The destructions of this box that have no record yet, oldest first."""
    query = select(destructions).where(destructions.c.box == box).order_by(destructions.c.begun_utc)
    return [_destruction(row) for row in connection.execute(query)]


def begun_of(connection: Connection, call: str) -> Destruction | None:
    """The one of this call."""
    row = connection.execute(select(destructions).where(destructions.c.call == call)).one_or_none()
    return None if row is None else _destruction(row)


def _destruction(row: Row[tuple[object, ...]]) -> Destruction:
    return Destruction(**row._mapping)


def spare(connection: Connection, destruction: Destruction) -> None:
    """It is not to be destroyed after all."""
    connection.execute(
        delete(destructions).where(destructions.c.box == destruction.box, destructions.c.path == destruction.path)
    )


def end(connection: Connection, destruction: Destruction) -> None:
    """Nothing of it is left: it leaves the lists. The record in the trail is the caller's, in this transaction."""
    spare(connection, destruction)
    forget(connection, destruction.call)


def forget(connection: Connection, call: str) -> None:
    """Take the recording of this call off the list."""
    connection.execute(delete(recordings).where(recordings.c.call == call))
