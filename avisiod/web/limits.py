"""How much a stranger may ask of the portal: arithmetic without a clock."""

import collections


class Bucket:
    """A token bucket: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one; False when there is none left."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Places:
    """A number of places, of which one address may hold so many at once."""

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._held: collections.Counter[str] = collections.Counter()

    @property
    def taken(self) -> int:
        """Places held now."""
        return self._held.total()

    def take(self, address: str, *, shared: bool = False) -> bool:
        """Take a place; False when there is none. A `shared` address (a proxy) is bound by the total only."""
        if self.taken >= self._total or (not shared and self._held[address] >= self._per_address):
            return False
        self._held[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Give a place back; harmless when none is held."""
        if self._held[address] > 1:
            self._held[address] -= 1
        else:
            del self._held[address]
