"""Phones and contacts from a YAML or CSV file: everything in it is good, or nothing of it is used."""

import csv
import hashlib
import io
import logging
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from avisiod.calls.ids import ContactId, Number, PhoneId, masked
from avisiod.config.check import Problem
from avisiod.numbers import dialled_number
from avisiod.ports import Contact, Phone
from avisiod.yamlfile import YamlError, parse, read

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HA1 = re.compile(r"[0-9a-f]{32}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_TRUE, _FALSE = ("true", "yes", "oui", "1"), ("false", "no", "non", "0", "")

PHONE_KEYS = ("id", "cell", "ha1", "password", "language")
CONTACT_KEYS = ("id", "number", "confidential", "phones")
CSV_COLUMNS = ("kind", *dict.fromkeys((*PHONE_KEYS, *CONTACT_KEYS)))


class InventoryError(Exception):
    """The file was refused as a whole; `problems` has all that was found, in the file's order."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        head = f"{path}: {count}, nothing of it was used"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in problems)]))
        self.problems = problems


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    phones: tuple[Phone, ...] = ()
    contacts: tuple[Contact, ...] = ()


class _Entry(msgspec.Struct):
    """One phone or contact as it was written."""

    kind: str
    line: int
    values: dict[str, Any]


def load(path: str | Path, region: str = "FR", realm: str = "avisio", language: str = "fr") -> Inventory:
    """Read the file; `.csv` by its name, YAML otherwise. InventoryError names every bad line, not just the first.

    Numbers are written as people dial them in `region` (ISO 3166). A `password` becomes its HA1 for `realm` and is
    forgotten. `language` is for phones that name none.
    """
    path = Path(path)
    reader = _Reader(region, realm, language)
    try:
        text = read(path)
        entries = list(_from_csv(text, reader) if path.suffix.lower() == ".csv" else _from_yaml(text, reader))
    except YamlError as error:
        raise InventoryError(path, (Problem("", error.line, error.reason, error.remedy),)) from None
    inventory = reader.read(entries)
    if reader.problems:
        raise InventoryError(path, tuple(sorted(reader.problems, key=lambda problem: problem.line)))
    if any(entry.values.get("password") for entry in entries) and path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        _log.warning("%s holds passwords and is open to others: chmod 640 it, or write ha1 instead", path)
    return inventory


def ha1(user: str, realm: str, password: str) -> str:
    """MD5 of user:realm:password, hex (RFC 7616 section 3.4.2)."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


def _from_yaml(text: str, reader: "_Reader") -> Iterator[_Entry]:
    document = parse(text)
    data = {} if document.data is None else document.data
    for key in document.duplicates:
        reader.problem(document.lines[key], ".".join(map(str, key)), "the key stands twice", "keep one of them")
    if not isinstance(data, dict):
        reader.problem(1, "", "expected `phones:` and `contacts:`", "write both lists below these headings")
        return
    for heading, listed in data.items():
        line = document.lines.get((str(heading),), 0)
        if heading not in ("phones", "contacts"):
            reader.problem(line, str(heading), "unknown heading", "known here: phones, contacts")
        elif listed is not None and not isinstance(listed, list):
            reader.problem(line, heading, "expected a list", "begin each entry with `- `")
        else:
            for place, values in enumerate(listed or ()):
                line = document.lines[(heading, place)]
                if isinstance(values, dict):
                    yield _Entry(heading.removesuffix("s"), line, values)
                else:
                    reader.problem(
                        line, f"{heading}[{place}]", "expected keys and values", "write `key: value` lines"
                    )


def _from_csv(text: str, reader: "_Reader") -> Iterator[_Entry]:
    header = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if header.count(";") > header.count(",") else ",", strict=True)
    try:
        columns = [column.strip().lower() for column in next(rows, [])]
        if "kind" not in columns or not set(columns) <= set(CSV_COLUMNS) or len(set(columns)) < len(columns):
            reader.problem(1, "", "the first line does not name the columns", f"known: {','.join(CSV_COLUMNS)}")
            return
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(columns):
                reader.problem(
                    rows.line_num, "", f"{len(row)} fields, not {len(columns)}", "quote separators in texts"
                )
                continue
            values: dict[str, Any] = {
                name: cell.strip() for name, cell in zip(columns, row, strict=True) if cell.strip()
            }
            kind = str(values.pop("kind", "")).lower()
            if "phones" in values:
                values["phones"] = re.split(r"[\s,;|]+", values["phones"])
            if kind in ("phone", "contact"):
                yield _Entry(kind, rows.line_num, values)
            else:
                reader.problem(rows.line_num, "kind", "neither phone nor contact", "write one of the two")
    except csv.Error as error:
        reader.problem(rows.line_num, "", f"not CSV ({error})", "correct the quotes")


