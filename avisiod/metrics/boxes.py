"""Metrics of the boxes that share a database."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class BoxMetrics:
    """The other boxes, as this one sees them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._boxes = Gauge(
            "avisiod_other_boxes",
            "Boxes that share the database with this one: alive, or gone for longer than store.lease_s.",
            ["state"],
            registry=registry,
        )
        self._ended = Counter(
            "avisiod_calls_ended_for_boxes", "Calls of boxes that were gone, ended by this one.", registry=registry
        )
        self._counted = 0
        self.looked(alive=0, gone=0, ended=0)

    def looked(self, *, alive: int, gone: int, ended: int) -> None:
        """How many there are; `ended` since the start."""
        self._boxes.labels("alive").set(alive)
        self._boxes.labels("gone").set(gone)
        self._ended.inc(max(0, ended - self._counted))
        self._counted = ended
