#!/usr/bin/env python3
"""Write the diagram of a call's life into ARCHITECTURE.md, from the call table itself; `--check` only compares."""

import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from avisiod.calls.call import State
from avisiod.calls.table import TABLE

FILE = pathlib.Path(__file__).parent.parent / "ARCHITECTURE.md"
BEGIN, END = "<!-- call table: begin (scripts/call_diagram.py) -->", "<!-- call table: end -->"


def diagram() -> str:
    """The table as a Mermaid state diagram: one arrow for each pair of states, all events that lead along it."""
    arrows: dict[tuple[State, State], list[str]] = collections.defaultdict(list)
    for (state, event), rule in TABLE.items():
        for target in rule.targets:
            if target is not state:
                arrows[state, target].append(event.__name__)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.DIALLED}"]
    order = list(State)
    for (state, target), events in sorted(arrows.items(), key=lambda a: (order.index(a[0][0]), order.index(a[0][1]))):
        lines.append(f"    {state} --> {target}: {', '.join(sorted(events))}")
    return "\n".join([*lines, f"    {State.ENDED} --> [*]", "```"])


def main() -> int:
    """Exit 1 where `--check` finds another diagram than the table's."""
    text = FILE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    current = f"{head}{BEGIN}\n\n{diagram()}\n\n{END}{tail}"
    if "--check" in sys.argv:
        if current != text:
            print("ARCHITECTURE.md does not show the call table: run scripts/call_diagram.py")
            return 1
        return 0
    FILE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
