"""A real SIP worker process, and a control end on its AMP socket that blocks instead of using a reactor."""

import contextlib
import itertools
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from twisted.protocols import amp

from avisiod.gateway import wire
from tests.peers.ports import free_port
from tests.peers.processes import Process
from tests.peers.waiting import Feed

ANSWER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=avisiod\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
_EVENTS: list[type[amp.Command]] = [
    wire.Invited, wire.Acknowledged, wire.PhoneAnswered, wire.Reoffer, wire.SipEnded, wire.InfoDigit,
    wire.PictureAskedByInfo,
]  # fmt: skip


class Told(NamedTuple):
    """What the worker told."""

    command: str
    arguments: dict[str, Any]


class Refused(Exception):
    """The worker answered a command with an error; the text begins with its code."""


class Worker:
    """`python -m avisiod.gateway.sip_worker` on a free port. `told` holds its events in order."""

    def __init__(
        self,
        folder: Path,
        *,
        edge: tuple[str, ...] = ("127.0.0.1",),
        session_expires_s: int = 1800,
        ring_again_s: float = 5.0,
        dialogues: int = 4,
        port: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.media_port = free_port()
        self.told: Feed[Told] = Feed("sip worker")
        self.on_invite: Callable[[str], None] = lambda _call: None
        """Called in the reader's thread with each new call, before it is in `told`; must not ask the worker."""
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._ask = itertools.count(1)
        self._answers: Feed[amp.Box] = Feed("sip worker's answers")
        self._lock = threading.Lock()
        descriptor = theirs.fileno()
        run = f'exec 3<&{descriptor} {descriptor}<&-; exec "$0" -m avisiod.gateway.sip_worker'
        self.process = Process(
            ["bash", "-c", run, sys.executable],
            name="sip worker",
            log=folder / "worker.log",
            pass_fds=[descriptor],
            env=env,
        )
        theirs.close()
        threading.Thread(target=self._read, name="amp", daemon=True).start()
        settings = {
            "worker": 0,
            "dialogues": dialogues,
            "address": "127.0.0.1",
            "port": self.port,
            "edge": edge,
            "session_expires_s": session_expires_s,
            "ring_again_s": ring_again_s,
            "log_level": "DEBUG",
        }
        self.ask(wire.Configure, settings=json.dumps(settings).encode())

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def ask(self, command: type[amp.Command], **arguments: object) -> amp.Box:
        """Send a command and wait until the worker did it; its answer. Refused when it would not."""
        box = amp.Box(command.makeArguments(arguments, None))
        number = b"%d" % next(self._ask)
        box[b"_ask"], box[b"_command"] = number, command.commandName
        with self._lock:
            self._socket.sendall(box.serialize())
        wanted = {number}
        answer = self._answers.wait(
            lambda box: box.get(b"_answer", box.get(b"_error")) in wanted, 10, f"answer to {command.__name__}"
        )
        if b"_error" in answer:
            raise Refused(f"{answer[b'_error_code'].decode()}: {answer[b'_error_description'].decode()}")
        return answer

    def _read(self) -> None:
        data = b""
        while received := self._receive():
            data += received
            while (end := _end_of_box(data)) > 0:
                (box,) = amp.parseString(data[:end])
                data = data[end:]
                self._take(box)
        self.told.close("the worker closed its socket")
        self._answers.close("the worker closed its socket")

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""

    def _take(self, box: amp.Box) -> None:
        if b"_command" not in box:
            self._answers.add(box)
            return
        command = next(event for event in _EVENTS if event.commandName == box[b"_command"])
        arguments = command.parseArguments(box, None)
        with self._lock:
            self._socket.sendall(amp.Box({b"_answer": box[b"_ask"]}).serialize())
        if command is wire.Invited:
            self.on_invite(arguments["sip_call"])
        self.told.add(Told(command.__name__, arguments))

    def wait(self, command: type[amp.Command], since: int = 0, timeout: float = 10.0) -> dict[str, Any]:
        """Arguments of the first such event from `since` on."""
        told = self.told.wait(lambda told: told.command == command.__name__, timeout, command.__name__, since)
        return told.arguments

    def ended(self, sip_call: str, timeout: float = 20.0) -> str:
        """Who ended this dialogue, once it is over."""
        told = self.told.wait(
            lambda told: told.command == "SipEnded" and told.arguments["sip_call"] == sip_call, timeout, "SipEnded"
        )
        return str(told.arguments["by"])

    def settled(self) -> None:
        """Wait until every dialogue that was told is over: what is told from now on is of the next one."""
        for told in self.told.items():
            if told.command == "Invited":
                self.ended(told.arguments["sip_call"])

    def answer(self, sip_call: str, sdp: str = "") -> None:
        self.ask(wire.AnswerInvite, sip_call=sip_call, answer=sdp or ANSWER.format(port=self.media_port))

    def close_control(self) -> None:
        """Control dies."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.close_control()
        self.process.stop()


def _end_of_box(data: bytes) -> int:
    """Length of the first whole AMP box, 0 when it is not all there. An empty key ends it, a value may be empty."""
    position, is_key = 0, True
    while position + 2 <= len(data):
        length = int.from_bytes(data[position : position + 2], "big")
        position += 2 + length
        if is_key and length == 0:
            return position
        is_key = not is_key
    return 0
