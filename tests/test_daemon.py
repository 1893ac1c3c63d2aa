"""The daemon starts only on good ground, says what is in the way, and touches nothing of it."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail

from avisiod.config.settings import Config, Recordings
from avisiod.config.settings import Store as StoreSettings
from avisiod.daemon import CannotStart, Daemon
from avisiod.gateway import wire
from tests.e2e.stage import Stage

pytestmark = [pytest.mark.peer]


def prepared(folder: Path, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Stage:
    stage = Stage(folder, settings=settings)
    stage._prepare()
    return stage


def run(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "avisiod", "--config", str(stage.config_file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("section", ["portal", "metrics", "sip"])
def test_a_port_in_use_is_named_and_the_daemon_ends(tmp_path: Path, section: str) -> None:
    stage = prepared(tmp_path)
    port = stage.settings[section]["port"]
    kind = socket.SOCK_DGRAM if section == "sip" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        ended = run(stage)
    assert ended.returncode == 1
    assert str(port) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_typo_in_the_settings_is_told_with_its_remedy(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    stage.config_file.write_text(stage.config_file.read_text().replace("workers:", "wrokers:"))
    ended = run(stage)
    assert ended.returncode == 2
    assert "media.wrokers" in ended.stderr
    assert "workers" in ended.stderr
    checked = run(stage, "--check-config")
    assert checked.returncode != 0
    assert "media.wrokers" in checked.stdout


def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    stage.database.write_bytes(b"this was a database once" * 100)
    before = stage.database.read_bytes()
    ended = run(stage)
    assert ended.returncode == 1
    assert str(stage.database) in ended.stderr
    assert stage.database.read_bytes() == before


def test_a_bad_line_of_the_inventory_is_named(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    inventory = Path(stage.settings["store"]["inventory_file"])
    inventory.write_text(inventory.read_text().replace("+33639980001", "not a number"))
    ended = run(stage)
    assert ended.returncode == 2
    assert "inventory.yaml" in ended.stderr
    assert "line" in ended.stderr
    checked = run(stage, "--check-config")
    assert checked.returncode == 1
    assert "inventory.yaml" in checked.stdout


def test_the_edges_list_of_workers_follows_the_settings(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    port = stage.settings["sip"]["port"]
    Path(stage.settings["portal"]["key_file"]).unlink()  # hidden from the edge
    assert run(stage, "--list-sip-workers", str(tmp_path / "workers.list")).returncode == 0
    written = (tmp_path / "workers.list").read_text()
    assert written == f"1 sip:127.0.0.1:{port}\n1 sip:127.0.0.1:{port + 1}\n"
    stage.config_file.write_text("sip: {workers: -1}")
    assert run(stage, "--list-sip-workers", str(tmp_path / "workers.list")).returncode == 2
    assert (tmp_path / "workers.list").read_text() == written


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    key = Path(stage.settings["store"]["code_key_file"])
    key.write_bytes(bytes(32))
    key.chmod(0o644)
    ended = run(stage)
    assert ended.returncode == 2
    assert f"chmod 600 {key}" in ended.stderr


def test_sigterm_ends_it_in_order_with_its_workers(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    stage = prepared(tmp_path)
    stage.start_modem()
    stage.start_daemon()
    try:
        stage.daemon.signal(signal.SIGTERM)
        assert stage.daemon.wait(30) == 0
        lines = stage.daemon.lines.items()
        assert any("stopped" in line for line in lines)
        assert not any("killed" in line for line in lines)
    finally:
        stage.stop()


@pytest_twisted.ensureDeferred
async def test_the_room_on_the_disk_is_known_before_the_first_phone_can_dial(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("phones: []\ncontacts: []\n")
    config = Config(
        store=StoreSettings(
            path=str(tmp_path / "a.db"), code_key_file=str(tmp_path / "code.key"), inventory_file=str(inventory)
        ),
        recordings=Recordings(folder=str(tmp_path / "recordings"), keep_free_bytes=0),
    )
    daemon = Daemon(config)
    known: list[bool] = []

    def start() -> Deferred[None]:
        known.append(daemon.disk.room)
        return fail(wire.WorkerError("seen enough"))

    daemon.media.start = start  # type: ignore[method-assign,assignment]
    with pytest.raises(CannotStart):
        await daemon.start()
    await daemon.store.close()
    assert known == [True]
