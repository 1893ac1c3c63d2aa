"""The portal's languages: gettext catalogues read from .po files, and which of them a reader gets.

English is the language of the source. A language is offered when locales/LANGUAGE/LC_MESSAGES/portal.po is there.
"""

import functools
import pathlib
import re
from collections.abc import Collection, Iterable

import msgspec
from babel import Locale
from babel.messages.extract import extract
from babel.messages.pofile import read_po

LOCALES = pathlib.Path(__file__).parent / "locales"
STATIC = pathlib.Path(__file__).parent / "static"
FIRST = "fr"


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """One language."""

    language: str
    name: str
    """Its own name for itself."""
    right_to_left: bool
    messages: dict[str, str]

    def gettext(self, message: str) -> str:
        """The text in this language; the English one where the translation lacks it."""
        return self.messages.get(message) or message

    @property
    def for_script(self) -> dict[str, str]:
        """What the page's scripts say, by its English text."""
        return {message: self.gettext(message) for message in script_messages()}


class Languages:
    """Every language on offer."""

    def __init__(self, texts: Iterable[Texts], default: str) -> None:
        every = {text.language: text for text in texts}
        order = sorted(every, key=lambda code: (code != FIRST, every[code].name))
        self._texts = {code: every[code] for code in order}
        self.default = default if default in every else FIRST

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes, French first."""
        return tuple(self._texts)

    def all(self) -> tuple[Texts, ...]:
        """Every language, French first."""
        return tuple(self._texts.values())

    def get(self, code: str) -> Texts:
        """The language of that code, or the site's where it is not on offer."""
        return self._texts.get(code) or self._texts.get(code.partition("-")[0].lower()) or self._texts[self.default]

    def preferred(self, accept_language: str) -> Texts:
        """What a browser asks for (RFC 9110 section 12.5.4), or the site's language."""
        return self._texts[preferred(accept_language, self.codes) or self.default]


def preferred(accept_language: str, offered: Collection[str]) -> str | None:
    """The offered language with the highest weight; None where none fits. Nonsense is passed over."""
    ranked: list[tuple[float, int, str]] = []
    for position, item in enumerate(accept_language[:1000].split(",")):
        match = re.fullmatch(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?", item)
        if match and match[1].lower() in offered:
            ranked.append((-float(match[2] or 1), position, match[1].lower()))
    ranked = [entry for entry in ranked if entry[0] < 0]
    return min(ranked)[2] if ranked else None


def load(default: str) -> Languages:
    """Read every catalogue."""
    return Languages((read(file.parent.parent.name) for file in LOCALES.glob("*/LC_MESSAGES/portal.po")), default)


@functools.cache
def read(code: str) -> Texts:
    """Read the catalogue of a language; entries marked fuzzy are not shown."""
    file = LOCALES / code / "LC_MESSAGES" / "portal.po"
    locale = Locale.parse(code)
    with file.open("rb") as source:
        catalogue = read_po(source, locale=code)
    entries = (entry for entry in catalogue if entry.id and entry.string and not entry.fuzzy)
    messages = {str(entry.id): str(entry.string) for entry in entries}
    name = (locale.get_language_name(code) or code).capitalize()
    right_to_left = locale.character_order == "right-to-left"
    return Texts(language=code, name=name, right_to_left=right_to_left, messages=messages)


@functools.cache
def script_messages() -> tuple[str, ...]:
    """Every text marked with _("…") in the page's scripts."""
    found: list[str] = []
    for file in sorted(STATIC.glob("*.js")):
        with file.open("rb") as source:
            found.extend(str(message) for _, message, _, _ in extract("javascript", source, keywords={"_": None}))
    return tuple(dict.fromkeys(found))
