"""kill -9 of the whole daemon at any point of a call: after the restart state, ledger and trail agree, each time.

Several calls run at a time, each with its own dice, so that one kill meets each of them at another point. Moments are
counted in lines of the journal: on a slow machine as on a fast one all states are met. AVISIOD_KILL_POINTS asks for
more points than the suite's, AVISIOD_KILL_SEED for the dice of an earlier run (`make kill`).
"""

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from avisiod.calls import ledger
from avisiod.calls.ids import DetaineeId
from avisiod.store import books, trail_check
from tests.e2e.callers import PORTS, Caller
from tests.e2e.people import Person, accounts, enter
from tests.e2e.stage import ROOT, ContactEntry, PhoneEntry, Stage
from tests.peers.ports import free_range, give_back
from tests.peers.waiting import NotSeen, wait_until
from tests.peers.workers import command, workers

POINTS = int(os.environ.get("AVISIOD_KILL_POINTS", "50"))
SEED = int(os.environ.get("AVISIOD_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
PAIRS = 6
LIMIT_S = 3.0
PAID_IN = 100_000
LINES = (0, 50)
"""So many lines of the journal are let pass at least before the daemon is killed."""
EVENTS = (
    "Granted",
    "PhoneAnswered",
    "SmsAccepted",
    "CodeAccepted",
    "RecorderOpened",
    "LegFlowing",
    "WarningDue",
    "PhoneHungUp",
    "RelativeHungUp",
    "DeadlineReached",
)
"""It is killed a moment after one of these came to any call: each is as likely, however short what follows it."""
MOMENT_S = 0.05
ENDED_BY = "ended_at_start"
AVISIOCTL = "from avisiod.cli.main import main; raise SystemExit(main())"

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(120 + POINTS * 20)]

PHONES = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {n}") for n in range(1, PAIRS + 1)]
CONTACTS = [ContactEntry(f"contact-{n}", f"+3363998000{n}") for n in range(1, PAIRS + 1)]
PEOPLE = [Person(DetaineeId(f"d-{n}"), f"cell{n}", cents=PAID_IN) for n in range(1, PAIRS + 1)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    settings = {
        "site": {"admission": "full"},
        "calls": {"limit_s": LIMIT_S, "warnings_s": [1.5], "shortest_s": 1.0},
        "media": {"workers": 1, "transcoded_calls": 0},
    }
    with Stage(tmp_path, settings=settings, phones=PHONES, contacts=CONTACTS) as stage:
        enter(stage, PEOPLE)
        yield stage


def test_a_daemon_that_is_killed_at_any_point_of_its_calls_is_consistent_after_each_restart(stage: Stage) -> None:
    sys.stdout.write(f"AVISIOD_KILL_SEED={SEED}\n")
    dice = random.Random(SEED)
    first, _ = free_range(PAIRS * PORTS)
    met: collections.Counter[str] = collections.Counter()
    while met.total() < POINTS:
        callers = [
            Caller(stage, phone.user, contact, first + PORTS * n, random.Random(dice.random()))
            for n, (phone, contact) in enumerate(zip(PHONES, CONTACTS, strict=True))
        ]
        before = accounts(stage)
        kept = killed_amid(stage, callers, dice)
        stage.start_daemon()
        found = Found(stage)
        assert found.wrong(kept) == []
        assert list(paid_too_much(callers, before, accounts(stage))) == []
        met.update(found.states_at_death(kept))
    give_back(first)
    assert audit_verify(stage) == ""
    sys.stdout.write(f"points: {dict(met)}\n")
    assert {"waiting", "joining", "connected"} <= set(met), "the points were not spread over the calls"


def killed_amid(stage: Stage, callers: Sequence[Caller], dice: random.Random) -> dict[str, Any]:
    """Let them call, kill the daemon at a random moment; what was in the database just before."""
    begun, event = newest(stage) + dice.randint(*LINES), dice.choice(EVENTS)
    for caller in callers:
        caller.start()

    def come() -> bool:
        broke = [caller.broke for caller in callers if caller.broke]
        if broke:
            raise NotSeen(f"a caller broke: {broke}; {stage.journal()[-20:]}")
        return bool(stage.rows("select id from events where id > ? and event = ? limit 1", begun, event))

    wait_until(come, 120, f"{event} after line {begun} of the journal", 0.01)
    until = time.monotonic() + dice.uniform(0.0, MOMENT_S)
    wait_until(lambda: time.monotonic() >= until, 10, "a moment passes", 0.002)
    kept = {"calls": stage.calls(), "journal": stage.journal(), "booked": booked(stage)}
    left = workers(stage.daemon.pid)
    os.kill(stage.daemon.pid, signal.SIGKILL)
    for caller in callers:
        caller.stop()
    for caller in callers:
        caller.join(30)
        assert not caller.is_alive(), caller.name
    # As systemd does: the next start waits until the last process of the old one has hung up, sealed and ended.
    wait_until(lambda: not any(command(pid) for pid in left), 60, "its workers have ended")
    return kept


def newest(stage: Stage) -> int:
    return int(stage.rows("select coalesce(max(id), 0) as n from events")[0]["n"])


def booked(stage: Stage) -> list[dict[str, Any]]:
    return stage.rows("select * from ledger_transactions order by key")


class Found:
    """What is in the database after a restart, before anybody calls."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.calls = {row["id"]: row for row in stage.calls()}
        self.journal = stage.journal()
        self.booked = booked(stage)
        self.of: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        for line in self.journal:
            self.of[line["call"]].append(line)

    def states_at_death(self, kept: dict[str, Any]) -> list[str]:
        """Of the calls that this restart had to end, in which state each was."""
        known = {line["id"] for line in kept["journal"] if line["event"] == ENDED_BY}
        ended = [line for line in self.journal if line["event"] == ENDED_BY and line["id"] not in known]
        return [self.of[line["call"]][-2]["state"] for line in ended]

    def wrong(self, kept: dict[str, Any]) -> list[str]:
        """Everything that does not agree, in sentences."""
        wrong = [text for call in self.calls.values() for text in self._wrong_of(call)]
        wrong += [f"{call} has a journal and no row" for call in self.of if call not in self.calls]
        wrong += self._forgotten(kept)
        wrong += self._books_and_trail()
        return wrong

    def _wrong_of(self, row: dict[str, Any]) -> Iterator[str]:
        """Row, journal and ledger of one call."""
        call, journal = row["id"], self.of[row["id"]]
        states = [line["state"] for line in journal]
        if row["state"] != "ended" or not states or states[-1] != "ended":
            yield f"{call} is {row['state']}, its journal {states}"
            return
        first = states.index("ended")
        ending = journal[first]
        if set(states[first:]) != {"ended"} or [line["event"] for line in journal[first + 1 :]].count(ENDED_BY):
            yield f"{call} ended twice: {[(line['event'], line['state']) for line in journal]}"
        if ending["details"]["reason"] != row["end_reason"]:
            yield f"{call} ended as {row['end_reason']}, by its journal as {ending['details']['reason']}"
        if (row["end_reason"] == "service_restarted") is not (ending["event"] == ENDED_BY):
            yield f"{call} ended as {row['end_reason']} by {ending['event']}"
        if row["connected_s"] > seconds_connected(journal) + 0.001:
            yield f"{call} says {row['connected_s']} s, its journal {seconds_connected(journal)}"
        charge = int(row["connected_s"]) if row["charged"] else 0  # a cent a second, begun ones are dropped
        if row["charge_cents"] != charge or (row["charged"] and row["end_reason"] == "service_restarted"):
            yield f"{call} costs {row['charge_cents']} for {row['connected_s']} s as {row['end_reason']}"
        yield from self._booked_of(row)

    def _booked_of(self, row: dict[str, Any]) -> Iterator[str]:
        keys = sorted(entry["key"] for entry in self.booked if entry["call"] == row["id"])
        wanted = [f"hold:{row['id']}", f"settle:{row['id']}"] if row["hold_cents"] else []
        if keys != wanted:
            yield f"{row['id']} holds {row['hold_cents']} cents and booked {keys}"
        paid = self.stage.rows(
            "select coalesce(sum(cents), 0) as cents from ledger_postings where account = ? and transaction_key = ?",
            ledger.REVENUE,
            f"settle:{row['id']}",
        )[0]["cents"]
        if paid != row["charge_cents"]:
            yield f"{row['id']} costs {row['charge_cents']} cents and paid {paid}"

    def _forgotten(self, kept: dict[str, Any]) -> Iterator[str]:
        """What was committed before the death is there, as it was."""
        lines_now = {line["id"]: line for line in self.journal}
        yield from (f"lost: {line}" for line in kept["journal"] if lines_now.get(line["id"]) != line)
        yield from (f"lost: {entry}" for entry in kept["booked"] if entry not in self.booked)
        for row in kept["calls"]:
            if row["id"] not in self.calls or (row["state"] == "ended" and self.calls[row["id"]] != row):
                yield f"{row} became {self.calls.get(row['id'])}"

    def _books_and_trail(self) -> Iterator[str]:
        with contextlib.closing(create_engine(f"sqlite:///{self.stage.database}").connect()) as connection:
            yield from books.check(connection)
            verdict = trail_check.verify(connection)
        if verdict.problem:
            yield f"the trail: {verdict.problem}"
        kept = accounts(self.stage)
        if sum(kept.values()):
            yield f"the accounts sum to {sum(kept.values())}"
        for person in PEOPLE:
            cost = sum(row["charge_cents"] for row in self.calls.values() if row["detainee"] == person.id)
            own, held = kept[ledger.account_of(person.id)], kept.get(ledger.held_of(person.id), 0)
            if (own, held) != (PAID_IN - cost, 0):
                yield f"{person.id} has {own} cents and {held} held after calls for {cost}"


def seconds_connected(journal: Sequence[dict[str, Any]]) -> float:
    """How long a call was connected, by the moments and states of its journal."""
    total, since = 0.0, None
    for line in journal:
        if since is not None and line["state"] != "connected":
            total, since = total + line["at_monotonic"] - since, None
        elif since is None and line["state"] == "connected":
            since = line["at_monotonic"]
    return min(total, LIMIT_S)


def audit_verify(stage: Stage) -> str:
    """What avisioctl finds wrong, by the daemon that runs: the same check as after each start, as staff see it."""
    done = subprocess.run(
        [sys.executable, "-c", AVISIOCTL, "--config", stage.config_file, "audit", "verify"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr if done.returncode else ""


def paid_too_much(callers: Sequence[Caller], before: dict[str, int], after: dict[str, int]) -> Iterator[str]:
    """Nobody paid for more seconds than lay between the codes that were typed and the ends that were seen."""
    for caller, person in zip(callers, PEOPLE, strict=True):
        account = ledger.account_of(person.id)
        paid = before[account] - after[account]
        met = sum(meeting.over_at - meeting.joined_at for meeting in caller.meetings)
        if not 0 <= paid <= met:
            yield f"{person.id} paid {paid} cents for meetings of {met:.1f} s in all"
