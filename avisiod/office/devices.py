"""Operations on phones as devices: their health, what they said, one-time tokens, new passwords."""

import datetime
import hashlib
import secrets
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from avisiod.calls.ids import PhoneId
from avisiod.calls.mac import shown
from avisiod.calls.phone_health import GRAVEST_FIRST, PhoneState
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused
from avisiod.store import devices
from avisiod.store.schema import calls, phones
from avisiod.store.schema_devices import phone_devices, phone_events, phone_health

TOKEN_BYTES = 15
"""120 bits, 24 characters of base32."""


class HealthRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose health: of a building, of a floor, in a state; empty: all."""

    building: str = ""
    floor: str = ""
    state: str = ""


class PhoneRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which phone."""

    phone: str


class EventsRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest events of a phone; of all where it is empty."""

    phone: str = ""
    limit: int = 100


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone needs to fetch its settings for the first time. `url` holds the token: it is a secret."""

    phone: str
    url: str
    ends: str


_ORDER = {state: place for place, state in enumerate((*GRAVEST_FIRST, PhoneState.NEVER_SEEN, PhoneState.UP))}


@operation("devices.health", needs="see_phones")
def health(desk: Desk, request: HealthRequest) -> list[dict[str, str]]:
    """Each listed phone with its device and its health, by building and floor, the worst first."""
    if request.state and request.state not in set(PhoneState):
        raise Refused(
            Problem(column="state", reason="no such state", remedy=f"known: {', '.join(sorted(PhoneState))}")
        )

    def read(connection: Connection) -> list[dict[str, str]]:
        latest = select(calls.c.phone, func.max(calls.c.created_utc).label("at")).group_by(calls.c.phone).subquery()
        known, has = phone_health, phone_devices
        joined = phones.outerjoin(has, has.c.phone == phones.c.id).outerjoin(known, known.c.phone == phones.c.id)
        query = (
            select(
                phones.c.id,
                phones.c.cell,
                phones.c.building,
                phones.c.floor,
                *(has.c[name] for name in ("mac", "vendor", "model")),
                has.c.firmware.label("wanted"),
                *(
                    known.c[name]
                    for name in ("state", "since_utc", "firmware", "registered_utc", "event", "event_utc")
                ),
                latest.c.at.label("called"),
            )
            .select_from(joined.outerjoin(latest, latest.c.phone == phones.c.id))
            .where(phones.c.listed)
        )
        for name in ("building", "floor"):
            if wanted := getattr(request, name):
                query = query.where(phones.c[name] == wanted)
        rows = [_row(desk, row) for row in connection.execute(query)]
        rows = [row for row in rows if request.state in ("", row["state"])]
        return sorted(
            rows,
            key=lambda row: (
                row["building"],
                row["floor"],
                _ORDER[PhoneState(row["state"])],
                row["cell"],
                row["phone"],
            ),
        )

    return desk.read(read)


def _row(desk: Desk, row: Any) -> dict[str, str]:
    return {
        "building": row.building,
        "floor": row.floor,
        "cell": row.cell,
        "phone": row.id,
        "state": row.state or PhoneState.NEVER_SEEN.value,
        "since": _local(desk, row.since_utc),
        "mac": shown(row.mac) if row.mac else "",
        "vendor": row.vendor or "",
        "model": row.model or "",
        "firmware": row.firmware or "",
        "wanted_firmware": row.wanted or "",
        "registered": _local(desk, row.registered_utc),
        "last_call": _local(desk, row.called),
        "event": row.event or "",
        "event_at": _local(desk, row.event_utc),
    }


@operation("devices.events", needs="see_phones")
def events(desk: Desk, request: EventsRequest) -> list[dict[str, Any]]:
    """What a phone said and how its state changed, newest first."""
    found = desk.read(lambda connection: devices.events_of(connection, request.phone, min(request.limit, 10_000)))
    return [
        {"at": _local(desk, e.at_utc), "phone": e.phone, "event": e.event, "details": dict(e.details)} for e in found
    ]


