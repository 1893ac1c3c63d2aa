"""What every vendor's template may say: one phone's settings, made of the site's."""

import datetime
import math
import zoneinfo
from pathlib import Path

import msgspec

from avisiod.calls.ids import PhoneId
from avisiod.calls.mac import shown
from avisiod.config.settings import Config
from avisiod.devices.provisioning.phone_secrets import PhoneSecrets
from avisiod.phone_ports import Device

MARGIN_S = 300
"""What a phone's own limit has beyond the longest call that we allow."""
DIAL_PLAN = r"\+?[0-9]{2,20}"
"""Digits, and a plus before them: what else is typed, such as service codes with a star, never leaves the phone."""
SIP_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One phone's settings. Holds secrets: never shown."""

    phone: PhoneId
    mac: str
    mac_shown: str
    model: str
    language: str
    realm: str
    password: str
    admin_password: str
    registrar: str
    """Host."""
    registrar_port: int
    transport: str
    encryption: str
    """`never`, `optional`, `required`."""
    call_limit_s: int
    dial_plan: str
    """Regular expression (POSIX extended) of what may be dialled, whole."""
    register_s: int
    audio_codecs: tuple[str, ...]
    """Of OPUS, G722, PCMA, PCMU; the best first."""
    time_zone: str
    posix_zone: str
    """As in POSIX TZ: `CET-1CEST,M3.5.0,M10.5.0/3`."""
    utc_offset_s: int
    """Of winter."""
    ntp_server: str
    fetch_url: str
    """Where it fetches its settings from now on; ends in `/`."""
    event_url: str
    """Where it reports; an event's name follows."""
    firmware: str = ""
    """The version that it should have, where one is being rolled out."""
    firmware_url: str = ""

    def __repr__(self) -> str:
        return f"Settings({self.phone})"


def settings_of(
    device: Device,
    generation: int,
    config: Config,
    phone_secrets: PhoneSecrets,
    firmware: tuple[str, str] = ("", ""),
) -> Settings:
    """The settings of a device; `firmware`: version and file name, where one is to be had."""
    where, phone = config.provisioning, device.phone
    host, port = _host_and_port(where.registrar or where.address, SIP_PORTS[where.transport])
    fetch, event = (phone_secrets.of(purpose, phone, generation) for purpose in ("fetch", "event"))
    calls = config.calls
    longest = calls.code_valid_s + calls.join_timeout_s + calls.limit_s + calls.grace_s
    zone = zoneinfo.ZoneInfo(config.site.time_zone)
    winter = datetime.datetime(2026, 1, 1, tzinfo=zone).utcoffset() or datetime.timedelta()
    version, file = firmware
    return Settings(
        phone=phone,
        mac=device.mac,
        mac_shown=shown(device.mac),
        model=device.model,
        language=device.language,
        realm=config.sip.realm,
        password=phone_secrets.of("sip", phone, generation),
        admin_password=phone_secrets.of("admin", phone, generation),
        registrar=host,
        registrar_port=port,
        transport=where.transport,
        encryption=config.phones.encryption,
        call_limit_s=math.ceil((longest + MARGIN_S) / 60) * 60,
        dial_plan=DIAL_PLAN,
        register_s=600,
        audio_codecs=config.phones.audio_codecs,
        time_zone=config.site.time_zone,
        posix_zone=posix_zone(config.site.time_zone),
        utc_offset_s=int(winter.total_seconds()),
        ntp_server=where.ntp_server or where.address,
        fetch_url=f"{where.url}/c/{device.mac}/{fetch}/",
        event_url=f"{where.url}/e/{device.mac}/{event}/",
        firmware=version,
        firmware_url=f"{where.url}/f/{device.mac}/{fetch}/{file}" if file else "",
    )


def posix_zone(name: str) -> str:
    """The zone as POSIX writes it, from the end of its file (RFC 8536 section 3.3); UTC0 where there is none."""
    for folder in zoneinfo.TZPATH:
        path = Path(folder, name)
        if path.is_file():
            data = path.read_bytes()
            if data[:4] == b"TZif" and data.endswith(b"\n"):
                return data[:-1].rpartition(b"\n")[2].decode("ascii") or "UTC0"
    return "UTC0"


def _host_and_port(where: str, default: int) -> tuple[str, int]:
    host, colon, port = where.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return where.strip("[]"), default
