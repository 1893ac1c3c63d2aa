"""Packets of one stream that did not come: asked for again, waited for, given up. Pure.

Sequence numbers are extended (cycles in the upper bits), so that later ones are greater.
"""

REORDER_S = 0.01
"""A missing packet is waited for so long before it is asked for: the network may only have reordered it."""

GIVE_UP_S = 0.45
"""A packet that has not come by then is of no use any more: the recorder waits little longer, phones not as long."""

MAX_TRIES = 6
MAX_LATE = 90
"""A packet is given up when so many have come after it: the relay takes nothing later into its streams."""

UNKNOWN_ROUND_TRIP_S = 0.1
SOONEST_S = 0.04
"""Between two requests for the same packet, however short the round trip."""

BEGINNING = 3
"""Packets just before a keyframe's first slice that belong to it: its parameter sets."""


class _Missing:
    __slots__ = ("due", "since", "tries")

    def __init__(self, since: float) -> None:
        self.since = since
        self.due = since + REORDER_S
        self.tries = 0


class Losses:
    """Hears of gaps and of late packets; `look` says what to ask for."""

    __slots__ = (
        "_broken_at",
        "_broken_since",
        "_keyframe",
        "_missing",
        "asked",
        "asks",
        "freezes",
        "frozen_s",
        "gaps",
        "given_up",
        "repaired",
    )

    def __init__(self, *, asks: bool) -> None:
        """`asks`: the sender takes NACKs; otherwise what is missing is given up as soon as it is not just late."""
        self.asks = asks
        self.asked = 0
        """Packets asked for, each time counted."""
        self.repaired = 0
        """Packets that came after they had been asked for."""
        self.given_up = 0
        self.gaps = 0
        """Packets that did not come in their turn, whatever became of them."""
        self.freezes = 0
        """Times that a packet was given up while the picture was whole: whoever decodes it has a broken or a still
        picture until the next keyframe."""
        self.frozen_s = 0.0
        """How long that was, those that are over."""
        self._broken_since = 0.0
        self._missing: dict[int, _Missing] = {}
        self._keyframe = -1
        self._broken_at = -1

    @property
    def waits(self) -> bool:
        """Whether anything is missing."""
        return bool(self._missing)

    def gap(self, first: int, after: int, now: float) -> None:
        """What lies between `first` and `after`, the packet that came, is missing."""
        self.gaps += after - first
        oldest = after - MAX_LATE
        if first < oldest:
            self._lose(oldest - 1, now)
            first = oldest
        for number in range(first, after):
            self._missing[number] = _Missing(now)

    def came(self, number: int) -> bool:
        """A late packet came; whether it was missing."""
        missing = self._missing.pop(number, None)
        if missing is None:
            return False
        if missing.tries:
            self.repaired += 1
        else:
            self.gaps -= 1
        return True

    def keyframe(self, number: int, now: float) -> None:
        """A keyframe begins with this packet: what was lost before it hurts nobody any more."""
        was_broken = self.broken
        self._keyframe = number
        if was_broken and not self.broken:
            self.frozen_s += now - self._broken_since

    def forget(self) -> None:
        """Another source, of which nothing is missing yet."""
        self._missing.clear()
        self._keyframe = self._broken_at = -1

    def look(self, highest: int, now: float, round_trip_s: float) -> list[int]:
        """The packets to ask for now. `highest` is the latest that came."""
        patience = max((round_trip_s or UNKNOWN_ROUND_TRIP_S) * 1.2, SOONEST_S)
        wanted = []
        for number, missing in list(self._missing.items()):
            if now < missing.due and number > highest - MAX_LATE:
                continue
            if self._is_hopeless(number, missing, highest, now):
                del self._missing[number]
                self._lose(number, now)
                continue
            missing.tries += 1
            missing.due = min(now + patience, missing.since + GIVE_UP_S)
            wanted.append(number)
        self.asked += len(wanted)
        return wanted

    def _is_hopeless(self, number: int, missing: _Missing, highest: int, now: float) -> bool:
        late = now - missing.since >= GIVE_UP_S or number <= highest - MAX_LATE
        return late or not self.asks or missing.tries >= MAX_TRIES

    def _lose(self, number: int, now: float) -> None:
        was_broken = self.broken
        self.given_up += 1
        self._broken_at = max(self._broken_at, number)
        if self.broken and not was_broken:
            self.freezes += 1
            self._broken_since = now

    @property
    def broken(self) -> bool:
        """Whether a packet was given up that no keyframe has made up for."""
        return self._broken_at >= 0 and self._broken_at >= self._keyframe - BEGINNING

    def next_look(self, now: float) -> float:
        """Seconds until `look` has something to do."""
        return max(min((missing.due for missing in self._missing.values()), default=now) - now, 0.005)
