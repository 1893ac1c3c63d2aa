"""Asks phones, each in its turn: whether they are there, by day and night; whether they answer a call, at night.

A phone in a call is never asked anything: what it does is known, and nothing may disturb it.
"""

import datetime
import logging
import zoneinfo
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import Answered, Missed
from avisiod.clock import Clock, Timer
from avisiod.config.phones import Health as Settings
from avisiod.devices.mistakes import described
from avisiod.devices.phones.edge_client import Answer, EdgeSilent
from avisiod.devices.phones.keeper import Kept, PhoneKeeper
from avisiod.devices.phones.vendors import Vendor, vendors

_log = logging.getLogger(__name__)

AT_ONCE = 50
"""Questions under way at most."""
LEAST_S = 0.02
"""Between two questions: 50 a second, whatever the settings say."""
IDLE_S = 5.0
TEST_EVERY_S = 5.0


class Edge(Protocol):
    """edge_client.EdgeClient."""

    async def options(self, phone: PhoneId) -> Answer:
        """Whether the phone is there."""

    async def check_sync(self, phone: PhoneId, event: str) -> Answer:
        """Have it fetch its settings."""

    async def test_call(self, phone: PhoneId) -> Answer:
        """Call it so that it answers by itself."""


class Counts(Protocol):
    """metrics.phones.PhoneMetrics."""

    def asked(self, result: str) -> None:
        """A phone was asked."""

    def tested(self, result: str) -> None:
        """A test call is over."""


