"""systemd takes the units as they are, finds them well closed, and gives the daemon the time it needs."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from avisiod.config.settings import Config

FOLDER = Path(__file__).resolve().parent.parent / "systemd"
UNITS = [
    "avisiod.service",
    "avisiod-edge.service",
    "avisiod-backup.service",
    "avisiod-retention.service",
    "avisiod-hooks.service",
]
TIMERS = ["avisiod-backup.timer", "avisiod-retention.timer", "avisiod-hooks.socket"]


def unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / name)
    return parser


@pytest.mark.peer
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    for name in UNITS + TIMERS:
        text = (FOLDER / name).read_text()
        # neither the program nor its documentation is installed where tests run
        text = re.sub(r"^(Exec\w+)=.*", "\\1=/bin/true", text, flags=re.MULTILINE)
        (tmp_path / name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS + TIMERS)],
        capture_output=True,
        text=True,
    )
    ours = [line for line in done.stderr.splitlines() if any(name in line for name in UNITS + TIMERS)]
    assert ours == []


@pytest.mark.peer
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_little_left_open(name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=19", str(FOLDER / name)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()


def test_the_daemon_is_notified_for_and_not_restarted_for_wrong_settings() -> None:
    service = unit("avisiod.service")["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 10
    assert service["RestartPreventExitStatus"] == "2"
    assert service["KillMode"] == "control-group"  # workers outlive control, to hang up and to seal


def test_a_worker_that_the_kernel_kills_for_its_memory_does_not_end_the_service() -> None:
    assert unit("avisiod.service")["Service"]["OOMPolicy"] == "continue"


def test_the_edge_cannot_open_recordings_nor_the_key_of_the_codes() -> None:
    hidden = unit("avisiod-edge.service")["Service"]["InaccessiblePaths"]
    assert "/var/lib/avisiod/recordings" in hidden
    assert "/var/lib/avisiod/code.key" in hidden


def test_a_worker_may_make_itself_less_urgent() -> None:
    allowed, denied = set(), set()
    for filters in re.findall(r"(?m)^SystemCallFilter=(.+)", (FOLDER / "avisiod.service").read_text()):
        (denied if filters.startswith("~") else allowed).update(filters.removeprefix("~").split())
        if not filters.startswith("~"):
            denied -= set(filters.split())
    assert "@resources" in denied  # which has setpriority in it, that a later line allows again
    assert "setpriority" in allowed


def test_media_workers_come_before_the_rest_and_the_unit_lets_them() -> None:
    assert int(unit("avisiod.service")["Service"]["LimitNICE"]) <= Config().media.nice < 0


def test_a_modem_that_is_plugged_in_later_is_open_to_the_daemon() -> None:
    # a driver's name counts only if the driver is loaded when the service starts
    allowed = re.findall(r"(?m)^DeviceAllow=(\S+)", (FOLDER / "avisiod.service").read_text())
    assert allowed == ["char-188", "char-166", "char-4"]


def test_the_edge_does_at_its_start_nothing_that_its_unit_forbids() -> None:
    start = unit("avisiod-edge.service")["Service"]["ExecStart"].split()
    assert "-P" not in start  # Kamailio changes the owner of its PID file


def test_the_daemon_is_stopped_before_the_edge_by_which_phones_hear_of_their_calls_end() -> None:
    # systemd stops in the reverse order of the start
    assert "avisiod-edge.service" in unit("avisiod.service")["Unit"]["After"]
    assert "avisiod.service" not in unit("avisiod-edge.service")["Unit"]["After"].split()
