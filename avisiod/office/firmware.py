"""Operations on firmware: a file is checked and kept; a roll-out is begun, seen, paused, resumed, rolled back."""

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from avisiod.calls.ids import PhoneId
from avisiod.calls.phone_health import PhoneState
from avisiod.calls.rollout import PhoneStep, Rolled, Rollout, RolloutState, planned
from avisiod.devices.firmware.minisign import SignatureRefused, public_key, verify
from avisiod.devices.phones.vendors import vendors
from avisiod.office import values
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused
from avisiod.office.values import Wrong
from avisiod.phone_ports import FirmwareFile, RolloutRecord
from avisiod.store import rollouts
from avisiod.store.schema import phones
from avisiod.store.schema_devices import phone_devices, phone_health

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PART = ".part"
"""What avisioctl puts into the folder, before it was checked."""


class AddRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that lies in the folder of firmware as `file`.part, and its signature."""

    id: str
    file: str
    vendor: str
    model: str = ""
    release: str
    signature: str


class NoRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing is asked."""


class StartRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which firmware, to which phones (a building's, a floor's, or all of its model), in which stages and hours."""

    firmware: str
    building: str = ""
    floor: str = ""
    stages: str = "1,10,all"
    begins: str = "01:00"
    ends: str = "05:00"


class RolloutRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which roll-out."""

    rollout: str


@operation("firmware.add", needs="edit_phones")
def add(desk: Desk, request: AddRequest) -> dict[str, Any]:
    """Check a file, whole, by its signature; only then it is kept under its name."""
    for name in ("id", "release"):
        _read(name, getattr(request, name))
    if not _FILE.fullmatch(request.file) or request.vendor not in vendors():
        raise Refused(Problem(column="file", reason="not a file's name, or not a vendor", remedy="correct it"))
    if not desk.site.firmware_keys:
        remedy = "set firmware.public_keys in avisiod.yaml, and start avisiod anew"
        raise Refused(Problem(reason="nobody may sign firmware", remedy=remedy))
    part = Path(desk.site.firmware_folder, request.file + PART)
    try:
        keys = [public_key(text) for text in desk.site.firmware_keys]
        with part.open("rb") as opened:
            checked = verify(opened, request.signature, keys)
            os.fsync(opened.fileno())
    except SignatureRefused as error:
        part.unlink(missing_ok=True)
        raise Refused(Problem(column="file", reason=str(error), remedy="fetch it and its signature again")) from None
    except OSError as error:
        raise Refused(
            Problem(column="file", reason=f"{part}: {error.strerror}", remedy="use avisioctl firmware add")
        ) from None
    file = FirmwareFile(
        id=request.id,
        vendor=request.vendor,
        model=request.model,
        release=request.release,
        file=request.file,
        size=checked.size,
        sha256=checked.sha256,
        key=checked.key,
    )

    def write(connection: Connection) -> None:
        for known in rollouts.files(connection):
            if known.id == file.id or known.file == file.file:
                raise Refused(
                    Problem(column="id", reason=f"`{known.id}` is there already", remedy="take other names")
                )
        rollouts.add_file(connection, file, desk.who.at_utc)
        desk.note(connection, "add", "firmware", file.id, release=file.release, sha256=file.sha256, key=file.key)

    desk.write(write)
    part.rename(part.with_name(request.file))
    return {**msgspec.structs.asdict(file), "comment": checked.comment}


@operation("firmware.list", needs="see_phones")
def files(desk: Desk, request: NoRequest) -> list[dict[str, Any]]:  # noqa: ARG001 - every operation is asked something
    """Every file that was checked."""
    return [msgspec.structs.asdict(file) for file in desk.read(rollouts.files)]


