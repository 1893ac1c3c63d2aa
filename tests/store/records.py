"""Records for the tests of the store."""

import datetime

from avisiod.calls.ids import CallId, ContactId, Number, PhoneId
from avisiod.calls.people import CONFIDENTIAL
from avisiod.calls.reasons import EndReason
from avisiod.ports import CallRecord, Contact, InvitationRecord, JournalEntry, Phone, Recording

START = datetime.datetime(2026, 11, 23, 16, 0, 0, 123456, datetime.UTC)
CALL = CallId("mfrggzdfmztwq2lkmnsgk3tu")
OTHER = CallId("nfrggzdfmztwq2lkmnsgk3tu")
PHONE = Phone(id=PhoneId("cell-101"), cell="A 101", ha1="0" * 32)
SECOND = Phone(id=PhoneId("cell-102"), cell="A 102", ha1="1" * 32, language="en")
CONTACT = Contact(id=ContactId("c-0001"), number=Number("+33639980001"), phones=(PHONE.id,))
LAWYER = Contact(id=ContactId("c-0002"), number=Number("+33639980002"), confidential=True, cls=CONFIDENTIAL.id)


def after(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def call(state: str = "dialled", *, of: CallId = CALL, seconds: float = 0.0, **changes: object) -> CallRecord:
    values: dict[str, object] = {"id": of, "phone": PHONE.id, "state": state, "created_utc": after(seconds)}
    if state == "ended":
        values |= {"ended_utc": after(seconds + 60), "end_reason": EndReason.LIMIT_REACHED, "charged": True}
    return CallRecord(**(values | changes))  # type: ignore[arg-type]


def entry(event: str = "dialled", *, of: CallId = CALL, seconds: float = 0.0, **details: object) -> JournalEntry:
    return JournalEntry(call=of, at_utc=after(seconds), at=100.0 + seconds, event=event, details=details)  # type: ignore[arg-type]


def invitation(**changes: object) -> InvitationRecord:
    values: dict[str, object] = {"call": CALL, "hash": "a" * 64, "issued_utc": START}
    return InvitationRecord(**(values | changes))  # type: ignore[arg-type]


def recording(of: CallId = CALL) -> Recording:
    path = f"/var/lib/avisiod/recordings/{of}.mkv"
    return Recording(
        call=of, path=path, bytes=5, sha256="b" * 64, duration_s=29.5, truncated=False, manifest=path + ".json"
    )
