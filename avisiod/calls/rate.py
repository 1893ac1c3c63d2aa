"""How often somebody may ask: a bucket for each address, of which only so many are remembered. Pure."""

import collections


class Rates:
    """`per_minute` of one address, a quarter of it at once; `now` is monotonic seconds."""

    def __init__(self, per_minute: float, remembered: int = 10_000) -> None:
        self._rate = per_minute / 60
        self._burst = max(1.0, per_minute / 4)
        self._remembered = remembered
        self._left: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Whether one more is allowed; then it is counted."""
        left, at = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, now)
        while len(self._left) > self._remembered:
            self._left.popitem(last=False)
        return allowed
