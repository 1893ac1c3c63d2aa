"""The charter of use: read from files, shown as HTML, and recognised again by its digest when it is accepted.

A charter is a UTF-8 file LANGUAGE.md: a YAML front matter (`version`, `title`, `summary`: a list of short sentences),
then the text in a small part of Markdown (`##` and `###` headings, `-` and `1.` lists, paragraphs, `**bold**`).
"""

import hashlib
import pathlib
import re
from collections.abc import Mapping

import markupsafe
import msgspec
import yaml

from avisiod.ports import Acceptance

OURS = pathlib.Path(__file__).parent / "charter"


class CharterUnreadable(Exception):
    """A charter cannot be used; the text names the file and what it lacks."""


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """One charter in one language."""

    language: str
    version: str
    title: str
    summary: tuple[str, ...]
    digest: str
    """SHA-256 of the whole file, in hex: `sha256sum fr.md` shows the same."""
    text: str

    def html(self, level: int = 3) -> markupsafe.Markup:
        """The text as HTML, its first headings being <hLEVEL>."""
        return render(self.text, level)

    def accepted_by(self, acceptance: Acceptance) -> bool:
        """Whether it is this very text that was accepted."""
        mine = (self.language, self.version, self.digest)
        return mine == (acceptance.language, acceptance.version, acceptance.digest)


class Charters:
    """The charters in force, one a language."""

    def __init__(self, charters: Mapping[str, Charter], default: str) -> None:
        self._charters = dict(charters)
        self._default = default if default in self._charters else min(self._charters)

    @property
    def languages(self) -> frozenset[str]:
        """Languages that have a charter."""
        return frozenset(self._charters)

    def shown_in(self, language: str) -> Charter:
        """The charter for a reader of `language`; the site's language where it has none."""
        return self._charters.get(language, self._charters[self._default])

    def know(self, acceptance: Acceptance) -> bool:
        """Whether what was accepted is in force now, word for word."""
        return any(charter.accepted_by(acceptance) for charter in self._charters.values())


def load(folder: str, default: str) -> Charters:
    """Read every LANGUAGE.md of the site's `folder`, or of ours when empty. CharterUnreadable if one is faulty."""
    place = pathlib.Path(folder) if folder else OURS
    files = sorted(place.glob("*.md"))
    if not files:
        raise CharterUnreadable(
            f"portal.charter_folder {place}: no LANGUAGE.md in it; no call can be accepted without"
        )
    return Charters({file.stem: read(file.stem, file.read_bytes()) for file in files}, default)


def read(language: str, content: bytes) -> Charter:
    """Read one charter file."""
    where = f"charter {language}.md"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CharterUnreadable(f"{where}: not UTF-8 at byte {error.start}") from None
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n(.*)", text, re.DOTALL)
    if match is None:
        raise CharterUnreadable(f"{where}: does not begin with a front matter between two lines of ---")
    try:
        front = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise CharterUnreadable(f"{where}: front matter is not YAML: {error}") from error
    missing = [key for key in ("version", "title", "summary") if not isinstance(front, dict) or not front.get(key)]
    if missing or not isinstance(front["summary"], list):
        raise CharterUnreadable(f"{where}: front matter needs version, title and a list summary; look at {missing}")
    return Charter(
        language=language,
        version=str(front["version"]),
        title=str(front["title"]),
        summary=tuple(str(point) for point in front["summary"]),
        digest=hashlib.sha256(content).hexdigest(),
        text=match[2],
    )


def render(text: str, level: int) -> markupsafe.Markup:
    """Render the small Markdown as HTML, `##` as <hLEVEL>; every other character is shown as it stands."""
    blocks = [
        block.strip("\n").splitlines() for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if block.strip()
    ]
    return markupsafe.Markup("\n").join(_block(lines, level) for lines in blocks)


def _block(lines: list[str], level: int) -> markupsafe.Markup:
    lines = [line.strip() for line in lines]
    heading = re.fullmatch(r"(#{2,3}) (.+)", lines[0])
    if heading and len(lines) == 1:
        depth = level + len(heading[1]) - 2
        return markupsafe.Markup("<h{0}>{1}</h{0}>").format(depth, _inline(heading[2]))
    for marker, tag in ((r"- ", "ul"), (r"\d+\. ", "ol")):
        if re.match(marker, lines[0]):
            items = re.split(rf"(?:^|\n){marker}", "\n".join(lines))[1:]
            body = markupsafe.Markup("").join(markupsafe.Markup("<li>{}</li>").format(_inline(i)) for i in items)
            return markupsafe.Markup("<{0}>{1}</{0}>").format(markupsafe.Markup(tag), body)  # noqa: S704 - ul or ol
    return markupsafe.Markup("<p>{}</p>").format(_inline("\n".join(lines)))


def _inline(text: str) -> markupsafe.Markup:
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(markupsafe.escape(text)), flags=re.DOTALL)
    return markupsafe.Markup(bold)  # noqa: S704 - escaped just above
