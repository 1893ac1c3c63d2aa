"""What the documents tell people to type exists."""

import re
from pathlib import Path

import click
import pytest

from avisiod.cli.main import avisioctl

DOCS = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.md"))
WORD = re.compile(r"[a-z][a-z-]*")


def typed(page: Path) -> set[tuple[str, ...]]:
    """Every command line that a page shows in code, by its words up to the first that is an argument."""
    text = page.read_text(encoding="utf-8")
    return {
        tuple(words.split()) for words in re.findall(r"(?:^|`|sudo )avisioctl((?: [^\s`#|]+)*)", text, re.MULTILINE)
    }


def unknown(words: tuple[str, ...]) -> str:
    """The first word that should be a command or an option, and is none; empty where all is well."""
    command: click.Command = avisioctl
    for word in words:
        if isinstance(command, click.Group):
            if word in command.commands:
                command = command.commands[word]
            elif WORD.fullmatch(word):
                return word
        elif word.startswith("--"):
            options = {name for parameter in command.params for name in parameter.opts}
            if word.partition("=")[0] not in options | {"--help"}:
                return word
    return ""


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    assert [" ".join(words) for words in sorted(typed(page)) if unknown(words)] == []


def test_a_command_that_does_not_exist_would_be_found() -> None:
    assert unknown(("phones", "dance")) == "dance"
    assert unknown(("doctor", "--parts", "edge")) == "--parts"
    assert unknown(("doctor", "--part", "edge", "--json")) == ""
    assert any(typed(page) for page in DOCS)
