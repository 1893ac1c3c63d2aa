"""Boards joined with the calls: a key that is pressed ends its unit's calls, a lamp shows them."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.threads import deferToThread

from avisiod.clock import Clock, Timer
from avisiod.config.board import Board, BoardKey
from avisiod.devices.board.key import KeyState
from avisiod.devices.board.link import BoardLink
from avisiod.devices.board.unit import Place, covers

log = logging.getLogger(__name__)

LOOK_S = 0.1
"""Lamps follow, and a key that stays pressed ends what has begun, within this time."""


class BoardMetrics(Protocol):
    """metrics.board.BoardMetrics."""

    def key(self, board: str, key: str, state: str) -> None:
        """A key is so now."""

    def answers(self, board: str, *, up: bool) -> None:
        """Whether a board answers."""

    def cut(self, board: str, key: str, calls: int) -> None:
        """A key has ended so many calls."""

    def troubles(self, board: str, what: str, total: int) -> None:
        """Since the start."""


class BoardRoom:
    """All boards. For the reactor's thread.

    `calls` tells (call, phone) of every call under way, `place_of` where a phone hangs, `cut` ends calls at once;
    `event` hears what others may want to know: `emergency-key` and `board-lost`.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        boards: Sequence[Board],
        metrics: BoardMetrics,
        *,
        calls: Callable[[], Iterable[tuple[str, str]]],
        place_of: Callable[[str], Place | None],
        cut: Callable[[Sequence[str]], None],
        event: Callable[[str, dict[str, str]], None] = lambda _name, _facts: None,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._metrics = metrics
        self._calls = calls
        self._place_of = place_of
        self._cut_calls = cut
        self._event = event
        self._timer: Timer | None = None
        self.states: dict[tuple[str, str], KeyState] = {}
        """By board and key."""
        self.answering: dict[str, bool] = {board.name: False for board in boards}
        self.links = [self._link(board) for board in boards]

    def _link(self, board: Board) -> BoardLink:
        def told(key: str, state: KeyState) -> None:
            self._reactor.callFromThread(self._changed, board, key, state)

        def heard(answers: bool) -> None:
            self._reactor.callFromThread(self._heard, board, answers)

        return BoardLink(board, self._clock.now, told, heard)

    def start(self) -> None:
        """Begin to read."""
        for link in self.links:
            link.start()
        if self.links:
            self._look()

    async def stop(self) -> None:
        """Read no more; lamps stay as they are."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for link in self.links:
            await deferToThread(link.stop)

    @property
    def problems(self) -> list[str]:
        """For /health."""
        found = [
            f"the board {name} does not answer: its emergency keys do nothing"
            for name, answers in self.answering.items()
            if not answers
        ]
        found += [
            f"the emergency key {key} of {board} is at fault: look at its wires"
            for (board, key), state in self.states.items()
            if state is KeyState.FAULT and self.answering[board]
        ]
        return found + [
            f"the emergency key {key} of {board} is pressed: no call of its unit goes on"
            for (board, key), state in self.states.items()
            if state is KeyState.PRESSED
        ]

    def _heard(self, board: Board, answers: bool) -> None:
        was, self.answering[board.name] = self.answering[board.name], answers
        self._metrics.answers(board.name, up=answers)
        if was and not answers:
            self._event("board-lost", {"board": board.name})

    def _changed(self, board: Board, name: str, state: KeyState) -> None:
        before = self.states.get((board.name, name))
        self.states[board.name, name] = state
        key = next(each for each in board.keys if each.name == name)
        if _cuts(key, state):
            self._cut(board, key)  # before anything is counted or said, which may wait for somebody
        self._metrics.key(board.name, name, state.value)
        if state is KeyState.PRESSED:
            log.warning("emergency key %s of %s is pressed: the calls of its unit end", name, board.name)
            self._event("emergency-key", {"board": board.name, "key": name})
        elif state is KeyState.FAULT and (before is not None or key.on_fault == "cut"):
            what = "the calls of its unit end" if key.on_fault == "cut" else "it would do nothing now"
            log.warning("emergency key %s of %s is at fault: %s", name, board.name, what)
        elif before is not None and before is not state:
            log.info("emergency key %s of %s is at rest again", name, board.name)

    def _look(self) -> None:
        for link in self.links:
            board = link.settings
            for key in board.keys:
                if _cuts(key, self.states.get((board.name, key.name))):
                    self._cut(board, key)
            for lamp in board.lamps:
                on = any(covers(lamp, phone, self._place_of(phone), unknown=False) for _, phone in self._calls())
                link.want(lamp.output, on=on)
            for what in ("lost", "nonsense"):
                self._metrics.troubles(board.name, what, link.counts[what])
        self._timer = self._clock.call_at(self._clock.now() + LOOK_S, self._look)

    def _cut(self, board: Board, key: BoardKey) -> None:
        calls = [call for call, phone in self._calls() if covers(key, phone, self._place_of(phone), unknown=True)]
        if calls:
            self._cut_calls(calls)
            self._metrics.cut(board.name, key.name, len(calls))


def _cuts(key: BoardKey, state: KeyState | None) -> bool:
    """Whether no call of the key's unit may go on."""
    return state is KeyState.PRESSED or (state is KeyState.FAULT and key.on_fault == "cut")
