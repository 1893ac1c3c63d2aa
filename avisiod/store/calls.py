"""Calls as they stand."""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.sqlite import insert

from avisiod.calls.ids import CallId, ContactId, PhoneId
from avisiod.calls.reasons import EndReason
from avisiod.ports import CallRecord
from avisiod.store.schema import calls


def save(connection: Connection, record: CallRecord) -> None:
    """Insert or replace. IntegrityError where the call has ended already and the new end differs."""
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
    }
    changed = {name: value for name, value in values.items() if name not in ("id", "created_utc")}
    connection.execute(insert(calls).values(values).on_conflict_do_update(index_elements=["id"], set_=changed))


def get(connection: Connection, call: CallId) -> CallRecord | None:
    """One call."""
    row = connection.execute(select(calls).where(calls.c.id == call)).one_or_none()
    return None if row is None else _record(row)


def since(connection: Connection, moment: datetime.datetime | None, limit: int) -> Sequence[CallRecord]:
    """The latest calls created at or after `moment`, newest first."""
    query = select(calls).order_by(calls.c.created_utc.desc(), calls.c.id).limit(limit)
    if moment is not None:
        query = query.where(calls.c.created_utc >= moment)
    return [_record(row) for row in connection.execute(query)]


def end_open(connection: Connection, reason: EndReason, at_utc: datetime.datetime) -> list[CallId]:
    """End every call that has not; one that was already refused keeps its own reason. Their ids, oldest first."""
    still_open = calls.c.state != "ended"
    ids = connection.scalars(select(calls.c.id).where(still_open).order_by(calls.c.created_utc, calls.c.id)).all()
    connection.execute(
        update(calls)
        .where(still_open)
        .values(
            state="ended",
            ended_utc=at_utc,
            end_reason=func.coalesce(calls.c.end_reason, reason.value),
            charged=reason.charged,
        )
    )
    return [CallId(call) for call in ids]


def _record(row: Row[Any]) -> CallRecord:
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
    )
