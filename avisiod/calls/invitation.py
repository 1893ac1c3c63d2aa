"""Codes: six digits, kept only as a keyed hash, used once, for a limited time.

The code and the link are drawn by the caller from a CSPRNG and pass through here once; what stays is
HMAC-SHA-256(key, code) (RFC 2104). Every check compares against every open invitation in constant time, so that
neither the answer's time nor its order tells how near a guess came.
"""

import dataclasses
import enum
import hashlib
import hmac
from collections.abc import Callable

from avisiod.calls.ids import CallId
from avisiod.calls.throttle import CODES, LINK_BITS, LINKED_TRIES, Throttle

LINK_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"
"""32 characters that a person can read aloud: no 0, 1, l, o."""
LINK_LENGTH = LINK_BITS // 5
REMEMBER_CLOSED_S = 3600.0
"""So long a used or expired code is still called used or expired rather than wrong."""


class Answer(enum.Enum):
    """What a code opened."""

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"
    USED = "used"
    THROTTLED = "throttled"
    VOIDED = "voided"
    """Wrong once too often on this very link: the invitation is void now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The answer to one try. `call` is set for RIGHT and VOIDED."""

    answer: Answer
    call: CallId | None = None
    wait_s: float = 0.0
    tries_left: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Invitation:
    """What leaves: goes into the SMS and is then forgotten."""

    code: str
    link: str
    hash: str

    def __repr__(self) -> str:
        """Show nothing of it, wherever it may be printed."""
        return "<Invitation>"


@dataclasses.dataclass(slots=True)
class _Open:
    call: CallId
    hash: bytes
    link: str
    expires: float | None = None
    wrong: int = 0
    closed: Answer | None = None
    closed_at: float = 0.0


class Invitations:
    """The open invitations of this box. `now` is monotonic seconds."""

    def __init__(self, key: bytes, throttle: Throttle) -> None:
        if len(key) < 32:
            raise ValueError("the key of the codes' hashes needs at least 32 bytes")
        self._key = key
        self._throttle = throttle
        self._all: dict[CallId, _Open] = {}
        self.elsewhere = 0
        """Open codes of other boxes that share the database: a try that is typed here could open one of those too."""

    def issue(self, call: CallId, randbelow: Callable[[int], int]) -> Invitation:
        """Draw a code and a link that differ from every other open one. ValueError if the call has one already."""
        if call in self._all:
            raise ValueError("this call has been given a code already")
        hashes = {i.hash for i in self._all.values()}
        links = {i.link for i in self._all.values()}
        while (hashed := self._hash(code := f"{randbelow(CODES):06d}")) in hashes:
            pass
        while (link := _link(randbelow(1 << LINK_BITS))) in links:
            pass
        self._all[call] = _Open(call, hashed, link)
        return Invitation(code, link, hashed.hex())

    def start(self, call: CallId, expires: float) -> None:
        """The SMS was accepted: the code works until `expires`. Before this it works already, without an end."""
        if call in self._all:
            self._all[call].expires = expires

    def cancel(self, call: CallId, now: float) -> None:
        """The call is over: its code opens nothing any more, and is called expired for a while."""
        invitation = self._all.get(call)
        if invitation is not None and invitation.closed is None:
            invitation.closed, invitation.closed_at = Answer.EXPIRED, now

    def hash_of(self, code: str) -> str:
        """As the store keeps it."""
        return self._hash(code).hex()

    def was_right_elsewhere(self, address: str, tried_at: float, open_codes: int) -> None:
        """The typed try of that moment, counted as wrong with so many codes open, opens a call of another box."""
        self._throttle.was_right_elsewhere(address, tried_at, open_codes)

    def open_codes(self, now: float) -> int:
        """How many codes would open something now."""
        return self.elsewhere + sum(
            1 for i in self._all.values() if i.closed is None and (i.expires is None or now < i.expires)
        )

    def redeem(self, code: str, link: str, address: str, now: float) -> Result:
        """Try a code. `link` is what the page's address carried, or empty. Spends the code if it is right."""
        self._forget(now)
        named = next((i for i in self._all.values() if link and i.link == link), None)
        if named is not None:
            return self._redeem_linked(named, code, address, now)
        return self._redeem_typed(code, address, now)

    def _redeem_linked(self, named: _Open, code: str, address: str, now: float) -> Result:
        right = hmac.compare_digest(self._hash(code), named.hash)
        over = self._over(named, now)
        if over is not None:
            return Result(over)
        if right:
            return self._spend(named, address, now)
        named.wrong += 1
        left = LINKED_TRIES - named.wrong
        if left > 0:
            return Result(Answer.WRONG, tries_left=left)
        named.closed, named.closed_at = Answer.EXPIRED, now
        return Result(Answer.VOIDED, named.call)

    def _redeem_typed(self, code: str, address: str, now: float) -> Result:
        open_codes = self.open_codes(now)
        wait = self._throttle.wait_for_typed(address, now, open_codes)
        if wait > 0:
            return Result(Answer.THROTTLED, wait_s=wait)
        hashed = self._hash(code)
        found: _Open | None = None
        for invitation in self._all.values():
            if hmac.compare_digest(hashed, invitation.hash) and (found is None or found.closed is not None):
                found = invitation
        if found is None:
            self._throttle.typed_wrong(address, now, open_codes)
            return Result(Answer.WRONG)
        over = self._over(found, now)
        if over is not None:
            self._throttle.typed_wrong(address, now, open_codes)
            return Result(over)
        return self._spend(found, address, now)

    def _spend(self, invitation: _Open, address: str, now: float) -> Result:
        invitation.closed, invitation.closed_at = Answer.USED, now
        self._throttle.right(address)
        return Result(Answer.RIGHT, invitation.call)

    def _over(self, invitation: _Open, now: float) -> Answer | None:
        if invitation.closed is not None:
            return invitation.closed
        if invitation.expires is not None and now >= invitation.expires:
            return Answer.EXPIRED
        return None

    def _forget(self, now: float) -> None:
        for invitation in list(self._all.values()):
            if invitation.closed is None and invitation.expires is not None and now >= invitation.expires:
                invitation.closed, invitation.closed_at = Answer.EXPIRED, invitation.expires
            if invitation.closed is not None and now >= invitation.closed_at + REMEMBER_CLOSED_S:
                del self._all[invitation.call]

    def _hash(self, code: str) -> bytes:
        return hmac.new(self._key, code.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _link(number: int) -> str:
    return "".join(LINK_ALPHABET[number >> (5 * place) & 31] for place in range(LINK_LENGTH))
