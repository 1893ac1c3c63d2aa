"""Metrics of the server from which phones fetch their settings."""

from prometheus_client import CollectorRegistry, Counter, Histogram

RESULTS = (
    "served",
    "event",
    "firmware",
    "unknown_mac",
    "no_secret",
    "wrong_secret",
    "spent_token",
    "anothers",
    "no_such_file",
    "path",
    "traversal",
    "too_fast",
    "replayed",
    "unknown_event",
    "firmware_damaged",
    "method",
    "body",
    "failed",
)
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class ProvisioningMetrics:
    """What phones were given, and what was turned away."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "avisiod_provisioning_requests",
            "Requests of phones by what became of them. Given: settings (served), an event taken (event), firmware. "
            "Turned away: a MAC that is not in the inventory (unknown_mac), neither token nor certificate "
            "(no_secret), a wrong secret (wrong_secret), a token that was used or is too old (spent_token), another "
            "phone's file (anothers), a name that is no file's (no_such_file), a path that no phone asks for (path), "
            "other files than a phone's (traversal), too many (too_fast), an event that was told before (replayed) "
            "or is not known (unknown_event), firmware that is not as it was checked (firmware_damaged), another "
            "method than GET and POST (method), a long body (body). Not answered for a fault of ours: failed.",
            ["result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "avisiod_provisioning_seconds", "From a request to its answer.", buckets=_BUCKETS, registry=registry
        )
        for result in RESULTS:
            self._requests.labels(result)

    def answered(self, result: str, seconds: float) -> None:
        """A request is answered; ValueError on what is not of RESULTS."""
        if result not in RESULTS:
            raise ValueError(f"{result!r} is no result of a request")
        self._requests.labels(result).inc()
        self._seconds.observe(max(0.0, seconds))
