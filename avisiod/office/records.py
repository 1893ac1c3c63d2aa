"""Operations on what has happened: calls and their timelines, the trail, and the end of a call that is under way."""

import datetime
from typing import Any

from sqlalchemy import Connection, select

from avisiod.calls.ids import CallId
from avisiod.office.accounts import period
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused
from avisiod.office.values import money_text
from avisiod.ports import CallRecord
from avisiod.store import acceptances, books, calls, events, recordings, trail, trail_check
from avisiod.store.schema import calls as calls_table

MOST = 10_000
WITNESS_DAYS, WITNESS_OF_DAYS = 4, 14
"""The clock is believed for a purge that nobody asked for, where so many of so many last days have left lines."""
PORTION = 2000
"""So many lines of the trail are purged in one transaction: some hundredths of a second."""


class CallsRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls; days of the site's calendar, both included."""

    detainee: str = ""
    contact: str = ""
    phone: str = ""
    since: str = ""
    until: str = ""
    open: bool = False
    limit: int = 100


class CallRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call."""

    call: str


class TrailRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines."""

    actor: str = ""
    kind: str = ""
    object: str = ""
    since: str = ""
    until: str = ""
    limit: int = 100


class VerifyRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`noted`: NUMBER:DIGEST of a line, as an earlier check told it."""

    noted: str = ""


class PurgeRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines older than so many days go; 0: older than the settings say."""

    days: int = 0


@operation("calls.list", needs="see_calls")
def list_calls(desk: Desk, request: CallsRequest) -> list[dict[str, Any]]:
    """The latest calls that fit, newest first."""
    since, until = period(desk, request.since, request.until)
    table = calls_table
    query = select(table).order_by(table.c.created_utc.desc(), table.c.id).limit(min(request.limit, MOST))
    for column, value in (
        (table.c.detainee, request.detainee),
        (table.c.contact, request.contact),
        (table.c.phone, request.phone),
    ):
        if value:
            query = query.where(column == value)
    if since is not None:
        query = query.where(table.c.created_utc >= since)
    if until is not None:
        query = query.where(table.c.created_utc < until)
    if request.open:
        query = query.where(table.c.state != "ended")
    by = [name for name in ("detainee", "contact", "phone", "since", "until") if getattr(request, name)]

    def rows(connection: Connection) -> list[dict[str, Any]]:
        return [_shown(desk, calls.record_from(row)) for row in connection.execute(query)]

    return desk.consult("call", "*", rows, by=by)


@operation("calls.show", needs="see_calls")
def show_call(desk: Desk, request: CallRequest) -> dict[str, Any]:
    """A call with its timeline, what was accepted, its recording's path and what it cost."""
    call = CallId(request.call)

    def read(connection: Connection) -> dict[str, Any]:
        record = calls.get(connection, call)
        if record is None:
            raise Refused(Problem(column="call", reason=f"no call `{call}`", remedy="look at the list"))
        found = _shown(desk, record)
        journal = events.of(connection, call)
        found["timeline"] = [
            {
                "at": _local(desk, entry.at_utc),
                "after_s": round(entry.at - journal[0].at, 3),
                "event": entry.event,
                "state": entry.state,
                "details": dict(entry.details),
            }
            for entry in journal
        ]
        found["accepted"] = [
            {
                "at": _local(desk, each.at_utc),
                "language": each.acceptance.language,
                "version": each.acceptance.version,
                "digest": each.acceptance.digest,
            }
            for each in acceptances.of(connection, call)
        ]
        recording = recordings.get(connection, call)
        if recording is not None:
            found["recording"] = {"path": recording.path, "sha256": recording.sha256, "bytes": recording.bytes}
        found["money"] = [
            {"account": account, "amount": money_text(cents), "key": key}
            for key in (f"hold:{call}", f"settle:{call}", f"refund:{call}")
            for account, cents in books.postings_of(connection, key)
        ]
        return found

    return desk.consult("call", call, read)


@operation("calls.cut", needs="cut_calls")
def cut(desk: Desk, request: CallRequest) -> None:
    """End a call that is under way: both parties are told."""
    if desk.cut is None:
        raise Refused(Problem(reason="the daemon is down, so no call is under way", remedy="nothing is to be done"))
    if not desk.who.why:
        raise Refused(Problem(column="why", reason="no reason", remedy="say why the call is ended"))
    # Before it is done: nobody ends a call without a trace.
    desk.write(lambda connection: desk.note(connection, "cut", "call", request.call))
    if not desk.cut(request.call):
        raise Refused(Problem(column="call", reason="this call is not under way", remedy="look at calls list --open"))


@operation("audit.list", needs="see_trail")
def list_trail(desk: Desk, request: TrailRequest) -> list[dict[str, Any]]:
    """The latest lines that fit, newest first."""
    since, until = period(desk, request.since, request.until)

    def read(connection: Connection) -> list[dict[str, Any]]:
        lines = trail.listed(
            connection,
            actor=request.actor,
            kind=request.kind,
            object_=request.object,
            since=since,
            until=until,
            limit=min(request.limit, MOST),
        )
        return [
            {
                "seq": line.seq,
                "at": _local(desk, line.at_utc),
                "actor": line.actor,
                "action": line.action,
                "kind": line.kind,
                "object": line.object,
                "why": line.why,
                "details": line.details,
            }
            for line in lines
        ]

    return desk.consult("audit", "*", read)


