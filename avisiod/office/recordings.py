"""Operations on recordings: what is there, what is due, holds, and the destruction of what is too old.

A destruction goes in three steps, so that whatever moment the machine stops, nothing is gone without a record and no
record tells of what is still there: it is written down that it begins, the files go, and one transaction takes the
recording off the lists and puts the record into the trail. A run begins with what an earlier one left half done.
"""

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from avisiod.calls.retention import Kept, Standing, before, standing
from avisiod.office import recording_files as files
from avisiod.office import retention_record
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused
from avisiod.office.records import WITNESS_DAYS, WITNESS_OF_DAYS
from avisiod.store import retention, trail

logger = logging.getLogger(__name__)

PORTION = 50
"""So many recordings are destroyed before somebody else has their turn at the counter."""
MOST = 10_000
KIND = "recording"


class ListRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest so many."""

    held: bool = False
    limit: int = 100


class DueRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a purge would find."""


class CallRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recording of one call."""

    call: str


class PurgeRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A portion of what is due. `destroyed` and `trouble`: what earlier portions of the same run told.

    `clock_is_right`: somebody has looked at the clock, so days of lines in the trail need not bear it out.
    """

    clock_is_right: bool = False
    destroyed: int | None = None
    """None: this is the first one."""
    trouble: str = ""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, with where it stands."""

    call: str
    film: Path
    bytes: int
    sha256: str
    ended_utc: datetime.datetime
    detainee: str | None
    standing: Standing
    trouble: str = ""
    """Why nothing can be told of its files."""


@operation("recordings.list", needs="see_calls")
def list_recordings(desk: Desk, request: ListRequest) -> list[dict[str, Any]]:
    """The latest recordings of this box, newest first, with the day from which each is due."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        limit = None if request.held else min(request.limit, MOST)
        rows = retention.listed(connection, desk.site.box, limit=limit)
        items = (_item(desk, row, younger=False) for row in rows)
        wanted = [each for each in items if each.standing is Standing.HELD or not request.held]
        return [_shown(desk, each) for each in wanted[: min(request.limit, MOST)]]

    return desk.consult(KIND, "*", read)


@operation("recordings.due", needs="see_calls")
def list_due(desk: Desk, request: DueRequest) -> list[dict[str, Any]]:
    """What is older than the limit: what a purge would destroy, and what it would leave, with the reason."""
    del request
    items = desk.consult(KIND, "*", lambda _: _old(desk))
    return [_shown(desk, each) for each in items]


@operation("recordings.hold", needs="hold_recordings")
def hold(desk: Desk, request: CallRequest) -> None:
    """Keep it beyond its day, until it is released. One whose destruction was begun and failed is spared."""
    if not desk.who.why:
        raise Refused(Problem(column="why", reason="no reason", remedy="say which procedure it is kept for"))

    def work(connection: Connection) -> None:
        film = _film(desk, connection, request.call)
        if not files.files_of(film):
            raise Refused(Problem(column="call", reason=f"{film} is not there", remedy="look at recordings due"))
        if files.is_held(film):
            raise Refused(Problem(column="call", reason="it is under hold", remedy="nothing is to be done"))
        desk.note(connection, "hold", KIND, request.call)
        begun = retention.begun_of(connection, request.call)
        if begun is not None:
            retention.spare(connection, begun)
        # Before the transaction ends: a hold without a line keeps too much, a line without a hold too little.
        files.hold(film, f"{desk.who.at_utc.isoformat(timespec='seconds')} {desk.who.actor}: {desk.who.why}")

    _with_disk(desk, work)


@operation("recordings.release", needs="hold_recordings")
def release(desk: Desk, request: CallRequest) -> None:
    """End its hold: the next run destroys it, if it is old enough."""
    if not desk.who.why:
        raise Refused(Problem(column="why", reason="no reason", remedy="say how the procedure ended"))

    def work(connection: Connection) -> Path:
        film = _film(desk, connection, request.call)
        if not files.is_held(film):
            raise Refused(Problem(column="call", reason="it is under no hold", remedy="nothing is to be done"))
        desk.note(connection, "release", KIND, request.call)
        return film

    film = _with_disk(desk, work)
    # After the transaction: nobody ends a hold without a trace.
    _with_disk(desk, lambda _: files.release(film))


@operation("recordings.forget", needs="purge_recordings")
def forget(desk: Desk, request: CallRequest) -> None:
    """Take one off the list whose files are gone, nobody knows how; the trail has that then."""
    if not desk.who.why:
        raise Refused(Problem(column="why", reason="no reason", remedy="say what became of it"))

    def work(connection: Connection) -> None:
        row = retention.one(connection, request.call)
        if row is None:
            raise _unknown(request.call)
        film = files.located(Path(desk.site.recordings_folder), row.path)
        if files.files_of(film):
            raise Refused(Problem(column="call", reason=f"{film} is there", remedy="a purge destroys it in its time"))
        desk.note(connection, "forget", KIND, request.call, file=row.path, digest=row.sha256, bytes=row.bytes)
        retention.forget(connection, request.call)

    _with_disk(desk, work)