@operation("devices.looked", needs="edit_phones")
def looked(desk: Desk, request: PhoneRequest) -> None:
    """Somebody has looked at a phone whose case was opened: it counts as tampered no longer."""
    if not desk.who.why:
        raise Refused(Problem(column="why", reason="no reason", remedy="say what was found"))

    def write(connection: Connection) -> None:
        opened = (phone_health.c.phone == request.phone) & phone_health.c.tampered
        if connection.execute(update(phone_health).where(opened).values(tampered=False)).rowcount != 1:
            remedy = "look at `avisioctl phones health`"
            raise Refused(Problem(column="phone", reason=f"`{request.phone}` is not tampered", remedy=remedy))
        seen = {"phone": request.phone, "at_utc": desk.who.at_utc, "event": "looked_at", "details": "{}"}
        connection.execute(insert(phone_events).values(seen))
        desk.note(connection, "looked_at", "device", request.phone)

    desk.write(write)


@operation("devices.token", needs="edit_phones")
def token(desk: Desk, request: PhoneRequest) -> Token:
    """A one-time token for a phone, in place of any other. Only its hash is kept."""
    if not desk.site.provisioning_url:
        remedy = "set provisioning.address in avisiod.yaml, and start avisiod anew"
        raise Refused(Problem(reason="no phone is given settings here", remedy=remedy))
    made = secrets.token_hex(TOKEN_BYTES)
    ends = desk.who.at_utc + datetime.timedelta(seconds=desk.site.token_valid_s)
    mac = ""

    def write(connection: Connection) -> None:
        nonlocal mac
        mac = _device(connection, request.phone)
        devices.new_token(connection, PhoneId(request.phone), hashlib.sha256(made.encode()).hexdigest(), ends)
        desk.note(connection, "give_token", "device", request.phone)

    desk.write(write)
    url = f"{desk.site.provisioning_url.rstrip('/')}/t/{mac}/{made}/"
    return Token(phone=request.phone, url=url, ends=_local(desk, ends))


@operation("devices.renew", needs="edit_phones")
def renew(desk: Desk, request: PhoneRequest) -> dict[str, int]:
    """Give a phone new secrets: they come into force when it fetches its settings, with a new token."""

    def write(connection: Connection) -> int:
        _device(connection, request.phone)
        generation = devices.renew(connection, PhoneId(request.phone))
        desk.note(connection, "renew_secrets", "device", request.phone, generation=generation)
        return generation

    return {"generation": desk.write(write)}


class ReloadRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which phone, and whether it starts anew."""

    phone: str
    reboot: bool = False


@operation("devices.reload", needs="edit_phones")
def reload(desk: Desk, request: ReloadRequest) -> object:
    """Have a phone fetch its settings; never during a call."""
    desk.write(lambda connection: desk.note(connection, "reload", "device", request.phone))
    return desk.ask("phones.reload", phone=request.phone, reboot=request.reboot)


@operation("devices.test", needs="edit_phones")
def test(desk: Desk, request: PhoneRequest) -> object:
    """Call an idle phone now, to see whether it answers by itself; no microphone is opened."""
    desk.write(lambda connection: desk.note(connection, "test", "device", request.phone))
    return desk.ask("phones.test", phone=request.phone)


def _device(connection: Connection, phone: str) -> str:
    """The MAC of the phone's device; Refused where there is none."""
    mac: str | None = connection.scalar(select(phone_devices.c.mac).where(phone_devices.c.phone == phone))
    if mac is None:
        remedy = "enter it: avisioctl devices add"
        raise Refused(Problem(column="phone", reason=f"no device for the phone `{phone}`", remedy=remedy))
    return mac


def _local(desk: Desk, at_utc: datetime.datetime | None) -> str:
    return "" if at_utc is None else at_utc.astimezone(desk.zone).strftime("%Y-%m-%d %H:%M:%S")
