"""Carries roll-outs out: looks at the phones, decides by calls.rollout, keeps it, and only then tells phones."""

import datetime
import logging
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.rollout import Care, Rolled, Rollout, RolloutState, Seen, advanced, not_told, window_open
from avisiod.clock import Clock
from avisiod.config.phones import Firmware
from avisiod.devices.firmware.library import Library
from avisiod.devices.phones.edge_client import EdgeSilent
from avisiod.devices.phones.keeper import PhoneKeeper
from avisiod.log import FirstThenDebug
from avisiod.phone_ports import FirmwareFile, RolloutRecord, RolloutStore
from avisiod.ports import StoreUnavailable

_log = logging.getLogger(__name__)

AGAIN_S = 60.0
"""A phone that could not be told is told again after this."""
_WELL = (PhoneState.UP, PhoneState.WRONG_FIRMWARE)


class Teller(Protocol):
    """phones.asker.PhoneAsker."""

    async def check_sync(self, phone: PhoneId, *, reboot: bool) -> bool:
        """Have it fetch its settings; False where it was not told."""


class Counts(Protocol):
    """metrics.phones.PhoneMetrics."""

    def rolled(self, step: str, count: int) -> None:
        """Phones of roll-outs that became this."""


class Runner:
    """Runs all roll-outs that the store says run. For the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        store: RolloutStore,
        keeper: PhoneKeeper,
        teller: Teller,
        library: Library,
        counts: Counts,
        settings: Firmware,
        in_call: Callable[[PhoneId], bool],
        time_zone: str,
    ) -> None:
        self._clock = clock
        self._store = store
        self._keeper = keeper
        self._teller = teller
        self._library = library
        self._counts = counts
        self._care = Care(back_within_s=settings.back_within_s, failures=settings.failures)
        self._in_call = in_call
        self._zone = zoneinfo.ZoneInfo(time_zone)
        self._times: dict[tuple[str, PhoneId], Rolled] = {}
        """What of each phone is not in the store: monotonic times."""
        self._trouble = FirstThenDebug(_log)
        self._busy = False

    async def looked(self) -> None:
        """Every few seconds: what becomes of each roll-out."""
        if self._busy:
            return
        self._busy = True
        try:
            files = {file.id: file for file in await self._store.firmware()}
            self._library.take(list(files.values()))
            for record in await self._store.running():
                await self._advance(record, files)
        except StoreUnavailable as error:
            self._trouble.failed("no roll-out of firmware goes on: %s", error)
        else:
            self._trouble.recovered("roll-outs of firmware go on")
        finally:
            self._busy = False

    async def _advance(self, record: RolloutRecord, files: Mapping[str, FirmwareFile]) -> None:
        before = self._with_times(record.rollout)
        local = self._clock.utc().astimezone(self._zone)
        open_now = window_open(record.begins, record.ends, local)
        after, told = advanced(before, self._seen(), self._care, self._clock.now(), open_now=open_now)
        if told and not await self._library.whole(files[record.firmware]):
            why = "the firmware on disk is not as it was checked"
            after, told = msgspec.structs.replace(before, state=RolloutState.STOPPED, why=why), ()
        if after != before and not await self._keep(before, after, told):
            return
        for phone in told:
            await self._tell(after.id, phone)

    async def _keep(self, before: Rollout, after: Rollout, told: tuple[PhoneId, ...]) -> bool:
        if not await self._store.save_rollout(before, after, self._clock.utc(), told):
            return False
        self._times.update({(after.id, rolled.phone): rolled for rolled in after.phones})
        steps = {rolled.phone: rolled.step for rolled in before.phones}
        for rolled in after.phones:
            if steps[rolled.phone] is not rolled.step:
                self._counts.rolled(rolled.step.value, 1)
        if after.state is not before.state:
            level = logging.ERROR if after.state is RolloutState.STOPPED else logging.INFO
            _log.log(level, "the roll-out %s is %s%s", after.id, after.state, after.why and f": {after.why}")
            for rolled in after.phones:
                self._times.pop((after.id, rolled.phone), None)
        elif after.stage != before.stage:
            _log.info("the roll-out %s has come to stage %d of %d", after.id, after.stage + 1, after.stages)
        return True

    async def _tell(self, rollout: str, phone: PhoneId) -> None:
        try:
            heard = await self._teller.check_sync(phone, reboot=True)
        except EdgeSilent:
            heard = False
        if heard:
            self._keeper.note(phone, "update_told", {"rollout": rollout})
            return
        # Taken from the store anew: meanwhile other phones of it have moved on.
        for record in await self._store.running():
            if record.rollout.id == rollout:
                now = self._with_times(record.rollout)
                again = not_told(now, phone, self._clock.now() + AGAIN_S)
                await self._keep(now, again, ())

    def _with_times(self, rollout: Rollout) -> Rollout:
        phones = []
        for rolled in rollout.phones:
            known = self._times.get((rollout.id, rolled.phone))
            if known is not None and known.step is rolled.step:
                rolled = msgspec.structs.replace(  # noqa: PLW2901
                    rolled, asked_at=known.asked_at, not_before=known.not_before
                )
            phones.append(rolled)
        return msgspec.structs.replace(rollout, phones=tuple(phones))

    def _seen(self) -> Seen:
        there = {name: kept for name, kept in self._keeper.phones.items() if kept.health.registered}
        idle = {name for name, kept in there.items() if kept.health.state in _WELL and not self._in_call(name)}
        return Seen(versions={name: kept.health.firmware for name, kept in there.items()}, idle=idle)


def local_minutes(text: str) -> int:
    """Minutes of the day of `02:30`."""
    time = datetime.time.fromisoformat(text)
    return time.hour * 60 + time.minute
