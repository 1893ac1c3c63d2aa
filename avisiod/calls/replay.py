"""Whether a report was made before: by its number, its time or its nonce, as far as the reporter sends any. Pure."""

import collections

import msgspec

REMEMBERED = 64
"""Nonces of one reporter."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What a report carries against being made twice; None and empty: nothing."""

    sequence: int | None = None
    """Grows with each report."""
    time_s: float | None = None
    """Seconds of the Unix epoch, by the reporter's clock."""
    nonce: str = ""

    @property
    def bare(self) -> bool:
        """Whether there is nothing in it."""
        return self.sequence is None and self.time_s is None and not self.nonce


class Reports:
    """The latest reports of one reporter."""

    def __init__(self, late_s: float = 300.0, again_s: float = 2.0) -> None:
        """`late_s`: a time may be so far off; `again_s`: a report without any stamp is another one after this."""
        self._late_s = late_s
        self._again_s = again_s
        self._sequence: int | None = None
        self._time_s: float | None = None
        self._nonces: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._bare: dict[str, float] = {}

    def restarted(self) -> None:
        """The reporter began anew: it counts from where it likes. Its clock goes on, and its nonces stay spent."""
        self._sequence = None

    def fresh(self, what: str, stamp: Stamp, now_s: float, wall_s: float) -> bool:
        """Whether this is the first time, which is then remembered. `now_s` is monotonic, `wall_s` the epoch's."""
        if stamp.time_s is not None:
            late = abs(wall_s - stamp.time_s) > self._late_s
            back = self._time_s is not None and stamp.time_s < self._time_s and stamp.sequence is None
            if late or back:
                return False
        if stamp.sequence is not None and self._sequence is not None and stamp.sequence <= self._sequence:
            return False
        if stamp.nonce and stamp.nonce in self._nonces:
            return False
        if stamp.bare:
            before = self._bare.get(what)
            if before is not None and now_s - before < self._again_s:
                return False
            self._bare[what] = now_s
        if stamp.sequence is not None:
            self._sequence = stamp.sequence
        if stamp.time_s is not None:
            self._time_s = max(stamp.time_s, self._time_s or stamp.time_s)
        if stamp.nonce:
            self._nonces[stamp.nonce] = None
            while len(self._nonces) > REMEMBERED:
                self._nonces.popitem(last=False)
        return True
