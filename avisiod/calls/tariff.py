"""What a call costs: cents, from prices in hundredths of a cent."""

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Literal

from avisiod.calls.ids import ClassId

Unit = Literal["call", "minute", "second", "free"]
EVERY_DAY = frozenset(range(7))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """A price for a time. Chosen when a call is admitted, by the site's clock; it then holds for the whole call."""

    id: str
    cls: ClassId | None = None
    """None: every class that has no tariff of its own at that time."""
    unit: Unit
    price: int = 0
    """Hundredths of a cent for each unit; 0 with `free`."""
    valid_from: datetime.date
    valid_to: datetime.date | None = None
    """Its last day."""
    weekdays: frozenset[int] = EVERY_DAY
    begins: int = 0
    ends: int = 1440
    """Minutes of the local day; `ends` itself is outside."""


def tariff_for(tariffs: Iterable[Tariff], cls: ClassId, local: datetime.datetime) -> Tariff | None:
    """The tariff of a class at a moment of the site's clock; the class's own before that of every class."""
    minute = local.hour * 60 + local.minute
    valid = [
        tariff
        for tariff in tariffs
        if tariff.cls in (cls, None)
        and tariff.valid_from <= local.date()
        and (tariff.valid_to is None or local.date() <= tariff.valid_to)
        and local.weekday() in tariff.weekdays
        and tariff.begins <= minute < tariff.ends
    ]
    return min(valid, key=lambda tariff: (tariff.cls is None, tariff.id), default=None)


def price_of(tariff: Tariff, connected_s: float) -> int:
    """Cents for a connected time. Begun seconds are dropped, a begun minute counts whole, begun cents are dropped."""
    seconds = int(connected_s)
    if seconds <= 0:
        return 0
    return _units(tariff, seconds) * tariff.price // 100


def _units(tariff: Tariff, seconds: int) -> int:
    match tariff.unit:
        case "call":
            return 1
        case "minute":
            return -(-seconds // 60)
        case "second":
            return seconds
        case "free":
            return 0


def affordable_s(tariff: Tariff, balance_cents: int) -> int | None:
    """The longest time, in whole seconds, that costs no more than the balance; None where no time does."""
    if tariff.unit == "free" or tariff.price < 1:
        return None
    units = max(0, ((balance_cents + 1) * 100 - 1) // tariff.price)
    if tariff.unit == "call":
        return None if units else 0
    return units * 60 if tariff.unit == "minute" else units
