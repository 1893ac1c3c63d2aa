"""systemd hears the right words over its own kind of socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from avisiod.sdnotify import Notifier, watchdog_interval_s
from tests.steered_clock import SteeredClock


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield listener


def heard(listener: socket.socket) -> list[str]:
    words = []
    while True:
        try:
            words.append(listener.recv(4096).decode())
        except BlockingIOError:
            return words


def test_a_life_as_systemd_hears_it(systemd: socket.socket) -> None:
    notifier = Notifier(SteeredClock())
    notifier.ready()
    notifier.status("3 of 20\ncalls")
    notifier.stopping()
    assert heard(systemd) == ["READY=1", "STATUS=3 of 20 calls", "STOPPING=1"]


def test_the_watchdog_is_fed_at_half_its_time_while_healthy(systemd: socket.socket) -> None:
    clock, missing = SteeredClock(), list[str]()
    notifier = Notifier(clock)
    notifier.feed_unless(lambda: missing)
    assert heard(systemd) == ["WATCHDOG=1"]
    clock.advance(14.9)
    assert heard(systemd) == []
    clock.advance(0.1)
    assert heard(systemd) == ["WATCHDOG=1"]
    missing.append("no media worker serves")
    clock.advance(15)
    clock.advance(15)
    assert heard(systemd) == []
    missing.clear()
    clock.advance(15)
    assert heard(systemd) == ["WATCHDOG=1"]
    notifier.close()
    assert clock.due == []


def test_a_health_check_that_fails_does_not_feed_and_is_asked_again(systemd: socket.socket) -> None:
    clock, answers = SteeredClock(), iter([0])
    notifier = Notifier(clock)
    notifier.feed_unless(lambda: [str(1 // next(answers))])
    assert heard(systemd) == []
    assert len(clock.due) == 1


def test_a_daemon_that_stops_is_fed_to_its_end(systemd: socket.socket) -> None:
    clock = SteeredClock()
    notifier = Notifier(clock)
    notifier.feed_unless(lambda: ["everything"])
    notifier.stopping()
    clock.advance(15)
    assert heard(systemd) == ["STOPPING=1", "WATCHDOG=1"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    clock = SteeredClock()
    notifier = Notifier(clock)
    notifier.ready()
    notifier.feed_unless(list)
    notifier.stopping()
    assert clock.due == []


def test_a_systemd_that_went_away_is_warned_of_once(
    systemd: socket.socket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", os.environ["NOTIFY_SOCKET"] + "-gone")
    notifier = Notifier(SteeredClock())
    notifier.ready()
    notifier.status("on")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "systemd does not hear us" in caplog.text


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [
        ("30000000", None, 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
    ],
)
def test_the_interval_is_ours_only(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str | None, interval: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_interval_s() == interval
