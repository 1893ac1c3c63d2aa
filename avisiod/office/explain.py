"""The operation that shows a decision of admission, and every fact that it rested on."""

import datetime
from typing import Any

from sqlalchemy import Connection, select

from avisiod.calls.admission import Facts, Granted, decide
from avisiod.calls.ids import DetaineeId, PhoneId
from avisiod.numbers import dialled_number
from avisiod.office import values
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused
from avisiod.office.values import Wrong, money_text
from avisiod.store import dossiers
from avisiod.store.schema import calls


class ExplainRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who would call whom from where, and when; `at` in the site's time, empty: now."""

    phone: str
    number: str
    at: str = ""
    detainee: str = ""


@operation("explain", needs="see_people")
def explain(desk: Desk, request: ExplainRequest) -> dict[str, Any]:
    """The decision as it would be, on a box that has room: what is kept decides."""
    at_utc = _moment(desk, request.at)
    number = dialled_number(request.number, desk.site.region)
    given = DetaineeId(request.detainee) if request.detainee else None

    def read(connection: Connection) -> dict[str, Any]:
        dossier = dossiers.facts(connection, PhoneId(request.phone), given, number, at_utc, desk.zone)
        busy = _busy(connection) if not request.at else set()
        facts = Facts(
            mode=desk.site.admission,
            at_utc=at_utc,
            zone=desk.zone,
            dossier=dossier,
            number_valid=number is not None,
            phone_busy=f"phone:{request.phone}" in busy,
            contact_busy=dossier.callee is not None and f"contact:{dossier.callee.id}" in busy,
            detainee_busy=dossier.detainee is not None and f"detainee:{dossier.detainee.id}" in busy,
            open_calls=0,
            capacity=1,
            disk_free_enough=True,
            media_ready=True,
            draining=False,
            limit_s=desk.site.limit_s,
            shortest_s=desk.site.shortest_s,
        )
        verdict = decide(facts)
        found: dict[str, Any] = {
            "granted": isinstance(verdict, Granted),
            "at": at_utc.astimezone(desk.zone).isoformat(timespec="minutes"),
            "because": [
                {"about": each.about, "found": each.found, "refuses": each.refuses.value if each.refuses else ""}
                for each in verdict.because
            ],
        }
        if isinstance(verdict, Granted):
            return found | {
                "limit_s": verdict.limit_s,
                "shortened_by": verdict.shortened_by.value if verdict.shortened_by else "",
                "class": verdict.cls.id,
                "recorded": not verdict.confidential,
                "tariff": verdict.tariff.id if verdict.tariff else "",
                "at_most": money_text(verdict.hold_cents),
            }
        again = (
            "" if verdict.again_utc is None else verdict.again_utc.astimezone(desk.zone).isoformat(timespec="minutes")
        )
        return found | {"reason": verdict.reason.value, "again": again}

    return desk.consult("phone", request.phone, read, explain=True, detainee=request.detainee)


def _moment(desk: Desk, text: str) -> datetime.datetime:
    if not text:
        return desk.who.at_utc
    try:
        local: datetime.datetime = values.LOCAL.read(text)
    except Wrong as wrong:
        raise Refused(Problem(column="at", reason=wrong.reason, remedy=wrong.remedy)) from None
    return local.replace(tzinfo=desk.zone).astimezone(datetime.UTC)


def _busy(connection: Connection) -> set[str]:
    query = select(calls.c.phone, calls.c.contact, calls.c.detainee).where(calls.c.state != "ended")
    return {
        f"{name}:{getattr(row, name)}"
        for row in connection.execute(query)
        for name in ("phone", "contact", "detainee")
        if getattr(row, name) is not None
    }
