"""Which phones a key or a lamp is for. Pure."""

from collections.abc import Sequence
from typing import Protocol


class Unit(Protocol):
    """A key's or a lamp's settings."""

    @property
    def building(self) -> str:
        """Empty: any."""

    @property
    def floor(self) -> str:
        """Empty: any."""

    @property
    def phones(self) -> Sequence[str]:
        """Empty: any."""


class Place(Protocol):
    """Where a phone hangs."""

    @property
    def building(self) -> str:
        """As the inventory has it."""

    @property
    def floor(self) -> str:
        """As the inventory has it."""


def covers(unit: Unit, phone: str, place: Place | None, *, unknown: bool) -> bool:
    """Whether the unit has this phone. `unknown`: what is answered where nobody knows where it hangs.

    A key takes such a phone for its own: a call too many ends, rather than one goes on. A lamp does not.
    """
    if unit.phones:
        return phone in unit.phones
    if not unit.building and not unit.floor:
        return True
    if place is None:
        return unknown
    return unit.building in ("", place.building) and unit.floor in ("", place.floor)