@operation("audit.verify", needs="see_trail")
def verify(desk: Desk, request: VerifyRequest) -> dict[str, Any]:
    """Walk the trail, and the journal and ledger that it vouches for; the books as well."""
    noted = None
    if request.noted:
        seq, _, digest = request.noted.partition(":")
        if not seq.isdecimal() or len(digest) != 64:
            raise Refused(Problem(column="noted", reason="not a noted line", remedy="write NUMBER:DIGEST"))
        noted = (int(seq), digest)

    def read(connection: Connection) -> dict[str, Any]:
        verdict = trail_check.verify(connection, noted)
        wrong = books.check(connection)
        return {
            "good": verdict.good and not wrong,
            "first": verdict.first,
            "last": verdict.last,
            "lines": verdict.lines,
            "digest": verdict.digest,
            "problem": verdict.problem,
            "line": verdict.seq,
            "books": wrong,
        }

    return desk.consult("audit", "*", read, verify=True)


@operation("audit.purge", needs="purge_trail")
def purge(desk: Desk, request: PurgeRequest) -> dict[str, Any]:
    """Delete the lines that are older than they are kept for, with a record of it."""
    least = desk.site.audit_days
    days = request.days or least
    if days < least:
        reason = f"the trail is kept for {least} days"
        raise Refused(Problem(column="days", reason=reason, remedy="change store.audit_days first"))
    before = desk.who.at_utc - datetime.timedelta(days=days)
    through = desk.read(lambda connection: trail.old_lines(connection, before))
    purged = 0
    # In portions, each whole with its own record: the calls' own lines do not wait for all of it.
    while done := desk.write(lambda connection: _purge_some(desk, connection, through, before)):
        purged += done
        desk.progress("purging", purged, purged)
    return {"purged": purged, "through": through if purged else 0, "before": before.isoformat()}


def purge_by_itself(desk: Desk) -> int:
    """A portion of it when nobody has asked; how many lines went. Refused where the clock may be wrong.

    What it deletes does not come back: a clock that leapt years ahead would take the whole trail. So lines of some
    days must bear witness that the clock has shown about this time for a while.
    """
    before = desk.who.at_utc - datetime.timedelta(days=desk.site.audit_days)
    through = desk.read(lambda connection: trail.old_lines(connection, before))
    if not through:
        return 0
    days = desk.read(lambda connection: trail.days_with_lines(connection, desk.who.at_utc, WITNESS_OF_DAYS))
    if days < WITNESS_DAYS:
        reason = f"the trail has lines of {days} of the last {WITNESS_OF_DAYS} days only: the clock may be wrong"
        raise Refused(Problem(reason=reason, remedy="if it is right, run avisioctl audit purge; else set it"))
    return desk.write(lambda connection: _purge_some(desk, connection, through, before))


def _purge_some(desk: Desk, connection: Connection, through: int, before: datetime.datetime) -> int:
    first, _ = trail.anchor(connection)
    if through <= first:
        return 0
    last = min(through, first + PORTION)
    # What is broken stays as it is: a purge would hide where.
    verdict = trail_check.verify(connection, through=last)
    if not verdict.good:
        remedy = "find out what happened (avisioctl audit verify); these lines were not purged"
        raise Refused(Problem(reason=verdict.problem, remedy=remedy))
    record = trail.Line(
        at_utc=desk.who.at_utc, actor=desk.who.actor, action="purge", kind="audit", object="", why=desk.who.why
    )
    return trail.purge(connection, last, before, record)


def _shown(desk: Desk, record: CallRecord) -> dict[str, Any]:
    return {
        "call": record.id,
        "at": _local(desk, record.created_utc),
        "phone": record.phone,
        "detainee": record.detainee or "",
        "contact": record.contact or "",
        "class": record.cls or "",
        "state": record.state,
        "reason": record.end_reason.value if record.end_reason is not None else "",
        "connected_s": round(record.connected_s, 1),
        "limit_s": record.limit_s,
        "charge": money_text(record.charge_cents),
        "held": money_text(record.hold_cents) if record.state != "ended" else "0.00",
    }


def _local(desk: Desk, moment: datetime.datetime) -> str:
    return moment.astimezone(desk.zone).isoformat(timespec="seconds")


class NoteRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of a backup."""

    file: str


@operation("backup.note", needs="backup")
def note_backup(desk: Desk, request: NoteRequest) -> None:
    """Write down that a copy of everything is made: it holds all personal data."""
    desk.write(lambda connection: desk.note(connection, "backup", "database", request.file))


@operation("restore.note", needs="backup")
def note_restore(desk: Desk, request: NoteRequest) -> None:
    """Write down, in the trail that came back, that it did."""
    desk.write(lambda connection: desk.note(connection, "restore", "database", request.file))
