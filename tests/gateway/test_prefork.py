"""Workers forked at the start: what they share, what they must not, and that control treats them like any other."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.protocols import amp

from avisiod.clock import SystemClock
from avisiod.gateway import prefork, wire
from avisiod.gateway.supervisor import Worker
from tests.e2e.stage import Stage
from tests.peers.waiting import wait_until
from tests.peers.workers import workers

ROOT = Path(__file__).resolve().parents[2]
A_WORKER = "tests.gateway.a_worker"
PF_FORKNOEXEC = 0x40
"""Of the flags in proc_pid_stat(5): forked, and has not called exec."""


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *argv], env=env, capture_output=True, text=True, timeout=60, check=False)


def forked(case: str = "", **environment: str) -> tuple[dict[str, Any], str]:
    """What a control process saw of its workers, and what was said on standard error."""
    ran = run("-m", "tests.gateway.a_forked_worker", case, **environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), ran.stderr


def test_workers_are_children_of_control_with_a_name_and_nothing_open_but_their_socket() -> None:
    seen, said = forked()
    assert len(seen["workers"]) == 2
    assert not seen["left"]
    for each in seen["workers"]:
        assert each["child"] == each["pid"] != seen["control"]
        assert each["cmdline"].endswith("-m tests.gateway.a_forked_worker")
        assert {0, 1, 2, wire.WORKER_FD} <= set(each["descriptors"]) <= {0, 1, 2, wire.WORKER_FD, 4}  # 4 looks
        assert (each["threads"], each["terminate"], each["status"]) == (1, True, 7)
    assert said == ""


def test_no_two_workers_draw_the_same_random_numbers() -> None:
    seen, _ = forked()
    drawn = [number for each in seen["workers"] for number in each["random"]]
    assert len(set(drawn)) == 4


def test_settings_are_read_by_neither_control_nor_a_worker() -> None:
    seen, _ = forked()
    assert seen["settings_read_by"] not in ("", str(seen["control"]), *(str(each["pid"]) for each in seen["workers"]))


def test_wrong_settings_fork_nothing_and_are_left_for_control_to_tell() -> None:
    seen, said = forked("wrong")
    assert (seen["workers"], said) == ([], "")


def test_forking_can_be_left_aside() -> None:
    assert forked(AVISIOD_PREFORK="off")[0]["workers"] == []


def test_a_worker_that_fails_says_why_and_never_runs_controls_code() -> None:
    seen, said = forked(FAILS="yes")
    assert [each["status"] for each in seen["workers"]] == [1, 1]
    assert said.count("RuntimeError: of the worker") == 2


LOADED = """
import json, os, sys
sys.orig_argv[:] = ["python", "-m", {run_as!r}]
import importlib
for module in {modules!r}:
    importlib.import_module(module)
print(json.dumps([sorted(sys.modules), len(os.listdir("/proc/self/task"))]))
"""
OF_CONTROL = {
    "sqlalchemy",
    "alembic",
    "klein",
    "autobahn",
    "phonenumbers",
    "psycopg",
    "prometheus_client",
    "avisiod.store",
}
OF_MEDIA = {"av", "aiortc", "aioice", "pylibsrtp", "PIL"}
OF_TLS = {"cryptography", "OpenSSL.SSL"}


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        (prefork.SIP, OF_CONTROL | OF_MEDIA | OF_TLS | {"yaml", "uvloop", "numpy"}),
        (prefork.TRANSCODE, OF_CONTROL | OF_TLS | {"aiortc", "aioice", "yaml", "pjsua2", "numpy"}),
        (prefork.MEDIA, OF_CONTROL | {"yaml", "pjsua2", "numpy"}),
        ("", {"sqlalchemy", "klein", "avisiod.store", "numpy", "twisted.internet.reactor"}),
    ],
    ids=["sip", "transcode", "media", "before the fork"],
)
def test_nobody_loads_what_is_for_others_and_nothing_that_is_loaded_starts_a_thread(
    module: str, foreign: set[str]
) -> None:
    modules = [module] if module else list(prefork.LIBRARIES)
    ran = run("-c", LOADED.format(run_as=module, modules=modules))
    assert ran.returncode == 0, ran.stderr
    loaded, threads = json.loads(ran.stdout)
    assert not foreign & set(loaded)
    assert threads == 1


class Owner:
    """Of one worker; hears of it."""

    def __init__(self) -> None:
        self.ups: list[Deferred[int | None]] = [Deferred(), Deferred()]
        self.downs = 0
        self.worker = Worker(
            reactor, SystemClock(asyncio.get_event_loop()), A_WORKER, b"{}", amp.AMP, on_up=self.up, on_down=self.down
        )

    def up(self) -> None:
        next(each for each in self.ups if not each.called).callback(self.worker.pid)

    def down(self) -> None:
        self.downs += 1


def child(*argv: str) -> int:
    """A child that Twisted does not know, waiting to be taken."""
    ours, theirs = socket.socketpair()
    with theirs:
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), wire.WORKER_FD)]
        pid = os.posix_spawn(sys.executable, [sys.executable, *argv], dict(os.environ), file_actions=actions)
    if argv[0] == "-c":
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and waits to be reaped
    prefork._waiting.setdefault(A_WORKER, []).append(prefork.Forked(pid, ours.detach()))
    return pid


def there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture(autouse=True)
def nobody_waits() -> Iterator[None]:
    yield
    assert not prefork._waiting.pop(A_WORKER, [])


@pytest_twisted.ensureDeferred
async def test_control_takes_one_that_waits_and_spawns_the_next() -> None:
    pid, owner = child("-m", A_WORKER), Owner()
    owner.worker.start()
    assert await owner.ups[0] == pid
    os.kill(pid, signal.SIGKILL)
    assert await owner.ups[1] not in (None, pid)
    assert (owner.downs, owner.worker.restarts) == (1, 1)
    await owner.worker.stop()


@pytest_twisted.ensureDeferred
async def test_one_that_waits_is_stopped_like_any_other() -> None:
    pid, owner = child("-m", A_WORKER), Owner()
    owner.worker.start()
    await owner.ups[0]
    await owner.worker.stop()
    assert not there(pid)  # it was waited for


@pytest_twisted.ensureDeferred
async def test_one_that_ended_while_it_waited_is_replaced() -> None:
    pid, owner = child("-c", ""), Owner()
    owner.worker.start()
    assert await owner.ups[0] not in (None, pid)
    assert (owner.downs, owner.worker.restarts) == (0, 1)
    await owner.worker.stop()


def is_forked(pid: int) -> bool:
    return bool(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6]) & PF_FORKNOEXEC)


@pytest.mark.peer
def test_a_daemon_forks_its_first_workers_and_spawns_those_that_follow(tmp_path: Path) -> None:
    with Stage(tmp_path, settings={"media": {"transcoded_calls": 1}}) as stage:
        first = workers(stage.daemon.pid)
        assert len(first) == 4
        assert all(map(is_forked, first))
        mark, (killed, _) = stage.daemon.lines.mark(), workers(stage.daemon.pid, "sip_worker")
        os.kill(killed, signal.SIGKILL)
        stage.daemon.wait_for_line(r"sip_worker runs \(pid", 30, since=mark)
        wait_until(lambda: len(workers(stage.daemon.pid)) == 4, 30, "every worker is there")
        (new,) = set(workers(stage.daemon.pid)) - set(first)
        assert not is_forked(new)
