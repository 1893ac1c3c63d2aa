"""`python -m tests.fuzz NAME [--seconds S | --runs N] [--corpus FOLDER] [--seed N]`: one harness until it ends or
finds something. What it learnt stays in the corpus folder, and an input that breaks a promise is left beside it.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

import atheris

from tests.fuzz import NAMES

INSTRUMENTED = (
    "avisiod",
    "aioice.stun",
    "autobahn.websocket.protocol",
    "tests.fuzz.canary",
    "twisted.protocols.amp",
    "twisted.web.http",
)
MEMORY_MB = 1500
SLOW_S = 10
"""An input that takes longer is a finding."""


def main() -> None:
    """Never returns: libFuzzer ends the process, with a status that is not 0 when it found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", choices=[*NAMES, "canary"])
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--corpus", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ["AVISIOD_COMPILED"] = "off"  # atheris follows bytecode; machine code would hide its way
    corpus: Path = asked.corpus or Path("build/fuzz") / asked.name
    seeds = corpus / "seeds"
    for folder in (corpus / "learnt", seeds):
        folder.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        harness = importlib.import_module(f"tests.fuzz.{asked.name}")
    for number, seed in enumerate(harness.seeds()):
        (seeds / f"{number:03}").write_bytes(seed)
    options = [
        f"-max_total_time={asked.seconds}",
        f"-runs={asked.runs}",
        f"-seed={asked.seed}",
        f"-max_len={harness.MAX_OCTETS}",
        f"-timeout={SLOW_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={corpus}{os.sep}found-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(corpus / "learnt"), str(seeds)], harness.one, enable_python_coverage=True
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
