"""The database is damaged while it is used, and before a start; the wall clock leaps: in whole calls."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.deadline import FAKETIME
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import line, talking
from tests.peers.waiting import wait_until
from tests.soak.faults import set_clock

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, BROTHER = ContactEntry("sister", "+33639980001"), ContactEntry("brother", "+33639980002")
HOUR_S = 3600


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("store-faults")
    set_clock(folder, 0)
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "faketime"),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }
    settings = {"calls": {"limit_s": 15.0, "warnings_s": [10.0]}, "media": {"workers": 1, "phone_silent_s": 10.0}}
    phones = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {n}") for n in (1, 2)]
    with Stage(
        folder, settings=settings, phones=phones, contacts=[SISTER, BROTHER], environment=environment
    ) as stage:
        yield stage


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S, 0])
def test_a_wall_clock_that_leaps_changes_nothing_for_a_call(stage: Stage, ahead_s: int) -> None:
    with talking(stage, "cell1", SISTER) as talk, line(stage, "cell2", BROTHER) as waiting:
        since = stage.sms.mark()
        assert waiting.dial() == 200
        assert stage.wait_code(BROTHER, since, 30)
        set_clock(stage.folder, ahead_s)
        talk.wait_flowing()
        talk.relative.heard.wait(lambda each: each[1]["type"] == "warning", 20, "the warning")
        assert talk.phone.wait_ended() == ("limit_reached", 1)
        assert 14.9 <= talk.phone.row()["connected_s"] <= 15.1
        talk.wait_told("limit_reached")
        assert waiting.row()["state"] == "waiting", "its code lives five minutes, by whichever clock"
        assert waiting.bye() == 200
        assert waiting.wait_ended() == ("detainee_gave_up", 0)


def damage(database: Path) -> None:
    """Nonsense over every page but the first, as a disk that lies would leave it."""
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def test_a_database_that_is_damaged_in_mid_call_ends_the_call_and_is_refused_at_the_next_start(stage: Stage) -> None:
    before = stage.folder / "before.db"
    with contextlib.closing(sqlite3.connect(stage.database)) as source:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(stage.database, before)
    with talking(stage, "cell1", SISTER) as talk:
        with contextlib.closing(sqlite3.connect(stage.database)) as source:
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(stage.database)
        talk.relative.hang_up()
        talk.wait_told("relative_hung_up")
        talk.phone.wait_hung_up()
        wait_until(lambda: "database" in stage.health(), 30, "/health tells of it")
        assert stage.daemon.returncode is None
    stage.stop_daemon()
    after = stage.database.read_bytes()
    refused = subprocess.run(
        [sys.executable, "-m", "avisiod", "--config", stage.config_file], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    assert ".recover" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert stage.database.read_bytes() == after, "it was left untouched"
    for name in ("-wal", "-shm"):
        stage.database.with_name(stage.database.name + name).unlink(missing_ok=True)
    shutil.copy(before, stage.database)
    stage.start_daemon()
    with talking(stage, "cell1", SISTER) as talk:
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
