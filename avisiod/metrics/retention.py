"""Metrics of the retention of recordings."""

from prometheus_client import CollectorRegistry, Gauge


class RetentionMetrics:
    """What became of the last run."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._age = Gauge(
            "avisiod_retention_age_seconds",
            "Since recordings were last looked through for what is too old; infinite: they never were.",
            registry=registry,
        )
        self._good = Gauge(
            "avisiod_retention_good",
            "1 when the last such run was not refused, and left nothing behind that it should have destroyed.",
            registry=registry,
        )
        self._destroyed = Gauge(
            "avisiod_retention_destroyed", "Recordings that the last run destroyed.", registry=registry
        )
        self._held = Gauge(
            "avisiod_recordings_held", "Recordings that are only kept for a hold, by the last run.", registry=registry
        )
        self._overdue = Gauge(
            "avisiod_recordings_overdue",
            "Recordings that should be destroyed and could not be, or are not where they were, by the last run.",
            registry=registry,
        )
        self.looked(age_s=float("inf"), good=False, destroyed=0, held=0, overdue=0)

    def looked(self, *, age_s: float, good: bool, destroyed: int, held: int, overdue: int) -> None:
        """What is known of the last one."""
        self._age.set(age_s)
        self._good.set(good)
        self._destroyed.set(destroyed)
        self._held.set(held)
        self._overdue.set(overdue)
