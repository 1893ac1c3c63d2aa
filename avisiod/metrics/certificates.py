"""Metrics of renewed certificates; when each one ends is told with the world."""

from prometheus_client import CollectorRegistry, Counter

RENEWED = ("portal", "edge")


class CertificateMetrics:
    """Whether renewed ones could be taken."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "avisiod_certificates_refused",
            "Renewed certificates of portal and edge that were broken, had ended or did not fit: the former "
            "one stayed.",
            ["of"],
            registry=registry,
        )
        self._refusals = dict.fromkeys(RENEWED, 0)
        for name in RENEWED:
            self._refused.labels(name)

    def refused(self, of: str, total: int) -> None:
        """So many of that one since the start. KeyError on what is not in RENEWED."""
        new = total - self._refusals[of]
        self._refusals[of] = total
        self._refused.labels(of).inc(max(0, new))
