"""Metrics of what is around the calls: the recordings' disk, phones."""

from prometheus_client import CollectorRegistry, Gauge


class WorldMetrics:
    """What calls need and nobody reports by itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._disk = Gauge("avisiod_disk_free_bytes", "Free where recordings are written.", registry=registry)
        self._phones = Gauge(
            "avisiod_phones", "Phones by registration: registered or not.", ["registered"], registry=registry
        )

    def disk_free(self, free_bytes: int) -> None:
        """Free space where recordings are written."""
        self._disk.set(free_bytes)

    def phones(self, *, registered: int, listed: int) -> None:
        """How many phones of the inventory are registered at the edge."""
        self._phones.labels("yes").set(registered)
        self._phones.labels("no").set(max(0, listed - registered))
