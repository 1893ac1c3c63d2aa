"""Calls as they stand, and the money that belongs to them: set aside when one is granted, settled when it ends."""

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from avisiod.calls import ledger
from avisiod.calls.ids import CallId, ClassId, ContactId, DetaineeId, PhoneId
from avisiod.calls.reasons import EndReason
from avisiod.calls.tariff import Tariff
from avisiod.ports import CallRecord
from avisiod.store import books
from avisiod.store.books import Booking
from avisiod.store.columns import upsert
from avisiod.store.schema import calls


def save(connection: Connection, record: CallRecord, at_utc: datetime.datetime) -> None:
    """Insert or replace. IntegrityError where the call has ended already and the new end differs.

    What the record holds is set aside with its first save that names it, and settled with the end, each once: the
    same record saved again books nothing. IntegrityError where the balance does not pay the hold.
    """
    charge = charge_of(record)
    values = {
        "id": record.id,
        "phone": record.phone,
        "contact": record.contact,
        "state": record.state,
        "confidential": record.confidential,
        "created_utc": record.created_utc,
        "connected_utc": record.connected_utc,
        "ended_utc": record.ended_utc,
        "connected_s": record.connected_s,
        "limit_s": record.limit_s,
        "end_reason": record.end_reason.value if record.end_reason else None,
        "charged": record.charged,
        "detainee": record.detainee,
        "cls": record.cls,
        "tariff": record.tariff.id if record.tariff is not None else None,
        "tariff_unit": record.tariff.unit if record.tariff is not None else None,
        "tariff_price": record.tariff.price if record.tariff is not None else None,
        "hold_cents": record.hold_cents,
        "charge_cents": charge,
        "extra": record.extra,
        "box": record.box,
    }
    changed = {calls.c[name]: value for name, value in values.items() if name not in ("id", "created_utc")}
    insert = upsert(connection.dialect, calls).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changed))
    _book(connection, record, charge, at_utc)


def charge_of(record: CallRecord) -> int:
    """Cents that an ended call costs, by the tariff that it was admitted with; 0 before its end."""
    if record.state != "ended" or record.end_reason is None or not record.charged:
        return 0
    return ledger.charge_of(record.tariff, record.connected_s, record.end_reason, record.hold_cents)


def _book(connection: Connection, record: CallRecord, charge: int, at_utc: datetime.datetime) -> None:
    if record.detainee is None or record.hold_cents == 0:
        return
    booking = Booking(at_utc=at_utc, detainee=record.detainee, call=record.id)
    books.book(connection, ledger.hold(record.id, record.detainee, record.hold_cents), booking)
    if record.state == "ended":
        books.book(connection, ledger.settle(record.id, record.detainee, record.hold_cents, charge), booking)


def get(connection: Connection, call: CallId) -> CallRecord | None:
    """One call."""
    row = connection.execute(select(calls).where(calls.c.id == call)).one_or_none()
    return None if row is None else record_from(row)


def since(connection: Connection, moment: datetime.datetime | None, limit: int) -> Sequence[CallRecord]:
    """The latest calls created at or after `moment`, newest first."""
    query = select(calls).order_by(calls.c.created_utc.desc(), calls.c.id).limit(limit)
    if moment is not None:
        query = query.where(calls.c.created_utc >= moment)
    return [record_from(row) for row in connection.execute(query)]


def end_open(connection: Connection, reason: EndReason, at_utc: datetime.datetime, box: str = "") -> list[CallId]:
    """End every call that has not, and settle it; one that was already refused keeps its own reason.

    With `box` those of other boxes are left alone, unless they are forsaken. Their ids, oldest first.
    """
    query = select(calls).where(calls.c.state != "ended").order_by(calls.c.created_utc, calls.c.id)
    found = [record_from(row) for row in connection.execute(query).all()]
    return _end(
        connection,
        [each for each in found if not box or each.box in ("", box) or forsaken(each, at_utc)],
        reason,
        at_utc,
    )


def end_of_box(connection: Connection, box: str, reason: EndReason, at_utc: datetime.datetime) -> list[CallId]:
    """The same for the calls of one box."""
    ordered = select(calls).order_by(calls.c.created_utc, calls.c.id)
    query = ordered.where(calls.c.state != "ended", calls.c.box == box)
    return _end(connection, [record_from(row) for row in connection.execute(query).all()], reason, at_utc)


def _end(
    connection: Connection, still_open: list[CallRecord], reason: EndReason, at_utc: datetime.datetime
) -> list[CallId]:
    for record in still_open:
        ended = msgspec.structs.replace(
            record,
            state="ended",
            ended_utc=at_utc,
            end_reason=record.end_reason or reason,
            charged=reason.charged,
        )
        save(connection, ended, at_utc)
    return [record.id for record in still_open]


FORSAKEN_S = 7200.0
"""More than a call can last beside its connected time, on any settings."""


def forsaken(record: CallRecord, at_utc: datetime.datetime) -> bool:
    """Whether its box is gone for good: no call is open for so long."""
    return (at_utc - record.created_utc).total_seconds() > record.limit_s + FORSAKEN_S


def busy_elsewhere(
    connection: Connection,
    box: str,
    contact: ContactId | None,
    detainee: DetaineeId | None,
    at_utc: datetime.datetime,
) -> tuple[bool, bool]:
    """Whether the contact, and the detainee, are in a call of another box; never where `box` is empty."""
    if not box:
        return False, False
    query = select(calls).where(calls.c.state.not_in(("ended", "refused")), calls.c.box.not_in(("", box)))
    others = [each for row in connection.execute(query) if not forsaken(each := record_from(row), at_utc)]
    return (
        contact is not None and any(each.contact == contact for each in others),
        detainee is not None and any(each.detainee == detainee for each in others),
    )


def record_from(row: Row[Any]) -> CallRecord:
    """A row as the ports know it."""
    return CallRecord(
        id=CallId(row.id),
        phone=PhoneId(row.phone),
        contact=ContactId(row.contact) if row.contact is not None else None,
        state=row.state,
        confidential=row.confidential,
        created_utc=row.created_utc,
        connected_utc=row.connected_utc,
        ended_utc=row.ended_utc,
        connected_s=row.connected_s,
        limit_s=row.limit_s,
        end_reason=EndReason(row.end_reason) if row.end_reason is not None else None,
        charged=row.charged,
        detainee=DetaineeId(row.detainee) if row.detainee is not None else None,
        cls=ClassId(row.cls) if row.cls is not None else None,
        tariff=_tariff(row),
        hold_cents=row.hold_cents,
        charge_cents=row.charge_cents,
        extra=row.extra,
        box=row.box,
    )


def _tariff(row: Row[Any]) -> Tariff | None:
    """What a price needs of the tariff: its hours were looked at when the call was admitted."""
    if row.tariff_unit is None:
        return None
    day = row.created_utc.date()
    return Tariff(id=row.tariff, unit=row.tariff_unit, price=row.tariff_price, valid_from=day)
