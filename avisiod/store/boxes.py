"""Boxes that share a database: who lives, whose calls are forsaken, which box has a code.

Ages are by the database's own clock, so that no box's wall clock counts.
"""

import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Float, cast, delete, func, literal_column, select

from avisiod.calls.ids import CallId
from avisiod.calls.reasons import EndReason
from avisiod.ports import InvitationRecord, StoreRefused
from avisiod.store import progress
from avisiod.store.columns import upsert
from avisiod.store.schema import boxes, calls, invitations

FORGET_S = 30 * 86_400.0
"""A box that has not been heard of for so long was taken away; its calls were ended long ago."""


class OwnBeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a box says of itself."""

    name: str
    public_url: str
    code_key: str
    """A mark of the key of the codes' hashes: boxes with different keys would not know each other's codes."""
    calls: int
    capacity: int


class OtherBox(msgspec.Struct, frozen=True, kw_only=True):
    """Another box that shares the database."""

    name: str
    public_url: str
    code_key: str
    calls: int
    capacity: int
    age_s: float
    """Since it said that it lives."""


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The others, and how many codes of theirs are out."""

    others: tuple[OtherBox, ...] = ()
    open_codes: int = 0


def beat(connection: Connection, own: OwnBeat, at_utc: datetime.datetime) -> Fleet:
    """Say that we live; what is known of the others."""
    now = _now(connection)
    values = {**msgspec.structs.asdict(own), "beat_s": now}
    changed = {name: value for name, value in values.items() if name != "name"}
    insert = upsert(connection.dialect, boxes).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changed))
    connection.execute(delete(boxes).where(boxes.c.beat_s < now - FORGET_S))
    rows = connection.execute(select(boxes).where(boxes.c.name != own.name).order_by(boxes.c.name)).all()
    others = tuple(
        OtherBox(
            name=row.name,
            public_url=row.public_url,
            code_key=row.code_key,
            calls=row.calls,
            capacity=row.capacity,
            age_s=now - row.beat_s,
        )
        for row in rows
    )
    out = select(func.count()).select_from(invitations.join(calls)).where(*_open(at_utc), calls.c.box != own.name)
    return Fleet(others=others, open_codes=connection.execute(out).scalar_one())


def leave(connection: Connection, name: str) -> None:
    """We stop in good order: nobody need wait for us, unless a call of ours is still open."""
    left = select(calls.c.id).where(calls.c.state != "ended", calls.c.box == name)
    connection.execute(delete(boxes).where(boxes.c.name == name, ~left.exists()))


def end_calls_of(
    connection: Connection, name: str, older_than_s: float, reason: EndReason, at_utc: datetime.datetime, at: float
) -> list[CallId]:
    """End the calls of a box that is silent for so long; their ids. None where it has spoken meanwhile."""
    age = connection.execute(select(boxes.c.beat_s).where(boxes.c.name == name)).scalar_one_or_none()
    if age is None or _now(connection) - age < older_than_s:
        return []
    return progress.end_of_box(connection, name, reason, at_utc, at)


def holder_of(connection: Connection, hashed: str, own: str, alive_s: float, at_utc: datetime.datetime) -> str:
    """Where relatives reach the living box whose code has this hash; empty where there is none."""
    joined = invitations.join(calls).join(boxes, boxes.c.name == calls.c.box)
    query = (
        select(boxes.c.public_url)
        .select_from(joined)
        .where(*_open(at_utc), invitations.c.hash == hashed, boxes.c.name != own)
        .where(boxes.c.beat_s > _now(connection) - alive_s)
    )
    found = connection.execute(query).scalars().first()
    return str(found) if found is not None else ""


def refuse_twin(connection: Connection, record: InvitationRecord, at_utc: datetime.datetime) -> None:
    """StoreRefused where a code with this hash is out already: on one box that is seen before it is drawn."""
    query = (
        select(invitations.c.call)
        .select_from(invitations.join(calls))
        .where(*_open(at_utc), invitations.c.hash == record.hash, invitations.c.call != record.call)
    )
    if connection.execute(query).first() is not None:
        raise StoreRefused("another box gave out the same code a moment ago: the phone has to dial again")


def _open(at_utc: datetime.datetime) -> tuple[ColumnElement[bool], ...]:
    unspent = invitations.c.spent_utc.is_(None) & calls.c.state.in_(("inviting", "waiting"))
    return unspent, invitations.c.expires_utc.is_(None) | (invitations.c.expires_utc > at_utc)


def _now(connection: Connection) -> float:
    """Seconds of the database's own clock."""
    if connection.dialect.name == "postgresql":
        moment = cast(func.extract("epoch", func.clock_timestamp()), Float)
    else:
        moment = cast(literal_column("(julianday('now') - 2440587.5) * 86400.0"), Float)
    return float(connection.execute(select(moment)).scalar_one())
