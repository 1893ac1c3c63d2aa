"""docs/first-call.md is followed to the letter: what it types is typed, and the call is granted."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Ctl

PAGE = Path(__file__).resolve().parents[2] / "docs" / "first-call.md"


def typed_in(heading: str) -> list[str]:
    """The lines of avisioctl in a section's blocks, in order."""
    _, _, rest = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("avisioctl ")]


def test_who_follows_the_page_may_call(ctl: Ctl, typed: Callable[[str], None]) -> None:
    phone = [line for line in typed_in("3. The phone") if line != "avisioctl phones"]
    people = typed_in("4. Who may call whom, when")
    assert len(phone) == 2
    assert people[-1].startswith("avisioctl explain")
    said = ""
    for line in phone + people:
        typed("a-password-of-openssl\n")
        said = ctl.run(*shlex.split(line)[1:])
    assert re.search(r"granted +yes", said)


def test_without_its_authorisation_the_page_would_not_do(ctl: Ctl, typed: Callable[[str], None]) -> None:
    lines = typed_in("3. The phone")[:2] + typed_in("4. Who may call whom, when")
    said = ""
    for line in lines:
        if "authorisations" not in line:
            typed("a-password-of-openssl\n")
            said = ctl.run(*shlex.split(line)[1:])
    assert re.search(r"granted +no", said)
