"""The daemon: makes the rooms, joins them, starts them in order, stops them in order."""

import asyncio
import logging
import math
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, FirstError
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from avisiod import certificate_pair, certificates, compiled, log, promptness
from avisiod.adoption import Adoption
from avisiod.backups import outcome
from avisiod.box import Box
from avisiod.calls.call import Call
from avisiod.calls.ids import CallId, PhoneId
from avisiod.calls.invitation import Invitations
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.reasons import EndReason
from avisiod.calls.throttle import Throttle
from avisiod.clock import SystemClock, Timer
from avisiod.config import check
from avisiod.config.settings import Config
from avisiod.devices import code_sms
from avisiod.devices.board.room import BoardRoom
from avisiod.devices.hooks.teller import HookTeller
from avisiod.devices.phones.room import PhoneRoom
from avisiod.devices.sms.service import SmsService
from avisiod.draining import Draining
from avisiod.fleet import Fleet
from avisiod.gateway import sealing, wire
from avisiod.gateway.edge_certificate import EdgeCertificate
from avisiod.gateway.media_gateway import MediaGateway
from avisiod.gateway.registrations import EdgeUnreadable, current_registrations
from avisiod.gateway.sip_gateway import SipGateway
from avisiod.gateway.supervisor import Worker
from avisiod.gateway.transcode_gateway import TranscodeGateway
from avisiod.log import FirstThenDebug
from avisiod.office import retention_record
from avisiod.office.counter import Counter, CounterClosed
from avisiod.office.desk import box_of, site_of
from avisiod.office.upkeep import Upkeep
from avisiod.phone_ports import Device
from avisiod.ports import StoreUnavailable
from avisiod.recordings_disk import RecordingsDisk
from avisiod.reloading import Reloading
from avisiod.sdnotify import Notifier, watchdog_interval_s
from avisiod.signals import Signals
from avisiod.startup import CannotStart, code_key, ice_secret, recordings_left
from avisiod.store import inventory
from avisiod.store.device_store import StoredDevices
from avisiod.store.store import Store
from avisiod.switchboard.actions import Actions
from avisiod.switchboard.desk import FrontDesk
from avisiod.switchboard.switchboard import Switchboard
from avisiod.switchboard.switchboard import run as run_coroutine
from avisiod.telemetry import Telemetry
from avisiod.vitals import Vitals, status_line
from avisiod.web.charter import CharterUnreadable
from avisiod.web.portal import PortalCannotStart, RelativesPortal

logger = logging.getLogger(__name__)
reactor: Any = _reactor

STOP_WITHIN_S = 25.0
"""Both sides hear the farewell, recordings are sealed; what takes longer is cut."""
WORKERS_STOP_WITHIN_S = 5.0
TRANSCODERS_START_WITHIN_S = 10.0
WATCH_EVERY_S = 5.0
SEAL_AGAIN_EVERY_S = 30.0
CERTIFICATES_EVERY_S = 300.0
USUAL_WATCHDOG_S = 30.0
"""systemd's own where it has one (WatchdogSec); it waits so long for a word of ours, and we for a word of a part."""


EXPECTED = (
    StoreUnavailable,
    inventory.InventoryError,
    PortalCannotStart,
    CharterUnreadable,
    certificate_pair.CertificateUnusable,
    CannotListenError,
    OSError,
    ValueError,
)
"""What may be in the way of a start, told in a sentence; anything else is told with its traceback."""


WRONG_SETTINGS = (inventory.InventoryError, CharterUnreadable)
"""Of these, what does not get better by trying again: exit status 2."""


