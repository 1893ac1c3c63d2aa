"""What was measured, as tables: medians, spread, and ratios to Janus within the same repeat."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

Result = dict[str, Any]
Group = dict[tuple[str, int], list[Result]]

REFERENCE = "janus"
WAYS = ("phone>browser", "browser>phone")


def tables(paths: Iterable[Path]) -> str:
    """Markdown."""
    group: Group = defaultdict(list)
    for path in paths:
        for line in path.read_text().splitlines():
            result = json.loads(line)
            group[result["label"], result["calls"]].append(result)
    ordered: Group = dict(sorted(group.items(), key=lambda item: item[0][1]))
    return f"{_cost(ordered)}\n{_latency(ordered)}"


def _cost(group: Group) -> str:
    head = (
        *("calls", "gateway", "runs", "CPU ms per call-second", "against Janus", "µs per packet", "lost of sent"),
        *("RSS at rest, MiB", "RSS per call, KiB", "set-up, CPU ms per call"),
    )
    rows = []
    for (label, calls), results in group.items():
        rows.append(
            (
                *(str(calls), label, str(len(results)), _cell(results, lambda r: r["cpu_ms_per_call_s"])),
                _ratio(group, label, calls),
                _cell(results, lambda r: r["us_per_packet"] or 0.0),
                f"{sum(r['lost'] for r in results)} of {sum(r['sent'] for r in results)}",
                f"{median(r['rss0_kb'] / 1024 for r in results):.0f}",
                _cell(results, lambda r: r["rss_per_call_kb"], 0),
                _cell(results, lambda r: r["setup_ms_cpu_per_call"]),
            )
        )
    return _table(head, rows)


def _ratio(group: Group, label: str, calls: int) -> str:
    """CPU against Janus doing the same, repeat by repeat."""
    same = REFERENCE + ("+rec" if label.endswith("+rec") else "")
    reference = {r["repeat"]: r["cpu_ms_per_call_s"] for r in group.get((same, calls), [])}
    pairs = [(r["cpu_ms_per_call_s"], reference.get(r["repeat"])) for r in group[label, calls]]
    ratios = [own / other for own, other in pairs if other]
    return _spread(ratios, 2) if ratios and label != same else ""


def _latency(group: Group) -> str:
    head = ("calls", "gateway", "direction", "p50 µs", "p95 µs", "p99 µs", "p99.9 µs")
    rows = []
    for (label, calls), results in group.items():
        for way in WAYS:
            cells = [
                _cell(results, lambda r, p=p, way=way: r["latency_us"][way][p], 0)
                for p in ("p50", "p95", "p99", "p999")
            ]
            rows.append((str(calls), label, way.replace(">", " to "), *cells))
    return _table(head, rows)


def _cell(results: list[Result], value: Callable[[Result], float], digits: int = 1) -> str:
    return _spread([value(each) for each in results], digits)


def _spread(values: list[float], digits: int) -> str:
    middle = f"{median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
