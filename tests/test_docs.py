"""What the documentation says is there: every page in the index, links and anchors, commands, settings, tests."""

import fnmatch
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from avisiod import hook_runner
from avisiod.__main__ import arguments
from avisiod.cli.main import avisioctl
from avisiod.config import check, settings
from avisiod.config.section import Section

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = {"build", "debian", "node_modules", "texts"}
"""Copies in a package that was built; the last is what pages are made of, whose links are looked at in the page."""

FENCE = re.compile(r"^[ \t]*```(\w*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
TEST_FILE = re.compile(r"\btests/[\w/]+\.py\b")
SETTING = re.compile(r"^([a-z]+)\.([a-z_]+)\b(?!\.[a-z])")
METRIC = re.compile(r"\b(avisiod_[a-z_]+)\b")
FILE_ENDINGS = {"crt", "csr", "key", "md", "pem", "py", "rules", "service", "timer", "yaml"}
NO_METRIC = {"avisiod_config"}
SHIPPED = re.compile(r"/usr/share/doc/avisiod/[\w./-]*\w")
UNIT = re.compile(r"\bavisiod[a-z-]*\.(?:service|timer|socket)\b")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
LEFT_OPEN = re.compile(r"…|\.\.\.|COMMAND|\|")
"""What a reader has to fill in themselves: only the words before it are looked at."""


def markdown() -> list[Path]:
    """Every Markdown file of the repository."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ELSEWHERE]
        found += [Path(folder) / name for name in names if name.endswith(".md")]
    return sorted(found)


PAGES = [path for path in markdown() if DOCS in path.parents or path.parent == ROOT]
"""What people read; charters and the like are texts of the product."""
EVERY = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_fences(text: str) -> str:
    return FENCE.sub("", text)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    found: set[str] = set()
    for heading in HEADING.findall(without_fences(page.read_text("utf-8"))):
        plain = LINK.sub(lambda link: link.group(0)[1:].partition("]")[0], heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        count = 0
        while (name := f"{slug}-{count}" if count else slug) in found:
            count += 1
        found.add(name)
    return found


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    named = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(index)}
    missing = {
        str(path.relative_to(DOCS))
        for path in DOCS.rglob("*.md")
        if path.parent.name != "decisions" and path.resolve() not in named and path != DOCS / "README.md"
    }
    assert not missing
    assert (DOCS / "decisions").resolve() in named
    assert "docs/README.md" in LINK.findall((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(without_fences(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(target)
    assert not dead


def commands_in(text: str, program: str) -> Iterator[tuple[str, bool]]:
    """Each use of a command, without the program's own name; and whether it is whole (a line to be typed)."""
    start = re.compile(rf"(?<![\w/.-]){program} ((?:[^\s;&|>)]|(?<=\S) )*)")
    for _, block in FENCE.findall(text):
        for line in block.splitlines():
            for found in start.finditer(line.partition("  #")[0].partition(" # ")[0]):
                if not re.match(r"\s*(#|\[)", line):
                    yield found.group(1).strip(), True
    for code in CODE.findall(without_fences(text)):
        if found := re.match(rf"{program}((?: |$).*)", code):
            yield found.group(1).strip(), False


def wrong_with(words: str, *, whole: bool) -> str:
    """What click would say to a use of avisioctl, empty if nothing."""
    opened = LEFT_OPEN.search(words)
    given = shlex.split(words[: opened.start()] if opened else words)
    command: click.Command = avisioctl
    while given and isinstance(command, click.Group) and not given[0].startswith("--json"):
        if given[0] == "--config":
            given = given[2:]
        elif given[0] in ("-h", "--help"):
            return ""
        elif given[0] in command.commands:
            command, given = command.commands[given[0]], given[1:]
        else:
            return f"there is no avisioctl {words}"
    if isinstance(command, click.Group) and not command.invoke_without_command:
        return "" if opened or not words else f"avisioctl {words} is no command by itself"
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"-h", "--help"}
    unknown = [word for word in given if word.startswith("--") and word.partition("=")[0] not in known]
    if unknown:
        return f"avisioctl {words}: there is no {unknown}"
    if whole and not opened:
        try:
            command.make_context("avisioctl", given)
        except click.ClickException as error:
            return f"avisioctl {words}: {error.format_message()}"
    return ""


@EVERY
def test_every_command_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    wrong = [wrong_with(words, whole=whole) for words, whole in commands_in(text, "avisioctl")]
    assert not [each for each in wrong if each]


@pytest.mark.parametrize(
    ("words", "whole", "right"),
    [
        ("status", True, True),
        ("people add d-0001 --register-number 12345", False, True),
        ("roles change supervisor --may …", True, True),
        ("detainees", False, False),
        ("people", False, False),
        ("phones", False, True),
        ("people …", False, True),
        ("calls cut", False, True),
        ("calls cut", True, False),
        ("status --verbose", False, False),
    ],
)
def test_commands_that_are_not_there_are_noticed(words: str, whole: bool, right: bool) -> None:
    assert (wrong_with(words, whole=whole) == "") == right


@EVERY
def test_every_option_of_the_daemons_is_there(page: Path) -> None:
    known = {
        (parser.prog, name)
        for parser in (arguments(), hook_runner.arguments())
        for action in parser._actions
        for name in action.option_strings
    }
    used = re.findall(r"(?<![\w./-])(?<!-u )(avisiod(?:-hooks)?) (--[a-z-]+)", page.read_text("utf-8"))
    assert set(used) <= known


