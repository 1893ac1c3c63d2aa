"""Metrics of what is turned away, at every door."""

from prometheus_client import CollectorRegistry, Counter

PORTAL_REFUSALS = ("connection", "page", "origin", "request", "dawdling", "frame", "message", "too_fast")
SIP_REFUSALS = ("not_edge", "no_dialogue", "body", "unreadable")
COUNTER_REFUSALS = ("denied", "refused", "failed")
METRICS_REFUSALS = ("login",)
DOORS = (
    *(("portal", why) for why in PORTAL_REFUSALS),
    *(("sip", why) for why in SIP_REFUSALS),
    *(("counter", why) for why in COUNTER_REFUSALS),
    *(("metrics", why) for why in METRICS_REFUSALS),
)
"""Where something is turned away, and why: see `avisiod_refused`."""


class DoorMetrics:
    """What was turned away."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "avisiod_refused",
            "Turned away. At the portal: no place (connection, page), of another site (origin), requests that no "
            "browser makes (request), connections that dawdle (dawdling), WebSocket frames against the rules or "
            "too many (frame), messages that say nothing or come at the wrong time (message) or too fast (too_fast). "
            "At a SIP worker: INVITEs past the edge (not_edge), without a free dialogue there (no_dialogue), whose "
            "body is no session description (body), messages that cannot be read (unreadable). At the counter of "
            "staff: who may not use avisioctl, or not for this (denied); requests refused or failed. At "
            "the metrics page: without the right name and password (login).",
            ["door", "why"],
            registry=registry,
        )
        self._refusals = dict.fromkeys(DOORS, 0)
        for door in DOORS:
            self._refused.labels(*door)

    def refused(self, door: str, why: str, total: int) -> None:
        """So much was turned away there since the start. KeyError on what is not in DOORS."""
        new = total - self._refusals[door, why]
        self._refusals[door, why] = total
        self._refused.labels(door, why).inc(max(0, new))
