"""How many calls one core carries before the 99th percentile of the latency passes 20 ms, or a packet is lost.

python -m tests.bench.load capacity --gateways avisiod+rec,janus+rec --out build/bench/load/capacity.jsonl

Doubled until it does not fit, then narrowed down to 5 %. What does not fit must fail twice: one disturbance of the
machine decides nothing. Where the generator, on its own core, no longer sends in time, it is told as the limit.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

P99_US = 20_000
LATE_US = 5_000
"""A generator whose 99th percentile is later than this is at its own limit."""
FIRST = 40
MOST = 250
PRECISION = 0.05

Probe = Callable[[int], dict[str, Any] | None]


def verdict(result: dict[str, Any] | None) -> str:
    """`fits`, or what stood in the way."""
    if result is None:
        return "could not be set up"
    worst = max(result["latency_us"][way]["p99"] for way in ("phone>browser", "browser>phone"))
    if result["gen_lag_us"]["p99"] > LATE_US:
        return "the generator is late"
    if result["lost"]:
        return f"{result['lost']} packets lost"
    if worst > P99_US:
        return f"p99 {worst / 1000:.0f} ms"
    return "fits"


def capacity(probe: Probe) -> tuple[int, int, str]:
    """The most calls that fit, the fewest that do not (0: none was found), and why not."""
    good, bad, why = 0, 0, ""
    calls = FIRST
    while not bad or bad - good > max(1, good * PRECISION):
        outcome = verdict(probe(calls))
        if outcome != "fits":
            outcome = verdict(probe(calls))
        if outcome == "fits":
            good = calls
        else:
            bad, why = calls, outcome
        if not bad and good >= MOST:
            break
        calls = (good + bad) // 2 if bad else min(2 * good, MOST)
        if calls in (good, bad):
            break
    return good, bad, why


def line(label: str, found: tuple[int, int, str]) -> str:
    """One row of a table."""
    good, bad, why = found
    return json.dumps({"label": label, "fits": good, "too_many": bad, "why": why}) + "\n"


def report(lines: list[str]) -> str:
    """Markdown."""
    rows = [
        f"| {each['label']} | {each['fits']} | {each['too_many'] or ''} | {each['why']} |\n"
        for each in map(json.loads, lines)
    ]
    return "| gateway | fits | does not | why not |\n| --- | --- | --- | --- |\n" + "".join(rows)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
