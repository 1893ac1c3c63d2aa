"""Media workers run on the processors that the settings name, and as urgently."""

import os
import subprocess
import sys

import pytest

from avisiod.gateway import wire
from avisiod.gateway.placement import settle

SETTLE = """
import os, sys, threading
from avisiod.gateway.placement import settle
before = threading.Event()
thread = threading.Thread(target=before.wait, daemon=True)
thread.start()
settle((max(os.sched_getaffinity(0)),), 5)
tasks = [int(task) for task in os.listdir("/proc/self/task")]
print(len(tasks), {(tuple(os.sched_getaffinity(task)), os.getpriority(os.PRIO_PROCESS, task)) for task in tasks})
"""


def test_every_thread_is_moved() -> None:
    done = subprocess.run([sys.executable, "-c", SETTLE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"2 {{(({max(os.sched_getaffinity(0))},), 5)}}\n"


def test_a_processor_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(wire.WorkerError, match=r"media\.cpus.*9999.*0"):
        settle((9999,), 0)


def test_nothing_is_changed_where_nothing_is_set() -> None:
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    settle((), 0)
    assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == before
