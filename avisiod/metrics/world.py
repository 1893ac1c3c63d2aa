"""Metrics of what is around the calls: the recordings' disk, phones."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge


class WorldMetrics:
    """What calls need and nobody reports by itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._disk = Gauge("avisiod_disk_free_bytes", "Free where recordings are written.", registry=registry)
        self._writable = Gauge(
            "avisiod_recordings_writable",
            "1 when recordings can be begun: room, a disk that takes writes and answers.",
            registry=registry,
        )
        self._edge = Gauge("avisiod_edge_readable", "1 when the edge's registrations can be read.", registry=registry)
        self._ends = Gauge(
            "avisiod_certificate_end_timestamp_seconds",
            "When the certificate of a section of the settings ends; 0: its file cannot be read.",
            ["of"],
            registry=registry,
        )
        self._phones = Gauge(
            "avisiod_phones", "Phones by registration: registered or not.", ["registered"], registry=registry
        )
        for registered in ("yes", "no"):
            self._phones.labels(registered)

    def disk_free(self, free_bytes: int) -> None:
        """Free space where recordings are written."""
        self._disk.set(free_bytes)

    def recordings_writable(self, *, writable: bool) -> None:
        """Whether recordings can be begun."""
        self._writable.set(writable)

    def edge_readable(self, *, readable: bool) -> None:
        """Whether the edge's registrations can be read."""
        self._edge.set(readable)

    def certificates(self, ends: Mapping[str, float]) -> None:
        """Seconds of the epoch at which each certificate that is used ends, by the section of the settings."""
        self._ends.clear()
        for of, end in ends.items():
            self._ends.labels(of).set(end)

    def phones(self, *, registered: int, listed: int) -> None:
        """How many phones of the inventory are registered at the edge."""
        self._phones.labels("yes").set(registered)
        self._phones.labels("no").set(max(0, listed - registered))
