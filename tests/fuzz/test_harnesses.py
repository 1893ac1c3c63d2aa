"""Each harness, for a bounded number of inputs and in a process of its own; `make fuzz` goes on for longer."""

import sys
from pathlib import Path

import pytest

from tests.fuzz import NAMES
from tests.peers.processes import Process

pytestmark = pytest.mark.peer

RUNS = 2_000
CANARY_RUNS = 2_000_000
FOUND = 77
"""libFuzzer's exit status for an input that raised."""


def fuzz(folder: Path, name: str, runs: int) -> tuple[int, str]:
    """Exit status, and what it said."""
    argv = [sys.executable, "-m", "tests.fuzz", name, "--runs", str(runs), "--seed", "4475", "--corpus", str(folder)]
    with Process(["nice", *argv], log=folder / "log") as process:
        status = process.wait(240)
    return status, (folder / "log").read_text()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_a_promise(tmp_path: Path, name: str) -> None:
    status, said = fuzz(tmp_path, name, RUNS)
    assert status == 0, said[-3000:]
    assert f"#{RUNS}\tDONE" in said


@pytest.mark.timeout(300)
def test_a_planted_fault_that_no_random_input_meets_is_found(tmp_path: Path) -> None:
    status, said = fuzz(tmp_path, "canary", CANARY_RUNS)
    assert status == FOUND
    assert "the planted fault" in said
    assert [file.read_bytes()[:5] for file in tmp_path.glob("found-*")] == [b"AVISI"]
