"""How often somebody may guess at codes: the arithmetic that keeps a guesser below one chance in a thousand a day.

A code is one of a million. Two kinds of try are told apart:

- *Linked*: the page was opened by the link in the SMS, which names the invitation (LINK_BITS of entropy). Such a try
  can only open that one invitation; after LINKED_TRIES wrong ones the invitation is void. It never counts against
  anybody else, so no flood of guesses can lock out a relative who opens the link.
- *Typed*: the portal's address was typed by hand, or the link names no invitation. Such a try could open any of the
  `open_codes` that are out, so a wrong one costs `open_codes` / 1,000,000 of the day's risk. Once the wrong typed
  tries of the last 24 hours have cost TYPED_RISK, typed tries are refused (the page says: open the link in the SMS)
  until the oldest of them are a day old.

A guesser's chance in any 24 hours, from however many addresses:
    typed: the sum of open_codes / 10^6 over all tries ≤ TYPED_RISK / 10^6 = 0.0008;
    guessing links too: each try on a link that is none is a typed try, so there are at most 800 of them with one code
    out (fewer with more), and each finds a link with open_codes / 2^25: 800 / 3.4 × 10^7 < 0.00003 to find one, after
    which LINKED_TRIES / 10^6 = 0.00001 are left to guess its code.
Together less than 0.001. Whoever was told a link by its owner still has one chance in 100,000.

Each address, moreover, waits after wrong tries, doubling from FIRST_WAIT_S; that slows, the sums above hold anyway.
Addresses are counted by /64 in IPv6. Mobile networks put many families behind one address, so the wait is short
and linked tries are exempt from it.
"""

import collections
import dataclasses
import ipaddress

CODES = 1_000_000
DAY_S = 86_400.0
TYPED_RISK = 800
"""In millionths: wrong typed tries of a day, each weighed with the codes that were open."""
LINKED_TRIES = 10
LINK_BITS = 25
FREE_TRIES = 3
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 300.0
REMEMBERED_ADDRESSES = 10_000


@dataclasses.dataclass(slots=True)
class _Address:
    wrong: int = 0
    wait_until: float = 0.0


class Throttle:
    """The memory of wrong tries; `now` is monotonic seconds. Bounded: old tries and addresses are forgotten."""

    def __init__(self) -> None:
        self._risk = 0
        self._typed: collections.deque[tuple[float, int]] = collections.deque()
        self._addresses: collections.OrderedDict[str, _Address] = collections.OrderedDict()

    def risk(self, now: float) -> int:
        """What the wrong typed tries of the last 24 hours have cost, in millionths of a chance."""
        while self._typed and self._typed[0][0] <= now - DAY_S:
            self._risk -= self._typed.popleft()[1]
        return self._risk

    def wait_for_typed(self, address: str, now: float, open_codes: int) -> float:
        """Seconds until a typed try is heard; 0.0 for at once."""
        known = self._addresses.get(_network(address))
        wait = max(0.0, known.wait_until - now) if known else 0.0
        if self.risk(now) + open_codes > TYPED_RISK and self._typed:
            wait = max(wait, self._typed[0][0] + DAY_S - now)
        return wait

    def typed_wrong(self, address: str, now: float, open_codes: int) -> None:
        """Count a wrong typed try."""
        cost = max(open_codes, 1)
        self._typed.append((now, cost))
        self._risk = self.risk(now) + cost
        key = _network(address)
        known = self._addresses.setdefault(key, _Address())
        self._addresses.move_to_end(key)
        known.wrong += 1
        if known.wrong >= FREE_TRIES:
            wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(known.wrong - FREE_TRIES, 10))
            known.wait_until = now + wait
        while len(self._addresses) > REMEMBERED_ADDRESSES:
            self._addresses.popitem(last=False)

    def was_right_elsewhere(self, address: str, tried_at: float, open_codes: int) -> None:
        """The try that was just counted with `typed_wrong` opens a call of another box: take it back."""
        cost = max(open_codes, 1)
        if (tried_at, cost) in self._typed:
            self._typed.remove((tried_at, cost))
            self._risk -= cost
        self.right(address)

    def right(self, address: str) -> None:
        """A right code forgives the address its typing errors; the day's risk stays spent."""
        self._addresses.pop(_network(address), None)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "?"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
