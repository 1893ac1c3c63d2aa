"""Metrics of the routes by which codes leave. Routes are labels: the settings list them, so that there are few."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from avisiod.metrics.sms import SmsMetrics

RESULTS = (
    "accepted",
    "network",
    "no_modem",
    "no_answer",
    "sim",
    "pin",
    "memory_full",
    "smsc",
    "barred",
    "refused",
    "expired",
    "unreachable",
    "tls",
    "credentials",
    "credit",
    "busy",
    "server",
    "nonsense",
    "unconfirmed",
    "unknown",
)
REPORTS = ("delivered", "undelivered", "unconfirmed")
TAKEN = ("taken", "no_news", "unknown", "denied", "unreadable")
_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30)


class SmsRouteMetrics:
    """Each route, and what became of messages; implements devices.outbox.OutboxWatcher."""

    def __init__(self, registry: CollectorRegistry, sms: SmsMetrics) -> None:
        self._all = sms
        self._usable = Gauge(
            "avisiod_sms_route_usable", "1 when nothing is known against the route.", ["route"], registry=registry
        )
        self._left = Gauge("avisiod_sms_routes_usable", "Routes that are usable; alert at 1.", registry=registry)
        self._tried = Counter(
            "avisiod_sms_route_messages",
            "Messages handed to a route, by result: accepted, or the class of failure of docs/sms.md.",
            ["route", "result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "avisiod_sms_route_seconds",
            "From handing over to a route to its acceptance.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._reports = Counter(
            "avisiod_sms_route_reports",
            "What a route's delivery reports said; unconfirmed: none came in time.",
            ["route", "result"],
            registry=registry,
        )
        self._again = Counter(
            "avisiod_sms_sent_again",
            "Messages that this route accepted and another one sent once more, undelivered or unconfirmed.",
            ["route"],
            registry=registry,
        )
        self._cost = Gauge(
            "avisiod_sms_route_cost_today_cents", "What the day's messages cost.", ["route"], registry=registry
        )
        self._left_today = Gauge(
            "avisiod_sms_route_left_today",
            "Messages until the day's limit; NaN without one.",
            ["route"],
            registry=registry,
        )
        self._modem = Gauge(
            "avisiod_sms_modem_usable", "1 when a modem of the route can send.", ["route"], registry=registry
        )
        self._signal = Gauge(
            "avisiod_sms_modem_signal_dbm",
            "Of the route's best modem; NaN when unknown.",
            ["route"],
            registry=registry,
        )
        self._taken = Counter(
            "avisiod_sms_reports",
            "Delivery reports of providers: taken, no_news, of a message that is not ours or not open any more "
            "(unknown), without a right signature or token (denied), without sense (unreadable).",
            ["result"],
            registry=registry,
        )
        self._usable_now: dict[str, bool] = {}
        self._before = dict.fromkeys(TAKEN, 0)
        for taken in TAKEN:
            self._taken.labels(taken)

    def routes(self, names: Sequence[str]) -> None:
        """The routes of the settings: every series is there from the start."""
        for name in names:
            self._usable.labels(name)
            self._seconds.labels(name)
            self._again.labels(name)
            for result in RESULTS:
                self._tried.labels(name, result)
            for result in REPORTS:
                self._reports.labels(name, result)

    def tried(self, route: str, result: str, seconds: float) -> None:
        """A route had a message."""
        self._tried.labels(route, result if result in RESULTS else "unknown").inc()
        if result == "accepted":
            self._seconds.labels(route).observe(max(0.0, seconds))

    def finished(self, *, sent: bool, seconds: float) -> None:
        """A message was accepted by one, or by none."""
        if sent:
            self._all.sent(seconds)
        else:
            self._all.failed()

    def reported(self, route: str, result: str) -> None:
        """What became of an accepted one."""
        self._reports.labels(route, result if result in REPORTS else "unconfirmed").inc()

    def sent_again(self, route: str) -> None:
        """Another route sends what this one had accepted."""
        self._again.labels(route).inc()

    def looked(self, route: str, *, usable: bool, cost_cents: float, left_today: float) -> None:
        """How a route is now."""
        self._usable_now[route] = usable
        self._usable.labels(route).set(usable)
        self._left.set(sum(self._usable_now.values()))
        self._cost.labels(route).set(cost_cents)
        self._left_today.labels(route).set(left_today)

    def modem(self, route: str, *, present: bool, usable: bool, signal_dbm: int | None) -> None:
        """How the best modem of a route is."""
        self._modem.labels(route).set(usable and present)
        self._signal.labels(route).set(float("nan") if signal_dbm is None else signal_dbm)

    def reports_taken(self, counts: Mapping[str, int]) -> None:
        """Totals since the start."""
        for what in TAKEN:
            total = counts.get(what, 0)
            self._taken.labels(what).inc(max(0, total - self._before[what]))
            self._before[what] = total
