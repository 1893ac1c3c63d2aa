"""avisioctl over the daemon's socket: the same answers, who asks told by the kernel, strangers left outside."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread

from avisiod.office import counter as module
from avisiod.office.counter import Counter, CounterClosed
from avisiod.office.desk import Site
from avisiod.store.database import Database
from tests.steered_clock import SteeredClock

from .conftest import Ctl

reactor: Any = _reactor


class Cuts:
    """Which calls are under way, and which were ended."""

    def __init__(self) -> None:
        self.open = {"call-1"}
        self.ended: list[str] = []

    def __call__(self, call: str) -> bool:
        if call in self.open:
            self.ended.append(call)
        return call in self.open


@pytest.fixture
def cuts() -> Cuts:
    return Cuts()


@pytest.fixture
def served(ctl: Ctl, database: Database, cuts: Cuts) -> Iterator[Counter]:
    counter = Counter(reactor, SteeredClock(), ctl.socket, "", Site(), lambda: database, cuts)
    counter.start()
    yield counter
    pytest_twisted.blockon(counter.stop())


@pytest_twisted.ensureDeferred
async def test_the_daemon_answers_as_the_database_does(ctl: Ctl, served: Counter) -> None:
    run, ask = ctl.run, ctl.json
    await deferToThread(run, "people", "add", "anna", "--register-number", "1", "--name", "A", "--status", "remand")
    (anna,) = await deferToThread(ask, "people", "list")
    assert anna["id"] == "anna"
    await deferToThread(lambda: run("contacts", "add", "x", "--number", "12", status=1))
    assert "number: not a telephone number" in ctl.err
    lines = await deferToThread(ask, "audit", "list")
    assert {line["actor"] for line in lines} == {module.actor_of(os.getuid())}
    rows = "".join(f"c{n};+3363998{n:04}\n" for n in range(1000, 1100))
    done = await deferToThread(ask, "contacts", "import", ctl.file("many.csv", f"id;number\n{rows}"))
    assert len(done["done"]) == 100
    assert served.served == {"done": 4, "refused": 1, "failed": 0, "denied": 0}


@pytest_twisted.ensureDeferred
async def test_a_call_under_way_is_cut(ctl: Ctl, served: Counter, cuts: Cuts) -> None:
    await deferToThread(ctl.run, "calls", "cut", "call-1", "--why", "threats")
    assert cuts.ended == ["call-1"]
    await deferToThread(lambda: ctl.run("calls", "cut", "call-2", "--why", "threats", status=1))
    assert "not under way" in ctl.err


@pytest_twisted.ensureDeferred
async def test_a_restore_waits_for_the_daemon_to_be_down(ctl: Ctl, served: Counter) -> None:
    await deferToThread(lambda: ctl.run("restore", "/nowhere", status=1))
    assert "the daemon runs: systemctl stop avisiod" in ctl.err


def asked(path: Path, *lines: bytes) -> list[Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        for line in lines:
            client.sendall(line + b"\n")
        with client.makefile("rb") as answers_:
            answers = [answers_.readline() for _ in lines]
    return [json.loads(answer) for answer in answers]


STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.settimeout(30)
try:
    client.connect(sys.argv[1])
    try:
        client.sendall(b'{"operation": "people.pin"}\\n')
    except BrokenPipeError:
        pass
    print(client.makefile().readline())
except OSError as error:
    print(error.strerror)
"""


