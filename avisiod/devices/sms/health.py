"""Whether a route can be relied on: what a failure says of the route, and how long it is left alone. Pure.

A route that rests is passed over while another one works. When none does, resting is no reason: a message that is
tried in vain costs nothing, a call without a code is lost.
"""

import dataclasses

from avisiod.devices.sms_failure import FailureKind

REST_FIRST_S = 10.0
REST_LAST_S = 300.0
"""Doubled with each failure in a row, up to this: a dead route costs a message its time so seldom."""
REST_BROKEN_S = 60.0
"""What a person has to mend is looked at so often."""
BUSY_S = 10.0
"""After 429 without Retry-After."""
BUSY_LAST_S = 600.0
"""No longer, whatever Retry-After says: it may be a mistake."""
ILL_S = 3600.0
"""A failed route that was not tried since is believed to be well again."""

_OF_THE_MESSAGE = frozenset({FailureKind.REFUSED, FailureKind.EXPIRED})
_BROKEN = frozenset(
    {
        FailureKind.CREDENTIALS,
        FailureKind.CREDIT,
        FailureKind.TLS,
        FailureKind.BARRED,
        FailureKind.SIM,
        FailureKind.PIN,
        FailureKind.SMSC,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class RouteHealth:
    """A route's health. Times are monotonic seconds."""

    failures: int = 0
    """In a row."""
    rests_until: float = float("-inf")
    ill_until: float = float("-inf")
    last: FailureKind | None = None
    """Of the last failure; None again after a success."""

    def succeeded(self) -> "RouteHealth":
        """A message was accepted."""
        return RouteHealth()

    def failed(self, kind: FailureKind, now: float, retry_after_s: float = 0.0) -> "RouteHealth":
        """A message was not accepted. What lies with the message, as a wrong number does, says nothing of it."""
        if kind in _OF_THE_MESSAGE:
            return self
        failures = self.failures + 1
        return RouteHealth(failures, now + _rest_s(kind, failures, retry_after_s), now + ILL_S, kind)

    def rests(self, now: float) -> bool:
        """It is left alone while another works."""
        return now < self.rests_until

    def well(self, now: float) -> bool:
        """Nothing is known against it."""
        return self.last is None or now >= self.ill_until

    @property
    def broken(self) -> bool:
        """A person has to do something: credentials, credit, a certificate, a SIM."""
        return self.last in _BROKEN


def _rest_s(kind: FailureKind, failures: int, retry_after_s: float) -> float:
    if kind is FailureKind.BUSY:
        return min(BUSY_LAST_S, max(1.0, retry_after_s or BUSY_S))
    if kind in _BROKEN:
        return REST_BROKEN_S
    return min(REST_LAST_S, REST_FIRST_S * 2.0 ** min(failures - 1, 16))
