"""Devices as the control process keeps them: the store's threads, and phone_ports.DeviceStore."""

import datetime
from collections.abc import Sequence

from twisted.internet.defer import Deferred

from avisiod.calls.ids import PhoneId
from avisiod.calls.rollout import Rollout, RolloutState
from avisiod.phone_ports import Device, FirmwareFile, HealthRecord, Keys, PhoneEvent, RolloutRecord
from avisiod.store import devices, rollouts
from avisiod.store.store import Store


class StoredDevices:
    """Implements phone_ports.DeviceStore and RolloutStore."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def devices(self) -> Deferred[Sequence[Device]]:
        """Every listed phone."""
        return self._store.read(devices.listed)

    def device_by_mac(self, mac: str) -> Deferred[tuple[Device, Keys] | None]:
        """The listed phone with this MAC."""
        return self._store.read(lambda connection: devices.by_mac(connection, mac))

    def health(self) -> Deferred[Sequence[HealthRecord]]:
        """What is kept of every phone's health."""
        return self._store.read(devices.health)

    def save_health(self, records: Sequence[HealthRecord], events: Sequence[PhoneEvent]) -> Deferred[None]:
        """Keep both."""
        return self._store.write(lambda connection: devices.save_health(connection, records, events))

    def forget_events(self, before_utc: datetime.datetime) -> Deferred[int]:
        """Delete the older ones."""
        return self._store.write(lambda connection: devices.forget_events(connection, before_utc))

    def hand_out(
        self, phone: PhoneId, ha1: str, generation: int, at_utc: datetime.datetime, token: str, address: str
    ) -> Deferred[bool]:
        """Put a password into force, and spend a token."""
        return self._store.write(
            lambda connection: devices.hand_out(connection, phone, ha1, generation, at_utc, token, address)
        )

    def firmware(self) -> Deferred[Sequence[FirmwareFile]]:
        """Every file that was checked."""
        return self._store.read(rollouts.files)

    def running(self) -> Deferred[Sequence[RolloutRecord]]:
        """The roll-outs that run."""
        return self._store.read(lambda connection: rollouts.listed(connection, state=RolloutState.RUNNING.value))

    def save_rollout(
        self, before: Rollout, after: Rollout, at_utc: datetime.datetime, told: Sequence[PhoneId]
    ) -> Deferred[bool]:
        """Keep what became of one."""
        return self._store.write(lambda connection: rollouts.save(connection, before, after, at_utc, told))
