"""avisioctl status on a real daemon, and on one that is down."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stage import ROOT, Stage
from tests.peers.waiting import wait_until
from tests.peers.workers import workers


def ctl(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from avisiod.cli.main import main; sys.exit(main())"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(
        [*command, "--config", str(stage.config_file), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


def test_a_daemon_that_is_down_is_said_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage._prepare()
    try:
        told = ctl(stage, "status")
        assert told.returncode == 3
        assert told.stdout.startswith("avisiod IS DOWN: no call can be made")
        assert "certificate of portal: ends in 6 d" in told.stdout
        assert "last backup: NONE WAS EVER MADE" in told.stdout
        assert json.loads(ctl(stage, "status", "--json").stdout)["state"] == "down"
    finally:
        stage.stop()


@pytest.mark.peer
@pytest.mark.timeout(180)
def test_the_running_box_is_shown_with_what_is_wrong(tmp_path: Path) -> None:
    stage = Stage(tmp_path, settings={"sip": {"workers": 1}})
    try:
        stage._prepare()
        stage.start_modem()
        stage.start_daemon()
        wait_until(lambda: stage.metrics()["avisiod_modem_usable"] == 1, 30, "the modem is ready")
        found = json.loads(ctl(stage, "status", "--json").stdout)
        assert found["workers"][:2] == [
            {"kind": "sip", "up": 1, "wanted": 1},
            {"kind": "media", "up": 1, "wanted": 1},
        ]
        assert [route["state"] for route in found["sms"]] == ["up"]
        assert found["state"] == "serving"
        assert found["capacity"] == 20
        assert [each["of"] for each in found["certificates"]] == ["portal"]
        (pid,) = workers(stage.daemon.pid, "sip_worker")
        os.kill(pid, signal.SIGKILL)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            wait_until(lambda: _bound(taken, stage.settings["sip"]["port"]), 20, "the worker's port is taken")
            shutil.rmtree(stage.recordings_folder)
            wait_until(lambda: "a sip worker is down" in ctl(stage, "status").stdout, 30, "the worker is missed")
            wait_until(lambda: "folder cannot be read" in ctl(stage, "status").stdout, 30, "so are recordings")
            told = ctl(stage, "status")
        assert told.returncode == 1
        lines = told.stdout.splitlines()
        assert len(lines) <= 23
        assert lines[1].startswith("NOT WELL")
        assert "Workers      0 of 1 SIP, 1 of 1 media, 2 of 2 transcoders" in lines
        assert any("WARNING" in line and "sip_worker" in line for line in lines)
        assert "!" not in lines[0]
    finally:
        stage.stop()
    assert ctl(stage, "status").returncode == 3, "and it is down now"


def _bound(taken: socket.socket, port: int) -> bool:
    try:
        taken.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
