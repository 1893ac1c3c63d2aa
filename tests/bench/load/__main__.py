"""The measurements behind docs/benchmarks-load.md, each a command of its own; all take the options below.

    python -m tests.bench.load              gateways in turn under 1, 20 and 50 calls: a quarter of an hour
    python -m tests.bench.load report FILE  tables of what was measured
    python -m tests.bench.load growth       1 to 60 calls, recorded, with one media worker and with two
    python -m tests.bench.load capacity     how many calls one core carries
    python -m tests.bench.load busy         20 calls while control is busy, and while it is not
    python -m tests.bench.load phones       10 calls beside 2,000 phones that register, report and fetch, and without
    python -m tests.bench.load.churn        1,000 short calls, and what they leave behind

The repeat is the outermost loop and every measurement has fresh processes: what changes on the machine meanwhile
meets all gateways alike. Results are added to those that are there.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.load import busy, crowd
from tests.bench.load.capacity import capacity, line
from tests.bench.load.capacity import report as capacities
from tests.bench.load.report import tables
from tests.bench.load.run import GATEWAYS

RECORDED = "+rec"
SPECS = ("janus", "avisiod", "rtpengine", "floor-c", "janus+rec", "avisiod+rec", "rtpengine+rec")
PATIENCE_S = 180.0


def measured(spec: str, calls: int, repeat: int, args: argparse.Namespace) -> dict[str, object] | None:
    """One measurement in a process of its own; None where it failed."""
    spec, _, workers = spec.partition("/")
    name = spec.removesuffix(RECORDED)
    argv = [sys.executable, "-m", "tests.bench.load.run", name, "--calls", str(calls), "--seed", str(repeat + 1)]
    argv += ["--seconds", str(args.seconds), "--warmup", str(args.warmup), *args.run]
    argv += ["--record"] if name != spec else []
    argv += ["--option", f"workers={workers}"] if workers else []
    done = subprocess.run(argv, capture_output=True, text=True, timeout=args.seconds + PATIENCE_S)
    if done.returncode:
        sys.stderr.write(f"{spec} with {calls} calls failed:\n{done.stderr[-2000:]}\n")
        return None
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    label = args.label + spec + (f", {workers} worker{'s' * (workers != '1')}" if workers else "")
    sys.stderr.write(
        "{0:24} {calls:3} calls: {cpu_ms_per_call_s:6.2f} ms per call-s, {us_per_packet:5.1f} us per packet,"
        " {lost} lost, p50 {1[p50]:.0f} us, p99 {1[p99]:.0f} us\n".format(
            label,
            result["latency_us"]["phone>browser"],  # type: ignore[index]
            **result,
        )
    )
    return result | {"label": label, "repeat": repeat}


def kept(result: dict[str, object] | None, out: Path) -> None:
    """Add a line to the file."""
    if result is not None:
        with out.open("a") as file:
            file.write(json.dumps(result) + "\n")


def matrix(args: argparse.Namespace, out: Path) -> None:
    for repeat in range(args.repeats):
        for calls in args.calls:
            for spec in args.gateways:
                kept(measured(spec, calls, repeat, args), out)
    sys.stdout.write(tables([out]))


def growth(args: argparse.Namespace, out: Path) -> None:
    """With Debian's matplotlib, a drawing as well."""
    args.gateways = ["avisiod+rec/1", "avisiod+rec/2"]
    matrix(args, out)
    subprocess.run(["/usr/bin/python3", Path(__file__).parent / "plot.py", out, out.with_suffix(".png")], check=True)


def carried(args: argparse.Namespace, out: Path) -> None:
    """One line for each gateway."""
    for spec in args.gateways:
        found = capacity(lambda calls, spec=spec: measured(spec, calls, 0, args))
        with out.open("a") as file:
            file.write(line(spec, found))
    sys.stdout.write(capacities(out.read_text().splitlines()))


def while_busy(args: argparse.Namespace, out: Path) -> None:
    """The worker has no core of its own, and comes before control as `media.nice` says, as in service."""
    args.run += ["--gateway-cpu", "-1", "--gateway-priority", "0"]
    with tempfile.TemporaryDirectory(prefix="busy-", dir=out.parent) as folder, busy.running(Path(folder)) as hogs:
        for repeat in range(args.repeats):
            args.label = "control at rest: "
            kept(measured("avisiod+rec", args.calls[0], repeat, args), out)
            args.label = "control busy: "
            with busy.busy(hogs):
                kept(measured("avisiod+rec", args.calls[0], repeat, args), out)
    sys.stdout.write(tables([out]))


def with_phones(args: argparse.Namespace, out: Path) -> None:
    """As `busy`."""
    args.run += ["--gateway-cpu", "-1", "--gateway-priority", "0"]
    answers = out.with_suffix(".answers.jsonl")
    with (
        tempfile.TemporaryDirectory(prefix="crowd-", dir=out.parent) as folder,
        crowd.running(Path(folder)) as (_, command),
    ):
        for repeat in range(args.repeats):
            args.label = "no phones: "
            kept(measured("avisiod+rec", args.calls[0], repeat, args), out)
            args.label = "2,000 phones: "
            with crowd.beside(command, answers):
                kept(measured("avisiod+rec", args.calls[0], repeat, args), out)
    sys.stdout.write(tables([out]))
    sys.stdout.write("what phones saw of the daemon, in ms\n" + answers.read_text())


COMMANDS = {
    "matrix": (matrix, [1, 20, 50]),
    "growth": (growth, [1, 5, 10, 20, 30, 40, 50, 60]),
    "capacity": (carried, []),
    "busy": (while_busy, [20]),
    "phones": (with_phones, [10]),
}
"""What it does, and with how many calls."""


def main() -> None:
    if sys.argv[1:2] == ["report"]:
        sys.stdout.write(tables([Path(each) for each in sys.argv[2:]]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS, nargs="?", default="matrix")
    parser.add_argument("--out", help="build/bench/load/COMMAND.jsonl by default")
    parser.add_argument("--label", default="", help="goes before the gateway's name in the report")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warmup", type=float, default=3)
    parser.add_argument("--calls", type=lambda text: [int(each) for each in text.split(",")], default=[])
    parser.add_argument(
        "--gateways", type=lambda text: text.split(","), default=list(SPECS), help=f"of {[*GATEWAYS]}"
    )
    args, args.run = parser.parse_known_args()
    run, calls = COMMANDS[args.command]
    args.calls = args.calls or calls
    out = Path(args.out or f"build/bench/load/{args.command}.jsonl").absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    run(args, out)


main()
