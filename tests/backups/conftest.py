"""A box in a folder: settings, keys, database and recordings, and the way to burn it down."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

from avisiod.cli.main import main
from avisiod.gateway.manifest import Manifest, digest, encode
from avisiod.store.opening import open_database
from tests.e2e.stage import make_certificate
from tests.store.people import pay_in, settle_in


class Box:
    """What avisioctl and the daemon find on a machine."""

    def __init__(self, folder: Path, where: Path | str, capsys: pytest.CaptureFixture[str]) -> None:
        self.etc, self.state, self.safe = folder / "etc", folder / "state", folder / "safe"
        self.where = where
        self.backups = folder / "backups"
        self.recordings = folder / "recordings"
        self.record = self.state / "backup.json"
        self._capsys = capsys
        self.err = ""
        self.safe.mkdir()
        secret = pyrage.x25519.Identity.generate()
        self.identity = self.safe / "identity.txt"
        self.identity.write_text(f"# created: today\n# public key: {secret.to_public()}\n{secret}\n")
        self.recipient = str(secret.to_public())
        self.settings: dict[str, dict[str, Any]] = {
            "store": {"path": str(where)} if isinstance(where, Path) else {"url": where},
            "admin": {"socket_file": str(self.state / "control.sock")},
            "recordings": {"folder": str(self.recordings)},
            "portal": {
                "certificate_file": str(self.etc / "portal.crt"),
                "key_file": str(self.etc / "keys" / "portal.key"),
            },
            "backup": {
                "recipients": [self.recipient],
                "folder": str(self.backups),
                "record_file": str(self.record),
            },
        }
        self.settings["store"]["code_key_file"] = str(self.state / "code.key")

    def settle(self) -> None:
        """A box with people, money, keys and one recording."""
        self.state.mkdir(exist_ok=True)
        (self.etc / "keys").mkdir(parents=True)
        self.write()
        make_certificate(self.etc / "portal.crt", self.etc / "keys" / "portal.key")
        (self.etc / "inventory.yaml").write_text("phones: []\n")
        (self.etc / "kamailio-local.cfg").write_text("#!substdef ...\n")
        (self.etc / "edge.pem").write_bytes((self.etc / "keys" / "portal.key").read_bytes())
        (self.state / "code.key").write_bytes(b"k" * 32)
        (self.state / "code.key").chmod(0o600)
        opened = open_database(self.where)
        with opened.writing() as connection:
            settle_in(connection)
            pay_in(connection, 1000)
        opened.close()
        folder = self.recordings / "2026" / "11" / "25"
        folder.mkdir(parents=True)
        film = folder / "call-1.mkv"
        film.write_bytes(b"a film")
        about = Manifest(
            file=film.name,
            facts=None,
            ended_at="",
            duration_s=1.0,
            end_reason="limit_reached",
            truncated=False,
            bytes=6,
            sha256=digest(film),
        )
        (folder / "call-1.mkv.json").write_bytes(encode(about.sealed()))

    def write(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write the settings, changed."""
        for section, keys in (changes or {}).items():
            self.settings.setdefault(section, {}).update(keys)
        (self.etc / "avisiod.yaml").write_text(yaml.safe_dump(self.settings))

    def burn(self) -> Path:
        """The machine is lost with all that is on it but the recordings; where its ashes are."""
        ashes = self.etc.parent / "ashes"
        ashes.mkdir()
        shutil.move(self.etc, ashes)
        shutil.move(self.state, ashes)
        self.state.mkdir()
        if isinstance(self.where, str):
            url = self.where.replace("postgresql+psycopg:", "postgresql:")
            wipe = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
            subprocess.run(["psql", "-qX", "--dbname", url, "-c", wipe], check=True, capture_output=True)
        return ashes

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run avisioctl; its standard output."""
        code = main(["--config", str(self.etc / "avisiod.yaml"), *arguments])
        out, self.err = self._capsys.readouterr()
        assert code == status, (arguments, out, self.err)
        return out

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run one that answers in JSON."""
        return json.loads(self.run(*arguments, "--json", status=status))

    def restore(self, file: str, *arguments: str, status: int = 0) -> str:
        """Restore with the right key."""
        return self.run("restore", file, "--identity", str(self.identity), *arguments, status=status)


@pytest.fixture
def box(tmp_path: Path, where: Path | str, capsys: pytest.CaptureFixture[str]) -> Box:
    box = Box(tmp_path, where, capsys)
    box.settle()
    return box


@pytest.fixture
def file_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Box:
    """The same, with SQLite only: for what does not depend on the database."""
    box = Box(tmp_path, tmp_path / "state" / "avisiod.db", capsys)
    box.settle()
    return box
