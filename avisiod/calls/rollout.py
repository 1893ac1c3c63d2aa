"""A new firmware on its way to phones: one, then ten, then all; each stage waits for its phones. Pure.

Phones are told at night only, when they are idle. A phone that was told has a time to come back with the new version;
where more than the allowed number of a stage do not, the roll-out stops by itself and no further phone is told.
"""

import datetime
import enum
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from avisiod.calls.ids import PhoneId

STAGES = (1, 10, 0)
"""Phones of each stage; 0: all that are left."""


class RolloutState(enum.StrEnum):
    """Of a whole roll-out."""

    RUNNING = "running"
    PAUSED = "paused"
    """By staff."""
    STOPPED = "stopped"
    """By itself, or for a roll-back."""
    DONE = "done"


class PhoneStep(enum.StrEnum):
    """Of one phone."""

    WAITING = "waiting"
    ASKED = "asked"
    """It was told to update, and is not back yet."""
    DONE = "done"
    FAILED = "failed"


class Rolled(msgspec.Struct, frozen=True, kw_only=True):
    """One phone of a roll-out."""

    phone: PhoneId
    stage: int
    step: PhoneStep = PhoneStep.WAITING
    before: str = ""
    """The version that it ran."""
    asked_at: float | None = None
    """Monotonic; None after a restart: its time begins anew."""
    not_before: float = float("-inf")
    """It could not be told just now: again from then on."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One roll-out."""

    id: str
    version: str
    state: RolloutState
    stage: int
    stages: int
    """How many there are."""
    phones: tuple[Rolled, ...]
    why: str = ""
    """Of its state."""

    def of_stage(self, stage: int) -> list[Rolled]:
        """Its phones."""
        return [rolled for rolled in self.phones if rolled.stage == stage]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the phones now."""

    versions: Mapping[PhoneId, str]
    """Of those that are registered."""
    idle: AbstractSet[PhoneId]
    """Registered, well, and in no call."""


class Care(msgspec.Struct, frozen=True, kw_only=True):
    """How careful a roll-out is."""

    back_within_s: float
    failures: int = 0
    """So many phones of a stage may fail."""
    at_once: int = 10
    """Phones that are away at a time."""


def planned(phones: Sequence[tuple[PhoneId, str]], sizes: Sequence[int]) -> tuple[Rolled, ...]:
    """Phones (with the version they run), in this order, in stages of these sizes; 0, or the last: all that are left.

    ValueError where there is no phone, or a size makes no sense.
    """
    if not phones or not sizes or any(size < 0 for size in sizes) or 0 in sizes[:-1]:
        raise ValueError("a roll-out has phones, and stages of one or more; the last one may be 0, for all")
    rolled = []
    left = list(phones)
    for stage, size in enumerate(sizes):
        last = stage == len(sizes) - 1
        taken, left = (left, []) if last else (left[:size], left[size:])
        rolled += [Rolled(phone=phone, stage=stage, before=before) for phone, before in taken]
    return tuple(rolled)


def advanced(
    rollout: Rollout, seen: Seen, care: Care, now: float, *, open_now: bool
) -> tuple[Rollout, tuple[PhoneId, ...]]:
    """What becomes of a roll-out now, and which phones are to be told. `open_now`: the window of the night."""
    if rollout.state is not RolloutState.RUNNING:
        return rollout, ()
    judged = [_judged(rolled, rollout.version, seen, care, now) for rolled in rollout.phones]
    rollout = msgspec.structs.replace(rollout, phones=tuple(judged))
    failed = [rolled for rolled in rollout.of_stage(rollout.stage) if rolled.step is PhoneStep.FAILED]
    if len(failed) > care.failures:
        why = f"{len(failed)} of stage {rollout.stage + 1} did not come back with {rollout.version}"
        return msgspec.structs.replace(rollout, state=RolloutState.STOPPED, why=why), ()
    rollout = _next_stage(rollout)
    if rollout.state is not RolloutState.RUNNING or not open_now:
        return rollout, ()
    return _told(rollout, seen, care, now)


def _judged(rolled: Rolled, version: str, seen: Seen, care: Care, now: float) -> Rolled:
    if rolled.step in (PhoneStep.DONE, PhoneStep.FAILED):
        return rolled
    if seen.versions.get(rolled.phone) == version:
        return msgspec.structs.replace(rolled, step=PhoneStep.DONE)
    if rolled.step is PhoneStep.ASKED:
        if rolled.asked_at is None:
            return msgspec.structs.replace(rolled, asked_at=now)
        if now - rolled.asked_at >= care.back_within_s:
            return msgspec.structs.replace(rolled, step=PhoneStep.FAILED)
    return rolled


def _next_stage(rollout: Rollout) -> Rollout:
    over = (PhoneStep.DONE, PhoneStep.FAILED)
    stage = rollout.stage
    while stage < rollout.stages and all(rolled.step in over for rolled in rollout.of_stage(stage)):
        stage += 1
    if stage == rollout.stages:
        return msgspec.structs.replace(rollout, stage=stage - 1, state=RolloutState.DONE, why="")
    return msgspec.structs.replace(rollout, stage=stage)


def _told(rollout: Rollout, seen: Seen, care: Care, now: float) -> tuple[Rollout, tuple[PhoneId, ...]]:
    away = sum(rolled.step is PhoneStep.ASKED for rolled in rollout.phones)
    told: list[PhoneId] = []
    phones = []
    for rolled in rollout.phones:
        may = rolled.stage == rollout.stage and rolled.step is PhoneStep.WAITING and rolled.not_before <= now
        if may and rolled.phone in seen.idle and away + len(told) < care.at_once:
            told.append(rolled.phone)
            rolled = msgspec.structs.replace(rolled, step=PhoneStep.ASKED, asked_at=now)  # noqa: PLW2901
        phones.append(rolled)
    return msgspec.structs.replace(rollout, phones=tuple(phones)), tuple(told)


def not_told(rollout: Rollout, phone: PhoneId, again_at: float) -> Rollout:
    """The phone could not be told: it waits again."""
    phones = tuple(
        msgspec.structs.replace(rolled, step=PhoneStep.WAITING, asked_at=None, not_before=again_at)
        if rolled.phone == phone and rolled.step is PhoneStep.ASKED
        else rolled
        for rolled in rollout.phones
    )
    return msgspec.structs.replace(rollout, phones=phones)


def window_open(begins: int, ends: int, local: datetime.datetime) -> bool:
    """Whether the window holds; minutes of the day, and it may pass midnight."""
    minute = local.hour * 60 + local.minute
    return begins <= minute < ends if begins < ends else minute >= begins or minute < ends
