"""Firmware files and their roll-outs."""

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from avisiod.calls.ids import PhoneId
from avisiod.calls.rollout import PhoneStep, Rolled, Rollout, RolloutState
from avisiod.phone_ports import FirmwareFile, RolloutRecord
from avisiod.store.schema_devices import firmware, phone_devices, rollout_phones, rollouts

_FILE = FirmwareFile.__struct_fields__
_SIZES = msgspec.json.Decoder(tuple[int, ...])


def files(connection: Connection) -> Sequence[FirmwareFile]:
    """Every file that was checked, by id."""
    rows = connection.execute(select(firmware).order_by(firmware.c.id))
    return [FirmwareFile(**{name: getattr(row, name) for name in _FILE}) for row in rows]


def add_file(connection: Connection, file: FirmwareFile, at_utc: datetime.datetime) -> None:
    """Keep one more. IntegrityError where its id is taken."""
    connection.execute(insert(firmware).values(**msgspec.structs.asdict(file), added_utc=at_utc))


def listed(connection: Connection, *, state: str = "", limit: int = 100) -> Sequence[RolloutRecord]:
    """Roll-outs with their phones, the newest first."""
    query = select(rollouts, firmware.c.release).join(firmware, firmware.c.id == rollouts.c.firmware)
    if state:
        query = query.where(rollouts.c.state == state)
    rows = connection.execute(query.order_by(rollouts.c.created_utc.desc(), rollouts.c.id).limit(limit)).all()
    return [_record(connection, row) for row in rows]


def get(connection: Connection, name: str) -> RolloutRecord | None:
    """One, by id."""
    query = select(rollouts, firmware.c.release).join(firmware, firmware.c.id == rollouts.c.firmware)
    row = connection.execute(query.where(rollouts.c.id == name)).one_or_none()
    return None if row is None else _record(connection, row)


def _record(connection: Connection, row: Any) -> RolloutRecord:
    of_it = rollout_phones.c.rollout == row.id
    phones = tuple(
        Rolled(phone=PhoneId(each.phone), stage=each.stage, step=PhoneStep(each.state), before=each.before)
        for each in connection.execute(select(rollout_phones).where(of_it).order_by(rollout_phones.c.place))
    )
    rollout = Rollout(
        id=row.id,
        version=row.release,
        state=RolloutState(row.state),
        stage=row.stage,
        stages=len(_SIZES.decode(row.stages)),
        phones=phones,
        why=row.why,
    )
    return RolloutRecord(rollout=rollout, firmware=row.firmware, begins=row.begins, ends=row.ends)


def add(connection: Connection, record: RolloutRecord, sizes: Sequence[int], at_utc: datetime.datetime) -> None:
    """Begin one."""
    rollout = record.rollout
    connection.execute(
        insert(rollouts).values(
            id=rollout.id,
            firmware=record.firmware,
            state=rollout.state.value,
            stage=rollout.stage,
            stages=msgspec.json.encode(list(sizes)).decode(),
            begins=record.begins,
            ends=record.ends,
            why=rollout.why,
            created_utc=at_utc,
        )
    )
    connection.execute(
        insert(rollout_phones),
        [
            {
                "rollout": rollout.id,
                "phone": rolled.phone,
                "place": place,
                "stage": rolled.stage,
                "state": rolled.step.value,
                "before": rolled.before,
                "changed_utc": at_utc,
            }
            for place, rolled in enumerate(rollout.phones)
        ],
    )


def set_state(connection: Connection, name: str, state: RolloutState, why: str, *, was: Sequence[str]) -> bool:
    """Pause, resume or stop one; False where its state was none of these."""
    fits = (rollouts.c.id == name) & rollouts.c.state.in_(list(was))
    changed = connection.execute(update(rollouts).where(fits).values(state=state.value, why=why))
    return changed.rowcount == 1


def save(
    connection: Connection, before: Rollout, after: Rollout, at_utc: datetime.datetime, told: Sequence[PhoneId]
) -> bool:
    """See phone_ports.RolloutStore."""
    runs = (rollouts.c.id == after.id) & (rollouts.c.state == before.state.value)
    values = {"state": after.state.value, "stage": after.stage, "why": after.why}
    if connection.execute(update(rollouts).where(runs).values(values)).rowcount != 1:
        return False
    steps = {rolled.phone: rolled.step for rolled in before.phones}
    changed = [
        {"of": after.id, "name": rolled.phone, "to": rolled.step.value, "at": at_utc}
        for rolled in after.phones
        if steps[rolled.phone] is not rolled.step
    ]
    if changed:
        which = (rollout_phones.c.rollout == bindparam("of")) & (rollout_phones.c.phone == bindparam("name"))
        statement = update(rollout_phones).where(which)
        connection.execute(statement.values(state=bindparam("to"), changed_utc=bindparam("at")), changed)
    if told:
        want(connection, told, after.version)
    return True


def want(connection: Connection, phones: Sequence[PhoneId], release: str) -> None:
    """These phones should run this version."""
    wanted = phone_devices.c.phone.in_(list(phones))
    values = {"firmware": release, "version": phone_devices.c.version + 1}
    connection.execute(update(phone_devices).where(wanted).values(values))
