"""What happens, told to the metrics: the one place that knows both the rooms and their figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from avisiod import certificates, metrics_page
from avisiod.calls.call import Call, State
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.devices.modem_state import ModemState
from avisiod.devices.sms.service import routes_of
from avisiod.gateway.stats import CallStats, TranscoderStats
from avisiod.gateway.supervisor import Worker
from avisiod.metrics import Metrics
from avisiod.metrics.control import watch_loop
from avisiod.metrics.doors import SIP_REFUSALS
from avisiod.metrics.workers import WORKER_KINDS
from avisiod.web.tls import Certificate


class Telemetry:
    """Implements switchboard.observer.Observer; also hears modem, workers, disk and registrations."""

    def __init__(self, reactor: Any, config: Config, clock: Clock) -> None:
        self.metrics = Metrics()
        self.metrics.calls.capacity(config.calls.capacity)
        self.metrics.sms.modem_listed(listed=any(route.kind == "modem" for route in routes_of(config)))
        self._reactor = reactor
        self._config = config
        self._clock = clock
        self._stop_watching: Callable[[], None] = lambda: None
        self.on_ended: Callable[[Call], None] = lambda _call: None
        """Told of every call that has ended; set by the daemon."""
        self.metrics.sms_routes.routes([route.name for route in routes_of(config)])
        self._restarts: dict[str, int] = {}
        self._replaced: dict[str, int] = {}
        self._listening: Any = None
        self._strangers = 0
        self.problems: list[str] = []
        """What /health tells: sentences for the technician; empty when all is well."""

    def adopt(self, config: Config) -> None:
        """New settings."""
        self._config = config
        self.metrics.calls.capacity(config.calls.capacity)

    def start(self) -> None:
        """Serve /metrics and /health. CannotListenError where the port is taken.

        CertificateUnusable, OSError or ValueError where a file of the settings cannot be used.
        """
        settings = self._config.metrics
        tls = settings.certificate_file
        self._listening = metrics_page.listen(
            self._reactor,
            settings,
            self.metrics.registry,
            lambda: self.problems,
            certificate=Certificate(tls, settings.key_file, "metrics") if tls else None,
            refused=self._not_shown,
        )
        self._stop_watching = watch_loop(self._clock, self.metrics.control)

    def _not_shown(self) -> None:
        self._strangers += 1
        self.metrics.doors.refused("metrics", "login", self._strangers)

    async def stop(self) -> None:
        """Serve no more."""
        self._stop_watching()
        if self._listening is not None:
            await self._listening.stopListening()

    def moved(self, before: State | None, call: Call) -> None:
        """A call's state changed."""
        self.metrics.calls.moved(before, call.state)
        if call.state is State.ENDED and call.reason is not None:
            self.on_ended(call)
            self.metrics.calls.ended(call.reason, call.connected_s)

    def stage(self, name: str, seconds: float) -> None:
        """A stage of setting up is done."""
        self.metrics.calls.stage(name, seconds)

    def code_tried(self, answer: str) -> None:
        """A code was typed."""
        self.metrics.calls.code_tried(answer)

    def pin_tried(self, answer: Literal["right", "wrong", "locked"]) -> None:
        """Identifier and PIN were typed on a shared phone."""
        self.metrics.calls.pin_tried(answer)

    def unpriced(self) -> None:
        """A call is free for want of a tariff."""
        self.metrics.calls.unpriced()

    def forgotten(self, call: Call) -> None:
        """A call is closed; no more counters of it come."""
        self.metrics.media.forget(call.id)

    def stats(self, stats: CallStats) -> None:
        """A call's counters."""
        self.metrics.media.stats(stats)

    def transcoder_stats(self, worker: int, stats: TranscoderStats) -> None:
        """Counters of a transcoder since its start."""
        self.metrics.conversions.counted(worker, stats.pictures, stats.dropped)

    def certificates(self, found: Sequence[certificates.Found]) -> None:
        """The certificates' files were looked at."""
        ends = {each.of: each.ends_utc.timestamp() if each.ends_utc else 0.0 for each in found}
        self.metrics.world.certificates(ends)

    def modem_changed(self, state: ModemState) -> None:
        """The state of the modem that serves best."""
        self.metrics.sms.modem(usable=state.usable, signal_dbm=state.signal_dbm)

    def looked(
        self,
        workers: Sequence[Worker],
        *,
        store_up: bool,
        registered: int | None,
        phones: int,
        free_bytes: int | None,
        disk_trouble: str,
        refused: Mapping[str, int],
        converted: int,
        conversions_refused: int,
        device_problems: Sequence[str] = (),
    ) -> None:
        """Every few seconds: what nobody reports by itself. None: it could not be found out. Empty: no trouble.

        `refused` is what the portal turned away, by reason. `converted` calls have their pictures converted now;
        `conversions_refused` had sound only instead.
        """
        self.metrics.conversions.looked(converted, conversions_refused)
        workers_metrics, doors = self.metrics.workers, self.metrics.doors
        for why, total in refused.items():
            doors.refused("portal", why, total)
        for why in SIP_REFUSALS:
            doors.refused("sip", why, sum(worker.refused[why] for worker in workers))
        self.metrics.control.store_up(up=store_up)
        problems = []
        up: dict[str, int] = {}
        wanted: dict[str, int] = {}
        for kind in WORKER_KINDS:
            of_kind = [worker for worker in workers if worker.name == f"{kind}_worker"]
            up[kind], wanted[kind] = sum(worker.up for worker in of_kind), len(of_kind)
            restarts = sum(worker.restarts for worker in of_kind)
            for _ in range(restarts - self._restarts.get(kind, 0)):
                workers_metrics.restarted(kind)
            self._restarts[kind] = restarts
            replaced = sum(worker.replaced for worker in of_kind)
            for _ in range(replaced - self._replaced.get(kind, 0)):
                workers_metrics.replaced(kind)
            self._replaced[kind] = replaced
            if not all(worker.up for worker in of_kind):
                problems.append(f"a {kind} worker is down; it is started again by itself, the journal says why")
        workers_metrics.up(up, wanted)
        self.metrics.world.recordings_writable(writable=not disk_trouble)
        self.metrics.world.edge_readable(readable=registered is not None)
        if free_bytes is not None:
            self.metrics.world.disk_free(free_bytes)
        if disk_trouble:
            problems.append(disk_trouble)
        if not store_up:
            problems.append("the database takes no writes: calls are refused; the journal says why")
        problems.extend(device_problems)
        if registered is None:
            problems.append("the edge's registrations cannot be read: is Kamailio running?")
        else:
            self.metrics.world.phones(registered=registered, listed=phones)
        self.problems = problems
