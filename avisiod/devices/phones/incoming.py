"""What phones report, mapped from each vendor's words onto ours, each report once."""

import logging
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from avisiod.calls.ids import PhoneId
from avisiod.calls.replay import Reports, Stamp
from avisiod.clock import Clock
from avisiod.devices.phones.vendors import NAMES
from avisiod.devices.provisioning.paths import Asked
from avisiod.devices.provisioning.reception import Reply, nothing
from avisiod.phone_ports import Device
from avisiod.yamlfile import YamlError, parse, read

_log = logging.getLogger(__name__)

SHIPPED = (
    Path(__file__).resolve().parents[3] / "firmware-hooks" / "incoming",
    Path("/usr/share/avisiod/firmware-hooks/incoming"),
)
"""Where the mappings that ship with avisiod lie: in its source, or installed."""
EVENTS = (
    "booted",
    "registered",
    "off_hook",
    "on_hook",
    "call_started",
    "call_ended",
    "tamper",
    "over_temperature",
    "log",
)
SHOWN = 64
"""Characters of a value that are kept."""
FIELDS = 16


class MappingUnusable(ValueError):
    """A vendor's file cannot be used; the text names it and its fault."""


class VendorEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vendor's words."""

    events: Mapping[str, str]
    field: str = ""
    """Parameter that tells the event, where the path does not."""
    detail: str = ""
    """Parameter that tells more; `EVENT:DETAIL` is looked up then."""
    sequence: str = ""
    time: str = ""
    nonce: str = ""

    def name_of(self, name: str, parameters: Mapping[str, str]) -> str:
        """What is looked up."""
        if not self.field:
            return name
        told = parameters.get(self.field, name)
        return f"{told}:{parameters[self.detail]}" if self.detail and self.detail in parameters else told

    def stamp(self, parameters: Mapping[str, str]) -> Stamp | None:
        """What keeps a report from being made twice; None where it should be there and cannot be read."""
        sequence, time_s = parameters.get(self.sequence, ""), parameters.get(self.time, "")
        nonce = parameters.get(self.nonce, "") if self.nonce else ""
        try:
            return Stamp(
                sequence=_whole(sequence) if self.sequence and sequence else None,
                time_s=float(_whole(time_s)) if self.time and time_s else None,
                nonce=nonce[:SHOWN],
            )
        except ValueError:
            return None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise ValueError("no number")
    return int(text)


def mappings(own_folder: str = "") -> dict[str, VendorEvents]:
    """Every vendor's, the site's own before ours. MappingUnusable."""
    folders = [*([Path(own_folder)] if own_folder else []), *SHIPPED]
    found = {}
    for name in NAMES:
        path = next((folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file()), None)
        if path is None:
            raise MappingUnusable(f"there is no {name}.yaml in {folders[-1]}: install avisiod's firmware-hooks anew")
        try:
            mapping = msgspec.convert(parse(read(path)).data, VendorEvents)
        except (YamlError, msgspec.ValidationError) as error:
            raise MappingUnusable(f"{path}: {error}") from None
        if unknown := sorted(set(mapping.events.values()) - set(EVENTS)):
            raise MappingUnusable(f"{path}: no event `{unknown[0]}`; known: {', '.join(EVENTS)}")
        found[name] = mapping
    return found


class Incoming:
    """Takes reports of phones that have shown their secret. For the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        vendors: Mapping[str, VendorEvents],
        said: Callable[[PhoneId, str, Mapping[str, str]], None],
        reports_of: Callable[[PhoneId], Reports | None],
    ) -> None:
        """`said` is told (phone, event, details) of each.

        `reports_of` has what was heard of a phone before; None while that has not been read yet.
        """
        self._clock = clock
        self._vendors = vendors
        self._said = said
        self._reports_of = reports_of

    def __call__(self, device: Device, question: Asked, query: bytes) -> Reply:
        """One report."""
        vendor = self._vendors.get(device.vendor)
        parameters = parsed(query)
        name = vendor.name_of(question.name, parameters) if vendor is not None else ""
        event = vendor.events.get(name) if vendor is not None else None
        if vendor is None or event is None:
            _log.debug("phone %s reports something that is not known", device.phone)
            return nothing("unknown_event")
        stamp = vendor.stamp(parameters)
        reports = self._reports_of(device.phone)
        if reports is None:
            return Reply(503, body=b"later\n", why="failed")
        now_s, wall_s = self._clock.now(), self._clock.utc().timestamp()
        if stamp is None or not reports.fresh(name, stamp, now_s, wall_s, anew=event == "booted"):
            return nothing("replayed")
        details = {key: value for key, value in parameters.items() if key not in (vendor.nonce, "")}
        self._said(device.phone, event, {"as": name[:SHOWN], **details})
        return Reply(200, body=b"ok\n", why="event")


def parsed(query: bytes) -> dict[str, str]:
    """The parameters of a query: few, short, printable."""
    try:
        pairs = urllib.parse.parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS)
    except (UnicodeDecodeError, ValueError):
        return {}
    return {key[:SHOWN]: value[:SHOWN] for key, value in pairs if key.isprintable() and value.isprintable()}
