"""What the rooms tell each other about phones as devices: the seams between the store, the devices and the daemon."""

import datetime
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import msgspec

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.replay import Heard
from avisiod.calls.rollout import Rollout


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The device behind a phone, as staff entered it."""

    phone: PhoneId
    cell: str = ""
    building: str = ""
    floor: str = ""
    language: str = "fr"
    mac: str = ""
    """Twelve lower-case hexadecimal digits; empty where nobody entered the device."""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    """The version that it should run; empty: any."""
    self_test: bool = False
    """It may be called at night to see whether it answers by itself."""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Which secrets of a phone are in force."""

    generation: int = 0
    """0: none was ever handed out."""
    ha1: str = ""
    """Of the password that is in force."""
    token_hash: str = ""
    token_ends_utc: datetime.datetime | None = None
    token_used_utc: datetime.datetime | None = None
    token_address: str = ""
    """Who used it."""

    def __repr__(self) -> str:
        return f"Keys(generation={self.generation})"


class HealthRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a phone is, as it is kept."""

    phone: PhoneId
    state: PhoneState
    since_utc: datetime.datetime
    tampered: bool = False
    firmware: str = ""
    registered_utc: datetime.datetime | None = None
    answered_utc: datetime.datetime | None = None
    event: str = ""
    event_utc: datetime.datetime | None = None
    heard: Heard = Heard()
    """By what a report that is made twice is told, after a restart too."""


class PhoneEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a phone said, or that was seen of it."""

    phone: str
    at_utc: datetime.datetime
    event: str
    details: Mapping[str, str] = {}


class FirmwareFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of firmware that was checked."""

    id: str
    vendor: str
    model: str
    release: str
    """The version that a phone with it tells."""
    file: str
    """Its name in the folder of firmware."""
    size: int
    sha256: str
    key: str


class RolloutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A roll-out as it is kept."""

    rollout: Rollout
    firmware: str
    begins: int
    ends: int
    """The window of the night; minutes of the site's day."""


class DeviceStore(Protocol):
    """Where devices are kept. Every Awaitable fails with StoreUnavailable; nothing was changed then."""

    def devices(self) -> Awaitable[Sequence[Device]]:
        """Every listed phone, whether its device was entered or not."""

    def device_by_mac(self, mac: str) -> Awaitable[tuple[Device, Keys] | None]:
        """The listed phone with this MAC."""

    def health(self) -> Awaitable[Sequence[HealthRecord]]:
        """What is kept of every phone's health."""

    def save_health(self, records: Sequence[HealthRecord], events: Sequence[PhoneEvent]) -> Awaitable[None]:
        """Keep both, in one transaction."""

    def forget_events(self, before_utc: datetime.datetime) -> Awaitable[int]:
        """Delete the events from before; how many there were."""

    def hand_out(
        self, phone: PhoneId, ha1: str, generation: int, at_utc: datetime.datetime, token: str, address: str
    ) -> Awaitable[bool]:
        """Put a phone's password into force, and note that its settings were handed out.

        `token` is the hash of the one-time token that was shown, or empty; False, and nothing is changed, where that
        one is not valid any more.
        """


class RolloutStore(Protocol):
    """Where roll-outs are kept. Every Awaitable fails with StoreUnavailable; nothing was changed then."""

    def firmware(self) -> Awaitable[Sequence[FirmwareFile]]:
        """Every file that was checked."""

    def running(self) -> Awaitable[Sequence[RolloutRecord]]:
        """The roll-outs that run."""

    def save_rollout(
        self, before: Rollout, after: Rollout, at_utc: datetime.datetime, told: Sequence[PhoneId]
    ) -> Awaitable[bool]:
        """Keep what became of one, and that the phones told should run its version.

        False, and nothing is changed, where staff have paused or stopped it meanwhile.
        """
