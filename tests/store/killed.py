"""A call whose process is killed at a given step, many times over: run as a program by test_kill.py.

Each round is a process of its own that plays one call and kills itself after so many statements; then the database
is opened again as the daemon does at its start, and looked at.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event, select, text

from avisiod.calls import ledger
from avisiod.calls.ids import CallId
from avisiod.calls.reasons import EndReason
from avisiod.ports import CallRecord, InvitationRecord, InvitationSpent, StoreRefused
from avisiod.store import books, calls, database, events, opening, progress, trail_check
from avisiod.store.schema import calls as calls_table
from tests.store.people import ANNA, paid_call, pay_in, settle_in
from tests.store.records import after, entry

STEPS = (
    "Dialled",
    "Granted",
    "SmsAccepted",
    "CodeAccepted",
    "LegFlowing",
    "WarningDue",
    "DeadlineReached",
    "FarewellOver",
)


def played(name: CallId) -> list[tuple[CallRecord, Any, tuple[Any, ...]]]:
    """A call from dialling to its end, for 2 begun minutes at 15 cents."""
    invitation = InvitationRecord(call=name, hash="a" * 64, issued_utc=after(2))
    spent = InvitationSpent(call=name, at_utc=after(30))
    talk: dict[str, Any] = {"of": name, "connected_utc": after(40)}
    ended = paid_call("ended", connected_s=61.5, end_reason=EndReason.LIMIT_REACHED, **talk)
    records: list[tuple[CallRecord, tuple[Any, ...]]] = [
        (paid_call("dialled", of=name, hold=0, tariff=None), ()),
        (paid_call("inviting", of=name), (invitation,)),
        (paid_call("waiting", of=name), ()),
        (paid_call("joining", of=name), (spent,)),
        (paid_call("connected", **talk), ()),
        (paid_call("connected", connected_s=50.0, **talk), ()),
        (ended, ()),
        (ended, ()),
    ]
    return [
        (record, entry(step, of=name, seconds=place * 10), kept)
        for place, (step, (record, kept)) in enumerate(zip(STEPS, records, strict=True))
    ]


def play(where: str, name: CallId, die_after: int) -> None:
    """Play one call; SIGKILL to ourselves at that statement, BEGIN and COMMIT counted as well."""
    opened = opening.open_database(Path(where) if where.startswith("/") else where)
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    for what in ("begin", "commit"):
        event.listen(opened._engine, what, count)
    for what in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(opened._engine, what, count)
    for record, line, kept in played(name):
        with opened.writing() as connection:
            progress.save(connection, record, line, *kept)
    os.write(3, b"%d" % seen)


def restarted(where: str, name: CallId) -> dict[str, Any]:
    """What the next start finds, after it has ended what was open; and what a late retry of the end does."""
    opened = opening.open_database(Path(where) if where.startswith("/") else where)
    try:
        with opened.writing() as connection:
            progress.end_open(connection, EndReason.SERVICE_RESTARTED, after(999), 5.0)
        retried = _retry(opened, name)
        with opened.reading() as connection:
            record = calls.get(connection, name)
            journal = events.of(connection, name)
            keys = connection.scalars(
                text("SELECT key FROM ledger_transactions WHERE call = :call"), {"call": name}
            ).all()
            still_open = connection.scalars(select(calls_table.c.id).where(calls_table.c.state != "ended")).all()
            return {
                "state": None if record is None else record.state,
                "charge": None if record is None else record.charge_cents,
                "reason": record.end_reason.value if record is not None and record.end_reason else None,
                "journal": [(line.event, line.state) for line in journal],
                "keys": sorted(keys),
                "open": list(still_open),
                "balance": books.balance(connection, ledger.account_of(ANNA)),
                "held": books.balance(connection, ledger.held_of(ANNA)),
                "revenue": books.balance(connection, ledger.REVENUE),
                "books": books.check(connection),
                "trail": trail_check.verify(connection).problem,
                "retried": retried,
            }
    finally:
        opened.close()


def _retry(opened: database.Database, name: CallId) -> str:
    """The end comes again, as from a client that never heard of its success."""
    record, line, _ = played(name)[-1]
    try:
        with opened.writing() as connection:
            if calls.get(connection, name) is None:
                return "unknown"
            progress.save(connection, record, line)
    except opened.errors as error:
        return type(opened.explained(error)).__name__
    except StoreRefused:
        return "StoreRefused"
    return "taken"


def prepare(where: str) -> None:
    """People, and money for many calls."""
    opened = opening.open_database(Path(where) if where.startswith("/") else where)
    with opened.writing() as connection:
        settle_in(connection)
        pay_in(connection, 100_000)
    opened.close()


def in_child(work: Any, *arguments: Any) -> tuple[int, bytes]:
    """In a process of its own: how it ended, and what it told."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(tell, 3)
        try:
            work(*arguments)
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        said = pipe.read()
    return os.waitpid(pid, 0)[1], said


def tell(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def main() -> None:
    where, points = sys.argv[1], json.loads(sys.argv[2])
    status, _ = in_child(prepare, where)
    assert status == 0
    status, said = in_child(play, where, CallId("whole"), 0)
    assert status == 0
    steps = int(said)
    tell({"steps": steps, **restarted(where, CallId("whole"))})
    for number, share in enumerate(points):
        name = CallId(f"call-{number}")
        at = 1 + int(share * steps)
        status, _ = in_child(play, where, name, at)
        assert os.WIFSIGNALED(status), (at, steps)
        assert os.WTERMSIG(status) == signal.SIGKILL
        tell({"at": at, **restarted(where, name)})


if __name__ == "__main__":
    main()
