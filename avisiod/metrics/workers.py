"""Metrics of worker processes."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

WORKER_KINDS = ("sip", "media", "transcode")


class WorkerMetrics:
    """Which workers serve, and which ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge("avisiod_workers_up", "Workers that serve.", ["kind"], registry=registry)
        self._wanted = Gauge("avisiod_workers_wanted", "Workers that there should be.", ["kind"], registry=registry)
        self._restarts = Counter(
            "avisiod_worker_restarts", "Workers that ended unasked.", ["kind"], registry=registry
        )
        self._replaced = Counter(
            "avisiod_workers_replaced", "Workers replaced because they grew too large.", ["kind"], registry=registry
        )
        for kind in WORKER_KINDS:
            self._up.labels(kind)
            self._wanted.labels(kind)
            self._restarts.labels(kind)
            self._replaced.labels(kind)

    def up(self, counts: Mapping[str, int], wanted: Mapping[str, int]) -> None:
        """How many workers of each of WORKER_KINDS serve, and how many should."""
        for kind in WORKER_KINDS:
            self._up.labels(kind).set(counts.get(kind, 0))
            self._wanted.labels(kind).set(wanted.get(kind, 0))

    def restarted(self, kind: str) -> None:
        """A worker ended unasked and is started again. ValueError on a kind that is not of WORKER_KINDS."""
        if kind not in WORKER_KINDS:
            raise ValueError(f"{kind!r} is not a kind of worker")
        self._restarts.labels(kind).inc()

    def replaced(self, kind: str) -> None:
        """A worker grew too large and was replaced. ValueError on a kind that is not of WORKER_KINDS."""
        if kind not in WORKER_KINDS:
            raise ValueError(f"{kind!r} is not a kind of worker")
        self._replaced.labels(kind).inc()
