"""One run of avisioctl: its settings, how it is asked and answers, and what becomes an exit status."""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from avisiod.cli.reach import Reach
from avisiod.config import check
from avisiod.config.settings import Config
from avisiod.office import csvfile
from avisiod.office.plan import Problem, Refused

WIDE = 240
"""Columns of a table that is not for a terminal."""
LARGEST_FILE = 48 * 1024 * 1024


class Session:
    """What every command works with."""

    def __init__(self, config_file: str) -> None:
        self.config_file = config_file
        self._reach: Reach | None = None
        self.as_json = False
        self.why = ""
        terminal = sys.stdout.isatty()
        self.out = Console(highlight=False, markup=False, width=None if terminal else WIDE)
        self.err = Console(stderr=True, highlight=False, markup=False)

    @functools.cached_property
    def config(self) -> Config:
        """The settings; the defaults where they are closed to us: staff need only the socket."""
        path = Path(self.config_file)
        with contextlib.suppress(OSError):
            if path.exists() and not os.access(path, os.R_OK):
                return Config()
        return check.load(path, files=False)

    @property
    def reach(self) -> Reach:
        """The way to daemon or database."""
        if self._reach is None:
            self._reach = Reach(self.config)
        return self._reach

    def begin_again(self, config_file: str) -> None:
        """Go on with these settings, which were just put in place."""
        self.close()
        self._reach = None
        self.config_file = config_file
        self.__dict__.pop("config", None)

    def close(self) -> None:
        """Leave nothing open."""
        if self._reach is not None:
            self._reach.close()

    def do(self, operation: str, **arguments: Any) -> Any:
        """Do one thing; with progress for a person who waits."""
        with self.progress() as progress:
            return self.reach.do(operation, self.why, arguments, progress)

    @contextlib.contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """Show how far long work has come, on a terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        shown = Progress(*columns, console=self.err, transient=True, disable=not sys.stderr.isatty())
        task = None

        def step(what: str, done: int, of: int) -> None:
            nonlocal task
            if of < 2:
                return
            if task is None:
                shown.start()
                task = shown.add_task(what)
            shown.update(task, description=what, completed=done, total=of)

        try:
            yield step
        finally:
            if task is not None:
                shown.stop()

    def say(self, text: str) -> None:
        """A sentence for the person; none where a program reads."""
        if not self.as_json:
            self.out.print(Text(text))

    def give(self, result: Any, show: Callable[[Any], None] | None = None) -> None:
        """The result: as JSON where it was asked for, else as `show` shows it."""
        if self.as_json:
            sys.stdout.write(json.dumps(result, ensure_ascii=False, indent=2) + "\n")
        elif show is not None:
            show(result)

    def table(self, rows: Sequence[Mapping[str, Any]], empty: str = "nothing is listed") -> None:
        """Rows with the same names, as a table."""
        if not rows:
            self.say(empty)
            return
        names = list(rows[0])
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(row.get(name, ""))) for name in names))
        self.out.print(table)

    def pairs(self, row: Mapping[str, Any]) -> None:
        """One thing, a line for each of its fields."""
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, value in row.items():
            if not isinstance(value, list | dict):
                table.add_row(Text(name.replace("_", " "), style="bold"), Text(_cell(value)))
        self.out.print(table)

    def failed(self, problems: Sequence[Problem], text: str = "") -> None:
        """Say what is in the way."""
        if self.as_json:
            told = [{"line": p.line, "column": p.column, "reason": p.reason, "remedy": p.remedy} for p in problems]
            sys.stdout.write(json.dumps({"refused": told} if told else {"failed": text}, ensure_ascii=False) + "\n")
            return
        for problem in problems:
            self.err.print(Text(str(problem)), soft_wrap=True)
        self.err.print(Text(text or "nothing was changed"), soft_wrap=True)


def _cell(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def common(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every command; the function gets the session first."""

    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @click.option("--why", default="", metavar="TEXT", help="The reason, for the trail.")
    @click.pass_obj
    @functools.wraps(function)
    def command(session: Session, /, *arguments: Any, as_json: bool, why: str, **options: Any) -> None:
        session.as_json = as_json
        session.why = why
        function(session, *arguments, **options)

    return command


def text_of(file: str) -> str:
    """A CSV file's text; `-` is standard input."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(LARGEST_FILE + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Refused(
            Problem(reason=f"{file} cannot be read ({error.strerror})", remedy="correct the path")
        ) from None
    if len(data) > LARGEST_FILE:
        raise Refused(Problem(reason=f"{file} is larger than {LARGEST_FILE // 2**20} MiB", remedy="split it"))
    return csvfile.decode(data)


def secret(what: str, *, least: int) -> str:
    """A secret that is typed unseen and twice, or one line of standard input; never an argument."""
    if sys.stdin.isatty():
        typed = str(click.prompt(what, hide_input=True, confirmation_prompt=True))
    else:
        typed = sys.stdin.readline().rstrip("\r\n")
    if len(typed) < least:
        raise Refused(Problem(reason=f"the {what} is too short", remedy=f"take {least} characters or more"))
    return typed


def write_out(session: Session, text: str, file: str) -> None:
    """A file's text: on standard output, or into a new file that only we may read."""
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Refused(
            Problem(reason=f"{file} cannot be made ({error.strerror})", remedy="take another name")
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
    session.say(f"written: {file}")
