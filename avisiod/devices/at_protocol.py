"""The AT dialogue with a modem (3GPP TS 27.007, TS 27.005, ITU-T V.250) without I/O: bytes in, events out.

One command is open at a time. A modem may speak at any moment: unsolicited lines arrive before, between and after the
lines of an answer. Nothing that it says raises; what makes no sense becomes `Noise`.
"""

import dataclasses
import re
from typing import Literal

CTRL_Z = b"\x1a"
ESCAPE = b"\x1b"
LINE_LIMIT = 1024
"""Octets of one line; the longest PDU takes 360 digits."""
REPLY_LIMIT = 32
"""Lines of one answer; more are noise."""

_FINAL = re.compile(r"\+CM([ES]) ERROR: ?(\d{1,4})?.*")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){4,}")
_FLAT_ERRORS = frozenset({"ERROR", "COMMAND NOT SUPPORT", "TOO MANY PARAMETERS", "NO CARRIER"})
_WORDS = frozenset({"RDY", "RING", "READY", "SMS DONE", "PB DONE", "SMS READY", "CALL READY", "NORMAL POWER DOWN"})
_WITH_PDU = ("+CDS:", "+CMT:", "+CBM:")
_RESTARTS = ("RDY", "^BOOT", "*ATREADY", "NORMAL POWER DOWN")


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the open command. `code` comes with cme (TS 27.007 9.2) and cms (TS 27.005 3.2.5)."""

    result: Literal["ok", "error", "cme", "cms"]
    lines: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    code: int | None = None

    @property
    def ok(self) -> bool:
        """The modem did it."""
        return self.result == "ok"

    def value(self, prefix: str) -> str:
        """What follows the prefix in the last line that has it; empty without one."""
        for line in reversed(self.lines):
            if line.startswith(prefix):
                return line[len(prefix) :].strip()
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """The modem waits for the message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unsolicited:
    """A line that nobody asked for. It may hold a telephone number, so its repr shows nothing."""

    line: str = dataclasses.field(repr=False)
    pdu: str = dataclasses.field(default="", repr=False)

    @property
    def restart(self) -> bool:
        """The modem has started anew and forgotten its settings."""
        return self.line.startswith(_RESTARTS)


@dataclasses.dataclass(frozen=True, slots=True)
class Noise:
    """So many octets that make no sense here; their text is not kept: it may be half of a PDU."""

    octets: int


Event = Reply | Prompt | Unsolicited | Noise


@dataclasses.dataclass(slots=True)
class _Open:
    """The command that waits for its answer."""

    echo: str
    prefix: str
    required: bool
    body: bool
    prompt: bool
    payload: str = ""
    lines: list[str] = dataclasses.field(default_factory=list)


class Dialogue:
    """What was said to the modem and what is expected back."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = 0
        self._open: _Open | None = None
        self._head = ""

    @property
    def busy(self) -> bool:
        """A command waits for its answer."""
        return self._open is not None

    def command(
        self, line: str, *, prefix: str = "", required: bool = False, body: bool = False, prompt: bool = False
    ) -> bytes:
        """Open a command; the octets to write.

        `prefix` marks the lines of its answer, `body` takes lines without it as well. With `required` an OK that
        no such line precedes is a late one that belongs to an older command, and is passed over. `prompt`: the
        modem will ask for the message, see `payload`. RuntimeError while another command is open.
        """
        if self._open is not None:
            raise RuntimeError("another AT command is open")
        self._open = _Open(line, prefix, required, body, prompt)
        return line.encode("ascii") + b"\r"

    def payload(self, text: str) -> bytes:
        """The message that the prompt asked for and Ctrl-Z; the octets to write. RuntimeError when none is open."""
        if self._open is None or self._open.prompt:
            raise RuntimeError("the modem has not asked for a message")
        self._open.payload = text
        return text.encode("ascii") + CTRL_Z

    def cancel(self) -> bytes:
        """Forget the open command; the octets to write.

        ESC leaves the text entry that may be open, where the next command would become the text of a message;
        CR ends the line that ESC begins in a modem that is not in text entry.
        """
        self._open = None
        return ESCAPE + b"\r"

    def receive(self, data: bytes) -> list[Event]:
        """Take what the modem sent, in pieces of any size."""
        events: list[Event] = []
        for octet in data:
            if octet in b"\r\n":
                self._end_line(events)
            elif self._skipping:
                self._skipping += 1
            elif octet:  # a modem that powers up sends zeros
                self._buffer.append(octet)
                if len(self._buffer) > LINE_LIMIT:
                    self._skipping = len(self._buffer)
                    self._buffer.clear()
                elif octet == ord(">") and len(self._buffer) == 1 and self._wants_prompt():
                    self._buffer.clear()
                    events.append(Prompt())
        return events

    def _wants_prompt(self) -> bool:
        if self._open is None or not self._open.prompt:
            return False
        self._open.prompt = False
        return True

    def _end_line(self, events: list[Event]) -> None:
        if self._skipping:
            events.append(Noise(self._skipping))
            self._skipping = 0
            return
        raw = bytes(self._buffer)
        self._buffer.clear()
        line = raw.decode("ascii", "replace").strip(" \x1a\x1b")
        if line:
            event = self._event(line, len(raw))
            if event is not None:
                events.append(event)

    def _event(self, line: str, octets: int) -> Event | None:
        head, self._head = self._head, ""
        if head and _HEX.fullmatch(line):
            return Unsolicited(head, line)
        if self._is_echo(line):
            return None
        final = _final(line)
        if final is not None:
            return self._finish(final, octets)
        if line.startswith(_WITH_PDU):
            self._head = line
            return None
        return self._information(line, octets)

    def _is_echo(self, line: str) -> bool:
        command = self._open
        if command is None:
            return False
        return line == command.echo or (bool(command.payload) and line.lstrip("> ") == command.payload)

    def _finish(self, final: Reply, octets: int) -> Event:
        command = self._open
        if command is None:
            return Noise(octets)
        if final.ok and (command.prompt or (command.required and not command.lines)):
            return Noise(octets)
        self._open = None
        return Reply(final.result, tuple(command.lines), final.code)

    def _information(self, line: str, octets: int) -> Event | None:
        command = self._open
        unsolicited = line in _WORDS or line[0] in "+^*$#"
        if command is not None and len(command.lines) < REPLY_LIMIT:
            mine = line.startswith(command.prefix) if command.prefix else False
            if mine or (command.body and not unsolicited):
                command.lines.append(line)
                return None
        return Unsolicited(line) if unsolicited else Noise(octets)


def _final(line: str) -> Reply | None:
    if line == "OK":
        return Reply("ok")
    if line in _FLAT_ERRORS:
        return Reply("error")
    match = _FINAL.fullmatch(line)
    if match is None:
        return None
    return Reply("cme" if match[1] == "E" else "cms", code=int(match[2]) if match[2] else None)
