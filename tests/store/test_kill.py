"""kill -9 at any point of a call: after the restart state, journal, ledger and trail say the same."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POINTS = 50
HOLD, CHARGE = 300, 30


@pytest.mark.peer
@pytest.mark.timeout(600)
def test_a_call_killed_at_any_point_is_consistent_after_the_restart(where: Path | str) -> None:
    if isinstance(where, Path):
        where.parent.mkdir()
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    points = [chance.random() for _ in range(POINTS)]
    command = [sys.executable, "-m", "tests.store.killed", str(where), json.dumps(points)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (seed, done.stderr)
    whole, *killed = map(json.loads, done.stdout.splitlines())
    assert (whole["state"], whole["charge"], whole["retried"]) == ("ended", CHARGE, "taken")
    assert len(killed) == POINTS
    balance, revenue = whole["balance"], whole["revenue"]
    assert (balance, revenue) == (100_000 - CHARGE, CHARGE)
    outcomes = set()
    for found in killed:
        told = (seed, found)
        paid = found["charge"] or 0
        balance, revenue = balance - paid, revenue + paid
        assert (found["balance"], found["revenue"], found["held"]) == (balance, revenue, 0), told
        assert (found["books"], found["trail"], found["open"]) == ([], "", []), told
        assert paid in (0, CHARGE), told
        if found["state"] is None:
            assert (found["journal"], found["keys"], paid) == ([], [], 0), told
        else:
            assert found["state"] == "ended", told
            assert found["journal"][-1][1] == "ended", told
            kinds = [key.partition(":")[0] for key in found["keys"]]
            assert kinds in ([], ["hold", "settle"]), told
            # what ended by its limit is paid, what the restart ended is not
            assert paid == (CHARGE if found["reason"] == "limit_reached" else 0), told
        outcomes.add((found["state"], found["reason"]))
    assert len(outcomes) > 1, "the points were not spread over the call"
