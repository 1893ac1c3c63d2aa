"""Acceptances of the charter: the proof that a relative was informed."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from avisiod.calls.ids import CallId
from avisiod.ports import Acceptance, AcceptanceRecord
from avisiod.store.schema import acceptances


def save(connection: Connection, record: AcceptanceRecord) -> None:
    """Keep one."""
    shown = record.acceptance
    connection.execute(
        insert(acceptances).values(
            call=record.call,
            at_utc=record.at_utc,
            language=shown.language,
            version=shown.version,
            digest=shown.digest,
        )
    )


def of(connection: Connection, call: CallId) -> Sequence[AcceptanceRecord]:
    """The call's acceptances, oldest first."""
    query = select(acceptances).where(acceptances.c.call == call).order_by(acceptances.c.id)
    return [
        AcceptanceRecord(
            call=call,
            at_utc=row.at_utc,
            acceptance=Acceptance(language=row.language, version=row.version, digest=row.digest),
        )
        for row in connection.execute(query)
    ]
