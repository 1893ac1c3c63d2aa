"""A steered clock, a software modem behind a real serial port, and a watch over every log record."""

import asyncio
import datetime
import logging
from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from avisiod.config import sms
from avisiod.devices.modem import Modem
from avisiod.devices.pdu import semi_octets
from avisiod.ports import Sms
from tests.peers.modem import SoftModem

NUMBER = "+33698765432"
CODE = "483920"
PIN = "73519264"
TEXT = f"Avisio : votre code {CODE}\n@visio.example #{CODE}"
SECRETS = (NUMBER[1:], NUMBER[-9:], CODE, PIN, semi_octets(NUMBER[1:]).hex().upper(), "votre code")
PATIENCE_S = 10.0


class SteeredClock:
    """Time stands still until a test lets it pass."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._due: list[_Timer] = []

    def now(self) -> float:
        return self._now

    def utc(self) -> datetime.datetime:
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=self._now)

    def call_at(self, due: float, function: Callable[[], None]) -> "_Timer":
        timer = _Timer(due, function)
        self._due.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, timers firing in order at their own time."""
        end = self._now + seconds
        while ready := [t for t in self._due if not t.cancelled and t.due <= end]:
            first = min(ready, key=lambda t: t.due)
            self._due.remove(first)
            self._now = max(self._now, first.due)
            first.function()
        self._now = end
        self._due = [t for t in self._due if not t.cancelled]

    @property
    def pending(self) -> int:
        return sum(not t.cancelled for t in self._due)


class _Timer:
    def __init__(self, due: float, function: Callable[[], None]) -> None:
        self.due = due
        self.function = function
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def until(condition: Callable[[], object], what: str, *, clock: SteeredClock | None = None, step: float = 0.0):
    """Fire when `condition` holds; while it does not, let the steered clock go on by `step` at every look."""
    loop = asyncio.get_event_loop()
    done: Deferred[None] = Deferred()
    end = loop.time() + PATIENCE_S

    def look() -> None:
        if done.called:
            return
        if condition():
            done.callback(None)
        elif loop.time() > end:
            done.errback(AssertionError(f"did not come: {what}"))
        else:
            if clock is not None and step:
                clock.advance(step)
            loop.call_later(0.004, look)

    look()
    return done


class Bench:
    """A daemon's modem and the software modem that it talks to."""

    def __init__(self, tmp_path, **options) -> None:
        self.folder = tmp_path
        self.clock = SteeredClock()
        self.soft = SoftModem(tmp_path / "modem", **options)
        self.states = []
        self.reports = []
        self.modem: Modem | None = None

    def start(self, **settings) -> Modem:
        from twisted.internet import reactor  # only once pytest-twisted has installed it

        settings = {"device": str(self.soft.link), "pin_mark_file": str(self.folder / "mark")} | settings
        self.modem = Modem(
            sms.Modem(**settings),
            self.clock,
            reactor,
            changed=self.states.append,
            reported=self.reports.append,
            jitter=lambda: 0.5,
        )
        self.modem.start()
        return self.modem

    def ready(self):
        return self.until(lambda: self.modem.state.usable, "a usable modem", step=0.01)

    def until(self, condition, what, step=0.0):
        return until(condition, what, clock=self.clock, step=step)

    def sms(self, **changes) -> Sms:
        values = {"id": "sms-1", "number": NUMBER, "text": TEXT, "valid_s": 300.0}
        return Sms(**(values | {"give_up_at": self.clock.now() + 60} | changes))

    def close(self) -> None:
        if self.modem is not None:
            self.modem.stop()
        self.soft.close()


@pytest.fixture
def bench(tmp_path):
    benches = []

    def make(*, plugged: bool = True, folder: str = "", **options) -> Bench:
        bench = Bench(tmp_path / folder, **options)
        benches.append(bench)
        if plugged:
            bench.soft.plug()
        return bench

    yield make
    for bench in benches:
        bench.close()
        assert bench.clock.pending == 0, "a stopped modem leaves timers"


@pytest.fixture(autouse=True)
def nothing_leaks(caplog):
    """No log record, of ours or of Twisted's, at any level, holds a number, a code, a PIN or a PDU; none is lost."""
    caplog.set_level(logging.DEBUG)
    twisted = []
    globalLogPublisher.addObserver(twisted.append)
    yield
    globalLogPublisher.removeObserver(twisted.append)
    formatter = logging.Formatter()
    said = [formatter.format(r) + repr(r.args) for when in ("setup", "call") for r in caplog.get_records(when)]
    said += [(formatEvent(e) or "") + str(e.get("log_failure", "")) for e in twisted]
    for text in said:
        for secret in SECRETS:
            assert secret.upper() not in text.upper(), "a secret was logged"
    assert not [text for text in said if "Unhandled" in text]
