"""Everything that sends codes, made of the settings and joined for the daemon."""

import datetime
import logging
import zoneinfo
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from twisted.internet.threads import deferToThread

from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.config.sms import Modem as ModemSettings
from avisiod.config.sms import SmsRoute as RouteSettings
from avisiod.devices.delivery import DeliveryReport
from avisiod.devices.modem_state import ModemState
from avisiod.devices.outbox import Outbox
from avisiod.devices.sms import tally
from avisiod.devices.sms.http_client import HttpClient
from avisiod.devices.sms.limits import Allowance
from avisiod.devices.sms.line import Line
from avisiod.devices.sms.modem_pool import AT_ONCE, ModemPool
from avisiod.devices.sms.provider_route import ProviderRoute, secrets_of
from avisiod.devices.sms.report_server import ReportServer, path_of
from avisiod.devices.sms_failure import RouteFailure
from avisiod.log import FirstThenDebug
from avisiod.ports import Sms, SmsFailed

log = logging.getLogger(__name__)

ONLY = "modem"
"""Name of the route where the settings name a modem and no routes."""
PROVIDER_AT_ONCE = 8
"""Questions to one provider at the same time."""
TEST_WITHIN_S = 15.0


class SmsMetrics(Protocol):
    """metrics.sms_routes.SmsRouteMetrics: an OutboxWatcher that also hears of modems and states."""

    def tried(self, route: str, result: str, seconds: float) -> None:
        """See OutboxWatcher."""

    def finished(self, *, sent: bool, seconds: float) -> None:
        """See OutboxWatcher."""

    def reported(self, route: str, result: str) -> None:
        """See OutboxWatcher."""

    def sent_again(self, route: str) -> None:
        """See OutboxWatcher."""

    def looked(self, route: str, *, usable: bool, cost_cents: float, left_today: float) -> None:
        """How a route is now; `cost_cents` and what is left are of the day, the latter NaN without a limit."""

    def modem(self, route: str, *, present: bool, usable: bool, signal_dbm: int | None) -> None:
        """How the best modem of a route is."""

    def reports_taken(self, counts: dict[str, int]) -> None:
        """What became of delivery reports since the start."""


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A route as avisioctl shows it."""

    route: str
    kind: str
    state: str
    trouble: str
    today: str
    """Accepted of tried, and the limit."""
    delivered: str
    cost: str
    """Of today, in the currency's unit."""
    detail: str


