"""Keeps the health of every phone: looks at registrations, asks, hears what phones say, tells what changed."""

import collections
import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import (
    Absent,
    Booted,
    CaseOpened,
    Cleared,
    Fact,
    Health,
    Patience,
    PhoneState,
    Registered,
    Wanted,
    observed,
    remembered,
)
from avisiod.calls.replay import Reports
from avisiod.clock import Clock
from avisiod.config.phones import Health as Settings
from avisiod.devices.phones.vendors import vendors
from avisiod.log import FirstThenDebug
from avisiod.phone_ports import Device, DeviceStore, HealthRecord, PhoneEvent
from avisiod.ports import StoreUnavailable

_log = logging.getLogger(__name__)

RELOAD_EVERY_S = 10.0
"""What staff changed of the devices is taken up within this time."""
SAVE_EVERY_S = 60.0
"""Last registrations and answers are written so often; what changed or was said, with the next look."""
PURGE_EVERY_S = 3600.0
MANY = 20
"""So many changes at once are told in one line: a switch without power takes a floor along."""
DAMP_S = 60.0
"""What a phone says again within this time is counted, but not kept again."""


class Sighting(Protocol):
    """A registration as the edge knows it."""

    @property
    def dialogue(self) -> str:
        """Call-ID of the REGISTER."""

    @property
    def user_agent(self) -> str:
        """As the phone calls itself."""

    @property
    def last_seen(self) -> datetime.datetime:
        """When it registered last."""


class Counts(Protocol):
    """Who counts: metrics.phones.PhoneMetrics."""

    def states(self, counts: Mapping[str, int]) -> None:
        """How many phones are in each state."""

    def changed(self, state: str) -> None:
        """A phone's state became this."""

    def event(self, event: str) -> None:
        """A phone said this."""


Changed = Callable[[Device, PhoneState, PhoneState], None]


class Kept(msgspec.Struct, kw_only=True):
    """One phone as the keeper knows it."""

    device: Device
    health: Health
    since_utc: datetime.datetime
    registered_utc: datetime.datetime | None = None
    answered_utc: datetime.datetime | None = None
    event: str = ""
    event_utc: datetime.datetime | None = None
    dirty: bool = False
    changed: bool = True
    """Its device was entered or changed: what is known of its registration is read anew."""
    tampered_saved: bool = False
    said: dict[str, float] = msgspec.field(default_factory=dict)
    reports: Reports = msgspec.field(default_factory=Reports)

    @property
    def record(self) -> HealthRecord:
        """As it is stored."""
        return HealthRecord(
            phone=self.device.phone,
            state=self.health.state,
            since_utc=self.since_utc,
            tampered=PhoneState.TAMPERED in self.health.holds,
            firmware=self.health.firmware,
            registered_utc=self.registered_utc,
            answered_utc=self.answered_utc,
            event=self.event,
            event_utc=self.event_utc,
            heard=self.reports.heard,
        )