class PhoneAsker:
    """Asks all phones of a keeper. For the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        edge: Edge,
        keeper: PhoneKeeper,
        counts: Counts,
        settings: Settings,
        in_call: Callable[[PhoneId], bool],
        time_zone: str,
    ) -> None:
        self._clock = clock
        self._edge = edge
        self._keeper = keeper
        self._counts = counts
        self._settings = settings
        self._in_call = in_call
        self._zone = zoneinfo.ZoneInfo(time_zone)
        self._queue: list[PhoneId] = []
        self._asking: set[PhoneId] = set()
        self._tested: dict[PhoneId, datetime.date] = {}
        """Phones by the night of their last test."""
        self._testing = False
        self._passed = False
        """Whether the latest test was."""
        self._timers: dict[str, Timer] = {}

    def start(self) -> None:
        """Begin."""
        if self._settings.ask_every_s:
            self._later("ask", IDLE_S, self._ask_next)
        self._later("test", TEST_EVERY_S, self._test_next)

    def stop(self) -> None:
        """Ask no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def check_sync(self, phone: PhoneId, *, reboot: bool) -> bool:
        """Have a phone fetch its settings, with a restart or without.

        False, and it was not asked, while it is in a call, or where no such word of its vendor is known. EdgeSilent.
        """
        kept = self._keeper.phones.get(phone)
        vendor = vendors().get(kept.device.vendor) if kept is not None else None
        event = (vendor.reboot if reboot else vendor.reload) if vendor is not None else ""
        if not event or self._in_call(phone):
            return False
        return (await self._edge.check_sync(phone, event)).taken

    async def told(self, phone: PhoneId, *, reboot: bool) -> str:
        """`check_sync` for a person: empty where the phone took it, else why not. KeyError: no such phone."""
        kept = self._keeper.phones[phone]
        vendor = vendors().get(kept.device.vendor)
        event = (vendor.reboot if reboot else vendor.reload) if vendor is not None else ""
        if not event:
            return "its vendor is not known, or knows no such word"
        if self._in_call(phone):
            return "it is in a call"
        try:
            answer = await self._edge.check_sync(phone, event)
        except EdgeSilent as error:
            return str(error)
        if answer.taken:
            return ""
        return f"it answered {answer.status}" if answer.by_phone else "it is not registered, or silent"

    async def tested(self, phone: PhoneId) -> str:
        """A test call now, for a person: empty where the phone answered by itself, else why not. KeyError."""
        kept = self._keeper.phones[phone]
        vendor = vendors().get(kept.device.vendor)
        if vendor is None or not vendor.auto_answer:
            return "it is not known to answer by itself"
        if self._in_call(phone) or self._testing:
            return "it is in a call" if self._in_call(phone) else "another test is under way"
        await self._test(phone)
        return "" if self._passed else "it did not answer by itself; its events say how"

    def _later(self, name: str, seconds: float, do: Callable[[], None]) -> None:
        self._timers[name] = self._clock.call_at(self._clock.now() + seconds, do)

    # Whether it is there.

    def _ask_next(self) -> None:
        phones = self._keeper.phones
        if not self._queue:
            self._queue = [name for name, kept in phones.items() if kept.health.registered]
        pause = max(LEAST_S, self._settings.ask_every_s / len(phones)) if self._queue else IDLE_S
        if self._queue and len(self._asking) < AT_ONCE:
            phone = self._queue.pop()
            kept = phones.get(phone)
            if kept is not None and kept.health.registered and not self._in_call(phone):
                run(self._ask(phone))
        self._later("ask", pause, self._ask_next)

    async def _ask(self, phone: PhoneId) -> None:
        if phone in self._asking:
            return
        self._asking.add(phone)
        try:
            answer = await self._edge.options(phone)
        except EdgeSilent:
            self._counts.asked("unknown")
            return
        finally:
            self._asking.discard(phone)
        if answer.by_phone and answer.status != 403:
            self._counts.asked("answered")
            self._keeper.answered(phone, Answered())
        elif answer.status in (404, 403):
            # Not registered any more, or the edge was started anew and does not know our key yet: that says nothing.
            self._counts.asked("unknown")
        else:
            self._counts.asked("missed")
            self._keeper.seen(phone, Missed())

    # Whether it answers a call.

    def night(self, utc: datetime.datetime) -> datetime.date | None:
        """The day on which the window for tests began that holds now; None outside of it."""
        local = utc.astimezone(self._zone)
        begins, ends = _time(self._settings.self_test_begins), _time(self._settings.self_test_ends)
        now = local.time().replace(second=0, microsecond=0)
        if begins < ends:
            return local.date() if begins <= now < ends else None
        if now >= begins:
            return local.date()
        return local.date() - datetime.timedelta(days=1) if now < ends else None

    def _test_next(self) -> None:
        self._later("test", TEST_EVERY_S, self._test_next)
        night = self.night(self._clock.utc())
        if night is None or self._testing:
            return
        for phone, kept in self._keeper.phones.items():
            if self._tested.get(phone) != night and self._may_test(phone, kept):
                self._tested[phone] = night
                run(self._test(phone))
                return

    def _may_test(self, phone: PhoneId, kept: Kept) -> bool:
        vendor: Vendor | None = vendors().get(kept.device.vendor)
        wanted = kept.device.self_test and vendor is not None and vendor.auto_answer
        return wanted and kept.health.registered and not self._in_call(phone)

    async def _test(self, phone: PhoneId) -> None:
        self._testing, self._passed = True, False
        try:
            answer = await self._edge.test_call(phone)
        except EdgeSilent:
            self._tested.pop(phone, None)  # nothing was learnt: again in its turn
            return
        finally:
            self._testing = False
        if answer.status in (403, 404, 486, 600, 603):
            # Not our key yet, not registered, or somebody holds the receiver: not a sign of a fault.
            self._keeper.note(phone, "self_test_unknown", {"status": str(answer.status)})
            return
        self._passed = passed = answer.taken
        self._counts.tested("passed" if passed else "failed")
        self._keeper.note(phone, "self_test_passed" if passed else "self_test_failed", {"status": str(answer.status)})
        if passed:
            self._keeper.answered(phone, Answered())
        else:
            _log.warning("phone %s did not answer a test call by itself (status %d)", phone, answer.status)


def _time(text: str) -> datetime.time:
    return datetime.time.fromisoformat(text)


def run(work: Coroutine[Deferred[Any], Any, None]) -> None:
    """Let a coroutine go; what nobody foresaw is told in the log."""
    Deferred.fromCoroutine(work).addErrback(_failed)


def _failed(failure: Failure) -> None:
    cause = failure.value
    _log.error("a question to a phone failed: %s", described(cause) if cause is not None else "for no reason told")
