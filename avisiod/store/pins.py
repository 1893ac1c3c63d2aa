"""Who somebody at a shared phone claims to be, and how often that was wrong: the PINs' hashes, the wrong tries."""

import datetime

from sqlalchemy import Connection, delete, select

from avisiod.calls.ids import DetaineeId, PhoneId
from avisiod.ports import PinRecord, Tries
from avisiod.store.columns import upsert
from avisiod.store.schema_rules import detainees, pin_attempts


def record(connection: Connection, phone: PhoneId, identifier: str) -> PinRecord:
    """What is known of this identifier, and of the tries on this phone."""
    query = select(detainees).where((detainees.c.identifier == identifier) & detainees.c.listed)
    row = connection.execute(query).one_or_none()
    on_phone = _tries(connection, f"phone:{phone}")
    if row is None:
        return PinRecord(on_phone=on_phone)
    return PinRecord(
        detainee=DetaineeId(row.id),
        pin_hash=row.pin_hash,
        on_phone=on_phone,
        by_detainee=_tries(connection, f"detainee:{row.id}"),
        language=row.language,
    )


def tried(
    connection: Connection, phone: PhoneId, detainee: DetaineeId | None, at_utc: datetime.datetime, *, right: bool
) -> None:
    """Count a try on the phone and by the detainee; a right one forgives the wrong ones before it."""
    subjects = [f"phone:{phone}", *([f"detainee:{detainee}"] if detainee is not None else [])]
    if right:
        forgive(connection, *subjects)
        return
    for subject in subjects:
        insert = upsert(connection.dialect, pin_attempts).values(subject=subject, wrong=1, last_utc=at_utc)
        counted = {"wrong": pin_attempts.c.wrong + 1, "last_utc": at_utc}
        connection.execute(insert.on_conflict_do_update(index_elements=["subject"], set_=counted))


def forgive(connection: Connection, *subjects: str) -> None:
    """Forget the wrong tries of `phone:ID` or `detainee:ID`."""
    connection.execute(delete(pin_attempts).where(pin_attempts.c.subject.in_(subjects)))


def _tries(connection: Connection, subject: str) -> Tries:
    query = select(pin_attempts).where(pin_attempts.c.subject == subject)
    row = connection.execute(query).one_or_none()
    return Tries() if row is None else Tries(wrong=row.wrong, last_utc=row.last_utc)
