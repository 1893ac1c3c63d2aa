"""Draws how the cost grows with the calls, of the lines that `growth` wrote; with Debian's matplotlib.

/usr/bin/python3 tests/bench/load/plot.py build/bench/load/growth.jsonl docs/images/load-growth.png
"""

import json
import sys
from collections import defaultdict
from statistics import median

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

WAYS = ("phone>browser", "browser>phone")


def main() -> None:
    source, target = sys.argv[1:]
    found = defaultdict(lambda: defaultdict(list))
    with open(source, encoding="utf-8") as file:
        for line in map(json.loads, file):
            found[line["label"]][line["calls"]].append(line)
    figure, (cost, wait) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label, by_calls in sorted(found.items()):
        calls = sorted(by_calls)
        cores = [median(r["cpu_ms_per_call_s"] * r["calls"] / 10 for r in by_calls[n]) for n in calls]
        p99 = [median(max(r["latency_us"][way]["p99"] for way in WAYS) for r in by_calls[n]) / 1000 for n in calls]
        cost.plot(calls, cores, "o-", label=label)
        wait.plot(calls, p99, "o-", label=label)
    cost.set(xlabel="calls, recorded", ylabel="CPU of all workers, % of one core", ylim=0)
    wait.set(xlabel="calls, recorded", ylabel="added latency p99, worse direction, ms", ylim=0)
    for axes in (cost, wait):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(target, dpi=110)


main()
