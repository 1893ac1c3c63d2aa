"""What the settings of serial boards must be together."""

import collections
from collections.abc import Iterator, Sequence

from avisiod.config.board import Board
from avisiod.config.sms_rules import Broken


def broken(boards: Sequence[Board]) -> Iterator[Broken]:
    """Contradictions of the section `boards`."""
    for place, board in enumerate(boards):
        key = f"boards.list[{place}]"
        for other in boards[:place]:
            if other.name == board.name:
                yield (f"{key}.name",), f"another board is called `{board.name}` too", "give each a name of its own"
            if other.device == board.device:
                yield (f"{key}.device",), f"the board {other.name} has this port", "name its own"
        if not board.device:
            yield (f"{key}.device",), "no serial port", "name it, best below /dev/serial/by-id"
        if board.fault_s <= board.debounce_s:
            keys = (f"{key}.fault_s", f"{key}.debounce_s")
            yield keys, "a fault would be believed before a press", "make fault_s longer than debounce_s"
        yield from _lines(key, board)


def _lines(key: str, board: Board) -> Iterator[Broken]:
    inputs: collections.Counter[int] = collections.Counter()
    names: collections.Counter[str] = collections.Counter()
    for place, each in enumerate(board.keys):
        here = f"{key}.keys[{place}]"
        if each.closed_input < 0:
            remedy = "name the input of the contact that is closed at rest: a key without one fails unseen"
            yield (f"{here}.closed_input",), "missing", remedy
        for name in ("closed_input", "open_input"):
            line = getattr(each, name)
            if line >= 0 and inputs[line]:
                yield (f"{here}.{name}",), f"input {line} has another contact", "give each contact its own"
            inputs[line] += 1
        if names[each.name]:
            yield (f"{here}.name",), f"another key is called `{each.name}` too", "give each a name of its own"
        names[each.name] += 1
    outputs: collections.Counter[int] = collections.Counter()
    for place, lamp in enumerate(board.lamps):
        if outputs[lamp.output]:
            reason = f"relay {lamp.output} has another lamp"
            yield (f"{key}.lamps[{place}].output",), reason, "give each lamp its own"
        outputs[lamp.output] += 1
