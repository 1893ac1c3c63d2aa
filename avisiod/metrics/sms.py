"""Metrics of SMS and the modem."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from avisiod.metrics.calls import SETUP_BUCKETS


class SmsMetrics:
    """The modem's state, and what became of messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._listed = Gauge("avisiod_modem_listed", "1 when the settings name a modem.", registry=registry)
        self._modem = Gauge("avisiod_modem_usable", "1 when a message can be tried now.", registry=registry)
        self._signal = Gauge(
            "avisiod_modem_signal_dbm", "Strength of the modem's signal; NaN when unknown.", registry=registry
        )
        self._sms = Counter("avisiod_sms", "Messages by result: sent or failed.", ["result"], registry=registry)
        self._seconds = Histogram(
            "avisiod_sms_seconds", "From handing over to acceptance.", buckets=SETUP_BUCKETS, registry=registry
        )
        self._signal.set(float("nan"))
        for result in ("sent", "failed"):
            self._sms.labels(result)

    def modem_listed(self, *, listed: bool) -> None:
        """Whether there should be a modem."""
        self._listed.set(listed)

    def modem(self, *, usable: bool, signal_dbm: int | None) -> None:
        """The modem's state."""
        self._modem.set(usable)
        self._signal.set(float("nan") if signal_dbm is None else signal_dbm)

    def sent(self, seconds: float) -> None:
        """The network accepted a message, so long after it was handed over."""
        self._sms.labels("sent").inc()
        self._seconds.observe(max(0.0, seconds))

    def failed(self) -> None:
        """No route could send a message."""
        self._sms.labels("failed").inc()
