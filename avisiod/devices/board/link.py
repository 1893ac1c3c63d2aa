"""A thread that lives with one board: opens, reads, switches, and after any failure opens anew.

It knows no call and no reactor. What it learns it hands to `told`, in its own thread; what it shall switch it takes
from `want`. So a port that hangs, or an endless flood, holds up nothing but this thread.
"""

import collections
import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

import serial

from avisiod.config.board import Board
from avisiod.devices.board.key import Key, KeyState, Reading
from avisiod.devices.board.modbus import Modbus
from avisiod.devices.board.numato import NoSense, Numato
from avisiod.log import FirstThenDebug

log = logging.getLogger(__name__)

ANSWER_S = 0.1
"""For each part of a line, or each answer on Modbus."""
AGAIN_S = 0.2
"""Between tries to open the port."""
NONSENSE_LIMIT = 3
"""So many answers in a row without sense, and the port is opened anew."""
CHECK_S = 5.0
"""Relays are set again so often: a board may have lost its power in between."""
URGENCY = -10
"""Niceness of the thread, where the unit's LimitNICE lets it: it has next to nothing to do, and that at once."""


class Wire(Protocol):
    """A dialogue with a board."""

    def begin(self) -> None:
        """Be ready for questions."""

    def read_inputs(self, inputs: list[int]) -> dict[int, bool]:
        """Whether each reads 1."""

    def write_output(self, output: int, *, on: bool) -> None:
        """Switch a relay."""


class BoardLink:
    """See the module. `told` hears (key, state) of each change, `heard` whether the board answers."""

    def __init__(
        self,
        settings: Board,
        now: Callable[[], float],
        told: Callable[[str, KeyState], None],
        heard: Callable[[bool], None],
    ) -> None:
        self.settings = settings
        self._now = now
        self._told = told
        self._heard = heard
        self._keys = {key.name: Key(settings.debounce_s, settings.fault_s, now()) for key in settings.keys}
        self._states: dict[str, KeyState] = {}
        self._wanted: dict[int, bool] = {lamp.output: False for lamp in settings.lamps}
        self._switched: dict[int, bool] = {}
        self._check_at = 0.0
        self._answers = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"board-{settings.name}", daemon=True)
        self._trouble = FirstThenDebug(log)
        self.counts: collections.Counter[str] = collections.Counter()
        """`lost`: the port went or could not be opened; `nonsense`: answers without sense."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for the answer that is being waited for, a second at most."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def want(self, output: int, *, on: bool) -> None:
        """A relay shall be so; from any thread."""
        self._wanted[output] = on

    def _live(self) -> None:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), URGENCY)
        while not self._stop.is_set():
            try:
                self._live_once()
            except (OSError, serial.SerialException, NoSense) as error:
                self.counts["nonsense" if isinstance(error, NoSense) else "lost"] += 1
                self._trouble.failed("Board %s is lost (%s): its keys do nothing", self.settings.name, _why(error))
                self._hear(False)
            except Exception as error:  # noqa: BLE001 - a mistake must not take the key away for good
                self.counts["lost"] += 1
                log.error("Board %s: unexpected %s", self.settings.name, type(error).__name__)
                self._hear(False)
            until = self._now() + AGAIN_S
            while self._now() < until and not self._stop.wait(min(0.05, AGAIN_S)):
                self._missed()

    def _live_once(self) -> None:
        settings = self.settings
        if settings.protocol == "modbus":
            modbus = Modbus(settings.device, settings.baud, settings.address, ANSWER_S)
            try:
                self._serve(modbus)
            finally:
                modbus.close()
            return
        with serial.Serial(
            settings.device, settings.baud, timeout=ANSWER_S, write_timeout=ANSWER_S, exclusive=True
        ) as port:
            self._serve(Numato(_Port(port)))

    def _serve(self, wire: Wire) -> None:
        wire.begin()
        self._switched.clear()
        nonsense = 0
        while not self._stop.is_set():
            began = self._now()
            try:
                self._read(wire)
                self._hear(True)
                self._switch(wire)
                nonsense = 0
            except NoSense as error:
                self.counts["nonsense"] += 1
                nonsense += 1
                self._missed()
                if nonsense >= NONSENSE_LIMIT:
                    raise
                log.debug("Board %s: %s", self.settings.name, error)
                if isinstance(wire, Numato):
                    wire.begin()
            self._stop.wait(max(0.001, self._next_look(began) - self._now()))

    def _next_look(self, began: float) -> float:
        """As often as the settings say, and at the moment when a contact has held for long enough."""
        due = [at for key in self._keys.values() if (at := key.believed_at) is not None]
        return min(began + self.settings.poll_s, *due) if due else began + self.settings.poll_s

    def _read(self, wire: Wire) -> None:
        keys = self.settings.keys
        inputs = sorted({place for key in keys for place in (key.closed_input, key.open_input) if place >= 0})
        values = wire.read_inputs(inputs)
        now = self._now()
        for key in keys:
            closed = values[key.closed_input] is not self.settings.inverted
            second = None if key.open_input < 0 else values[key.open_input] is not self.settings.inverted
            self._tell(key.name, self._keys[key.name].read(Reading(closed, second), now))

    def _missed(self) -> None:
        now = self._now()
        for name, key in self._keys.items():
            self._tell(name, key.missed(now))

    def _tell(self, name: str, state: KeyState | None) -> None:
        if state is not None and self._states.get(name) is not state:
            self._states[name] = state
            self._told(name, state)

    def _hear(self, answers: bool) -> None:
        if answers is not self._answers:
            self._answers = answers
            self._heard(answers)
            if answers:
                self._trouble.recovered("Board %s answers", self.settings.name)

    def _switch(self, wire: Wire) -> None:
        if self._now() >= self._check_at:
            self._check_at = self._now() + CHECK_S
            self._switched.clear()
        for output, on in list(self._wanted.items()):
            if self._switched.get(output) is not on:
                wire.write_output(output, on=on)
                self._switched[output] = on
                return  # one a round: keys are read in between


class _Port:
    """A serial port that gives all that has come."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port

    def read(self, size: int, /) -> bytes:
        ready, _, _ = select.select([self._port.fileno()], [], [], ANSWER_S)
        if not ready:
            return b""
        if taken := os.read(self._port.fileno(), size):
            return taken
        raise serial.SerialException("the port is gone")

    def write(self, data: bytes, /) -> int | None:
        written: int | None = self._port.write(data)
        return written

    def reset_input_buffer(self) -> None:
        self._port.reset_input_buffer()


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