def _with_disk(desk: Desk, work: Any) -> Any:
    try:
        return desk.write(work)
    except OSError as error:
        reason = f"{error.filename or 'the disk'}: {error.strerror or error}"
        raise Refused(Problem(reason=reason, remedy="mend the disk, then do it again")) from None


def _unknown(call: str) -> Refused:
    return Refused(Problem(column="call", reason=f"no recording of call `{call}`", remedy="look at recordings list"))


def _film(desk: Desk, connection: Connection, call: str) -> Path:
    folder = Path(desk.site.recordings_folder)
    row = retention.one(connection, call)
    if row is not None:
        return files.located(folder, row.path)
    for film in files.in_old_folders(folder, desk.who.at_utc):
        if film.stem == call:
            return film
    raise _unknown(call)


# The run.


@operation("recordings.purge", needs="purge_recordings")
def purge(desk: Desk, request: PurgeRequest) -> dict[str, Any]:
    """Destroy a portion of what is due; `more` where the run has to be gone on with.

    Refused, with everything as it was, where the clock may be wrong.
    """
    destroyed, troubles = 0, [request.trouble] if request.trouble else []
    begun = desk.read(lambda connection: retention.begun(connection, desk.site.box))
    stuck = {each.call for each in begun}
    if request.destroyed is not None:
        begun = []  # the first portion has tried them
    try:
        due = [each for each in _old(desk) if each.standing is Standing.DUE and each.call not in stuck]
        if due and not request.clock_is_right:
            _believe_clock(desk)
    except Refused as refused:
        _note_outcome(desk, "; ".join(problem.reason for problem in refused.problems))
        raise
    failed = 0
    works: list[retention.Destruction | Item] = [*begun, *due[:PORTION]]
    for work in works:
        trouble = _destroy(desk, _begin(desk, work) if isinstance(work, Item) else work)
        destroyed += trouble == ""
        if trouble:
            failed += 1
            troubles.append(trouble)
    # Where nothing goes at all, the disk has to be mended first.
    more = len(due) > PORTION and failed < PORTION
    total = destroyed + (request.destroyed or 0)
    problem = "" if more else _close(desk, total, troubles)
    return {"destroyed": total, "more": more, "trouble": troubles[0] if troubles else "", "problem": problem}


def _believe_clock(desk: Desk) -> None:
    """What is destroyed does not come back: a clock that leapt ahead would take everything. As the trail's purge."""
    days = desk.read(lambda connection: trail.days_with_lines(connection, desk.who.at_utc, WITNESS_OF_DAYS))
    if days < WITNESS_DAYS:
        reason = f"the trail has lines of {days} of the last {WITNESS_OF_DAYS} days only: the clock may be wrong"
        remedy = "if it is right, run avisioctl recordings purge --clock-is-right; else set it. Nothing was destroyed"
        raise Refused(Problem(reason=reason, remedy=remedy))


def _old(desk: Desk) -> list[Item]:
    """Everything that is older than the limit, by the list and on the disk; oldest first."""
    now, days, box = desk.who.at_utc, desk.site.keep_days, desk.site.box
    limit = before(now, days)
    folder = Path(desk.site.recordings_folder)
    if not folder.is_dir():
        reason = f"the recordings' folder {folder} is not there"
        raise Refused(Problem(reason=reason, remedy="mount its disk, or correct recordings.folder"))

    def read(connection: Connection) -> tuple[list[retention.Listed], set[str], dict[str, Path]]:
        rows = retention.listed(connection, box, limit)
        younger = retention.proven_younger(connection, [row.call for row in rows], limit, now)
        on_disk = {film.stem: film for film in files.in_old_folders(folder, limit) if len(film.stem) <= 64}
        known = retention.with_row(connection, on_disk)
        begun = {each.call for each in retention.begun(connection, box)}
        return rows, younger, {call: film for call, film in on_disk.items() if call not in known | begun}

    rows, younger, unlisted = desk.read(read)
    items = [_item(desk, row, younger=row.call in younger) for row in rows]
    items += filter(None, (_unlisted(desk, film) for film in unlisted.values()))
    return sorted(items, key=lambda each: (each.ended_utc, each.call))


def _item(desk: Desk, row: retention.Listed, *, younger: bool) -> Item:
    film = files.located(Path(desk.site.recordings_folder), row.path)
    return _standing(desk, film, row.ended_utc, row.bytes, row.sha256, row.detainee, younger=younger)


def _unlisted(desk: Desk, film: Path) -> Item | None:
    """One that no list knows, such as after a restore; None where it is not old."""
    try:
        ended = files.end_of(film)
        octets = sum(path.stat().st_size for path in files.files_of(film)[:1])
    except OSError as error:
        logger.warning("%s cannot be looked at (%s): whether it is due is not known", film, error.strerror)
        return None
    if ended >= before(desk.who.at_utc, desk.site.keep_days):
        return None
    return _standing(desk, film, ended, octets, "", None, younger=False)


