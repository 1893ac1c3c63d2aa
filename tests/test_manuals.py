"""The man pages name every option and every key, and man has nothing to say against their form."""

import argparse
import os
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from avisiod import hook_runner
from avisiod.__main__ import arguments
from avisiod.cli import manual
from avisiod.cli.main import avisioctl
from avisiod.config import settings

ROOT = Path(__file__).resolve().parent.parent
PAGES: dict[str, Callable[[], str]] = {
    **runpy.run_path(str(ROOT / "scripts" / "man_pages.py"))["PAGES"],
    "man1/avisioctl.1": lambda: manual.page(avisioctl),
}
RULES = (ROOT / "debian" / "rules").read_text("utf-8")


def shown(page: Path) -> subprocess.CompletedProcess[str]:
    """As lintian looks at a page."""
    surroundings = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings)


@pytest.mark.parametrize("name", PAGES)
def test_man_finds_no_fault_in_a_page(name: str, tmp_path: Path) -> None:
    page = tmp_path / Path(name).name
    page.write_text(PAGES[name](), encoding="utf-8")
    done = shown(page)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_fault_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "faulty.1"
    page.write_text(".TH FAULTY 1\n.SH NAME\nfaulty \\- a page\n.NOSUCHMACRO\n", encoding="utf-8")
    assert shown(page).stderr


@pytest.mark.parametrize(
    ("name", "parser", "one"),
    [
        ("man8/avisiod.8", arguments(), "--check-config"),
        ("man8/avisiod-hooks.8", hook_runner.arguments(), "--timeout"),
    ],
)
def test_every_option_is_there(name: str, parser: argparse.ArgumentParser, one: str) -> None:
    page = PAGES[name]().replace("\\-", "-")
    options = [option for action in parser._actions for option in action.option_strings]
    assert one in options
    assert [option for option in options if option not in page] == []
    assert "%(" not in page


def test_every_key_is_there() -> None:
    page = PAGES["man5/avisiod.yaml.5"]()
    for section in msgspec.structs.fields(settings.Config):
        _, _, part = page.partition(f"\n.SH {section.name.upper()}\n")
        part = part.partition("\n.SH ")[0]
        names = [field.name for field in msgspec.structs.fields(section.type)]
        assert [name for name in names if f"\n.B {name} (" not in part] == [], section.name


def test_the_package_makes_them_anew() -> None:
    assert "scripts/man_pages.py $(TREE)/usr/share/man" in RULES
    assert "avisioctl manual >$(TREE)/usr/share/man/man1/avisioctl.1" in RULES
