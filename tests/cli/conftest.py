"""avisioctl as somebody runs it, on a database in a folder of the test."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from avisiod.cli.main import main
from avisiod.store.opening import open_database


class Ctl:
    """Runs commands; each is a run of its own, as in a shell."""

    def __init__(self, folder: Path, where: Path | str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.where = where
        self.capsys = capsys
        self.config = folder / "avisiod.yaml"
        store = {"path": str(where)} if isinstance(where, Path) else {"url": where}
        self.socket = folder / "c.sock"
        self.config.write_text(yaml.safe_dump({"store": store, "admin": {"socket_file": str(self.socket)}}))
        self.err = ""

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run one; its standard output."""
        code = main(["--config", str(self.config), *arguments])
        out, self.err = self.capsys.readouterr()
        assert code == status, (arguments, out, self.err)
        return out

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run one that answers in JSON."""
        return json.loads(self.run(*arguments, "--json", status=status))

    def file(self, name: str, text: str | bytes) -> str:
        """A file to import; its path."""
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What comes on standard input."""
    import io

    def type_(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return type_


@pytest.fixture
def ctl(tmp_path: Path, where: Path | str, capsys: pytest.CaptureFixture[str]) -> Ctl:
    open_database(where).close()
    return Ctl(tmp_path, where, capsys)


@pytest.fixture
def peopled(ctl: Ctl) -> Ctl:
    ctl.run("people", "add", "anna", "--register-number", "A-1001", "--name", "Anna Martin", "--status", "convicted")
    ctl.run("contacts", "add", "sister", "--number", "06 39 98 00 01")
    ctl.run("phones", "add", "yard", "--shared", "yes")
    return ctl
