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


class Heard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a reporter's stamps outlives a restart of ours."""

    sequence: int | None = None
    time_s: float | None = None
    nonces: tuple[str, ...] = ()
    """The oldest first."""


class Reports:
    """The latest reports of one reporter."""

    def __init__(self, heard: Heard | None = None, late_s: float = 300.0, again_s: float = 2.0) -> None:
        """`heard`: before a restart; `late_s`: a time may be so far off.

        A report without any stamp is another one after `again_s`.
        """
        heard = heard if heard is not None else Heard()
        self._late_s = late_s
        self._again_s = again_s
        self._sequence = heard.sequence
        self._time_s = heard.time_s
        self._nonces = collections.OrderedDict.fromkeys(heard.nonces)
        self._bare: dict[str, float] = {}

    @property
    def heard(self) -> Heard:
        """To be kept."""
        return Heard(sequence=self._sequence, time_s=self._time_s, nonces=tuple(self._nonces))

    def fresh(self, what: str, stamp: Stamp, now_s: float, wall_s: float, *, anew: bool = False) -> bool:
        """Whether this is the first time, which is then remembered. `now_s` is monotonic, `wall_s` the epoch's.

        `anew`: the reporter has started, and counts from where it likes; its clock goes on, its nonces stay spent.
        """
        if stamp.time_s is not None:
            late = abs(wall_s - stamp.time_s) > self._late_s
            back = self._time_s is not None and stamp.time_s < self._time_s and stamp.sequence is None
            if late or back:
                return False
        latest = None if anew else self._sequence
        if stamp.sequence is not None and latest is not None and stamp.sequence <= latest:
            return False
        if stamp.nonce and stamp.nonce in self._nonces:
            return False
        if stamp.bare:
            before = self._bare.get(what)
            if before is not None and now_s - before < self._again_s:
                return False
            self._bare[what] = now_s
        if stamp.sequence is not None or anew:
            self._sequence = stamp.sequence
        if stamp.time_s is not None:
            self._time_s = max(stamp.time_s, self._time_s or stamp.time_s)
        if stamp.nonce:
            self._nonces[stamp.nonce] = None
            while len(self._nonces) > REMEMBERED:
                self._nonces.popitem(last=False)
        return True
