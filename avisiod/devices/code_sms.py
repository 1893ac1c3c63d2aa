"""The text of the SMS that brings a code: always one part, last line for the telephone's own use.

The last line `@host #code` binds the code to the portal and lets telephones fill it in (WICG, "Origin-bound one-time
codes delivered via SMS"). The establishment is not named: others may see a telephone's lock screen.
"""

import importlib.resources
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from avisiod.devices import gsm_text

HOST_LIMIT = 60
"""Characters of the portal's host that every shipped text has room for."""

_FIELDS = ("name", "code", "minutes", "url", "host")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class CodeTexts:
    """Wordings by language, from the fullest to the barest; the first that fits into one part is taken."""

    def __init__(self, wordings: Mapping[str, tuple[str, ...]]) -> None:
        self._wordings = dict(wordings)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that have a wording."""
        return tuple(sorted(self._wordings))

    def render(self, language: str, *, code: str, portal_url: str, name: str, valid_s: float) -> str:
        """The text in `language`, or in French, then English, where it has none that fits.

        ValueError, without the code, when the portal's address is too long for every wording or is none.
        """
        address = urlsplit(portal_url)
        host = (address.hostname or "").lower()
        if address.scheme not in {"https", "http"} or not _HOST.fullmatch(host):
            raise ValueError("the portal's public URL must be https://host with an ASCII host name")
        values = {
            "name": _plain(name),
            "code": code,
            "minutes": str(max(1, int(valid_s // 60))),
            "url": portal_url.rstrip("/"),
            "host": host,
        }
        for candidate in dict.fromkeys((language, language.split("-", maxsplit=1)[0], "fr", "en")):
            for wording in self._wordings.get(candidate, ()):
                text = f"{wording.format_map(values).rstrip()}\n@{host} #{code}"
                if gsm_text.fit(text).one_part:
                    return text
        raise ValueError("the portal's public URL is too long for an SMS of one part: shorten the host name")


def wordings_from(text: str, name: str) -> tuple[str, ...]:
    """Read a language's file; ValueError, naming the file and the mistake, when it is not usable."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"{name}: not YAML") from None
    wordings = content.get("texts") if isinstance(content, dict) else None
    if not isinstance(wordings, list) or not wordings or not all(isinstance(w, str) for w in wordings):
        raise ValueError(f"{name}: `texts` must be a list of texts, the fullest first")
    sample = dict.fromkeys(_FIELDS, "x")
    for wording in wordings:
        try:
            wording.format_map(sample)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise ValueError(f"{name}: a text may hold {{{'}, {'.join(_FIELDS)}}} and no other braces") from None
        if "{code}" not in wording:
            raise ValueError(f"{name}: every text must hold {{code}}")
    return tuple(wording.strip() for wording in wordings)


def load(folder: Path | None = None) -> CodeTexts:
    """The shipped texts, and a site's own `LANGUAGE.yaml` in `folder`, which replace or add a language.

    ValueError as from `wordings_from`; OSError when the folder cannot be read.
    """
    files = {
        entry.name: entry.read_text("utf-8")
        for entry in importlib.resources.files("avisiod.devices").joinpath("sms_texts").iterdir()
        if entry.name.endswith(".yaml")
    }
    if folder is not None:
        files |= {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix == ".yaml"}
    wordings = {}
    for name, text in files.items():
        language = name.removesuffix(".yaml")
        if not _LANGUAGE.fullmatch(language):
            raise ValueError(f"{name}: the file must be named for its language, as in fr.yaml")
        wordings[language] = wordings_from(text, name)
    return CodeTexts(wordings)


def _plain(name: str) -> str:
    """The service's name in the GSM alphabet: one other letter would halve the room for the whole text."""
    return "".join(char if gsm_text.is_gsm(char) else _base(char) for char in name).replace("\n", " ")


def _base(char: str) -> str:
    base = unicodedata.normalize("NFKD", char)
    return "".join(part for part in base if gsm_text.is_gsm(part)) or "?"