def _standing(
    desk: Desk,
    film: Path,
    ended: datetime.datetime,
    octets: int,
    digest: str,
    detainee: str | None,
    *,
    younger: bool,
) -> Item:
    trouble, held, there = "", True, True
    try:
        held, there = files.is_held(film), bool(files.files_of(film))
    except OSError as error:
        trouble = error.strerror or str(error)
    kept = Kept(call=film.stem, ended_utc=ended, held=held, there=there, younger=younger)
    return Item(
        call=film.stem,
        film=film,
        bytes=octets,
        sha256=digest,
        ended_utc=ended,
        detainee=detainee,
        standing=standing(kept, desk.who.at_utc, desk.site.keep_days),
        trouble=trouble,
    )


def _begin(desk: Desk, item: Item) -> retention.Destruction:
    begun = retention.Destruction(
        box=desk.site.box,
        path=str(item.film),
        call=item.call,
        bytes=item.bytes,
        sha256=item.sha256,
        detainee=item.detainee,
        rule=f"{desk.site.keep_days} days after the call's end",
        ended_utc=item.ended_utc,
        begun_utc=desk.who.at_utc,
    )
    desk.write(lambda connection: retention.begin(connection, begun))
    return begun


def _destroy(desk: Desk, begun: retention.Destruction) -> str | None:
    """From the second step on: what is in the way; empty where it is gone, None where it is spared after all."""
    film = Path(begun.path)
    kept = Kept(call=begun.call, ended_utc=begun.ended_utc)
    try:
        # Somebody may have put it under hold meanwhile, or raised the limit.
        wanted = standing(kept, desk.who.at_utc, desk.site.keep_days) is not Standing.KEPT
        if files.is_held(film) or (not wanted and film.exists()):
            desk.write(lambda connection: retention.spare(connection, begun))
            return None
        files.destroy(film)
    except OSError as error:
        return f"{error.filename or film}: {error.strerror or error}"

    def record(connection: Connection) -> None:
        desk.note(
            connection,
            "destroy",
            KIND,
            begun.call,
            file=begun.path,
            digest=begun.sha256,
            bytes=begun.bytes,
            detainee=begun.detainee,
            rule=begun.rule,
            ended=begun.ended_utc.isoformat(timespec="seconds"),
            begun=begun.begun_utc.isoformat(timespec="seconds"),
        )
        retention.end(connection, begun)

    desk.write(record)
    return ""


def _close(desk: Desk, destroyed: int, troubles: list[str]) -> str:
    """The end of a run: its line in the trail, its outcome on the disk; what is wrong, for who reads it."""
    left = _old(desk)
    stuck = desk.read(lambda connection: retention.begun(connection, desk.site.box))
    overdue = {each.call for each in left if each.standing in (Standing.DUE, Standing.MISSING)}
    overdue.update(each.call for each in stuck)
    held = sum(each.standing is Standing.HELD and not each.trouble for each in left)
    problem = "; ".join(_problems(left, len(stuck), troubles))
    desk.write(
        lambda connection: desk.note(
            connection, "retention", KIND, "*", destroyed=destroyed, held=held, overdue=len(overdue)
        )
    )
    _note_outcome(desk, problem, destroyed=destroyed, held=held, overdue=len(overdue), through=True)
    return problem


def _problems(left: list[Item], stuck: int, troubles: list[str]) -> Iterator[str]:
    if stuck:
        why = f" ({troubles[0]})" if troubles else ""
        yield f"{stuck} recordings could not be destroyed{why}; the next run tries it again"
    if missing := sum(each.standing is Standing.MISSING for each in left):
        yield f"{missing} recordings that are due are not where they were: avisioctl recordings due"
    if unsure := [each.trouble for each in left if each.trouble]:
        yield f"of {len(unsure)} recordings nobody can tell whether they are under hold ({unsure[0]})"


def _note_outcome(
    desk: Desk, problem: str, *, destroyed: int = 0, held: int = 0, overdue: int = 0, through: bool = False
) -> None:
    path, now = Path(desk.site.retention_file), desk.who.at_utc.isoformat()
    last = retention_record.read(path)
    if through:
        after = retention_record.Outcome(
            tried_utc=now, run_utc=now, problem=problem, destroyed=destroyed, held=held, overdue=overdue
        )
    else:
        after = msgspec.structs.replace(last, tried_utc=now, problem=problem)
    try:
        retention_record.note(path, after)
    except OSError as error:
        logger.warning("%s cannot be written (%s): metrics do not know of this run", path, error.strerror)


def _shown(desk: Desk, item: Item) -> dict[str, Any]:
    due = item.ended_utc + datetime.timedelta(days=desk.site.keep_days)
    return {
        "call": item.call,
        "ended": item.ended_utc.astimezone(desk.zone).isoformat(timespec="seconds"),
        "due": due.astimezone(desk.zone).date().isoformat(),
        "standing": item.trouble or item.standing.value,
        "bytes": item.bytes,
        "detainee": item.detainee or "",
        "file": str(item.film),
    }
