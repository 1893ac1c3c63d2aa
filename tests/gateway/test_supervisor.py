"""Workers are spawned, spoken to, and started again when they die or hang; failures tell what happened."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod.clock import Clock, SystemClock
from avisiod.gateway import supervisor, wire
from avisiod.gateway.media_gateway import shares
from avisiod.gateway.supervisor import Worker, WorkerLost
from tests.steered_clock import SteeredClock


class Watched:
    """A worker and what its owner was told."""

    def __init__(self, settings: bytes = b"{}", clock: Clock | None = None) -> None:
        self.ups: list[Deferred[None]] = [Deferred(), Deferred()]
        self.downs = 0
        self.hopeless: Deferred[wire.WorkerError] = Deferred()
        self.times_up = 0
        self.worker = Worker(
            reactor,
            clock or SystemClock(asyncio.get_event_loop()),
            "tests.gateway.a_worker",
            settings,
            amp.AMP,
            on_up=self.up,
            on_down=self.down,
            on_hopeless=self.hopeless.callback,
        )

    def up(self) -> None:
        self.times_up += 1
        if self.times_up <= len(self.ups):
            self.ups[self.times_up - 1].callback(None)

    def down(self) -> None:
        self.downs += 1


@pytest_twisted.async_yield_fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    watched.worker.start()
    await watched.ups[0]
    yield watched
    await watched.worker.stop()


@pytest_twisted.ensureDeferred
async def test_an_error_of_the_boundary_arrives_as_itself(watched: Watched) -> None:
    with pytest.raises(wire.NoSuchCall, match="abc is unknown"):
        await watched.worker.call(wire.HangUp, sip_call="abc", status=200, reason="x")


@pytest_twisted.ensureDeferred
async def test_a_worker_that_dies_is_started_again_and_its_owner_told(watched: Watched) -> None:
    first = watched.worker.pid
    with pytest.raises(WorkerLost):
        await watched.worker.call(wire.HangUp, sip_call="abc", status=200, reason="die")
    await watched.ups[1]
    assert watched.downs == 1
    assert watched.worker.restarts == 1
    assert watched.worker.pid not in (None, first)
    await watched.worker.call(wire.Ping)


@pytest_twisted.ensureDeferred
async def test_a_worker_that_hangs_is_killed_and_started_again(watched: Watched) -> None:
    with pytest.raises(WorkerLost):
        await watched.worker.call(wire.HangUp, sip_call="abc", status=200, reason="hang")
    await watched.ups[1]
    assert watched.downs == 1


@pytest_twisted.ensureDeferred
async def test_a_worker_that_somebody_stops_goes_on_and_loses_nothing(watched: Watched) -> None:
    pid = watched.worker.pid
    with pytest.raises(wire.NoSuchCall):  # it stops itself before it answers
        await watched.worker.call(wire.HangUp, sip_call="abc", status=200, reason="stop").addTimeout(30, reactor)
    assert (watched.worker.pid, watched.downs) == (pid, 0)


@pytest_twisted.ensureDeferred
async def test_a_worker_that_stays_stopped_is_killed_and_started_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_it = watched.worker._signal
    monkeypatch.setattr(
        watched.worker, "_signal", lambda which: None if which == signal.SIGCONT else signal_it(which)
    )
    monkeypatch.setattr(supervisor, "PING_WITHIN_S", 1000.0)
    with pytest.raises(WorkerLost):
        await watched.worker.call(wire.HangUp, sip_call="abc", status=200, reason="stop")
    await watched.ups[1]
    assert watched.downs == 1


@pytest_twisted.ensureDeferred
async def test_a_worker_is_not_killed_for_a_delay_of_our_own() -> None:
    clock = SteeredClock()
    watched = Watched(clock=clock)
    watched.worker.start()
    await watched.ups[0]
    await watched.worker.call(wire.Ping)
    pid = watched.worker.pid
    clock.advance(supervisor.PING_EVERY_S)
    clock.advance(60)  # and the reactor has not turned since the question
    await watched.worker.call(wire.Ping)
    assert (watched.worker.pid, watched.downs) == (pid, 0)
    await watched.worker.stop()


@pytest_twisted.ensureDeferred
async def test_a_worker_that_is_stopped_stays_stopped() -> None:
    watched = Watched()
    watched.worker.start()
    await watched.ups[0]
    await watched.worker.stop()
    assert watched.worker.pid is None
    assert watched.worker.restarts == 0
    with pytest.raises(WorkerLost, match="not running"):
        await watched.worker.call(wire.Ping)


@pytest_twisted.ensureDeferred
async def test_a_worker_may_be_stopped_by_its_owner_at_the_news_of_its_end() -> None:
    seen_to: Deferred[Exception | None] = Deferred()

    class Stopper(Watched):
        def down(self) -> None:
            super().down()
            self.worker.stop()

    watched = Stopper()
    ended = watched.worker._ended

    def guarded(reason: Failure) -> None:
        try:
            ended(reason)
        except Exception as error:
            seen_to.callback(error)
        else:
            seen_to.callback(None)

    watched.worker._ended = guarded  # type: ignore[method-assign]
    watched.worker.start()
    await watched.ups[0]
    watched.worker.kill("the test wants it")
    assert await seen_to is None
    assert watched.times_up == 1


@pytest_twisted.ensureDeferred
async def test_a_worker_that_refuses_its_settings_is_told_of_once() -> None:
    watched = Watched(b"refuse")
    watched.worker.start()
    error = await watched.hopeless
    assert "settings refused" in str(error)
    assert watched.times_up == 0
    await watched.worker.stop()


@pytest_twisted.ensureDeferred
async def test_a_worker_that_hangs_over_its_settings_is_killed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CONFIGURED_WITHIN_S", 0.5)
    monkeypatch.setattr(supervisor, "TRIES", 1)
    watched = Watched(b"hang")
    watched.worker.start()
    error = await watched.hopeless.addTimeout(10, reactor)
    assert isinstance(error, WorkerLost)
    await watched.worker.stop()


@pytest_twisted.ensureDeferred
async def test_a_value_too_long_for_the_boundary_fails_alone(watched: Watched) -> None:
    with pytest.raises(wire.WorkerError, match="65,535"):
        await watched.worker.call(wire.HangUp, sip_call="x" * 70_000, status=200, reason="x")
    await watched.worker.call(wire.Ping)


@pytest.mark.parametrize(
    ("first", "last", "workers", "expected"),
    [
        (30000, 30999, 2, [(30000, 30499), (30500, 30999)]),
        (30000, 30005, 2, [(30000, 30001), (30002, 30003)]),
    ],
)
def test_each_worker_has_its_own_even_share_of_the_ports(
    first: int, last: int, workers: int, expected: list[tuple[int, int]]
) -> None:
    assert shares(first, last, workers) == expected


def test_a_port_range_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="too few for 4 workers"):
        shares(30000, 30005, 4)
