"""Who calls from a shared phone: an identifier and a PIN by the phone's keys. What is typed shows in no repr.

`#` ends what is typed, `*` clears it; with nothing typed `*` goes back to the identifier. A call may be tried on
TRIES times. Wrong PINs in a row lock: a detainee's identifier after DETAINEE_FREE of them, wherever they were typed,
and a phone after PHONE_FREE of them, whoever typed them; each further one doubles the wait.

A guesser of a PIN of four digits has DETAINEE_FREE tries and then, at one an hour, 24 a day: less than three in a
thousand a day, of six digits less than three in 100,000.
"""

import dataclasses
import datetime
import enum

TRIES = 3
LONGEST = 16
"""Digits of an identifier or a PIN; of more, the rest is not kept, and what is kept is not right."""
DETAINEE_FREE = 3
DETAINEE_FIRST_S = 60.0
DETAINEE_LONGEST_S = 3600.0
PHONE_FREE = 9
"""More than a detainee's: a shared phone must not be lost to all for the mistakes of a few."""
PHONE_FIRST_S = 30.0
PHONE_LONGEST_S = 600.0


class Key(enum.Enum):
    """What a key press has led to."""

    NOTHING = enum.auto()
    PIN_WANTED = enum.auto()
    IDENTIFIER_WANTED = enum.auto()
    CLAIMED = enum.auto()
    """Identifier and PIN are there: they are to be verified, and no key counts until `answered`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says to be. Both are secrets."""

    identifier: str = dataclasses.field(repr=False)
    pin: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Identification:
    """How far somebody has come in saying who they are."""

    tries: int = 0
    """Claims that were wrong in this call."""
    typed: str = dataclasses.field(default="", repr=False)
    identifier: str = dataclasses.field(default="", repr=False)
    verifying: bool = False

    @property
    def claim(self) -> Claim:
        """What was typed; only while `verifying`."""
        return Claim(self.identifier, self.typed)

    @property
    def over(self) -> bool:
        """No try is left."""
        return self.tries >= TRIES

    def press(self, key: str) -> tuple["Identification", Key]:
        """One key: a digit, `*` or `#`. Others, and those that come too early or too late, do nothing."""
        if self.verifying or self.over:
            return self, Key.NOTHING
        if key.isdecimal() and key.isascii() and len(key) == 1:
            return dataclasses.replace(self, typed=(self.typed + key)[: LONGEST + 1]), Key.NOTHING
        if key == "*":
            return self._cleared()
        if key == "#" and self.typed:
            return self._ended()
        return self, Key.NOTHING

    def _cleared(self) -> tuple["Identification", Key]:
        if self.typed:
            return dataclasses.replace(self, typed=""), Key.NOTHING
        if self.identifier:
            return dataclasses.replace(self, identifier=""), Key.IDENTIFIER_WANTED
        return self, Key.NOTHING

    def _ended(self) -> tuple["Identification", Key]:
        if not self.identifier:
            return dataclasses.replace(self, identifier=self.typed, typed=""), Key.PIN_WANTED
        return dataclasses.replace(self, verifying=True), Key.CLAIMED

    def answered(self, *, right: bool) -> "Identification":
        """The claim was looked at; a wrong one is forgotten and counted."""
        return Identification(tries=self.tries if right else self.tries + 1)


def detainee_wait_s(wrong: int, last_utc: datetime.datetime | None, now_utc: datetime.datetime) -> float:
    """Seconds for which no PIN of a detainee is heard, after so many wrong ones in a row; 0.0 for none."""
    return _wait(wrong - DETAINEE_FREE, DETAINEE_FIRST_S, DETAINEE_LONGEST_S, last_utc, now_utc)


def phone_wait_s(wrong: int, last_utc: datetime.datetime | None, now_utc: datetime.datetime) -> float:
    """Seconds for which a phone asks nobody, after so many wrong claims in a row; 0.0 for none."""
    return _wait(wrong - PHONE_FREE, PHONE_FIRST_S, PHONE_LONGEST_S, last_utc, now_utc)


def _wait(
    beyond: int, first_s: float, longest_s: float, last_utc: datetime.datetime | None, now_utc: datetime.datetime
) -> float:
    if beyond < 0 or last_utc is None:
        return 0.0
    delay = min(longest_s, first_s * 2.0 ** min(beyond, 20))
    since = (now_utc - last_utc).total_seconds()
    if since < -delay:
        return 0.0  # the wall clock was put back: nobody stays locked out until it has caught up
    return min(delay, max(0.0, delay - since))