class Daemon:
    """All rooms of one box."""

    def __init__(self, config: Config, path: Path = Path("/etc/avisiod/avisiod.yaml")) -> None:
        """`path` is the file that `config` was read from, for `reload`."""
        self.config = config
        self.clock = SystemClock(asyncio.get_event_loop())
        where = config.store.url or config.store.path
        box = box_of(config)
        self.store = Store(where, reactor, config.sip.realm, config.site.time_zone, box)
        self.telemetry = Telemetry(reactor, config, self.clock)
        self.notifier = Notifier(self.clock)
        self.vitals = Vitals(2 * (watchdog_interval_s() or USUAL_WATCHDOG_S / 2), self.clock.now())
        key = code_key(Path(config.store.code_key_file))
        invitations = Invitations(key, Throttle())
        self.fleet = Fleet(config, self.clock, self.store, invitations, key)
        self.board = Switchboard(config, self.clock, self.store, invitations, self.telemetry)
        self.sip = SipGateway(reactor, self.clock, config)
        self.transcoders = TranscodeGateway(reactor, self.clock, config)
        self.media = MediaGateway(reactor, self.clock, config, self.transcoders)
        self.sip.listener = self.media.listener = self.board
        self.hooks = HookTeller(reactor, config.hooks, self.telemetry.metrics.hooks)
        self.telemetry.on_ended = self._tell_ended
        routes, modem_changed = self.telemetry.metrics.sms_routes, self.telemetry.modem_changed
        self.sms = SmsService(reactor, self.clock, config, routes, modem_changed, self.hooks.happened)
        self.sms.outbox.wanted = self.board.waits_for_code
        folder = Path(config.modem.texts_folder) if config.modem.texts_folder else None
        self.board.actions = Actions(self.board, config, self.sip, self.media, self.sms.outbox, code_sms.load(folder))
        self.board.room_on_disk = lambda: self.disk.room
        self.board.on_media_lost = lambda: run_coroutine(self._keep_what_is_left())
        self.board.on_stats = self.telemetry.stats
        self.transcoders.on_stats = self.telemetry.transcoder_stats
        servers = [(server, ice_secret(server)) for server in config.media.ice_servers]
        self.desk = FrontDesk(self.board, servers, self.fleet.holder_of)
        self.portal = RelativesPortal(config, self.desk, self.clock)
        devices, metrics = StoredDevices(self.store), self.telemetry.metrics
        self.edge_certificate = EdgeCertificate(config, self.clock.utc)
        self.phones = PhoneRoom(
            reactor, self.clock, config, devices, metrics.phones, metrics.provisioning, self.board.in_call
        )
        for board in config.boards.list:
            self.telemetry.metrics.boards.listed(board.name, [key.name for key in board.keys])
        self.boards = BoardRoom(
            reactor,
            self.clock,
            config.boards.list,
            self.telemetry.metrics.boards,
            calls=self.board.under_way,
            place_of=self._place_of,
            cut=self.board.cut_at_once,
            event=self.hooks.happened,
        )
        self.phones.keeper.on_change.append(self._tell_phone)
        recordings = config.recordings
        self.disk = RecordingsDisk(Path(recordings.folder), recordings.keep_free_bytes, self.clock)
        self.counter = Counter(
            reactor,
            self.clock,
            Path(config.admin.socket_file),
            config.admin.group,
            site_of(config),
            lambda: self.store.database,
            self._cut,
        )
        self.counter.live |= self.phones.live
        self.counter.live |= {"sms.routes": self.sms.rows, "sms.test": self.sms.test}
        pools = {"sip": self.sip, "media": self.media, "transcode": self.transcoders}
        self.box = Box(self.clock, self.board, self.media, pools, self.disk, self.telemetry, self.sms.rows)
        self.counter.live |= {"box.status": self.box.facts, "box.probe": self.box.probe}
        self.upkeep = Upkeep(self.clock, self.counter)
        self.draining = Draining(self.clock, self.board, self.notifier)
        self._reloading = Reloading(path, Adoption(self), self.telemetry.metrics.control.reloaded)
        self._certificates_due = 0.0
        self._watch: Timer | None = None
        self._phones = 0
        self._ready = False
        self._seal_again_at = 0.0
        self._edge_trouble = FirstThenDebug(logger)
        self._retention_trouble = FirstThenDebug(logger)
        self._retention_problems: list[str] = []

    async def start(self) -> None:
        """Start everything, READY last. CannotStart, or the room's own error, when something is in the way."""
        config = self.config
        await deferToThread(Path(config.recordings.folder).mkdir, parents=True, exist_ok=True)
        await self.store.open()
        await self.fleet.enter()
        await self._load_inventory()
        await self._recover()
        # Before the first phone can dial: what is not known counts as no room.
        await self.disk.look()
        # Nothing fails without these: until one runs, or if none ever does, pages without H.264 have sound only.
        transcoders = self.transcoders.start().addErrback(_no_transcoders)
        try:
            await self.media.start()
            await self.sip.start()
        except FirstError as error:
            raise CannotStart(str(error.subFailure.value)) from None
        except wire.WorkerError as error:
            raise CannotStart(str(error)) from None
        await self._within(TRANSCODERS_START_WITHIN_S, transcoders, "starting the transcoders")
        self.sms.start()
        self.boards.start()
        self.portal.start()
        self.phones.start()
        self.telemetry.start()
        try:
            self.counter.start()
        except CounterClosed as error:
            # families' calls do not wait for it
            logger.warning("avisioctl cannot reach this daemon: %s", error)
        self.upkeep.start()
        promptness.settle()
        self._ready = True
        await self._look_around()
        self.vitals = Vitals(self.vitals.patience_s, self.clock.now())  # the start has its own limit
        self.notifier.ready()
        self.notifier.feed_unless(self.missing)
        self._look()
        lacking = await self.store.lacking() if config.site.admission == "full" else ()
        for caution in (*check.cautions(config), *lacking):
            logger.warning("%s", caution)
        hot_path = compiled.form()
        level = logging.WARNING if hot_path.startswith("plain") else logging.INFO
        logger.log(level, "the media workers' hot path is %s", hot_path)
        logger.info("ready: portal on %s port %s", config.portal.address, config.portal.port)

    async def reload(self) -> None:
        """Upon SIGHUP: settings and inventory are read again, and taken up whole or not at all."""
        if not self._ready or self.board.draining:
            logger.info("not reloaded: the service is starting or stopping")
            return
        self.notifier.reloading()
        await self._reloading.reload()
        self.notifier.ready()

    async def drain(self) -> None:
        """See draining.Draining; at once where nothing serves yet."""
        if self._ready:
            await self.draining.drain(self.config.calls.drain_s, STOP_WITHIN_S + 5 * WORKERS_STOP_WITHIN_S)

    async def stop(self) -> None:
        """Refuse new calls, end the running ones with a word to both sides, seal, close."""
        self.notifier.stopping()
        if self._watch is not None:
            self._watch.cancel()
        await self._within(WORKERS_STOP_WITHIN_S, self.sip.drain(), "draining the SIP workers")
        await self._within(STOP_WITHIN_S, self.board.stop(), "ending the calls")
        await self._within(WORKERS_STOP_WITHIN_S, self.portal.stop(), "stopping the portal")
        await self._within(WORKERS_STOP_WITHIN_S, self.phones.stop(), "leaving the phones alone")
        self.upkeep.stop()
        await self._within(WORKERS_STOP_WITHIN_S, self.counter.stop(), "stopping the counter of staff")
        await self._within(WORKERS_STOP_WITHIN_S, self.sms.stop(), "closing the SMS routes")
        await self._within(WORKERS_STOP_WITHIN_S, self.boards.stop(), "leaving the boards")
        self.hooks.stop()
        stopping = [(worker, worker.stop()) for worker in self._workers]
        for worker, stopped in stopping:
            if not await self._within(WORKERS_STOP_WITHIN_S, stopped, f"stopping {worker.name}"):
                worker.kill("it did not end by itself")
        await self._within(WORKERS_STOP_WITHIN_S, self.telemetry.stop(), "stopping the metrics")
        await self._within(WORKERS_STOP_WITHIN_S, self.board.owed.settle(self.store), "storing the last ends")
        await self._within(WORKERS_STOP_WITHIN_S, self.fleet.leave(), "taking leave of the other boxes")
        await self.store.close()
        logger.info("stopped")

    async def _within(self, seconds: float, work: Awaitable[Any], what: str) -> bool:
        """Wait for `work`, but not longer; False when it took too long or failed."""
        waiting = Deferred.fromCoroutine(_await(work))
        timer = self.clock.call_at(self.clock.now() + seconds, waiting.cancel)
        try:
            await waiting
        except CancelledError:
            logger.warning("%s took longer than %.0f s", what, seconds)
            return False
        except Exception as error:  # noqa: BLE001 - stopping goes on whatever fails
            logger.warning("%s failed: %s", what, error)
            return False
        finally:
            timer.cancel()
        return True

    async def _load_inventory(self) -> None:
        listed = await deferToThread(
            inventory.load,
            self.config.store.inventory_file,
            region=self.config.site.region,
            realm=self.config.sip.realm,
            language=self.config.site.language,
        )
        await self.take_inventory(listed)

    def took_up(self, config: Config) -> None:
        """These settings are in use from now on."""
        self.config = config
        self._certificates_due = 0.0

    async def take_inventory(self, listed: inventory.Inventory) -> None:
        """Phones and contacts of the file. StoreUnavailable, and nothing is changed."""
        await self.store.sync_inventory(listed.phones, listed.contacts)
        self._phones = len(listed.phones)
        logger.info("inventory: %d phones, %d contacts", len(listed.phones), len(listed.contacts))

    async def _recover(self) -> None:
        """End what an earlier run left open, seal what it left unsealed."""
        ended = await self.store.end_open_calls(EndReason.SERVICE_RESTARTED, self.clock.utc(), self.clock.now())
        if ended:
            logger.warning("%d calls were open when the service stopped; they ended as service_restarted", len(ended))
        await self._keep_what_is_left()

    async def _keep_what_is_left(self) -> None:
        """Seal recordings whose worker is gone, and put into the store what it does not know yet."""
        reason = EndReason.MEDIA_FAILED if self._ready else EndReason.SERVICE_RESTARTED
        for recording in await deferToThread(recordings_left, Path(self.config.recordings.folder), reason):
            try:
                if await self.store.recording(recording.call) is None:
                    await self.store.save_recording(recording)
            except StoreUnavailable as error:
                logger.warning("a recording on disk is not in the store: %s", error, extra={"call": recording.call})

    async def _seal_again(self) -> None:
        """Recordings that the disk refused to seal, or the store to keep: tried again while both are well."""
        self._seal_again_at = math.inf  # a disk that hangs just now is asked once
        tried = set(self.board.unsealed)
        try:
            await self._keep_what_is_left()
            left = await deferToThread(sealing.unsealed, Path(self.config.recordings.folder), tried)
            self.board.unsealed -= tried - left
        finally:
            self._seal_again_at = self.clock.now() + SEAL_AGAIN_EVERY_S

    def _tell_phone(self, device: Device, before: PhoneState, after: PhoneState) -> None:
        """The site's scripts hear when a phone goes, comes back, or was opened."""
        gone = (PhoneState.UNREGISTERED, PhoneState.SILENT)
        if after is PhoneState.TAMPERED:
            event = "phone-tampered"
        elif after in gone and before not in gone:
            event = "phone-offline"
        elif after is PhoneState.UP and before in gone:
            event = "phone-online"
        else:
            return
        place = {"building": device.building, "floor": device.floor, "cell": device.cell}
        self.hooks.happened(event, {"phone": device.phone, "state": after.value, **place})

    def _tell_ended(self, call: Call) -> None:
        """The site's scripts hear of each call's end."""
        reason = call.reason
        if reason is not None:
            facts = {"call": call.id, "phone": call.phone, "reason": reason.value, "cause": reason.cause.value}
            self.hooks.happened("call-ended", {**facts, "connected_s": f"{call.connected_s:.0f}"})

    def _place_of(self, phone: str) -> Device | None:
        """Where a phone hangs, as far as is known."""
        kept = self.phones.keeper.phones.get(PhoneId(phone))
        return None if kept is None else kept.device

    def _cut(self, call: str) -> bool:
        """Staff ends a call; False where it is not under way."""
        if CallId(call) not in self.board.entries:
            return False
        self.board.end_call(CallId(call))
        return True

    @property
    def _workers(self) -> tuple[Worker, ...]:
        return (*self.sip.workers, *self.media.workers, *self.transcoders.workers)

    def missing(self) -> list[str]:
        """Why the watchdog is not to be fed: what a restart may cure. A full disk it does not; /health tells of that.

        A part is missed once it has been away for as long as the watchdog waits for us.
        """
        now = self.clock.now()
        self.vitals.saw({"sip": self.sip.ready, "media": self.media.ready, "disk": self.disk.answers}, now)
        return self.vitals.silent(now)

    def _look(self) -> None:
        """Every few seconds: what nobody reports by itself."""
        run_coroutine(self._look_and_again())

    async def _look_and_again(self) -> None:
        try:
            await self._look_around()
        finally:
            self._watch = self.clock.call_at(self.clock.now() + WATCH_EVERY_S, self._look)

    async def _look_around(self) -> None:
        self.disk.look()  # not waited for: it may take for ever
        self.sms.look()
        await self.sms.keep()
        for pool in (self.sip, self.media, self.transcoders):
            pool.mind_memory(self.config.media.worker_memory_mib * 2**20)
        if not self.store.healthy:
            await self.store.probe()
        if self.store.healthy:
            await self.board.owed.settle(self.store)
            if self.board.unsealed and self.disk.room and self.clock.now() >= self._seal_again_at:
                run_coroutine(self._seal_again())
        registered: int | None = None
        try:
            edge = Path(self.config.sip.edge_database)
            phones = await current_registrations(edge, self.clock.utc())
        except EdgeUnreadable as error:
            self._edge_trouble.failed("%s", error)
            await self.phones.looked(None)
        else:
            registered = len(phones)
            await self.phones.looked(phones)
            self._edge_trouble.recovered("the edge's registrations are readable again")
        self.box.phones_listed, self.box.phones_registered = self._phones, registered
        for why in ("denied", "refused", "failed"):
            self.telemetry.metrics.doors.refused("counter", why, self.counter.served[why])
        self._look_at_backup()
        self._look_at_retention()
        await self.fleet.beat(len(self.board.entries))
        self.telemetry.metrics.boxes.looked(alive=self.fleet.alive, gone=self.fleet.gone, ended=self.fleet.ended)
        if self.clock.now() >= self._certificates_due:
            self._certificates_due = self.clock.now() + CERTIFICATES_EVERY_S
            self.telemetry.certificates(await deferToThread(certificates.look, self.config))
        await self._take_certificates()
        self.telemetry.looked(
            self._workers,
            converted=self.transcoders.converted,
            conversions_refused=self.transcoders.refused,
            store_up=self.store.healthy,
            registered=registered,
            phones=self._phones,
            free_bytes=self.disk.free_bytes,
            disk_trouble=self.disk.trouble,
            refused=self.portal.refused,
            device_problems=[
                *self.sms.problems,
                *self.boards.problems,
                *self.phones.problems,
                *self._retention_problems,
            ],
        )
        self.missing()  # sees who answers, more often than the watchdog asks
        pools = {"sip": self.sip, "media": self.media, "transcode": self.transcoders}
        up = {kind: sum(worker.up for worker in pool.workers) for kind, pool in pools.items()}
        of = {kind: len(pool.workers) for kind, pool in pools.items()}
        calls, capacity = len(self.board.entries), self.config.calls.capacity
        problems = self.telemetry.problems
        if self.board.draining:
            problems = ["the service is stopping: no new call is taken", *problems]
        self.notifier.status(status_line(calls, capacity, up, of, problems))

    async def _take_certificates(self) -> None:
        """Renewed ones are taken up here too: a portal that nobody visits should not find that out late."""
        told = self.telemetry.metrics.certificates
        if self.portal.certificate is not None:
            self.portal.certificate.renewable.look()
            told.refused("portal", self.portal.certificate.renewable.refused)
        await self.edge_certificate.look()
        told.refused("edge", self.edge_certificate.refused)

    def _look_at_backup(self) -> None:
        last = outcome.read(Path(self.config.backup.record_file))
        self.telemetry.metrics.backups.looked(
            age_s=last.age_s(self.clock.utc()), good=bool(last.good_utc) and not last.problem, octets=last.bytes
        )

    def _look_at_retention(self) -> None:
        last = retention_record.read(Path(self.config.recordings.record_file))
        self.telemetry.metrics.retention.looked(
            age_s=last.age_s(self.clock.utc()),
            good=bool(last.run_utc) and not last.problem,
            destroyed=last.destroyed,
            held=last.held,
            overdue=last.overdue,
        )
        self._retention_problems = [f"retention: {last.problem}"] if last.problem else []
        if last.problem:
            self._retention_trouble.failed("retention of recordings: %s", last.problem)
        else:
            self._retention_trouble.recovered("the retention of recordings works again")


def _no_transcoders(failure: Failure) -> None:
    cause = failure.value.subFailure.value if isinstance(failure.value, FirstError) else failure.value
    logger.error("no picture is converted, pages without H.264 have sound only: %s", cause)


async def _await(work: Awaitable[Any]) -> Any:
    return await work


def run(config: Config, path: Path) -> int:
    """Run until SIGTERM or SIGINT; the exit status. `path` is the settings' file, which SIGHUP reads again."""
    log.setup(config.log.level)
    promptness.share()
    status = 0

    async def live() -> None:
        nonlocal status
        try:
            daemon = Daemon(config, path)
            # Before the start: whatever runs by the time that a start fails is stopped in order, too.
            reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(daemon.stop()))
            Signals(reactor, daemon.drain, daemon.draining.hurry, daemon.reload).install()
            await daemon.start()
        except Exception as error:
            status = 2 if isinstance(error, WRONG_SETTINGS) else 1
            expected = isinstance(error, EXPECTED)
            logger.critical("avisiod cannot start: %s", error, exc_info=not expected)
            if reactor.running:
                reactor.stop()

    reactor.callWhenRunning(lambda: run_coroutine(live()))
    # Twisted's own handler of SIGCHLD tells of workers that ended.
    reactor.run()
    return status
