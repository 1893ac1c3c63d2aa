"""From a press of the emergency key to the last packet that any party of a running call still gets."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.exact_relative import ExactRelative
from tests.bench.scene import Dialled, Lines, dialled, new_folder, pause_until
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers.relay_board import RelayBoard
from tests.peers.waiting import NotSeen, wait_until

PROTOCOLS = ("numato", "modbus")
AT_ONCE = 3
"""Calls of the key's unit that run at the same time."""
LISTEN_S = 1.5
NONSENSE = 'avisiod_board_troubles_total{board="guard",what="nonsense"}'
TALK_S = 1.0

PHONES = [PhoneEntry(f"cell{n}", f"password-{n}", f"A 10{n}") for n in range(1, AT_ONCE + 1)]
CONTACTS = [ContactEntry(f"contact-{n}", f"+3363998000{n}") for n in range(1, AT_ONCE + 1)]


def measure(lines: Lines, presses: int) -> None:
    """So many presses for each protocol."""
    for protocol in PROTOCOLS:
        folder = new_folder(f"key-{protocol}")
        with RelayBoard(folder / "board", protocol) as board, _stage(folder, protocol) as stage:
            board.inputs[1] = False
            for number in range(presses):
                try:
                    lines.add("call", protocol=protocol, number=number, **_press(stage, board))
                except (NotSeen, OSError, RuntimeError, ValueError) as error:
                    lines.add("failed", protocol=protocol, number=number, why=str(error).partition("\n")[0])


@contextlib.contextmanager
def _stage(folder: Path, protocol: str) -> Iterator[Stage]:
    key = {"name": "post", "closed_input": 0, "open_input": 1}
    board = {"name": "guard", "device": str(folder / "board"), "protocol": protocol, "keys": [key]}
    settings = {"boards": {"list": [board]}, "calls": {"limit_s": 60.0, "warnings_s": []}}
    with Stage(folder, settings=settings, phones=PHONES, contacts=CONTACTS) as stage:
        yield stage


def _press(stage: Stage, board: RelayBoard) -> dict[str, Any]:
    board.set(1, False)
    board.set(0, True)
    rest = 'avisiod_emergency_key{board="guard",key="post",state="rest"}'
    wait_until(lambda: stage.metrics()[rest] == 1, 20, "the key at rest")
    with contextlib.ExitStack() as closing:
        running: list[tuple[Dialled, ExactRelative]] = []
        for phone, contact in zip(PHONES, CONTACTS, strict=True):
            call = closing.enter_context(dialled(stage, phone.user, contact))
            relative = closing.enter_context(ExactRelative(stage.portal_url))
            relative.join(call.code)
            wait_until(call.is_connected, 10, "connected")
            running.append((call, relative))
        pause_until(time.monotonic() + TALK_S)
        nonsense = stage.metrics()[NONSENSE]
        before = [
            listener.last_forwarded() for call, relative in running for listener in (call.phone, relative.media)
        ]
        pressed = board.set(1, True)
        board.set(0, False)
        pause_until(pressed + LISTEN_S)
        reasons = [call.wait_ended() for call, _ in running]
        ends = [listener.last_forwarded() for call, relative in running for listener in (call.phone, relative.media)]
        flowing = sum(pressed - each < 0.25 for each in before)
        return {
            "parties": len(ends),
            "flowing_before": flowing,
            "reasons": reasons,
            "board_asked_again": int(stage.metrics()[NONSENSE] - nonsense),
            "last_ms": [round((end - pressed) * 1000, 1) for end in ends],
        }
