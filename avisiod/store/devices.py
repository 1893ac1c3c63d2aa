"""Devices, their health and what they said."""

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.replay import Heard
from avisiod.phone_ports import Device, HealthRecord, Keys, PhoneEvent
from avisiod.store.columns import upsert
from avisiod.store.schema import phones
from avisiod.store.schema_devices import phone_devices, phone_events, phone_health, phone_keys

TOKEN_AGAIN_S = 120.0
"""A phone whose connection broke off may fetch once more with its token, from where it came the first time."""

_DEVICE = (
    phones.c.id,
    phones.c.cell,
    phones.c.building,
    phones.c.floor,
    phones.c.language,
    phone_devices.c.mac,
    phone_devices.c.vendor,
    phone_devices.c.model,
    phone_devices.c.firmware,
    phone_devices.c.self_test,
)
_HEALTH = HealthRecord.__struct_fields__


def listed(connection: Connection) -> Sequence[Device]:
    """Every listed phone, by id."""
    joined = phones.outerjoin(phone_devices, phone_devices.c.phone == phones.c.id)
    return [
        _device(row)
        for row in connection.execute(select(*_DEVICE).select_from(joined).where(phones.c.listed).order_by("id"))
    ]


def by_mac(connection: Connection, mac: str) -> tuple[Device, Keys] | None:
    """The listed phone with this MAC, and what is known of its secrets."""
    joined = phones.join(phone_devices, phone_devices.c.phone == phones.c.id)
    query = select(*_DEVICE, phones.c.ha1).select_from(joined).where((phone_devices.c.mac == mac) & phones.c.listed)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return _device(row), msgspec.structs.replace(keys(connection, PhoneId(row.id)), ha1=row.ha1)


def keys(connection: Connection, phone: PhoneId) -> Keys:
    """Which secrets of the phone are in force."""
    row = connection.execute(select(phone_keys).where(phone_keys.c.phone == phone)).one_or_none()
    if row is None:
        return Keys()
    return Keys(
        generation=row.generation,
        token_hash=row.token_hash,
        token_ends_utc=row.token_ends_utc,
        token_used_utc=row.token_used_utc,
        token_address=row.token_address,
    )


def new_token(connection: Connection, phone: PhoneId, hashed: str, ends_utc: datetime.datetime) -> None:
    """Give the phone a one-time token in place of any other."""
    values = {
        "token_hash": hashed,
        "token_ends_utc": ends_utc,
        "token_used_utc": None,
        "token_address": "",
    }
    added = upsert(connection.dialect, phone_keys).values(phone=phone, **values)
    connection.execute(added.on_conflict_do_update(index_elements=["phone"], set_=values))


def renew(connection: Connection, phone: PhoneId) -> int:
    """Begin a new generation of secrets, which the next settings carry; the former password holds until then.

    The number of the generation to come.
    """
    generation = keys(connection, phone).generation
    added = upsert(connection.dialect, phone_keys).values(phone=phone, generation=generation + 1)
    values = {"generation": generation + 1}
    connection.execute(added.on_conflict_do_update(index_elements=["phone"], set_=values))
    return generation + 1


def token_fits(known: Keys, hashed: str, at_utc: datetime.datetime, address: str) -> bool:
    """Whether the token with this hash opens something now."""
    if not hashed or hashed != known.token_hash or known.token_ends_utc is None or at_utc >= known.token_ends_utc:
        return False
    if known.token_used_utc is None:
        return True
    again = at_utc - known.token_used_utc < datetime.timedelta(seconds=TOKEN_AGAIN_S)
    return again and address == known.token_address


def hand_out(
    connection: Connection,
    phone: PhoneId,
    ha1: str,
    generation: int,
    at_utc: datetime.datetime,
    token: str,
    address: str,
) -> bool:
    """See phone_ports.DeviceStore."""
    known = keys(connection, phone)
    if token and not token_fits(known, token, at_utc, address):
        return False
    values: dict[str, Any] = {"generation": generation, "served_utc": at_utc}
    if token and known.token_used_utc is None:
        values |= {"token_used_utc": at_utc, "token_address": address}
    added = upsert(connection.dialect, phone_keys).values(phone=phone, **values)
    connection.execute(added.on_conflict_do_update(index_elements=["phone"], set_=values))
    changed = (phones.c.id == phone) & (phones.c.ha1 != ha1)
    connection.execute(update(phones).where(changed).values(ha1=ha1))
    return True


def health(connection: Connection) -> Sequence[HealthRecord]:
    """What is kept of every phone's health."""
    return [
        HealthRecord(
            **{name: getattr(row, name) for name in _HEALTH}
            | {"state": PhoneState(row.state), "heard": _HEARD.decode(row.heard)}
        )
        for row in connection.execute(select(phone_health))
    ]


def save_health(connection: Connection, records: Sequence[HealthRecord], events: Sequence[PhoneEvent]) -> None:
    """Keep both. A phone that is not known at all is passed over."""
    if records:
        known = set(connection.scalars(select(phones.c.id)))
        rows = [
            msgspec.structs.asdict(record) | {"heard": msgspec.json.encode(record.heard).decode()}
            for record in records
            if record.phone in known
        ]
        added = upsert(connection.dialect, phone_health)
        values = {name: added.excluded[name] for name in _HEALTH if name != "phone"}
        if rows:
            connection.execute(added.on_conflict_do_update(index_elements=["phone"], set_=values), rows)
    if events:
        connection.execute(
            insert(phone_events),
            [
                {
                    "phone": event.phone[:64],
                    "at_utc": event.at_utc,
                    "event": event.event,
                    "details": msgspec.json.encode(event.details).decode(),
                }
                for event in events
            ],
        )


def events_of(connection: Connection, phone: str, limit: int) -> Sequence[PhoneEvent]:
    """The latest of a phone, or of all where it is empty; newest first."""
    query = select(phone_events).order_by(phone_events.c.id.desc()).limit(limit)
    if phone:
        query = query.where(phone_events.c.phone == phone)
    return [
        PhoneEvent(phone=row.phone, at_utc=row.at_utc, event=row.event, details=_DETAILS.decode(row.details))
        for row in connection.execute(query)
    ]


def forget_events(connection: Connection, before_utc: datetime.datetime) -> int:
    """Delete the older ones; how many there were."""
    old = phone_events.c.at_utc < before_utc
    count: int = connection.execute(select(func.count()).select_from(phone_events).where(old)).scalar_one()
    if count:
        connection.execute(delete(phone_events).where(old))
    return count


_DETAILS = msgspec.json.Decoder(dict[str, str])
_HEARD = msgspec.json.Decoder(Heard)


def _device(row: Any) -> Device:
    return Device(
        phone=PhoneId(row.id),
        cell=row.cell,
        building=row.building,
        floor=row.floor,
        language=row.language,
        mac=row.mac or "",
        vendor=row.vendor or "",
        model=row.model or "",
        firmware=row.firmware or "",
        self_test=bool(row.self_test),
    )