def as_stranger(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", STRANGER, str(path)], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest_twisted.ensureDeferred
async def test_a_stranger_is_left_outside(ctl: Ctl, served: Counter, caplog: pytest.LogCaptureFixture) -> None:
    assert ctl.socket.stat().st_mode & 0o177 == 0
    for folder in ctl.socket.parents:
        if str(folder).startswith("/tmp/") or str(folder) == "/tmp":
            folder.chmod(folder.stat().st_mode | 0o011)
    assert "Permission denied" in await deferToThread(as_stranger, ctl.socket)
    ctl.socket.chmod(0o666)  # even where the file's mode was spoiled
    assert "you are not in the group" in await deferToThread(as_stranger, ctl.socket)
    assert served.served["denied"] == 1
    assert served.served["done"] == 0
    assert "nobody was not let in" in caplog.text


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest_twisted.ensureDeferred
async def test_the_group_that_the_settings_name_is_let_in(
    ctl: Ctl, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(reactor, SteeredClock(), ctl.socket, "nogroup", Site(), lambda: database, lambda _: False)
    counter.start()
    try:
        for folder in ctl.socket.parents:
            if str(folder).startswith("/tmp/") or str(folder) == "/tmp":
                folder.chmod(folder.stat().st_mode | 0o011)
        assert ctl.socket.stat().st_mode & 0o777 == 0o660
        assert "Object missing required field" in await deferToThread(as_stranger, ctl.socket)
    finally:
        await counter.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest_twisted.ensureDeferred
async def test_who_is_let_in_may_do_what_their_role_says(ctl: Ctl, database: Database) -> None:
    counter = Counter(reactor, SteeredClock(), ctl.socket, "nogroup", Site(), lambda: database, lambda _: False)
    counter.start()
    dates = ("--valid-from", "1970-01-01", "--valid-to", "1970-06-30")
    try:
        for folder in ctl.socket.parents:
            if str(folder).startswith("/tmp/") or str(folder) == "/tmp":
                folder.chmod(folder.stat().st_mode | 0o011)
        await deferToThread(ctl.run, "staff", "add", "nobody", "technician", *dates)
        denied = await deferToThread(as_stranger, ctl.socket)
        assert "needs `edit_people`, which technician does not include" in denied
        assert (counter.served["denied"], counter.served["refused"]) == (1, 0)
        await deferToThread(ctl.run, "staff", "add", "nobody", "registrar", *dates)
        assert "Object missing required field" in await deferToThread(as_stranger, ctl.socket)
        assert "change nobody/registrar" in await deferToThread(ctl.run, "staff", "end", "nobody", "registrar")
        assert "needs `edit_people`" in await deferToThread(as_stranger, ctl.socket)
        assert len(await deferToThread(ctl.json, "staff", "list")) == 2, "root always may"
    finally:
        await counter.stop()


@pytest_twisted.ensureDeferred
async def test_nonsense_is_answered_in_words(ctl: Ctl, served: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = await deferToThread(asked, ctl.socket, b"hello", b'{"operation": "dance"}', b"[]")
    assert "no request" in answers[0]["failed"]
    assert any(answer.get("refused", [{}])[0].get("reason") == "no operation `dance`" for answer in answers)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "perform", broken)
    (answer,) = await deferToThread(asked, ctl.socket, b'{"operation": "list"}')
    assert "its log says why" in answer["failed"]
    assert served.served["failed"] == 1


@pytest_twisted.ensureDeferred
async def test_a_closed_store_is_told(ctl: Ctl, tmp_path: Path) -> None:
    counter = Counter(reactor, SteeredClock(), ctl.socket, "", Site(), lambda: None, lambda _: False)
    counter.start()
    try:
        await deferToThread(lambda: ctl.run("people", "list", status=1))
        assert "the store is closed" in ctl.err
    finally:
        await counter.stop()


@pytest_twisted.ensureDeferred
async def test_a_socket_left_behind_is_replaced_and_another_daemons_is_not(ctl: Ctl, database: Database) -> None:
    def one(path: Path = ctl.socket, group: str = "") -> Counter:
        return Counter(reactor, SteeredClock(), path, group, Site(), lambda: database, lambda _: False)

    left = socket.socket(socket.AF_UNIX)
    left.bind(str(ctl.socket))
    left.close()
    first = one()
    first.start()
    with pytest.raises(CounterClosed, match="another daemon listens there"):
        one().start()
    await first.stop()
    ctl.config.touch()
    with pytest.raises(CounterClosed, match="no socket is there"):
        one(ctl.config).start()
    with pytest.raises(CounterClosed, match=r"correct admin\.socket_file"):
        one(ctl.folder / "none" / "c.sock").start()
    with pytest.raises(CounterClosed, match="no group `none-such`"):
        one(group="none-such").start()
