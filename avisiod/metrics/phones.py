"""Metrics of phones as devices."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

STATES = ("tampered", "rebooting", "unregistered", "silent", "wrong_firmware", "up", "never_seen")
EVENTS = (
    "booted",
    "registered",
    "off_hook",
    "on_hook",
    "call_started",
    "call_ended",
    "tamper",
    "over_temperature",
    "log",
)
QUESTIONS = ("answered", "missed", "unknown")
TESTS = ("passed", "failed")
STEPS = ("waiting", "asked", "done", "failed")


class PhoneMetrics:
    """How the phones are, and what they said."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._states = Gauge("avisiod_phone_states", "Listed phones by their health.", ["state"], registry=registry)
        self._changes = Counter(
            "avisiod_phone_state_changes", "Phones whose health became this.", ["state"], registry=registry
        )
        self._events = Counter(
            "avisiod_phone_events", "What phones told of themselves.", ["event"], registry=registry
        )
        self._questions = Counter(
            "avisiod_phone_questions",
            "Phones asked whether they are there: answered, missed, or unknown where the edge said nothing.",
            ["result"],
            registry=registry,
        )
        self._tests = Counter(
            "avisiod_phone_self_tests", "Test calls to idle phones at night.", ["result"], registry=registry
        )
        self._rolled = Counter(
            "avisiod_firmware_phones",
            "Phones of roll-outs that were told to update (asked), came back with the new version (done), did not "
            "(failed), or could not be told and wait again (waiting).",
            ["step"],
            registry=registry,
        )
        for metric, values in (
            (self._states, STATES),
            (self._changes, STATES),
            (self._events, EVENTS),
            (self._questions, QUESTIONS),
            (self._tests, TESTS),
            (self._rolled, STEPS),
        ):
            for value in values:
                metric.labels(value)

    def states(self, counts: Mapping[str, int]) -> None:
        """How many phones are in each state."""
        for state in STATES:
            self._states.labels(state).set(counts.get(state, 0))

    def changed(self, state: str) -> None:
        """A phone's state became this."""
        self._changes.labels(state).inc()

    def event(self, event: str) -> None:
        """A phone said this; ValueError on what is not of EVENTS."""
        if event not in EVENTS:
            raise ValueError(f"{event!r} is no event of phones")
        self._events.labels(event).inc()

    def asked(self, result: str) -> None:
        """A phone was asked; one of QUESTIONS."""
        self._questions.labels(result).inc()

    def tested(self, result: str) -> None:
        """A test call is over; one of TESTS."""
        self._tests.labels(result).inc()

    def rolled(self, step: str, count: int) -> None:
        """So many phones of roll-outs became this; one of STEPS."""
        self._rolled.labels(step).inc(count)