@operation("rollouts.start", needs="edit_phones")
def start(desk: Desk, request: StartRequest) -> dict[str, Any]:
    """Begin a roll-out: the phones that are well come first, one alone before all."""
    sizes = _sizes(request.stages)
    begins, ends = (_read_minute(name, getattr(request, name)) for name in ("begins", "ends"))
    if begins == ends:
        raise Refused(Problem(column="ends", reason="the window is empty", remedy="give it an hour or more"))

    def write(connection: Connection) -> RolloutRecord:
        file = _file(connection, request.firmware)
        if not vendors()[file.vendor].reboot:
            reason = f"phones of {file.vendor} cannot be told to update"
            remedy = "enter the version with `avisioctl devices change --firmware`: they look by themselves"
            raise Refused(Problem(column="firmware", reason=reason, remedy=remedy))
        for other in rollouts.listed(connection):
            if other.rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED) and _meets(connection, other, file):
                reason = f"the roll-out `{other.rollout.id}` is not over"
                raise Refused(Problem(column="firmware", reason=reason, remedy="wait for it, or roll it back"))
        found = _candidates(connection, file, request)
        if not found:
            remedy = "enter the devices: avisioctl devices add"
            raise Refused(Problem(column="firmware", reason="no phone is of this model", remedy=remedy))
        name = f"{file.id[:48]}-{secrets.token_hex(3)}"
        record = _begun(name, file, planned(found, sizes), len(sizes), begins, ends)
        rollouts.add(connection, record, sizes, desk.who.at_utc)
        desk.note(connection, "start", "rollout", name, firmware=file.id, phones=len(found))
        return record

    return _shown(desk.write(write))


@operation("rollouts.list", needs="see_phones")
def listed(desk: Desk, request: NoRequest) -> list[dict[str, Any]]:  # noqa: ARG001 - as above
    """The latest roll-outs, newest first."""
    return [_shown(record) for record in desk.read(rollouts.listed)]


@operation("rollouts.show", needs="see_phones")
def show(desk: Desk, request: RolloutRequest) -> dict[str, Any]:
    """One roll-out with each of its phones."""
    record = desk.read(lambda connection: _get(connection, request.rollout))
    each = [
        {"stage": rolled.stage + 1, "phone": rolled.phone, "state": rolled.step.value, "before": rolled.before}
        for rolled in record.rollout.phones
    ]
    return {**_shown(record), "each": each}


@operation("rollouts.pause", needs="edit_phones")
def pause(desk: Desk, request: RolloutRequest) -> None:
    """Tell no further phone; those that were told go on."""
    _turn(desk, request.rollout, RolloutState.PAUSED, (RolloutState.RUNNING,))


@operation("rollouts.resume", needs="edit_phones")
def resume(desk: Desk, request: RolloutRequest) -> None:
    """Go on where it was paused, or where it stopped by itself: phones that failed are told again."""

    def write(connection: Connection) -> None:
        record = _get(connection, request.rollout)
        before = record.rollout
        if before.state not in (RolloutState.PAUSED, RolloutState.STOPPED):
            _wrong_state(before)
        again = tuple(
            msgspec.structs.replace(rolled, step=PhoneStep.WAITING) if rolled.step is PhoneStep.FAILED else rolled
            for rolled in before.phones
        )
        after = msgspec.structs.replace(before, state=RolloutState.RUNNING, phones=again, why="")
        rollouts.save(connection, before, after, desk.who.at_utc, ())
        desk.note(connection, "resume", "rollout", before.id)

    desk.write(write)


@operation("rollouts.rollback", needs="edit_phones")
def roll_back(desk: Desk, request: RolloutRequest) -> list[dict[str, Any]]:
    """Stop a roll-out, and bring the phones that it has reached back to what they ran, in the same careful stages."""

    def write(connection: Connection) -> list[RolloutRecord]:
        record = _get(connection, request.rollout)
        was = [state.value for state in RolloutState]
        rollouts.set_state(connection, record.rollout.id, RolloutState.STOPPED, "rolled back", was=was)
        reached = [rolled for rolled in record.rollout.phones if rolled.step is not PhoneStep.WAITING]
        begun: list[RolloutRecord] = []
        for release in sorted({rolled.before for rolled in reached}):
            these = [(rolled.phone, record.rollout.version) for rolled in reached if rolled.before == release]
            file = _former(connection, record, release)
            name = f"{record.rollout.id[:50]}-back{len(begun) + 1}"
            new = _begun(name, file, planned(these, (1, 10, 0)), 3, record.begins, record.ends)
            rollouts.add(connection, new, (1, 10, 0), desk.who.at_utc)
            # At once, not as each is told: one that was told but has not fetched yet must not do so any more.
            rollouts.want(connection, [phone for phone, _ in these], release)
            begun.append(new)
        desk.note(connection, "roll_back", "rollout", record.rollout.id, phones=len(reached))
        return begun

    return [_shown(record) for record in desk.write(write)]


def _turn(desk: Desk, name: str, state: RolloutState, was: Sequence[RolloutState]) -> None:
    def write(connection: Connection) -> None:
        record = _get(connection, name)
        if not rollouts.set_state(connection, name, state, desk.who.why[:200], was=[each.value for each in was]):
            _wrong_state(record.rollout)
        desk.note(connection, state.value, "rollout", name)

    desk.write(write)