class _Refused(Exception):
    """The value was reported."""


class _Reader:
    """Turns entries into phones and contacts, and goes on after each problem."""

    def __init__(self, region: str, realm: str, language: str) -> None:
        self._region = region
        self._realm = realm
        self._language = language
        self.problems: list[Problem] = []

    def problem(self, line: int, key: str, reason: str, remedy: str) -> None:
        """Report one."""
        self.problems.append(Problem(key, line, reason, remedy))

    def read(self, entries: list[_Entry]) -> Inventory:
        """Everything that is good; `problems` has the rest."""
        phones = self._each("phone", entries, self._phone)
        known = {str(entry.values.get("id", "")) for entry in entries if entry.kind == "phone"}
        numbers: dict[Number, int] = {}
        contacts = self._each("contact", entries, lambda entry: self._contact(entry, known, numbers))
        return Inventory(phones=phones, contacts=contacts)

    def _each(self, kind: str, entries: list[_Entry], make: Callable[[_Entry], Any]) -> tuple[Any, ...]:
        made = []
        lines: dict[str, int] = {}
        for entry in entries:
            if entry.kind != kind:
                continue
            keys = PHONE_KEYS if kind == "phone" else CONTACT_KEYS
            for key in entry.values.keys() - set(keys):
                self.problem(entry.line, str(key), f"unknown for a {kind}", f"known: {', '.join(keys)}")
            try:
                name = self._text(entry, "id")
                if not _ID.fullmatch(name):
                    self._refuse(entry, "id", "not an id", "take letters, digits, `.`, `_`, `-`, 64 at most")
                if (before := lines.setdefault(name, entry.line)) != entry.line:
                    self._refuse(entry, "id", f"`{name}` stands on line {before} already", "give each its own")
                made.append(make(entry))
            except _Refused:
                continue
        return tuple(made)

    def _phone(self, entry: _Entry) -> Phone:
        user = self._text(entry, "id")
        given = self._text(entry, "ha1", "").lower()
        password = self._text(entry, "password", "")
        language = self._text(entry, "language", self._language)
        if bool(given) == bool(password):
            self._refuse(entry, "password", "neither or both of password and ha1", "give one of the two")
        if given and not _HA1.fullmatch(given):
            self._refuse(entry, "ha1", "not an MD5", "write 32 hexadecimal digits: MD5 of user:realm:password")
        if not _LANGUAGE.fullmatch(language):
            self._refuse(entry, "language", f"`{language}` is no language", "write a code such as fr")
        secret = given or ha1(user, self._realm, password)
        return Phone(id=PhoneId(user), cell=self._text(entry, "cell", ""), ha1=secret, language=language)

    def _contact(self, entry: _Entry, known: set[str], numbers: dict[Number, int]) -> Contact:
        number = dialled_number(self._text(entry, "number"), self._region)
        if number is None:
            self._refuse(entry, "number", "not a telephone number", f"write it as dialled in {self._region}, or +…")
        if (before := numbers.setdefault(number, entry.line)) != entry.line:
            reason = f"{masked(number)} is the number of line {before} already"
            self._refuse(entry, "number", reason, "make it one contact, and list all its phones there")
        phones = entry.values.get("phones") or ()
        if not isinstance(phones, list | tuple) or not all(isinstance(phone, str) for phone in phones):
            self._refuse(entry, "phones", "not a list of phones", "write [id, id]")
        for phone in phones:
            if phone not in known:
                self._refuse(entry, "phones", f"no phone `{phone}` in this file", "correct it, or add the phone")
        return Contact(
            id=ContactId(self._text(entry, "id")),
            number=number,
            confidential=self._truth(entry, "confidential"),
            phones=tuple(PhoneId(phone) for phone in dict.fromkeys(phones)),
        )

    def _text(self, entry: _Entry, key: str, default: str | None = None) -> str:
        value = entry.values.get(key)
        if value is None or value == "":
            if default is None:
                self._refuse(entry, key, "missing", "add it")
            return default
        if not isinstance(value, str):
            self._refuse(entry, key, "YAML does not read this as text", "put it in quotes")
        return value

    def _truth(self, entry: _Entry, key: str) -> bool:
        value = entry.values.get(key, False)
        text = str(value).lower()
        if text not in (*_TRUE, *_FALSE):
            # never guessed: a confidential line that is taken for another one would be recorded
            self._refuse(entry, key, "neither true nor false", "write true or false")
        return text in _TRUE

    def _refuse(self, entry: _Entry, key: str, reason: str, remedy: str) -> NoReturn:
        self.problem(entry.line, key, reason, remedy)
        raise _Refused
