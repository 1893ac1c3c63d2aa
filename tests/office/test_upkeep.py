"""The trail is purged without anybody's doing, once a day, portion by portion; its failures are told and counted."""

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater

from avisiod.office import records
from avisiod.office.counter import Counter
from avisiod.office.desk import Site
from avisiod.office.upkeep import EVERY_S, FIRST_AFTER_S, Upkeep
from avisiod.ports import StoreUnavailable
from avisiod.store import trail
from avisiod.store.database import Database
from tests.steered_clock import SteeredClock

reactor: Any = _reactor
DAY = datetime.timedelta(days=1)


def write(database: Database, at: datetime.datetime) -> None:
    line = trail.Line(at_utc=at, actor="unix:clerk", action="change", kind="detainee", object="d-1")
    with database.writing() as connection:
        trail.append(connection, line)


def kept(database: Database) -> list[trail.KeptLine]:
    with database.reading() as connection:
        return trail.listed(connection)


async def idle(counter: Counter) -> None:
    """Whatever was asked is done."""
    await counter.at_desk(lambda _: None, "x", "")
    await deferLater(reactor, 0)


class Box:
    """A counter that is open, and what stands behind it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.clock = SteeredClock()
        self.clock.time = 1_800_000_000.0
        self.database: Database | None = database
        self.counter = Counter(
            reactor, self.clock, folder / "c.sock", "", Site(audit_days=365), lambda: self.database, lambda _: False
        )
        self.counter.start()
        self.upkeep = Upkeep(self.clock, self.counter)
        self.upkeep.start()


@pytest.fixture
def box(database: Database, tmp_path: Path) -> Iterator[Box]:
    box = Box(database, tmp_path)
    yield box
    box.upkeep.stop()
    pytest_twisted.blockon(box.counter.stop())


@pytest_twisted.ensureDeferred
async def test_old_lines_go_portion_by_portion_and_again_a_day_later(
    box: Box, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PORTION", 2)
    now = box.clock.utc()
    for _ in range(5):
        write(database, now - 400 * DAY)
    write(database, now - 364.5 * DAY)
    for day in range(4, 0, -1):
        write(database, now - day * DAY)
    box.clock.advance(FIRST_AFTER_S)
    for _ in range(5):
        await idle(box.counter)
    told = [line for line in kept(database) if line.action == "purge"]
    assert [(line.actor, line.details["lines"]) for line in told] == [("service", 1), ("service", 2), ("service", 2)]
    assert [line.seq for line in kept(database) if line.kind == "detainee"] == [10, 9, 8, 7, 6]
    box.clock.advance(EVERY_S)
    for _ in range(3):
        await idle(box.counter)
    assert [line.seq for line in kept(database) if line.kind == "detainee"] == [10, 9, 8, 7]


@pytest_twisted.ensureDeferred
async def test_what_keeps_it_from_being_purged_is_told_and_counted(
    box: Box, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    write(database, box.clock.utc() - 400 * DAY)
    with caplog.at_level(logging.INFO, "avisiod.office.upkeep"):
        box.clock.advance(FIRST_AFTER_S)
        await idle(box.counter)
        assert "the clock may be wrong" in caplog.text
        assert box.counter.served["refused"] == 1
        box.database = None
        box.clock.advance(EVERY_S)
        with pytest.raises(StoreUnavailable):
            await idle(box.counter)
        assert box.counter.served["failed"] == 1
    assert len(kept(database)) == 1