def _wrong_state(rollout: Rollout) -> None:
    reason = f"the roll-out `{rollout.id}` is {rollout.state.value}"
    raise Refused(Problem(column="rollout", reason=reason, remedy="look at `avisioctl firmware rollouts`"))


def _begun(
    name: str, file: FirmwareFile, each: tuple[Rolled, ...], stages: int, begins: int, ends: int
) -> RolloutRecord:
    rollout = Rollout(id=name, version=file.release, state=RolloutState.RUNNING, stage=0, stages=stages, phones=each)
    return RolloutRecord(rollout=rollout, firmware=file.id, begins=begins, ends=ends)


def _candidates(connection: Connection, file: FirmwareFile, request: StartRequest) -> list[tuple[PhoneId, str]]:
    """Phones of the file's model, the ones that are well first."""
    joined = phones.join(phone_devices, phone_devices.c.phone == phones.c.id).outerjoin(
        phone_health, phone_health.c.phone == phones.c.id
    )
    query = (
        select(phones.c.id, phone_health.c.state, phone_health.c.firmware)
        .select_from(joined)
        .where(phones.c.listed & (phone_devices.c.vendor == file.vendor))
        .order_by(phones.c.id)
    )
    if file.model:
        query = query.where(phone_devices.c.model == file.model)
    if request.building:
        query = query.where(phones.c.building == request.building)
    if request.floor:
        query = query.where(phones.c.floor == request.floor)
    rows = sorted(connection.execute(query), key=lambda row: row.state != PhoneState.UP.value)
    return [(PhoneId(row.id), row.firmware or "") for row in rows]


def _meets(connection: Connection, other: RolloutRecord, file: FirmwareFile) -> bool:
    theirs = _file(connection, other.firmware)
    return theirs.vendor == file.vendor and (theirs.model == file.model or not theirs.model or not file.model)


def _former(connection: Connection, record: RolloutRecord, release: str) -> FirmwareFile:
    now = _file(connection, record.firmware)
    for file in rollouts.files(connection):
        if (file.vendor, file.model, file.release) == (now.vendor, now.model, release):
            return file
    reason = f"there is no firmware with the version `{release or 'unknown'}` that these phones ran"
    raise Refused(Problem(column="rollout", reason=reason, remedy="add it: avisioctl firmware add; then roll back"))


def _file(connection: Connection, name: str) -> FirmwareFile:
    for file in rollouts.files(connection):
        if file.id == name:
            return file
    raise Refused(Problem(column="firmware", reason=f"no firmware `{name}`", remedy="look at the list"))


def _get(connection: Connection, name: str) -> RolloutRecord:
    record = rollouts.get(connection, name)
    if record is None:
        raise Refused(Problem(column="rollout", reason=f"no roll-out `{name}`", remedy="look at the list"))
    return record


def _sizes(text: str) -> tuple[int, ...]:
    words = [word.strip().lower() for word in text.split(",")]
    sizes = [
        0 if word in ("all", "tous") else int(word) if word.isascii() and word.isdecimal() else -1 for word in words
    ]
    if any(size < 0 or size > 100_000 for size in sizes) or 0 in sizes[:-1]:
        raise Refused(Problem(column="stages", reason="not stages", remedy="write such as 1,10,all"))
    return tuple(sizes)


def _read(column: str, text: str) -> str:
    try:
        return str(values.ID.read(text))
    except Wrong as wrong:
        raise Refused(Problem(column=column, reason=wrong.reason, remedy=wrong.remedy)) from None


def _read_minute(column: str, text: str) -> int:
    try:
        return int(values.MINUTE.read(text))
    except Wrong as wrong:
        raise Refused(Problem(column=column, reason=wrong.reason, remedy=wrong.remedy)) from None


def _shown(record: RolloutRecord) -> dict[str, Any]:
    rollout = record.rollout
    counts = {step.value: sum(rolled.step is step for rolled in rollout.phones) for step in PhoneStep}
    return {
        "id": rollout.id,
        "firmware": record.firmware,
        "release": rollout.version,
        "state": rollout.state.value,
        "stage": f"{rollout.stage + 1} of {rollout.stages}",
        "phones": len(rollout.phones),
        **counts,
        "window": f"{values.clock(record.begins)}-{values.clock(record.ends)}",
        "why": rollout.why,
    }
