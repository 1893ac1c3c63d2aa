"""Every text is there in every language, and a reader gets the language they ask for."""

import pathlib
import re
import subprocess
import sys

import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.reasons import EndReason
from avisiod.ports import Rejected
from avisiod.web import texts
from avisiod.web.endings import ADVICE, ENDINGS, REJECTIONS
from avisiod.web.messages import What

ROOT = pathlib.Path(__file__).parents[2]
CATALOGUES = sorted(texts.LOCALES.glob("*/LC_MESSAGES/portal.po"))
PLACE = re.compile(r"%\(\w+\)s|\{\w+\}")


def test_french_and_english_are_there_french_first() -> None:
    assert texts.load("fr").codes[:2] == ("fr", "en")


def test_the_catalogues_hold_exactly_the_texts_of_the_source() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "texts", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert (check.returncode, check.stdout) == (0, ""), "run scripts/texts, then translate what is new"


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parent.parent.name)
def test_no_text_is_missing_or_doubtful_and_no_value_is_lost(file: pathlib.Path) -> None:
    entries = [entry for entry in read_po(file.open("rb")) if entry.id]
    assert [entry.id for entry in entries if not entry.string or entry.fuzzy] == []
    lost = [entry.id for entry in entries if sorted(PLACE.findall(entry.id)) != sorted(PLACE.findall(entry.string))]
    assert lost == []


@pytest.mark.parametrize("reason", EndReason)
def test_each_end_of_a_call_has_words(reason: EndReason) -> None:
    assert ENDINGS[reason].title
    assert ENDINGS[reason].advice


def test_each_rejection_and_each_error_has_words() -> None:
    assert set(REJECTIONS) == set(Rejected.__annotations__["why"].__args__)
    assert set(ADVICE) == set(What.__args__)


@pytest.mark.parametrize("reason", [reason for reason in EndReason if not reason.charged])
def test_no_failure_of_ours_is_put_on_the_relative(reason: EndReason) -> None:
    french = texts.read("fr").gettext(ENDINGS[reason].advice)
    assert "votre faute" not in french


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en-US,en;q=0.9,fr;q=0.8", "en"),
        ("de,en;q=0.5,fr;q=0.7", "fr"),
        ("de", "fr"),
        ("", "fr"),
        ("*", "fr"),
        ("fr;q=0,en;q=0.1", "en"),
        ("EN", "en"),
    ],
)
def test_a_reader_gets_the_best_language_on_offer(asked: str, given: str) -> None:
    assert texts.load("fr").preferred(asked).language == given


@given(st.text(max_size=200) | st.text(alphabet="fren,;q=01. -*", max_size=60))
def test_no_accept_language_fails(asked: str) -> None:
    assert texts.load("en").preferred(asked).language in ("fr", "en")


def test_a_right_to_left_language_is_known_as_such() -> None:
    from babel import Locale

    assert Locale.parse("ar").character_order == "right-to-left"
    assert not texts.read("fr").right_to_left
