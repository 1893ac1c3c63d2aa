"""Metrics of the site's own scripts."""

from prometheus_client import CollectorRegistry, Counter

RESULTS = ("done", "failed", "late", "refused")
TOLD = ("told", "dropped")


class HookMetrics:
    """What was told, and what became of scripts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._told = Counter(
            "avisiod_hook_events",
            "Events for the site's scripts: told to avisiod-hooks, or dropped because it is not there or too busy.",
            ["result"],
            registry=registry,
        )
        self._ran = Counter(
            "avisiod_hooks",
            "Scripts that ran: done, failed, late (ended after its time), refused (others than root could write it).",
            ["result"],
            registry=registry,
        )
        for result in TOLD:
            self._told.labels(result)
        for result in RESULTS:
            self._ran.labels(result)

    def told(self, event: str, result: str) -> None:  # noqa: ARG002 - the journal has which
        """An event was told, or dropped."""
        self._told.labels(result if result in TOLD else "dropped").inc()

    def ran(self, result: str) -> None:
        """A script ran."""
        self._ran.labels(result if result in RESULTS else "failed").inc()
