"""kill -9 at every step of the retention: nothing is gone without a record, no record tells of what is there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_a_run_killed_at_any_step_is_finished_by_the_next() -> None:
    command = [sys.executable, "-m", "tests.office.killed_purge"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    half = 0
    for each in found:
        killed, again = each["killed"], each["again"]
        told = set(killed["records"])
        assert not told & {*killed["files"], *killed["rows"], *killed["begun"]}, each
        gone = {"old-1", "old-2", "young"} - set(killed["there"])
        # what is gone has its record, or it is known that it was begun, and the next run writes it
        assert gone <= told | set(killed["begun"]), each
        assert {*killed["rows"], *told} == {"old-1", "old-2", "young"}, each
        half += bool(gone - told)
        assert again["there"] == again["files"] == again["rows"] == ["young"], each
        assert again["records"] == ["old-1", "old-2"], each
        assert (again["begun"], killed["trail"], again["trail"]) == ([], "", ""), each
    assert half > 1, "some were killed between a file's end and its record"
