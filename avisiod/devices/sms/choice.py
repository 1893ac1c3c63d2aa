"""Which route takes a message next. Pure."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A route, as a message sees it at one moment."""

    out: bool = False
    """No use for this message."""
    running: bool = False
    """It has the message in hand."""
    rests: bool = False
    """It failed lately, or is not there."""
    ready_at: float = float("-inf")
    """Not before: the pause after its last failure with this message, or its limit."""


@dataclasses.dataclass(frozen=True, slots=True)
class Try:
    """Hand it to this route, counted from 0."""

    place: int


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Ask again then."""

    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class Nothing:
    """No route is left beside those that have it in hand."""


def choose(candidates: Sequence[Candidate], now: float) -> Try | Wait | Nothing:
    """The first in order that can take the message now; one that rests only where none works.

    A route that merely pauses still works, so that one that rests is tried in the pause.
    """
    left = [(place, each) for place, each in enumerate(candidates) if not each.out and not each.running]
    ready = [(place, each) for place, each in left if each.ready_at <= now]
    for rests in (False, True):
        for place, each in ready:
            if each.rests is rests:
                return Try(place)
    moments = [each.ready_at for _, each in left if each.ready_at < float("inf")]
    return Wait(min(moments)) if moments else Nothing()
