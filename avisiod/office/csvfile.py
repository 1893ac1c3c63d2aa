"""CSV as offices write it: UTF-8 or Windows-1252, comma, semicolon or tab; each line keeps its number."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from avisiod.office.plan import Problem, Refused

_UNUSED = "\x81\x8d\x8f\x90\x9d"
"""Bytes that Windows-1252 has no letter for."""
_FORMULA = re.compile(r"[=@]|[+-](?![0-9.]+$)")
"""How a cell begins that a spreadsheet would run; an amount or a telephone number it is not."""


def decode(data: bytes) -> str:
    """The text of a file. Refused where it is neither UTF-8 nor Windows-1252."""
    if b"\0" in data:
        raise Refused(
            Problem(line=1, reason="not a text file, or UTF-16", remedy="save it as CSV, in UTF-8 or Windows-1252")
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    bad = next((place for place, letter in enumerate(text) if letter == "\ufffd" or letter in _UNUSED), None)
    if bad is not None:
        line = text.count("\n", 0, bad) + 1
        column = bad - text.rfind("\n", 0, bad)
        reason = f"column {column} is neither UTF-8 nor Windows-1252"
        raise Refused(Problem(line=line, reason=reason, remedy="save the file in UTF-8"))
    return text


def rows(text: str, known: Sequence[str], required: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line, fields) of each line below the header. Refused names every bad line of the file's form at once."""
    header = text.split("\n", 1)[0]
    delimiter = max(";,\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[Problem] = []
    found: list[tuple[int, Mapping[str, str]]] = []
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        _header(columns, known, required)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(columns):
                reason = f"{len(row)} fields, not {len(columns)}"
                remedy = f"quote texts that hold `{delimiter}`"
                problems.append(Problem(line=reader.line_num, reason=reason, remedy=remedy))
                continue
            found.append((reader.line_num, dict(zip(columns, map(_own, row), strict=True))))
    except csv.Error as error:
        problems.append(Problem(line=reader.line_num, reason=f"not CSV ({error})", remedy="correct the quotes"))
    if problems:
        raise Refused(*problems)
    yield from found


def _header(columns: Sequence[str], known: Sequence[str], required: Sequence[str]) -> None:
    problems = []
    for place, name in enumerate(columns):
        if name not in known:
            shown = name if name.isprintable() and len(name) < 40 else f"column {place + 1}"
            remedy = f"known: {', '.join(known)}"
            problems.append(Problem(line=1, column=shown, reason="unknown column", remedy=remedy))
        elif name in columns[:place]:
            problems.append(Problem(line=1, column=name, reason="stands twice", remedy="keep one of them"))
    problems += [
        Problem(line=1, column=name, reason="missing column", remedy="the first line names the columns")
        for name in required
        if name not in columns
    ]
    if problems:
        raise Refused(*problems)


def written(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """The text of a file, with a header. Cells that a spreadsheet would run as formulas are left as text."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([_plain(line.get(name, "")) for name in columns])
    return out.getvalue()


def _plain(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _own(text: str) -> str:
    """A cell as it was before `written` kept a spreadsheet from running it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text
