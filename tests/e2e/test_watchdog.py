"""What systemd hears of a real daemon: ready when workers serve, calls and capacity, fed while its parts answer."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage
from tests.peers.waiting import wait_until
from tests.peers.workers import workers

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]

WATCHDOG = "2000000"
"""Microseconds; parts are missed after as long."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path, settings={"sip": {"workers": 1}}, environment={"WATCHDOG_USEC": WATCHDOG})
    stage._prepare()
    stage.start_modem()
    stage.start_daemon()
    try:
        yield stage
    finally:
        stage.stop()


def seize(port: int) -> socket.socket:
    """The port of a worker that has just died: it cannot serve again before this is closed."""
    seized = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def bound() -> bool:
        try:
            seized.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

    wait_until(bound, 20, f"port {port} is free")
    return seized


def test_a_kind_of_worker_that_stays_away_starves_the_watchdog_and_one_that_is_back_feeds_it(stage: Stage) -> None:
    up = stage.metrics()
    assert (up['avisiod_workers_up{kind="sip"}'], up['avisiod_workers_up{kind="media"}']) == (1, 1), "when READY"
    said = stage.notified
    said.wait(lambda word: word == "WATCHDOG=1", 20, "it is fed")
    said.wait(lambda word: word.startswith("STATUS=0 of 20 calls; workers: 1 of 1 SIP, 1 of 1 media"), 20, "status")
    (pid,) = workers(stage.daemon.pid, "sip_worker")
    os.kill(pid, signal.SIGKILL)
    with seize(stage.settings["sip"]["port"]):
        stage.daemon.wait_for_line("the watchdog is not fed.*no SIP worker serves", 60)
        said.wait(lambda word: word.startswith("STATUS=0 of 20 calls; workers: 0 of 1 SIP"), 30, "status")
    stage.daemon.wait_for_line("everything answers again; the watchdog is fed", 60)
    said.wait(lambda word: word == "WATCHDOG=1", 20, "it is fed again", said.mark())
