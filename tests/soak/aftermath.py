"""What a soak left behind: rows, recordings, ports, memory."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.stage import Stage
from tests.peers.waiting import NotSeen, wait_until
from tests.soak.watch import Sample, Watch, look, ports_held

QUIET_WITHIN_S = 40.0
SPARE_DESCRIPTORS = 6
"""A connection of the watcher's own, a file just being closed."""
SPARE_THREADS = 12
"""Pools start threads as they are needed and keep them: up to 6 of a worker's loop, 10 of control's reactor."""
LEFTOVERS = (".part", ".new", ".facts.json")


def at_rest(stage: Stage) -> list[str]:
    """Wait until nothing runs any more; what does all the same."""

    def open_calls() -> float:
        return sum(value for name, value in stage.metrics().items() if name.startswith("avisiod_calls{"))

    def quiet() -> bool:
        return open_calls() == 0 and not ports_held(stage)

    try:
        wait_until(quiet, QUIET_WITHIN_S, "nothing is held any more", 0.5)
    except NotSeen:
        return [f"{open_calls():.0f} calls by the metrics, ports {ports_held(stage)} are still held"]
    return []


def rows_left(stage: Stage) -> list[str]:
    """Rows that say that something is under way."""
    return [f"call {row['id']} is still {row['state']}" for row in stage.calls() if row["state"] != "ended"]


def recordings(stage: Stage) -> dict[str, Any]:
    """Of every call whose recorder was opened there is one recording, whole and as its manifest says; of no other."""
    rows = {str(row["call"]): row for row in stage.rows("select * from recordings")}
    opened = {str(line["call"]) for line in stage.journal() if line["event"] == "RecorderOpened"}
    confidential = {str(row["id"]) for row in stage.calls() if row["confidential"]}
    wrong = [f"call {call} was recorded and has no recording" for call in sorted(opened - set(rows))]
    wrong += [
        f"call {call} is confidential and has a recording" for call in sorted(confidential & (opened | set(rows)))
    ]
    for call, row in rows.items():
        path = Path(str(row["path"]))
        if not path.is_file():
            wrong.append(f"the recording of call {call} is not where the store says: {path}")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
            wrong.append(f"the recording of call {call} is not what its manifest says")
    left = [path.name for path in stage.recordings_folder.rglob("*") if path.name.endswith(LEFTOVERS)]
    wrong += [f"{name} was left behind" for name in left]
    truncated = sum(bool(row["truncated"]) for row in rows.values())
    unreadable = sum(not json.loads(str(row["manifest"])).get("readable", True) for row in rows.values())
    return {
        "opened": len(opened),
        "kept": len(rows),
        "truncated": truncated,
        "unreadable": unreadable,
        "wrong": wrong,
    }


def grown(before: Sequence[Sample], stage: Stage) -> list[str]:
    """Descriptors and threads that processes at rest hold beyond those of the beginning."""
    found = []
    for now in look(stage):
        same = [sample for sample in before if sample.kind == now.kind]
        descriptors = max(sample.descriptors for sample in same) + SPARE_DESCRIPTORS
        threads = max(sample.threads for sample in same) + SPARE_THREADS
        if now.descriptors > descriptors:
            found.append(
                f"{now.kind} {now.pid} holds {now.descriptors} descriptors, {descriptors} at most at the start"
            )
        if now.threads > threads:
            found.append(f"{now.kind} {now.pid} has {now.threads} threads, {threads} at most at the start")
    return found


def memory(watch: Watch) -> list[dict[str, Any]]:
    """For each process that lived: resident memory once it was warm, and at its last look."""
    found = []
    for kind, pid, warm in watch.lives():
        minutes = (warm[-1].at - warm[0].at) / 60
        found.append(
            {
                "kind": kind,
                "pid": pid,
                "minutes": round(minutes, 1),
                "warm_kb": warm[0].rss_kb,
                "last_kb": warm[-1].rss_kb,
                "most_kb": max(sample.rss_kb for sample in warm),
                "most_descriptors": max(sample.descriptors for sample in warm),
                "most_threads": max(sample.threads for sample in warm),
            }
        )
    return found
