"""When a leg flows: media of every kind that was agreed has come, or sound alone for long enough. Pure."""

from avisiod.gateway.leg import Direction, Kind, MediaLine

PICTURE_PATIENCE_S = 3.0
"""Sound without a picture for this long counts as flowing: a camera may be broken, a call is still a call."""


def expected(lines: dict[Kind, MediaLine]) -> frozenset[Kind]:
    """The kinds that the peer may send us."""
    return frozenset(
        kind for kind, line in lines.items() if line.direction in (Direction.SENDRECV, Direction.RECVONLY)
    )


class Flow:
    """Hears of packets and of time; says once that the leg flows."""

    __slots__ = ("_first", "_missing", "flows")

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self._missing = set(kinds)
        self._first: float | None = None
        self.flows = False

    def heard(self, kind: Kind, now: float) -> bool:
        """A packet of this kind came; whether the leg flows by that."""
        self._missing.discard(kind)
        if kind is Kind.AUDIO and self._first is None:
            self._first = now
        return self.look(now)

    def look(self, now: float) -> bool:
        """Time has passed; whether the leg flows by that. True once only."""
        if self.flows:
            return False
        patient = self._first is None or now - self._first < PICTURE_PATIENCE_S
        if self._missing and (patient or self._missing != {Kind.VIDEO}):
            return False
        self.flows = True
        return True