class PhoneKeeper:
    """The health of all phones. Every method is for the reactor's thread."""

    def __init__(self, clock: Clock, store: DeviceStore, settings: Settings, counts: Counts) -> None:
        self._clock = clock
        self._store = store
        self._patience = Patience(misses=settings.misses, absent_s=settings.absent_s, boots=settings.boots)
        self._keep_days = settings.events_days
        self._counts = counts
        self._events: list[PhoneEvent] = []
        self._trouble = FirstThenDebug(_log)
        self._reload_at = self._save_at = self._purge_at = float("-inf")
        self.phones: dict[PhoneId, Kept] = {}
        self.on_change: list[Changed] = []
        """Told (device, before, after) of every change of a state."""

    async def looked(self, registered: Mapping[PhoneId, Sighting] | None) -> None:
        """The edge's registrations, every few seconds; None: it could not be read, and nothing is concluded."""
        now = self._clock.now()
        try:
            if now >= self._reload_at:
                await self._reload()
                self._reload_at = now + RELOAD_EVERY_S
            if registered is not None:
                for phone, kept in self.phones.items():
                    self._look(kept, registered.get(phone), now)
            await self._save(now)
            if now >= self._purge_at:
                self._purge_at = now + PURGE_EVERY_S
                await self._store.forget_events(self._clock.utc() - datetime.timedelta(days=self._keep_days))
        except StoreUnavailable as error:
            self._trouble.failed("the health of phones is not kept: %s; calls go on", error)
        else:
            self._trouble.recovered("the health of phones is kept again")
        states = collections.Counter(kept.health.state.value for kept in self.phones.values())
        self._counts.states(states)

    async def refresh(self) -> None:
        """Take up now what staff have changed of the devices. StoreUnavailable."""
        await self._reload()

    def seen(self, phone: PhoneId, fact: Fact) -> None:
        """Something was found out about a phone; one that is not known is passed over."""
        kept = self.phones.get(phone)
        if kept is not None:
            self._see(kept, fact, self._clock.now())

    def answered(self, phone: PhoneId, fact: Fact) -> None:
        """It answered: `seen`, and when."""
        kept = self.phones.get(phone)
        if kept is not None:
            kept.answered_utc, kept.dirty = self._clock.utc(), True
            self._see(kept, fact, self._clock.now())

    def said(self, phone: PhoneId, event: str, details: Mapping[str, str] | None = None) -> None:
        """A phone told one of metrics.phones.EVENTS."""
        self._counts.event(event)
        kept = self.phones.get(phone)
        if kept is None:
            return
        now = self._clock.now()
        kept.event, kept.event_utc, kept.dirty = event, self._clock.utc(), True
        self._save_at = now  # that it was heard outlives a restart: the same report counts no second time
        if now - kept.said.get(event, float("-inf")) >= DAMP_S:
            kept.said[event] = now
            self.note(phone, event, details)
        if event == "booted":
            self._see(kept, Booted(), now)
        elif event == "tamper":
            self._see(kept, CaseOpened(), now)

    def reports_of(self, phone: PhoneId) -> Reports | None:
        """What a phone reported before, in this run or an earlier one; None: nothing has been read of it yet."""
        kept = self.phones.get(phone)
        return kept.reports if kept is not None else None

    async def close(self) -> None:
        """Keep what was not yet. Never fails."""
        self._save_at = float("-inf")
        try:
            await self._save(self._clock.now())
        except StoreUnavailable as error:
            self._trouble.failed("the last that was seen of phones is not kept: %s", error)

    def note(self, phone: str, event: str, details: Mapping[str, str] | None = None) -> None:
        """Keep an event; it is written with the next look."""
        self._events.append(
            PhoneEvent(phone=phone, at_utc=self._clock.utc(), event=event, details=dict(details or {}))
        )

    def _look(self, kept: Kept, sighting: Sighting | None, now: float) -> None:
        if sighting is None:
            if kept.health.registered or kept.health.holds or kept.health.seen:
                self._see(kept, Absent(), now)
            return
        known = sighting.last_seen == kept.registered_utc and sighting.dialogue == kept.health.dialogue
        quiet = kept.health.registered and not kept.health.holds and kept.health.wrong_at is None
        if known and quiet and not kept.changed:
            return
        firmware = self._firmware(kept.device, sighting.user_agent)
        if not known:
            kept.registered_utc, kept.dirty = sighting.last_seen, True
        if firmware not in ("", kept.health.firmware):
            kept.dirty, self._save_at = True, now
        kept.changed = False
        self._see(kept, Registered(sighting.dialogue, firmware), now)

    @staticmethod
    def _firmware(device: Device, user_agent: str) -> str:
        vendor = vendors().get(device.vendor)
        return vendor.firmware_of(user_agent) if vendor is not None else ""

    def _see(self, kept: Kept, fact: Fact, now: float) -> None:
        before = kept.health.state
        kept.health = observed(kept.health, fact, self._patience, now)
        after = kept.health.state
        if before is after:
            return
        kept.since_utc, kept.dirty = self._clock.utc(), True
        self._save_at = now
        self._counts.changed(after.value)
        self.note(kept.device.phone, "state", {"before": before.value, "after": after.value})
        for tell in self.on_change:
            tell(kept.device, before, after)

    async def _reload(self) -> None:
        devices = await self._store.devices()
        records = {record.phone: record for record in await self._store.health()}
        now, utc = self._clock.now(), self._clock.utc()
        listed = {device.phone for device in devices}
        for gone in self.phones.keys() - listed:
            del self.phones[gone]
        for device in devices:
            record = records.get(device.phone)
            kept = self.phones.get(device.phone)
            if kept is None:
                kept = self.phones[device.phone] = _from(device, record, now, utc)
            if device != kept.device:
                kept.device, kept.changed = device, True
            if device.firmware != kept.health.wanted:
                self._see(kept, Wanted(device.firmware), now)
            if kept.tampered_saved and not kept.dirty and record is not None and not record.tampered:
                kept.tampered_saved = False
                self._see(kept, Cleared(), now)

    async def _save(self, now: float) -> None:
        if now < self._save_at and not self._events:
            return
        dirty = [kept for kept in self.phones.values() if kept.dirty]
        events, self._events = self._events, []
        changes = [event for event in events if event.event == "state"]
        for event in changes if len(changes) <= MANY else ():
            _log.info("phone %s: %s, was %s", event.phone, event.details["after"], event.details["before"])
        if len(changes) > MANY:
            after = collections.Counter(event.details["after"] for event in changes)
            _log.warning("%d phones changed: %s", len(changes), ", ".join(f"{n} {s}" for s, n in after.most_common()))
        self._save_at = now + SAVE_EVERY_S
        if not dirty and not events:
            return
        for kept in dirty:
            kept.dirty = False
        try:
            await self._store.save_health([kept.record for kept in dirty], events)
        except StoreUnavailable:
            for kept in dirty:
                kept.dirty = True
            self._events[:0] = events[-1000:]
            raise
        for kept in dirty:
            kept.tampered_saved = PhoneState.TAMPERED in kept.health.holds


def _from(device: Device, record: HealthRecord | None, now: float, utc: datetime.datetime) -> Kept:
    if record is None:
        return Kept(device=device, health=Health(wanted=device.firmware), since_utc=utc)
    health = remembered(record.state, firmware=record.firmware, tampered=record.tampered, now=now)
    return Kept(
        device=device,
        health=msgspec.structs.replace(health, wanted=device.firmware),
        since_utc=record.since_utc,
        registered_utc=record.registered_utc,
        answered_utc=record.answered_utc,
        event=record.event,
        event_utc=record.event_utc,
        tampered_saved=record.tampered,
        reports=Reports(record.heard),
    )
