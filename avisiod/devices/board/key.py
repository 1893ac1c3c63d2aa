"""What an emergency key's contacts mean. Pure.

At rest the closed contact is closed, and the open one, where there is one, open. A press changes both, a broken wire
or a short one of them. With one contact only an open loop is a press: nobody could tell it from a broken wire, and to
end calls for nothing is the lesser harm.
"""

import dataclasses
import enum


class KeyState(enum.StrEnum):
    """A key as it is believed to be."""

    REST = "rest"
    PRESSED = "pressed"
    FAULT = "fault"


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """Whether each contact is closed; `second` is None where there is none."""

    closed: bool
    second: bool | None = None

    @property
    def meaning(self) -> KeyState:
        """Before any doubt."""
        if self.second is None:
            return KeyState.REST if self.closed else KeyState.PRESSED
        if self.closed and not self.second:
            return KeyState.REST
        return KeyState.PRESSED if self.second and not self.closed else KeyState.FAULT


class Key:
    """One key over time; `now` is monotonic seconds.

    A meaning is believed once it has held for `debounce_s`; a fault for `fault_s`, for a key's two contacts never
    change at the same moment. Without any reading for `fault_s` it is at fault. At first nothing is known: None.
    """

    def __init__(self, debounce_s: float, fault_s: float, now: float) -> None:
        self._debounce_s = debounce_s
        self._fault_s = fault_s
        self._read_at = now
        self._meaning: KeyState | None = None
        self._since = now
        self.state: KeyState | None = None

    def read(self, reading: Reading, now: float) -> KeyState | None:
        """The contacts were read."""
        self._read_at = now
        meaning = reading.meaning
        if meaning is not self._meaning:
            self._meaning, self._since = meaning, now
        return self._believe(now)

    def missed(self, now: float) -> KeyState | None:
        """They could not be read."""
        if now - self._read_at >= self._fault_s:
            self._meaning, self.state = None, KeyState.FAULT
        return self.state

    @property
    def believed_at(self) -> float | None:
        """From when on the last meaning is believed if it is read again; None where it is believed already."""
        if self._meaning is None or self._meaning is self.state:
            return None
        return self._since + self._wait_s

    @property
    def _wait_s(self) -> float:
        return self._fault_s if self._meaning is KeyState.FAULT else self._debounce_s

    def _believe(self, now: float) -> KeyState | None:
        if self._meaning is not None and now - self._since >= self._wait_s:
            self.state = self._meaning
        return self.state
