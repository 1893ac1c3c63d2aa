"""A charter is known by its very bytes; what the site writes is shown and nothing else."""

import hashlib
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.ports import Acceptance
from avisiod.web.charter import OURS, CharterUnreadable, load, read, render

GOOD = "---\nversion: v1\ntitle: Charte\nsummary:\n  - un\n  - deux\n---\n## Un\n\nTexte **fort**.\n"


def test_the_digest_is_that_of_the_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "fr.md").write_text(GOOD, "utf-8")
    charter = load(str(tmp_path), "fr").shown_in("fr")
    assert charter.digest == hashlib.sha256((tmp_path / "fr.md").read_bytes()).hexdigest()


@pytest.mark.parametrize("change", [GOOD.replace("Texte", "texte"), GOOD.replace("deux", "trois"), GOOD + "\n"])
def test_any_change_of_the_file_is_another_charter(change: str) -> None:
    assert read("fr", change.encode()).digest != read("fr", GOOD.encode()).digest


def test_only_what_is_in_force_is_known() -> None:
    charters = load("", "fr")
    french = charters.shown_in("fr")
    accepted = Acceptance(language="fr", version=french.version, digest=french.digest)
    assert charters.know(accepted)
    for lie in ("language", "version", "digest"):
        told = {"language": "fr", "version": french.version, "digest": french.digest, lie: "x"}
        assert not charters.know(Acceptance(**told))


def test_a_reader_without_a_charter_in_their_language_gets_the_sites(tmp_path: pathlib.Path) -> None:
    (tmp_path / "fr.md").write_text(GOOD, "utf-8")
    assert load(str(tmp_path), "en").shown_in("en").language == "fr"


@pytest.mark.parametrize(
    ("content", "lack"),
    [
        (b"\xff", "UTF-8"),
        (b"## no front matter", "front matter"),
        (GOOD.replace("version: v1\n", "").encode(), "version"),
        (GOOD.replace("summary:\n  - un\n  - deux\n", "summary: un\n").encode(), "summary"),
        (GOOD.replace("title: Charte", "title: [").encode(), "YAML"),
    ],
)
def test_a_faulty_charter_is_refused_with_its_fault(content: bytes, lack: str) -> None:
    with pytest.raises(CharterUnreadable, match=rf"fr\.md.*{lack}"):
        read("fr", content)


def test_a_folder_without_charters_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CharterUnreadable, match="charter_folder"):
        load(str(tmp_path), "fr")


def test_headings_lists_and_emphasis_are_rendered() -> None:
    text = "## A\n\n### B\n\n- one\n  more\n- two\n\n1. first\n2. second\n\na **b** c"
    assert render(text, 2) == (
        "<h2>A</h2>\n<h3>B</h3>\n<ul><li>one\nmore</li><li>two</li></ul>\n<ol><li>first</li><li>second</li></ol>\n"
        "<p>a <strong>b</strong> c</p>"
    )


@given(st.text(alphabet="<>&\"'#-*1. \nabc", max_size=80))
def test_no_text_becomes_markup_of_its_own(text: str) -> None:
    html = str(render(text, 2))
    for tag in ("h2", "h3", "p", "ul", "ol", "li", "strong"):
        html = html.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    assert "<" not in html
    assert ">" not in html


@pytest.mark.parametrize("file", sorted(OURS.glob("*.md")), ids=lambda file: file.stem)
def test_our_charters_have_the_same_sections_in_each_language(file: pathlib.Path) -> None:
    def shape(path: pathlib.Path) -> list[str]:
        return [line[:5] for line in path.read_text("utf-8").splitlines() if line.startswith(("#", "- ", "  - "))]

    assert [line[:2] for line in shape(file)] == [line[:2] for line in shape(OURS / "fr.md")]


def test_our_charters_have_one_version() -> None:
    charters = load("", "fr")
    assert len({charters.shown_in(language).version for language in charters.languages}) == 1
