"""Measure what docs/benchmarks.md states.

Each figure writes one JSON line a call into build/bench; report makes the page of the latest
ones; all does everything, each figure in a process of its own. Exit status 1 where a promise is not kept.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import machine, report
from tests.bench.figures import VERDICTS

CALLS = {"join": 30, "deadline": 5, "recording": 4, "admission": 2000, "imports": 1, "sms": 20, "key": 5}
"""For each figure; of the deadline for each trouble, of the recording for each kind of relative, of SMS for each
state of the first route, of the key for each protocol."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figure", choices=[*CALLS, "report", "all"])
    parser.add_argument("--calls", type=int, default=0, help=f"calls; by default {CALLS}")
    parser.add_argument("--out", type=Path, help="file of JSON lines; by default build/bench/FIGURE.jsonl")
    asked = parser.parse_args()
    if asked.figure == "all":
        return _all()
    if asked.figure == "report":
        report.write()
        _say(f"written: {report.PAGE}")
        return 0
    return _measure(asked.figure, asked.calls or CALLS[asked.figure], asked.out)


def _measure(figure: str, calls: int, out: Path | None) -> int:
    # Peers of other figures are left alone: aiortc, Chromium and PyAV take their time to load.
    from tests.bench import deadline, join, key, recording, rules, sms
    from tests.bench.scene import Lines

    measures: dict[str, Callable[[Lines, int], None]] = {
        "join": join.measure,
        "deadline": deadline.measure,
        "recording": recording.measure,
        "admission": rules.admission,
        "imports": rules.imports,
        "sms": sms.measure,
        "key": key.measure,
    }
    lines = Lines(figure, out)
    lines.add("machine", **machine.facts())
    try:
        measures[figure](lines, calls)
    finally:
        lines.close()
    verdicts = VERDICTS[figure](report.read(lines.path))
    _say(*(verdict.line() for verdict in verdicts))
    return 0 if all(verdict.kept for verdict in verdicts) else 1


def _all() -> int:
    """Each in its own process, so that the ports that one has claimed are free again for the next."""
    status = 0
    for figure in CALLS:
        _say(f"{figure} …")
        status |= subprocess.run([sys.executable, "-m", "tests.bench", figure], check=False).returncode
    report.write()
    _say(f"written: {report.PAGE}")
    return min(status, 1)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
