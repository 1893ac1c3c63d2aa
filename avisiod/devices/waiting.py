"""Deferreds that fire on the injected clock."""

from twisted.internet.defer import Deferred

from avisiod.clock import Clock


def wait_s(clock: Clock, seconds: float) -> Deferred[None]:
    """Fire after so many monotonic seconds; cancelling it forgets the timer."""

    def fire() -> None:
        waiting.callback(None)

    def forget(_: Deferred[None]) -> None:
        timer.cancel()

    waiting: Deferred[None] = Deferred(forget)
    timer = clock.call_at(clock.now() + seconds, fire)
    return waiting
