"""Metrics of calls: how many, how they were set up, how they ended."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from avisiod.calls.call import State
from avisiod.calls.reasons import EndReason

SETUP_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300)

STAGES = ("sms", "code", "join")
"""Of setting up: dialled to SMS accepted, SMS accepted to code accepted, code accepted to connected."""
PIN_ANSWERS = ("right", "wrong", "locked")


class CallMetrics:
    """Every series is there from the start: a rate over one that appears with its first event misses it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Gauge("avisiod_calls", "Calls by state.", ["state"], registry=registry)
        self._ended = Counter(
            "avisiod_calls_ended", "Ended calls by reason, and who caused it.", ["reason", "cause"], registry=registry
        )
        self._connected = Counter(
            "avisiod_connected_seconds", "Time in which both parties saw and heard each other.", registry=registry
        )
        self._capacity = Gauge("avisiod_calls_capacity", "Calls at once that are allowed.", registry=registry)
        self._setup = Histogram(
            "avisiod_setup_seconds",
            "Stages of setting up: sms (dialled to accepted by the network), code (to typed), join (to connected).",
            ["stage"],
            buckets=SETUP_BUCKETS,
            registry=registry,
        )
        self._codes = Counter(
            "avisiod_codes_tried", "Codes that were typed, by answer.", ["answer"], registry=registry
        )
        self._pins = Counter(
            "avisiod_pins_tried",
            "Identifiers and PINs that were typed on shared phones.",
            ["answer"],
            registry=registry,
        )
        self._unpriced = Counter(
            "avisiod_calls_unpriced",
            "Calls that are free because no tariff is set for their class.",
            registry=registry,
        )
        for state in State:
            self._calls.labels(state.value)
        for reason in EndReason:
            self._ended.labels(reason.value, reason.cause.value)
        for stage in STAGES:
            self._setup.labels(stage)
        for answer in PIN_ANSWERS:
            self._pins.labels(answer)

    def moved(self, before: State | None, after: State) -> None:
        """A call changed its state; `before` is None for a new one. An ended one leaves the gauge."""
        if before is not None:
            self._calls.labels(before.value).dec()
        if after is not State.ENDED:
            self._calls.labels(after.value).inc()

    def ended(self, reason: EndReason, connected_s: float) -> None:
        """A call ended."""
        self._ended.labels(reason.value, reason.cause.value).inc()
        self._connected.inc(max(0.0, connected_s))

    def stage(self, name: str, seconds: float) -> None:
        """A stage of STAGES took so long. ValueError on another name: labels are a closed list."""
        if name not in STAGES:
            raise ValueError(f"{name!r} is not a stage of setting up")
        self._setup.labels(name).observe(max(0.0, seconds))

    def capacity(self, calls: int) -> None:
        """So many calls at once are allowed."""
        self._capacity.set(calls)

    def code_tried(self, answer: str) -> None:
        """A code was typed; `answer` as in `calls.invitation.Answer` (right, wrong, expired, …)."""
        self._codes.labels(answer).inc()

    def pin_tried(self, answer: str) -> None:
        """Somebody said who they are; `answer` is one of PIN_ANSWERS."""
        self._pins.labels(answer).inc()

    def unpriced(self) -> None:
        """A call is free for want of a tariff."""
        self._unpriced.inc()
