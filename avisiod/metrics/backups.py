"""Metrics of the backups."""

from prometheus_client import CollectorRegistry, Gauge


class BackupMetrics:
    """What became of the last backup."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._age = Gauge(
            "avisiod_backup_age_seconds", "Since the last good backup; infinite: there is none.", registry=registry
        )
        self._good = Gauge(
            "avisiod_backup_good", "1 when the last backup that was tried succeeded.", registry=registry
        )
        self._bytes = Gauge("avisiod_backup_bytes", "Size of the last good backup.", registry=registry)
        self.looked(age_s=float("inf"), good=False, octets=0)

    def looked(self, *, age_s: float, good: bool, octets: int) -> None:
        """What is known of the last one."""
        self._age.set(age_s)
        self._good.set(good)
        self._bytes.set(octets)
