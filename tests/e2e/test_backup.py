"""A daemon's box is backed up in mid-call, burns down, and comes back from one file: the drill of docs/backup.md."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from tests.e2e.stage import ROOT, ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import talking
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

AVISIOCTL = "import sys; from avisiod.cli.main import main; sys.exit(main())"
SISTER = ContactEntry("sister", "+33639980001")


class Site(Stage):
    """Settings in a folder of their own, as on a server."""

    def __init__(self, folder: Path, recipient: str) -> None:
        settings = {
            "calls": {"limit_s": 30.0, "warnings_s": [10.0]},
            "backup": {
                "recipients": [recipient],
                "folder": str(folder / "backups"),
                "record_file": str(folder / "state" / "backup.json"),
            },
            "recordings": {"folder": str(folder / "recordings"), "keep_free_bytes": 50_000_000},
        }
        super().__init__(folder, settings=settings, phones=[PhoneEntry()], contacts=[SISTER])
        self.etc = folder / "etc"
        self.etc.mkdir()
        self.config_file = self.etc / "avisiod.yaml"
        self._settings["store"]["inventory_file"] = str(self.etc / "inventory.yaml")
        self._settings["portal"] |= {
            "certificate_file": str(self.etc / "portal.crt"),
            "key_file": str(self.etc / "portal.key"),
        }
        for name in ("portal.crt", "portal.key"):
            (folder / name).symlink_to(self.etc / name)

    def ctl(self, *arguments: str) -> str:
        """Run avisioctl as a shell does."""
        done = subprocess.run(
            [sys.executable, "-c", AVISIOCTL, "--config", self.config_file, *arguments],
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    secret = pyrage.x25519.Identity.generate()
    key = tmp_path / "age.key"
    key.write_text(f"{secret}\n")
    folder = tmp_path / "site"
    folder.mkdir()
    with Site(folder, str(secret.to_public())) as site:
        yield site, key


def test_a_box_that_is_lost_in_mid_call_is_back_with_everything_but_that_call(site: tuple[Site, Path]) -> None:
    stage, key = site
    with talking(stage, "cell1", SISTER) as talk:
        talk.wait_flowing()
        talk.phone.bye()
        assert talk.phone.wait_ended()[0] == "detainee_hung_up"
    wait_until(lambda: len(stage.rows("select * from recordings")) == 1, 20, "the first recording is kept")
    with talking(stage, "cell1", SISTER) as talk:
        talk.wait_flowing()
        done = json.loads(stage.ctl("backup", "--with-keys", "--json"))
        assert done["recordings"] == 1
        wait_until(lambda: stage.metrics()["avisiod_backup_good"] == 1, 20, "the metrics know of the backup")
        assert stage.metrics()["avisiod_backup_age_seconds"] < 60
        stage.daemon.kill()
    for folder in (stage.etc, stage.folder / "state"):
        shutil.rmtree(folder)
    (stage.folder / "state").mkdir()

    said = stage.ctl("restore", done["file"], "--identity", str(key))

    assert "0 of them are not on this disk" in said
    stage.start_daemon()
    first, second = stage.calls()
    assert (first["end_reason"], second["end_reason"]) == ("detainee_hung_up", "service_restarted")
    assert not second["charged"]
    assert "good" in stage.ctl("audit", "verify")
    assert {line["action"] for line in json.loads(stage.ctl("audit", "list", "--json"))} >= {"backup", "restore"}
    with talking(stage, "cell1", SISTER) as talk:
        talk.wait_flowing()
