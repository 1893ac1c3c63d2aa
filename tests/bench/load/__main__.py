"""The matrix of measurements behind docs/benchmarks-load.md.

    python -m tests.bench.load --out build/bench/load/results.jsonl     measures, in about a quarter of an hour
    python -m tests.bench.load report build/bench/load/results.jsonl    writes tables of what was measured

The repeat is the outermost loop and every measurement has fresh processes: what changes on the machine meanwhile
meets all gateways alike. Results are added to those that are there.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.bench.load.report import tables
from tests.bench.load.run import GATEWAYS

RECORDED = "+rec"
SPECS = ("janus", "avisiod", "rtpengine", "floor-c", "janus+rec", "avisiod+rec", "rtpengine+rec")
PATIENCE_S = 180.0


def measured(spec: str, calls: int, repeat: int, args: argparse.Namespace) -> dict[str, object] | None:
    """One measurement in a process of its own; None where it failed."""
    name = spec.removesuffix(RECORDED)
    argv = [sys.executable, "-m", "tests.bench.load.run", name, "--calls", str(calls), "--seed", str(repeat + 1)]
    argv += ["--seconds", str(args.seconds), "--warmup", str(args.warmup), *args.run]
    argv += ["--record"] if name != spec else []
    done = subprocess.run(argv, capture_output=True, text=True, timeout=args.seconds + PATIENCE_S)
    if done.returncode:
        sys.stderr.write(f"{spec} with {calls} calls failed:\n{done.stderr[-2000:]}\n")
        return None
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result | {"label": args.label + spec, "repeat": repeat}


def matrix(args: argparse.Namespace) -> None:
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for repeat in range(args.repeats):
        for calls in args.calls:
            for spec in args.gateways:
                result = measured(spec, calls, repeat, args)
                if result is None:
                    continue
                with out.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                sys.stderr.write(
                    "{label:16} {calls:3} calls: {cpu_ms_per_call_s:6.2f} ms per call-s, {us_per_packet:5.1f} us per"
                    " packet, {lost} lost, p50 {0[p50]:.0f} us, p99 {0[p99]:.0f} us\n".format(
                        result["latency_us"]["phone>browser"],  # type: ignore[index]
                        **result,
                    )
                )


def main() -> None:
    if sys.argv[1:2] == ["report"]:
        sys.stdout.write(tables([Path(each) for each in sys.argv[2:]]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="build/bench/load/results.jsonl")
    parser.add_argument("--label", default="", help="goes before the gateway's name in the report")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warmup", type=float, default=3)
    parser.add_argument("--calls", type=lambda text: [int(each) for each in text.split(",")], default=[1, 20, 50])
    parser.add_argument(
        "--gateways", type=lambda text: text.split(","), default=list(SPECS), help=f"of {[*GATEWAYS]}"
    )
    args, args.run = parser.parse_known_args()
    matrix(args)
    sys.stdout.write(tables([Path(args.out)]))


main()
