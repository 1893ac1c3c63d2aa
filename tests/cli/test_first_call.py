"""The pages for the first call are followed to the letter: what they type is typed, and the call is granted."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ctl

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = pytest.mark.parametrize(
    ("page", "headings"),
    [
        ("first-call.md", ("3. The phone", "4. Who may call whom, when")),
        ("fr/guide-du-technicien.md", ("4. Le téléphone", "5. Les personnes et les horaires")),
    ],
)


def typed_in(page: str, headings: tuple[str, str]) -> list[str]:
    """The lines of avisioctl in the blocks of two sections, in order; but the look at registrations."""
    found = []
    for heading in headings:
        _, _, rest = (DOCS / page).read_text("utf-8").partition(f"\n## {heading}\n")
        blocks = re.findall(r"^```\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
        found += [line for block in blocks for line in block.splitlines() if line.startswith("avisioctl ")]
    return [line for line in found if line != "avisioctl phones"]


def run(lines: list[str], ctl: Ctl, typed: Callable[[str], None]) -> str:
    """What the last one said."""
    said = ""
    for line in lines:
        typed("a-password-of-openssl\n")
        said = ctl.run(*shlex.split(line)[1:])
    return said


@PAGES
def test_who_follows_the_page_may_call(
    page: str, headings: tuple[str, str], ctl: Ctl, typed: Callable[[str], None]
) -> None:
    lines = typed_in(page, headings)
    assert len(lines) > 10
    assert lines[-1].startswith("avisioctl explain")
    assert re.search(r"granted +yes", run(lines, ctl, typed))


@PAGES
def test_without_its_authorisation_the_page_would_not_do(
    page: str, headings: tuple[str, str], ctl: Ctl, typed: Callable[[str], None]
) -> None:
    lines = [line for line in typed_in(page, headings) if "authorisations" not in line]
    assert re.search(r"granted +no", run(lines, ctl, typed))
