"""The program `avisiod-hooks`: runs the site's own scripts when something happens, as a user that may do little.

It is started by its socket (systemd.socket(5)), takes events from the daemon, a JSON object a line, and runs what
lies in FOLDER/EVENT.d, one after the other by name. A line goes back for each script that ran: `done`, `failed`,
`late`, or `refused` where others than root could have written it. What a script says goes to the journal.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

EVENTS = (
    "phone-offline",
    "phone-online",
    "phone-tampered",
    "modem-lost",
    "sms-last-route",
    "board-lost",
    "emergency-key",
    "call-ended",
)
FOLDER = Path("/etc/avisiod-hooks")
TIMEOUT_S = 30.0
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL, for a script that took too long."""
WAITING = 200
"""Events that wait for their turn; further ones are dropped, and told so."""
LONGEST_LINE = 4096
LONGEST_OUTPUT = 4096
"""Bytes of what one script says that are kept."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,200}")


class Happening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event as it comes in."""

    event: str
    facts: Mapping[str, str] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a script; `dropped`, without a script, of an event."""

    event: str
    result: str
    hook: str = ""


_HAPPENING = msgspec.json.Decoder(Happening)


def environment(happening: Happening) -> dict[str, str]:
    """What a script finds in its environment. ValueError on an event or a fact that no daemon of ours tells."""
    if happening.event not in EVENTS:
        raise ValueError("no such event")
    found = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "AVISIOD_EVENT": happening.event}
    for name, value in happening.facts.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("a fact that is none")
        found[f"AVISIOD_{name.upper()}"] = value
    for name in ("STATE_DIRECTORY", "CONFIGURATION_DIRECTORY"):
        if name in os.environ:
            found[name] = os.environ[name]
    return found


def scripts(folder: Path, event: str, owner: int = 0) -> tuple[list[Path], list[Path]]:
    """What lies in EVENT.d by name: to be run, and refused. As run-parts(8), names with a dot are left alone."""
    run: list[Path] = []
    refused: list[Path] = []
    with contextlib.suppress(OSError):
        for path in sorted((folder / f"{event}.d").iterdir()):
            if "." in path.name or path.name.endswith("~") or not os.access(path, os.X_OK) or path.is_dir():
                continue
            (run if _safe(path, owner) else refused).append(path)
    return run, refused


def _safe(path: Path, owner: int) -> bool:
    """Whether nobody but root can have written it, or put another in its place."""
    try:
        for each in (path.resolve(), path.resolve().parent, path.parent):
            found = each.stat()
            if found.st_uid not in (0, owner) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return False
    except OSError:
        return False
    return True


class Runner:
    """Takes events from connections and runs scripts, one after the other."""

    def __init__(self, folder: Path, timeout_s: float = TIMEOUT_S, owner: int = 0) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        self._owner = owner
        self._waiting: asyncio.Queue[tuple[Happening, asyncio.StreamWriter]] = asyncio.Queue(WAITING)

    async def serve(self, listening: socket.socket, uids: Sequence[int]) -> None:
        """Until it is cancelled; connections of other users than `uids` are closed."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", raw)[1] in uids:
                await self._listen(reader, writer)
            writer.close()

        server = await asyncio.start_unix_server(connected, sock=listening, limit=LONGEST_LINE)
        async with server:
            await self._work()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.LimitOverrunError):
            while line := await reader.readline():
                try:
                    happening = _HAPPENING.decode(line)
                    environment(happening)
                except (msgspec.DecodeError, ValueError):
                    _say("something that is no event was passed over")
                    continue
                try:
                    self._waiting.put_nowait((happening, writer))
                except asyncio.QueueFull:
                    _tell(writer, Outcome(event=happening.event, result="dropped"))

    async def _work(self) -> None:
        while True:
            happening, writer = await self._waiting.get()
            found, refused = scripts(self._folder, happening.event, self._owner)
            for path in refused:
                _say(f"{path} is not run: others than root could have written it, or what it lies in")
                _tell(writer, Outcome(event=happening.event, result="refused", hook=path.name))
            for path in found:
                result = await self._run(path, happening)
                _tell(writer, Outcome(event=happening.event, result=result, hook=path.name))

    async def _run(self, path: Path, happening: Happening) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                str(path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment(happening),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            _say(f"{path.name} ({happening.event}) cannot be run: {error.strerror}")
            return "failed"
        output = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                await _read(process, output)
                status = await process.wait()
        except TimeoutError:
            result = "late"
            told = f"took longer than {self._timeout_s:.0f} s and was ended"
        else:
            result = "done" if status == 0 else "failed"
            told = f"ended with {status}"
        finally:
            await _end(process)
        for line in bytes(output).decode("utf-8", "replace").splitlines():
            _say(f"{path.name} ({happening.event}): {_printable(line)}")
        if result != "done":
            _say(f"{path.name} ({happening.event}) {told}")
        return result


async def _end(process: asyncio.subprocess.Process) -> None:
    """With all that it started and left behind; a script may put right what it has begun."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _read(process: asyncio.subprocess.Process, output: bytearray) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while piece := await process.stdout.read(1024):
        output += piece[: LONGEST_OUTPUT - len(output)]


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in line)


def _tell(writer: asyncio.StreamWriter, outcome: Outcome) -> None:
    if not writer.is_closing():
        writer.write(msgspec.json.encode(outcome) + b"\n")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Serve the socket that systemd hands over."""
    asked = arguments().parse_args()
    if asked.socket is not None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(asked.socket))
        listening.listen(8)
    elif os.environ.get("LISTEN_FDS") == "1":
        listening = socket.socket(fileno=3)
    else:
        sys.stderr.write("avisiod-hooks is started by its socket: systemctl start avisiod-hooks.socket\n")
        return 2
    listening.setblocking(False)
    uids = [0, os.getuid(), *_uid_of(asked.user)]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Runner(asked.folder, asked.timeout, os.getuid() if asked.socket else 0).serve(listening, uids))
    return 0


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="avisiod-hooks", description="Runs the site's scripts upon events.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where EVENT.d lie (%(default)s)")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds for a script (%(default)s)")
    parser.add_argument("--socket", type=Path, help="listen there instead of on systemd's socket")
    parser.add_argument("--user", default="avisiod", help="whose events are taken (%(default)s)")
    return parser


def _uid_of(user: str) -> list[int]:
    import pwd

    try:
        return [pwd.getpwnam(user).pw_uid]
    except KeyError:
        return []


if __name__ == "__main__":
    sys.exit(main())