class SmsService:
    """Routes, outbox, delivery reports. For the reactor's thread."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        config: Config,
        metrics: SmsMetrics,
        changed: Callable[[ModemState], None] = lambda _state: None,
        event: Callable[[str, dict[str, str]], None] = lambda _name, _facts: None,
    ) -> None:
        """`changed` hears the state of the modem that serves best, `event` of lost modems and the last route left."""
        self._event = event
        self._reactor = reactor
        self._clock = clock
        self._config = config
        self._metrics = metrics
        self._changed = changed
        self._zone = zoneinfo.ZoneInfo(config.site.time_zone)
        self._pools: dict[str, ModemPool] = {}
        self._states: dict[tuple[str, str], ModemState] = {}
        self._providers: list[ProviderRoute] = []
        self._kept = tally.read(Path(config.sms.tally_file))
        self._trouble = FirstThenDebug(log)
        self._alarm = FirstThenDebug(log)
        self.outbox = Outbox(
            [self._line(settings) for settings in routes_of(config)],
            clock,
            report_within_s=config.sms.report_within_s,
            watcher=metrics,
            today=self.today,
        )
        self.reports = ReportServer(reactor, self._providers, config.sms.reports_url, self._reported)

    def today(self) -> datetime.date:
        """The site's calendar."""
        return self._clock.utc().astimezone(self._zone).date()

    def start(self) -> None:
        """Look for modems, take reports. OSError where the address for reports is not to be had."""
        for pool in self._pools.values():
            pool.start()
        if self._config.sms.reports_address:
            self.reports.start(self._config.sms.reports_address, self._config.sms.reports_port)
        self.look()

    async def stop(self) -> None:
        """Close ports and keep the counts."""
        self.outbox.stop()
        for pool in self._pools.values():
            pool.stop()
        await self.reports.stop()
        await self.keep()

    def look(self) -> None:
        """Every few seconds: tell how the routes are, and say when the last one is left."""
        usable = self.outbox.usable()
        today = self.today()
        for line in self.outbox.lines:
            line.allowance.turn_to(today)
            per_day = line.allowance.per_day
            left = float(per_day - line.allowance.tally.tried) if per_day else float("nan")
            self._metrics.looked(
                line.name,
                usable=line.name in usable,
                cost_cents=line.allowance.tally.cost_cents,
                left_today=max(0.0, left) if per_day else left,
            )
        self._metrics.reports_taken(dict(self.reports.counts))
        if len(self.outbox.lines) > 1:
            if len(usable) == 1:
                if not self._alarm.failing:
                    self._event("sms-last-route", {"route": usable[0]})
                self._alarm.failed("Only the SMS route %s is left: when it fails, no call can be made", usable[0])
            elif len(usable) > 1:
                self._alarm.recovered("There is more than one SMS route again")

    @property
    def problems(self) -> list[str]:
        """For /health."""
        lines, usable = self.outbox.lines, self.outbox.usable()
        if not lines or len(usable) > 1:
            return []
        if not usable:
            what = (
                "no SMS route works: calls end for want of an SMS" if len(lines) > 1 else _NO_ROUTE[self._kind_of(0)]
            )
            return [f"{what}; `avisioctl sms routes` and the journal say why"]
        if len(lines) == 1:
            return []
        return [f"only the SMS route {usable[0]} is left of {len(lines)}: see `avisioctl sms routes`"]

    def _kind_of(self, place: int) -> str:
        return "modem" if self.outbox.lines[place].name in self._pools else "provider"

    async def keep(self) -> None:
        """Write the day's counts where they have changed."""
        now = {line.name: line.allowance.tally for line in self.outbox.lines if line.allowance.tally.day}
        if now == self._kept:
            return
        try:
            await deferToThread(tally.write, Path(self._config.sms.tally_file), now)
        except OSError as error:
            self._trouble.failed("the day's SMS are not kept (%s): limits begin anew with a restart", error.strerror)
        else:
            self._kept = now
            self._trouble.recovered("the day's SMS are kept again")

    # For staff.

    def rows(self) -> list[dict[str, Any]]:
        """Every route, in order."""
        usable = self.outbox.usable()
        return [msgspec.to_builtins(self._row(line, line.name in usable)) for line in self.outbox.lines]

    def _row(self, line: Line, usable: bool) -> RouteRow:
        now, allowance, health = self._clock.now(), line.allowance, line.health
        allowance.turn_to(self.today())
        counted = allowance.tally
        if not line.present():
            state = "absent"
        elif allowance.per_day and counted.tried >= allowance.per_day:
            state = "spent for today"
        elif health.rests(now):
            state = f"rests {health.rests_until - now:.0f} s"
        else:
            state = "up" if usable else "to be tried"
        limit = f", of {allowance.per_day}" if allowance.per_day else ""
        return RouteRow(
            route=line.name,
            kind=line.kind,
            state=state,
            trouble=(health.last.value + (": needs a person" if health.broken else "")) if health.last else "",
            today=f"{counted.accepted} of {counted.tried}{limit}",
            delivered=f"{counted.delivered}, {counted.undelivered} not" if line.reports else "",
            cost=f"{counted.cost_cents / 100:.2f}",
            detail="; ".join(_told(path, state) for path, state in self._states_of(line.name)),
        )

    async def test(self, route: str, number: str) -> dict[str, Any]:
        """Send a message without a code to `number` (E.164) by one route. KeyError: no such route."""
        if route not in {line.name for line in self.outbox.lines}:
            raise KeyError(route)
        began = self._clock.now()
        sms = Sms(
            id=f"test-{began:.0f}",
            number=number,  # type: ignore[arg-type]
            text=f"{self._config.portal.name} : test {route}"[:160],
            valid_s=300.0,
            give_up_at=began + TEST_WITHIN_S,
        )
        try:
            await self.outbox.send(sms, only=route)
        except SmsFailed as failed:
            return {"sent": False, "why": str(failed), "seconds": round(self._clock.now() - began, 1)}
        return {"sent": True, "why": "", "seconds": round(self._clock.now() - began, 1)}

    # Making of routes.

    def _line(self, settings: RouteSettings) -> Line:
        sms = self._config.sms
        allowance = Allowance(
            settings.per_minute, settings.per_day, settings.cost_cents, self._kept.get(settings.name)
        )
        if settings.kind == "modem":
            pool = self._pool(settings)
            return Line(
                settings.name,
                pool,
                kind=settings.kind,
                at_once=AT_ONCE if "*" in settings.device else 1,
                overtake_s=sms.modem_overtake_s,
                allowance=allowance,
                present=lambda: pool.usable,
            )
        client = HttpClient(self._reactor, self._clock, settings.ca_file)
        route = ProviderRoute(settings, sms.sender, self._clock, client, self._callback(settings))
        self._providers.append(route)
        return Line(
            settings.name,
            route,
            kind=settings.kind,
            at_once=PROVIDER_AT_ONCE,
            overtake_s=sms.overtake_s,
            allowance=allowance,
        )

    def _pool(self, settings: RouteSettings) -> ModemPool:
        former = self._config.modem
        mark = former.pin_mark_file if settings.name == ONLY else f"{former.pin_mark_file}-{settings.name}"
        modem = ModemSettings(
            device=settings.device,
            baud=settings.baud,
            pin_file=settings.pin_file,
            pin_mark_file=mark,
            reports=former.reports,
        )
        name = settings.name

        def changed(path: str, state: ModemState) -> None:
            self._modem_changed(name, path, state)

        def reported(report: DeliveryReport) -> None:
            self._reported(name, report.sms, report.delivered)

        pool = ModemPool(modem, self._clock, self._reactor, changed=changed, reported=reported)
        self._pools[name] = pool
        return pool

    def _callback(self, settings: RouteSettings) -> str:
        url = self._config.sms.reports_url.rstrip("/")
        if not url or not self._config.sms.reports_address:
            return ""
        try:
            token = secrets_of(settings.secret_file).get("reports_token", "")
        except RouteFailure as failure:
            log.warning("route %s: %s", settings.name, failure)
            return ""
        if settings.kind != "twilio" and not (token and settings.reports.id_field):
            return ""
        return url + path_of(settings, token)

    def _modem_changed(self, route: str, path: str, state: ModemState) -> None:
        before = self._states.get((route, path), ModemState())
        self._states[route, path] = state
        if before.present and not state.present:
            self._event("modem-lost", {"route": route, "device": Path(path).name})
        of_route = [each for _, each in self._states_of(route)]
        best = _best(of_route)
        self._metrics.modem(
            route,
            present=any(each.present for each in of_route),
            usable=any(each.usable for each in of_route),
            signal_dbm=best.signal_dbm,
        )
        self._changed(_best(list(self._states.values())))

    def _states_of(self, route: str) -> Sequence[tuple[str, ModemState]]:
        return [(path, state) for (name, path), state in self._states.items() if name == route]

    def _reported(self, route: str, sms: str, delivered: bool) -> bool:
        return self.outbox.reported(route, sms, delivered=delivered)


def routes_of(config: Config) -> Sequence[RouteSettings]:
    """The routes of the settings, in order: those listed, or the one modem."""
    if config.sms.routes:
        return config.sms.routes
    modem = config.modem
    if not modem.device:
        return ()
    return (RouteSettings(name=ONLY, kind="modem", device=modem.device, baud=modem.baud, pin_file=modem.pin_file),)


_NO_ROUTE = {
    "modem": "the modem cannot send: calls end for want of an SMS",
    "provider": "the SMS provider takes no messages: calls end for want of an SMS",
}


def _best(states: Sequence[ModemState]) -> ModemState:
    if not states:
        return ModemState()
    return max(states, key=lambda each: (each.usable, each.present, each.signal_dbm or -999))


def _told(path: str, state: ModemState) -> str:
    if not state.present:
        return f"{Path(path).name}: absent"
    signal = f", {state.signal_dbm} dBm" if state.signal_dbm is not None else ""
    network = state.operator if state.registered else "no network"
    return f"{Path(path).name}: SIM {state.sim.value}, {network}{signal}"
