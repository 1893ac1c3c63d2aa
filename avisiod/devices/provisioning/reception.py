"""Decides what a phone is given: by its MAC, by what it shows, by the name of the file. Everybody else hears 404.

Whoever asks for what is not theirs learns nothing: not whether a MAC is known, nor whether a secret was nearly right.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from avisiod.calls.ids import PhoneId
from avisiod.calls.mac import mac_of, shown
from avisiod.calls.rate import Rates
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.devices.provisioning.paths import Asked, PathRefused, asked, mac_in
from avisiod.devices.provisioning.phone_secrets import PhoneSecrets, Purpose, ha1_of
from avisiod.devices.provisioning.render import CannotRender, Templates, file_asked
from avisiod.devices.provisioning.settings_of import settings_of
from avisiod.log import FirstThenDebug
from avisiod.phone_ports import Device, DeviceStore, Keys
from avisiod.ports import StoreUnavailable

_log = logging.getLogger(__name__)

STRANGERS = 1000
"""MACs that are not in the inventory and are told of once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Visit:
    """One request, as it came."""

    path: bytes
    address: str
    query: bytes = b""
    certificate: str = ""
    """Common name of the phone's certificate, where one was shown and is good."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What it gets."""

    status: int
    type: str = "text/plain"
    body: bytes = dataclasses.field(default=b"", repr=False)
    file: str = ""
    """A file of firmware to be sent instead of a body."""
    why: str = "served"
    """As it is counted: one of metrics.provisioning.RESULTS."""


NOTHING = b"not found\n"


def nothing(why: str) -> Reply:
    """404, the same for every reason."""
    return Reply(404, body=NOTHING, why=why)


class Notes(Protocol):
    """phones.keeper.PhoneKeeper: where what happened is kept."""

    def note(self, phone: str, event: str, details: dict[str, str] | None = None) -> None:
        """Keep an event."""


Events = Callable[[Device, Asked, bytes], Reply]
"""What becomes of an event: (device, asked, query)."""
FirmwareFor = Callable[[Device], Awaitable[tuple[str, str]]]
"""Version and file's name that a device should fetch; empty for none."""
FirmwareFile = Callable[[Device, str], Awaitable[Reply]]
"""A file of firmware for a device, by its name."""


async def no_firmware(device: Device) -> tuple[str, str]:  # noqa: ARG001
    """Nothing is being rolled out."""
    return "", ""


async def no_file(device: Device, name: str) -> Reply:  # noqa: ARG001
    """There is no firmware here."""
    return nothing("no_such_file")


