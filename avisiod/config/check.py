"""Reads the settings and finds everything that is wrong with them at once: where, why, and what to do."""

import dataclasses
import difflib
import math
import re
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from avisiod import secret_files
from avisiod.config import paths, rules
from avisiod.config.finding import Finding
from avisiod.config.section import Section
from avisiod.config.settings import Config
from avisiod.yamlfile import Document, KeyPath, YamlError, parse, read

S = TypeVar("S", bound=Section)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    key: str
    """`section.key`; empty where the file as a whole is meant."""
    line: int
    """From 1; 0 where the key does not stand in the file."""
    reason: str
    remedy: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{key}{self.reason}: {self.remedy}"


class ConfigError(Exception):
    """The file was refused as a whole; `problems` has all that was found, in the file's order."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join([f"{path}: {count}, nothing of it was used", *(f"  {found}" for found in problems)])
        )
        self.problems = problems


def load(path: str | Path, *, files: bool = True) -> Config:
    """Read and check the settings. ConfigError names every problem, not just the first.

    `files=False` leaves out what depends on this machine: whether the files and folders named exist.
    """
    path = Path(path)
    try:
        document = parse(read(path))
    except YamlError as error:
        column = f" at column {error.column}" if error.column else ""
        problem = Problem("", error.line, error.reason + column, error.remedy)
        raise ConfigError(path, (problem,)) from None
    reading = _Reading(document)
    config = _with_url(reading.section(Config, secret_files.placed(document.data), ()))
    reading.judge([*rules.consistent(config), *(paths.found(config) if files else ())])
    if reading.problems:
        raise ConfigError(path, tuple(sorted(reading.problems, key=lambda problem: problem.line)))
    return config


def _with_url(config: Config) -> Config:
    """With the database's address out of its file; as it is where that cannot be read, which another rule tells."""
    try:
        url = Path(config.store.url_file).read_text(encoding="utf-8").strip() if config.store.url_file else ""
    except OSError:
        url = ""
    return msgspec.structs.replace(config, store=msgspec.structs.replace(config.store, url=url)) if url else config


def report(path: str | Path) -> int:
    """For `--check-config`: say on standard output whether the file is good; the exit code, 0 or 1."""
    try:
        config = load(path)
    except ConfigError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    found = cautions(config)
    sys.stdout.write(f"{path}: good{', but' if found else ''}\n")
    sys.stdout.writelines(f"  {caution}\n" for caution in found)
    return 0


def cautions(config: Config) -> list[str]:
    """What is still missing though the daemon starts: a sentence each, with the remedy."""
    return [f"{found.keys[0]}: {found.reason}: {found.remedy}" for found in rules.cautions(config)]


class _Reading:
    """One pass over a document that goes on after each problem, with the default in place of what is wrong."""

    def __init__(self, document: Document) -> None:
        self._lines = document.lines
        self._wrong: set[str] = set()
        self.problems: list[Problem] = []
        for path in document.duplicates:
            self._add(path, "the key stands twice", "keep one of them")

    def section(self, kind: type[S], data: Any, path: KeyPath) -> S:
        """The section with every good value of `data`."""
        values: dict[str, Any] = {}
        if data is None:  # a heading whose keys are all commented out
            data = {}
        if not isinstance(data, Mapping):
            self._add(path, f"expected keys and values, got {_shown(data)}", "write `key: value` lines")
            data = {}
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key, value in data.items():
            here = (*path, str(key))
            if key not in fields:
                self._add(here, "unknown key", _suggestion(str(key), kind))
                continue
            field = fields[key]
            try:
                values[key] = self._value(field.type, value, here)
            except _Refused:
                continue
        for name, field in fields.items():
            if field.required and name not in values and (*path, name) not in self._lines:
                self._add((*path, name), "missing", "add it")
        missing = {name: "" if fields[name].type is str else () for name in fields if fields[name].required}
        return kind(**(missing | values))

    def _value(self, kind: Any, value: Any, path: KeyPath) -> Any:
        if isinstance(kind, type) and issubclass(kind, Section):
            return self.section(kind, value, path)
        items = typing.get_args(kind)
        if (
            typing.get_origin(kind) is tuple
            and items
            and isinstance(items[0], type)
            and issubclass(items[0], Section)
        ):
            if not isinstance(value, list):
                self._add(path, f"expected a list, got {_shown(value)}", "begin each entry with `- `")
                raise _Refused
            return tuple(self.section(items[0], item, (*path, place)) for place, item in enumerate(value))
        try:
            converted = msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            reason, remedy = _plain(str(error), value)
            self._add(path, reason, remedy)
            raise _Refused from None
        numbers = converted if isinstance(converted, tuple) else (converted,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            self._add(path, f"{value} is not a finite number", "give a number")
            raise _Refused
        return converted

    def judge(self, findings: list[Finding]) -> None:
        """Add what the rules found, except about keys that are already reported."""
        wrong = tuple(self._wrong)
        for found in findings:
            if not any(key == bad or key.startswith((f"{bad}.", f"{bad}[")) for key in found.keys for bad in wrong):
                self._add(_path(found.keys[0]), found.reason, found.remedy)

    def _add(self, path: KeyPath, reason: str, remedy: str) -> None:
        line = next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 0)
        key = _name(path)
        self._wrong.add(key)
        self.problems.append(Problem(key, line, reason, remedy))


class _Refused(Exception):
    """The value was reported."""


def _name(path: KeyPath) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return name.removeprefix(".")


def _path(name: str) -> KeyPath:
    parts = re.findall(r"[^.\[\]]+", name)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _suggestion(key: str, kind: type[Section]) -> str:
    names = kind.__struct_fields__
    if near := difflib.get_close_matches(key, names, 1):
        return f"did you mean `{near[0]}`?"
    for section in msgspec.structs.fields(Config):
        if issubclass(section.type, Section) and key in section.type.__struct_fields__:
            return f"it belongs into the section `{section.name}`"
    return f"remove it; known here: {', '.join(names)}"


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "keys and values",
    "null": "nothing",
}


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false (YAML reads yes, no, on and off so)"
        case str():
            return "text"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case dict():
            return "keys and values"
        case _:
            return f"a {type(value).__name__}"


def _plain(error: str, value: Any) -> tuple[str, str]:
    """Say msgspec's verdict in plain words."""
    error, _, place = error.partition(" - at ")
    if item := re.fullmatch(r"`\$\[(\d+)\]`", place):
        position = int(item[1])
        where = f"entry {position + 1}: "
        value = value[position] if isinstance(value, list) and position < len(value) else value
    else:
        where = ""
    if match := re.fullmatch(r"Expected `(\w+)`, got `\w+`", error):
        remedy = "put it in quotes" if match[1] == "str" else f"give {_KINDS.get(match[1], match[1])}"
        return f"{where}expected {_KINDS.get(match[1], match[1])}, got {_shown(value)}", remedy
    if match := re.fullmatch(r"Expected `(\w+)` (>=|<=|>|<) (\S+)", error):
        words = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}[match[2]]
        return f"{where}{value} is out of bounds", f"give {_KINDS.get(match[1], match[1])} of {words} {match[3]}"
    if match := re.fullmatch(r"Expected `array` of length (\d+)(?:, got (\d+))?", error):
        return f"{where}expected {match[1]} entries, got {match[2] or 'another number'}", f"list {match[1]} of them"
    return f"{where}{error.lower().replace('`', '')}", "correct the value"
