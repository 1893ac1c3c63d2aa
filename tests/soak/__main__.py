"""Calls that come and go, and a fault every minute: at the end every call is right, nothing is lost, nothing is left.

The order of faults and the calls' plans follow the seed, which is printed; moments do not. Exit status 1 where
anything was wrong. The report is a JSON file; `page` puts it into docs/benchmarks.md.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import machine
from tests.bench.deadline import FAKETIME
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers.disk import Disk
from tests.peers.ports import free_range
from tests.soak import aftermath, faults, page
from tests.soak.judge import Verdict, judge
from tests.soak.lane import Lane
from tests.soak.story import Fault
from tests.soak.watch import Watch, look

OUT = Path(__file__).resolve().parents[2] / "build" / "soak"
LIMIT_S = 30.0
LANES = 4
DISK_MB = 8192
"""Two hours of calls leave three gigabytes of recordings."""
SETTLE_S = 120.0
MEDIA_WORKERS = 2


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["run", "page"], default="run")
    parser.add_argument("--minutes", type=float, default=120.0, help="how long calls are begun (120)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds from one fault to the next (60)")
    parser.add_argument("--lanes", type=int, default=LANES, help=f"pairs that call at a time ({LANES})")
    parser.add_argument("--seed", type=int, default=None, help="the order of faults and the calls' plans")
    parser.add_argument("--faults", default="", help=f"only these, with commas: {', '.join(faults.FAULTS)}")
    parser.add_argument("--out", type=Path, default=OUT / "soak.json", help="the report")
    asked = parser.parse_args()
    if asked.what == "page":
        page.write(json.loads(asked.out.read_text()))
        return 0
    asked.seed = secrets.randbelow(2**32) if asked.seed is None else asked.seed
    say(f"seed {asked.seed}")
    report = soak(asked)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    say(*page.lines(report))
    return 0 if report["right"] else 1


def soak(asked: argparse.Namespace) -> dict[str, Any]:
    """One run on a stage of its own."""
    folder = OUT / "scene"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    phones = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {100 + n}") for n in range(1, asked.lanes + 1)]
    contacts = [
        ContactEntry(f"contact-{n}", f"+3363998000{n}", confidential=n % 4 == 0) for n in range(1, asked.lanes + 1)
    ]
    faults.set_clock(folder, 0)
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "faketime"),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }
    with Disk(folder / "disk.img", folder / "disk", DISK_MB) as disk:
        settings = {
            "calls": {
                "limit_s": LIMIT_S, "warnings_s": [20.0], "code_valid_s": 15.0, "grace_s": 8.0, "capacity": 12,
            },
            "sip": {"workers": 3, "port": free_range(3)[0]},
            "media": {"workers": MEDIA_WORKERS, "phone_silent_s": 6.0, "outside_silent_s": 3.0},
            "recordings": {"folder": str(disk.folder), "keep_free_bytes": 20_000_000},
        }  # fmt: skip
        stage = Stage(folder, settings=settings, phones=phones, contacts=contacts, environment=environment)
        with stage:
            return _run(asked, stage, disk)


def _run(asked: argparse.Namespace, stage: Stage, disk: Disk) -> dict[str, Any]:
    dice = random.Random(asked.seed)
    watch = Watch(stage)
    lanes = [
        Lane(n, stage, phone, contact, random.Random(dice.random()), LIMIT_S)
        for n, (phone, contact) in enumerate(zip(stage.phones.values(), stage.contacts, strict=True))
    ]
    scene = faults.Scene(stage, disk, lambda: [lane.now for lane in lanes if lane.now is not None])
    before = look(stage)
    began, loads = time.monotonic(), [os.getloadavg()[0]]
    watch.start()
    for lane in lanes:
        lane.start()
    done = _faults(asked, scene, lanes, dice, began, loads)
    for lane in lanes:
        lane.stop()
    for lane in lanes:
        lane.join(SETTLE_S)
    wrong = [f"lane {lane.number} broke: {lane.broke!r}" for lane in lanes if lane.broke]
    wrong += [f"lane {lane.number} is not over: {lane.now}" for lane in lanes if lane.is_alive()]
    wrong += [f"lane {lane.number} made no call" for lane in lanes if not lane.calls]
    lasted = time.monotonic() - began
    wrong += aftermath.at_rest(stage)
    watch.samples += look(stage)
    wrong += aftermath.grown(before, stage)
    watch.stop()
    kept_before = aftermath.recordings(stage)["kept"]
    stage.stop_daemon()
    stage.start_daemon()
    wrong += aftermath.rows_left(stage)
    recordings = aftermath.recordings(stage)
    recordings["found_at_a_restart"] = recordings["kept"] - kept_before
    verdicts = _judged(stage, lanes, done)
    wrong += [
        f"fault {fault.kind} was not got over: {fault.facts['not_over']}"
        for fault in done
        if "not_over" in fault.facts
    ]
    return _report(asked, lasted, verdicts, done, recordings, wrong, loads, aftermath.memory(watch), began)


def _faults(
    asked: argparse.Namespace,
    scene: faults.Scene,
    lanes: Sequence[Lane],
    dice: random.Random,
    began: float,
    loads: list[float],
) -> list[Fault]:
    """One after the other until time is up: every kind once, in a new order, before any comes again."""
    kinds = asked.faults.split(",") if asked.faults else list(faults.FAULTS)
    bag: list[str] = []
    done: list[Fault] = []
    until = began + asked.minutes * 60
    due = began + asked.every
    while due < until and not any(lane.broke for lane in lanes):
        faults.pause(max(0.0, due - time.monotonic()))
        bag = bag or dice.sample(kinds, len(kinds))
        fault = faults.inflict(bag.pop(), scene, dice)
        done.append(fault)
        loads.append(os.getloadavg()[0])
        took = (fault.ended_at or 0.0) - fault.began_at
        say(f"{fault.began_at - began:7.0f} s  {fault.kind}, over after {took:.1f} s {fault.facts or ''}")
        due = max(due + asked.every, time.monotonic())
    if not any(lane.broke for lane in lanes):
        faults.pause(max(0.0, until - time.monotonic()))
    return done


def _judged(stage: Stage, lanes: Sequence[Lane], done: Sequence[Fault]) -> list[Verdict]:
    rows = {str(row["id"]): row for row in stage.calls()}
    journal: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for line in stage.journal():
        journal[str(line["call"])].append(line)
    return [
        judge(call, rows.get(call.id), journal[call.id], done)
        for call in sorted((call for lane in lanes for call in lane.calls), key=lambda call: call.dialled_at)
    ]


def _report(
    asked: argparse.Namespace,
    lasted: float,
    verdicts: Sequence[Verdict],
    done: Sequence[Fault],
    recordings: dict[str, Any],
    wrong: list[str],
    loads: Sequence[float],
    memory: list[dict[str, Any]],
    began: float,
) -> dict[str, Any]:
    bad = [verdict for verdict in verdicts if verdict.why]
    backs = collections.defaultdict(list)
    for fault in done:
        backs[fault.kind].append(fault.facts.get("back_s"))
    return {
        **machine.facts(),
        "seed": asked.seed,
        "minutes": round(lasted / 60, 1),
        "every_s": asked.every,
        "lanes": asked.lanes,
        "load": [round(min(loads), 1), round(max(loads), 1)],
        "calls": len(verdicts),
        "untouched": sum(not verdict.faults for verdict in verdicts),
        "reasons": dict(collections.Counter(verdict.reason or "not taken" for verdict in verdicts).most_common()),
        "faults": {
            kind: {"times": len(found), "back_s": [b for b in found if b is not None]}
            for kind, found in sorted(backs.items())
        },
        "calls_wrong": [
            {
                "why": verdict.why,
                "id": verdict.call.id,
                "plan": verdict.call.plan.value,
                "faults": verdict.faults,
                "call": {
                    name: round(value - began, 2) if name.endswith("_at") and value is not None else value
                    for name, value in dataclasses.asdict(verdict.call).items()
                },
            }
            for verdict in bad
        ],
        "recordings": recordings,
        "wrong": wrong,
        "memory": memory,
        "right": not (bad or wrong or recordings["wrong"]),
    }


def say(*lines: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