class Reception:
    """Answers phones. For the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        config: Config,
        store: DeviceStore,
        phone_secrets: PhoneSecrets,
        templates: Templates,
        notes: Notes,
        events: Events,
    ) -> None:
        self._clock = clock
        self._config = config
        self._store = store
        self._secrets = phone_secrets
        self._templates = templates
        self._notes = notes
        self._events = events
        self._rates = Rates(config.provisioning.requests_per_minute)
        self._strangers: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._trouble = FirstThenDebug(_log)
        self.firmware_for: FirmwareFor = no_firmware
        self.firmware_file: FirmwareFile = no_file

    async def answer(self, visit: Visit) -> Reply:
        """What a request is given. Never raises."""
        if not self._rates.take(visit.address, self._clock.now()):
            return Reply(429, body=b"later\n", why="too_fast")
        try:
            question = asked(visit.path)
        except PathRefused as refused:
            if refused.why == "traversal":
                self._tell_of(visit, "", "traversal", "somebody at %s asks for other files than a phone's")
            return nothing(refused.why)
        try:
            return await self._by_mac(visit, question)
        except StoreUnavailable as error:
            self._trouble.failed("a phone could not be answered: %s", error)
            return Reply(503, body=b"later\n", why="failed")
        except CannotRender as error:
            self._trouble.failed("a phone got no settings: %s; the other phones' go on", error)
            return Reply(503, body=b"later\n", why="failed")

    async def _by_mac(self, visit: Visit, question: Asked) -> Reply:
        shows = self._config.provisioning.authentication
        mac = question.mac
        if question.kind == "certificate":
            if shows == "token":
                return self._stranger(visit, mac) if mac and not await self._known(mac) else nothing("no_secret")
            mac = mac_of(visit.certificate) or ""
            if not mac:
                return nothing("no_secret")
        found = await self._store.device_by_mac(mac)
        if found is None:
            # The same work as for a phone that is known: time tells nothing either.
            self._secrets.fits(question.secret, "fetch", PhoneId(mac), 1)
            return self._stranger(visit, mac)
        device, keys = found
        if question.kind == "t" and shows == "certificate":
            return nothing("no_secret")
        if not self._may(question, device, keys):
            self._tell_of(visit, device.phone, "wrong_secret", "somebody at %s knows a phone's MAC, not its secret")
            return nothing("wrong_secret")
        if question.kind == "e":
            return self._events(device, question, visit.query)
        if question.kind == "f":
            return await self.firmware_file(device, question.name)
        return await self._settings(visit, question, device, keys)

    async def _known(self, mac: str) -> bool:
        return await self._store.device_by_mac(mac) is not None

    def _may(self, question: Asked, device: Device, keys: Keys) -> bool:
        """Whether what was shown is this phone's; a one-time token is judged when it is spent."""
        if question.kind in ("certificate", "t"):
            return True
        purpose: Purpose = "event" if question.kind == "e" else "fetch"
        fits = self._secrets.fits(question.secret, purpose, device.phone, max(1, keys.generation))
        return fits and keys.generation > 0

    async def _settings(self, visit: Visit, question: Asked, device: Device, keys: Keys) -> Reply:
        file = file_asked(device.vendor, question.name, device.mac)
        if file is None:
            named = mac_in(question.name)
            if named is not None and named != device.mac:
                self._tell_of(visit, device.phone, "anothers", "the phone at %s asks for another's settings")
                return nothing("anothers")
            return nothing("no_such_file")
        generation = max(1, keys.generation)
        firmware = await self.firmware_for(device)
        body = self._templates.render(file, settings_of(device, generation, self._config, self._secrets, firmware))
        ha1 = ha1_of(device.phone, self._config.sip.realm, self._secrets.of("sip", device.phone, generation))
        token = hashlib.sha256(question.secret.encode()).hexdigest() if question.kind == "t" else ""
        if token or ha1 != keys.ha1 or keys.generation != generation:
            at = self._clock.utc()
            if not await self._store.hand_out(device.phone, ha1, generation, at, token, visit.address):
                self._tell_of(visit, device.phone, "spent_token", "a token that opens nothing was shown at %s")
                return nothing("spent_token")
            self._notes.note(device.phone, "provisioned", {"file": file.template, "generation": str(generation)})
        self._trouble.recovered("phones get their settings again")
        return Reply(200, file.type, body)

    def _stranger(self, visit: Visit, mac: str) -> Reply:
        """A phone that is not in the inventory: it gets nothing, and is told of."""
        if mac not in self._strangers:
            if len(self._strangers) >= STRANGERS:
                self._strangers.clear()
            self._strangers.add(mac)
            _log.warning(
                "a phone that is not in the inventory asks for settings: %s at %s; it gets none",
                shown(mac),
                visit.address,
            )
            self._notes.note(mac, "unknown_phone", {"address": visit.address})
        return nothing("unknown_mac")

    def _tell_of(self, visit: Visit, phone: str, event: str, text: str) -> None:
        level = logging.WARNING if (visit.address, event) not in self._told else logging.DEBUG
        if len(self._told) >= STRANGERS:
            self._told.clear()
        _log.log(level, text, visit.address)
        if (visit.address, event) not in self._told:
            self._notes.note(phone, event, {"address": visit.address})
        self._told.add((visit.address, event))
