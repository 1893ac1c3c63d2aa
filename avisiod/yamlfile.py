"""YAML whose values know their line, so that a problem can be shown where it stands."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top of the document."""


class YamlError(Exception):
    """A file that is no YAML. `line` and `column` count from 1; 0 where unknown."""

    def __init__(self, reason: str, remedy: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy
        self.line = line
        self.column = column


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One document: plain data, and the line (from 1) of every key and list item."""

    data: Any
    lines: Mapping[KeyPath, int]
    duplicates: tuple[KeyPath, ...]
    """Keys that stand twice in the same mapping; `lines` has the later one, which `data` follows."""


def read(path: Path) -> str:
    """The file's text. YamlError, with what to do, where it cannot be read or is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise YamlError(f"the file cannot be read ({error.strerror})", "correct its path or mode") from None
    except UnicodeDecodeError as error:
        raise YamlError(f"byte {error.start} is not UTF-8", "save the file in that encoding") from None


def parse(text: str) -> Document:
    """Read one document; YamlError with line and column where it is no YAML."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            duplicates: list[KeyPath] = []
            for path, line in _walk(node, (), ()) if node is not None else ():
                if path in lines:
                    duplicates.append(path)
                lines[path] = line
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason, remedy = error.problem or error.context or "not YAML", "correct the YAML there, or just above"
        if "'\\t'" in reason:
            reason, remedy = "a tab stands where YAML wants spaces", "indent with spaces"
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlError(reason, remedy, *place) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError("a control character stands in the file", "remove it", line) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(f"not YAML ({error})", "correct it") from None
    return Document(data, lines, tuple(duplicates))


def _walk(node: yaml.Node, path: KeyPath, above: tuple[int, ...]) -> Iterator[tuple[KeyPath, int]]:
    if id(node) in above:
        raise YamlError("an alias refers to itself", "write the value out", node.start_mark.line + 1)
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _walk(value, here, above)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            here = (*path, position)
            yield here, value.start_mark.line + 1
            yield from _walk(value, here, above)
