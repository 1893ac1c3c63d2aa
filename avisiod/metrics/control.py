"""Metrics of the control process: its loop and its database."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from avisiod.clock import Clock, Timer

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
RELOADS = ("taken", "refused")


class ControlMetrics:
    """What the control process needs to serve at all."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._store = Gauge("avisiod_store_up", "1 when the database takes writes.", registry=registry)
        self._lag = Histogram(
            "avisiod_loop_lag_seconds",
            "How late the control loop runs what is due.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )

        self._reloads = Counter(
            "avisiod_config_reloads",
            "Settings read again upon SIGHUP: taken, or refused for what is wrong with them.",
            ["result"],
            registry=registry,
        )
        for result in RELOADS:
            self._reloads.labels(result)

    def reloaded(self, result: str) -> None:
        """Settings were read again. ValueError on a result that is not of RELOADS."""
        if result not in RELOADS:
            raise ValueError(f"{result!r} is not what becomes of a reload")
        self._reloads.labels(result).inc()

    def store_up(self, *, up: bool) -> None:
        """Whether the database takes writes."""
        self._store.set(up)

    def loop_lag(self, seconds: float) -> None:
        """Something due ran so late."""
        self._lag.observe(max(0.0, seconds))


LOOP_LOOK_S = 0.5


def watch_loop(clock: Clock, metrics: ControlMetrics) -> Callable[[], None]:
    """Measure the control loop's lag twice a second; call what is returned to stop."""
    timer: Timer | None = None
    stopped = False

    def look(due: float) -> None:
        nonlocal timer
        if stopped:
            return
        now = clock.now()
        metrics.loop_lag(now - due)
        again = now + LOOP_LOOK_S
        timer = clock.call_at(again, lambda: look(again))

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if timer is not None:
            timer.cancel()

    look(clock.now())
    return stop