def keys_of(kind: type[Section]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


SECTIONS = keys_of(settings.Config)


def unknown_keys(loaded: Any, kind: Any, path: str) -> Iterator[str]:
    """Keys of a piece of settings, as YAML has read it, that avisiod does not know."""
    if not (isinstance(kind, type) and issubclass(kind, Section) and isinstance(loaded, dict)):
        return
    known = keys_of(kind)
    for name, value in loaded.items():
        if name not in known:
            yield f"{path}{name}"
            continue
        inner = known[name]
        entries = value if isinstance(value, list) else [value]
        for candidate in getattr(inner, "__args__", (inner,)):
            for entry in entries:
                yield from unknown_keys(entry, candidate, f"{path}{name}.")


@EVERY
def test_every_setting_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    wrong = []
    for code in CODE.findall(without_fences(text)):
        found = SETTING.match(code)
        if not found or found[1] not in SECTIONS or found[2] in FILE_ENDINGS:
            continue
        if found[2] not in keys_of(SECTIONS[found[1]]):
            wrong.append(found[0])
    for _, block in FENCE.findall(text):
        try:
            loaded = yaml.safe_load(block)
        except yaml.YAMLError:
            continue
        if isinstance(loaded, dict) and set(loaded) & set(SECTIONS) and "contacts" not in loaded:
            wrong += list(unknown_keys({k: v for k, v in loaded.items() if k in SECTIONS}, settings.Config, ""))
    assert not wrong


WHOLE = {
    f"{path.relative_to(ROOT)}-{number}": block
    for path in PAGES
    for number, (kind, block) in enumerate(FENCE.findall(path.read_text("utf-8")))
    if kind == "yaml" and "…" not in block and set(yaml.safe_load(block)) <= set(SECTIONS)
}


@pytest.mark.parametrize("where", WHOLE)
def test_settings_that_are_shown_whole_are_taken(where: str, tmp_path: Path) -> None:
    file = tmp_path / "avisiod.yaml"
    file.write_text(WHOLE[where], encoding="utf-8")
    check.load(file, files=False)


@EVERY
def test_every_metric_and_every_test_named_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    listed = set(METRIC.findall((DOCS / "metrics.md").read_text("utf-8")))
    known = listed | {name.removesuffix("_total") for name in listed}
    coded = {name for code in CODE.findall(text) for name in METRIC.findall(code)}
    plain = {re.sub(r"_(bucket|count|sum)$", "", name) for name in coded}
    assert plain - known - NO_METRIC == set()
    assert [name for name in set(TEST_FILE.findall(text)) if not (ROOT / name).exists()] == []


def shipped() -> set[str]:
    """What lies below /usr/share/doc/avisiod, by debian/: folders without what is in them, and files."""
    found = {"examples"}
    for listed, below in (("avisiod.docs", ""), ("avisiod.examples", "examples/")):
        for pattern in (ROOT / "debian" / listed).read_text("utf-8").split():
            for path in ROOT.glob(pattern):
                inner = path.rglob("*") if path.is_dir() else ()
                found |= {below + str(each.relative_to(path.parent)) for each in (path, *inner)}
    return found


TALKING = [
    *PAGES,
    *sorted((ROOT / "systemd").glob("*.*")),
    *sorted((ROOT / "debian").glob("avisiod.p*")),
    ROOT / "avisiod" / "cli" / "manual.py",
]
"""Files that send people to others."""


def test_what_is_said_to_be_shipped_is() -> None:
    there = shipped()
    assert "examples/prometheus/avisiod.rules.yml" in there
    named = {
        (path.name, name) for path in TALKING if path.is_file() for name in SHIPPED.findall(path.read_text("utf-8"))
    }
    assert named
    assert [each for each in sorted(named) if each[1].removeprefix("/usr/share/doc/avisiod/") not in there] == []


@EVERY
def test_every_unit_and_every_target_of_make_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    coded = [
        *CODE.findall(without_fences(text)),
        *(line for _, block in FENCE.findall(text) for line in block.split("\n")),
    ]
    made = {found[1] for code in coded if (found := MAKE.match(code))}
    assert "deb-test" in known
    assert page.parent.name == "decisions" or made - known == set()  # those speak of others' makefiles, too
    assert [name for name in set(UNIT.findall(text)) if not (ROOT / "systemd" / name).exists()] == []


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (DOCS / "decisions").glob("*.md")]
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_the_map_names_every_room_and_module() -> None:
    named = {name.rstrip("/") for name in CODE.findall((ROOT / "ARCHITECTURE.md").read_text("utf-8"))}
    there = {
        path.name for path in (ROOT / "avisiod").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    unnamed = {name for name in there if not any(fnmatch.fnmatch(name, each) for each in named)}
    assert unnamed == {"__init__.py"}


def test_every_test_that_is_said_to_prove_something_is_there() -> None:
    missing, file = [], ""
    said = (ROOT / "tests" / "README.md").read_text("utf-8")
    for path, name in re.findall(r"((?:\w+/)*\w+\.py)?(?:::(test_\w+))?", said):
        file = path or file
        if path and not (ROOT / "tests" / path).exists():
            missing.append(path)
        elif name and f"def {name}(" not in (ROOT / "tests" / file).read_text("utf-8"):
            missing.append(f"{file}::{name}")
    assert file
    assert not missing
