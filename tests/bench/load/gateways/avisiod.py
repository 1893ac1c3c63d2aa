"""avisiod's media workers: real processes, driven over AMP as control drives them; the SDP goes in without SIP."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.error import ConnectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from avisiod import compiled
from avisiod.config.settings import Media
from avisiod.gateway import wire
from avisiod.gateway.manifest import RecordingFacts
from avisiod.gateway.settings import MediaWorkerSettings
from tests.bench.load.browsers import Browser
from tests.bench.load.gateways.base import Gateway
from tests.bench.load.phones import Phone
from tests.peers.ports import free_range

ROOM = 60
"""Fewest calls that a worker has ports for: those of an ended call rest for a while."""
DEADLINE_S = 600.0
PROMPTS_WITHIN_S = 90.0

BECOME = f"""
import os, sys
os.dup2(int(sys.argv[1]), {wire.WORKER_FD})
os.execv(sys.executable, [sys.executable, "-m", "avisiod.gateway.media_worker"])
"""


class Control(amp.AMP):
    """Hears what the worker tells, and remembers what must not happen."""

    def __init__(self) -> None:
        super().__init__()
        self.flowing: dict[str, set[str]] = {}
        self.trouble: list[str] = []

    @wire.LegChanged.responder
    def leg_changed(self, call: str, leg: str, session: str, state: str, at: float) -> dict[str, object]:
        if state == "flowing":
            self.flowing.setdefault(call, set()).add(leg)
        else:
            self.trouble.append(f"the {leg} leg of {call} is {state}")
        return {}

    @wire.RecorderFailed.responder
    def recorder_failed(self, call: str, why: str) -> dict[str, object]:
        self.trouble.append(f"the recorder of {call} failed: {why}")
        return {}

    @wire.PromptOver.responder
    def prompt_over(self, call: str, prompt: str) -> dict[str, object]:
        return {}

    @wire.PhonePictureWanted.responder
    def phone_picture_wanted(self, call: str) -> dict[str, object]:
        return {}

    @wire.DeadlinePassed.responder
    def deadline_passed(self, call: str, last_forwarded: float) -> dict[str, object]:
        return {}

    @wire.Stats.responder
    def stats(self, call: str, stats: bytes) -> dict[str, object]:
        return {}


class _Pipe(asyncio.Protocol):
    """Lets AMP speak over an asyncio transport: no reactor needed."""

    def __init__(self, link: amp.AMP) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._link.makeConnection(self)

    def data_received(self, data: bytes) -> None:
        self._link.dataReceived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.connectionLost(Failure(ConnectionDone()))

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        if self._transport is not None:
            self._transport.close()

    def getPeer(self) -> str:  # noqa: N802 - as above
        return "worker"

    getHost = getPeer  # noqa: N815 - as above


def weigh(pid: int) -> None:
    """Give the worker the weight beside control that `media.nice` gives it in service.

    There both are in one group of the scheduler, that of their unit. Here each session is a group of its own where
    the kernel groups by sessions (autogroup, sched(7)), between which only the groups' own niceness counts.
    """
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/{pid}/autogroup").write_text(str(Media().nice))


class AvisiodGateway(Gateway):
    """One media worker, or `workers` of them, each on a core of its own, who take the calls in turn.

    Recording, every call goes into a Matroska file; without it the calls are confidential.
    """

    name = "avisiod"

    def start(self) -> None:
        self._workers = int(self.options.get("workers", "1"))
        self.controls: list[Control] = []
        self._ours: list[socket.socket] = []
        for number in range(self._workers):
            ours, theirs = socket.socketpair()
            cpu = None if self.cpu is None else (self.cpu + number) % (os.cpu_count() or 1)
            argv = [sys.executable, "-c", BECOME, str(theirs.fileno())]
            process = self.launch(
                argv,
                cpu=cpu,
                pass_fds=(theirs.fileno(),),
                env={"PYTHONPATH": os.getcwd()},
                start_new_session=not self.priority,
            )
            if not self.priority:
                weigh(process.pid)
            theirs.close()
            self._ours.append(ours)
            self.controls.append(Control())

    def version(self) -> str:
        return f"{metadata.version('avisiod')} {compiled.form()}, Python {sys.version.split()[0]}"

    async def ready(self) -> None:
        """Configured, and done with the prompts, which are prepared once for all calls at the first one."""
        for number, (control, ours) in enumerate(zip(self.controls, self._ours, strict=True)):
            await asyncio.get_running_loop().create_connection(lambda control=control: _Pipe(control), sock=ours)
            await self._configure(number)

    async def _configure(self, number: int) -> None:
        calls = max(ROOM, int(self.options.get("calls", "0")) // self._workers + 2)
        settings = MediaWorkerSettings(
            worker=number,
            phone_address="127.0.0.1",
            phone_ports=free_range(4 * calls),
            outside_address="127.0.0.1",
            outside_announced="",
            outside_ports=free_range(calls),
            phone_silent_s=20.0,
            phone_muted_s=20.0,
            outside_silent_s=20.0,
            behind_nat=False,
            audio_codecs=("PCMA",),
            encryption="optional",
            keys_need_tls=True,
            prompts_folder="",
            keep_free_bytes=0,
            nice=0 if self.priority else Media().nice,
            log_level="INFO",
        )
        await self.ask(number, wire.Configure, settings=msgspec.json.encode(settings))
        phone = Phone()
        await self.ask(
            number, wire.OpenCall, call="first", offer=phone.sdp(), confidential=True, language="fr", secure=False
        )
        await self._settled()
        await self.ask(number, wire.CloseCall, call="first", reason="hung_up_inside")
        phone.close()

    async def _settled(self) -> None:
        end = time.monotonic() + PROMPTS_WITHIN_S
        quiet = 0
        while quiet < 5:
            before = self.sample()["cpu_ns"]
            await asyncio.sleep(0.2)
            quiet = quiet + 1 if self.sample()["cpu_ns"] - before < 20_000_000 else 0
            if time.monotonic() > end:
                raise RuntimeError("the worker goes on preparing prompts")

    async def connect(self, i: int, browser: Browser, phone: Phone) -> None:
        call = f"call{i}"
        opened = await self.ask(
            i,
            wire.OpenCall,
            call=call,
            offer=phone.sdp(i + 1),
            confidential=not self.recording,
            language="fr",
            secure=False,
        )
        phone.set_remote(opened["answer"])
        offer = await browser.offer()
        answered = await self.ask(i, wire.OpenBrowserLeg, call=call, session="page", offer=offer, ice_servers=b"[]")
        await browser.accept(answered["answer"])
        if self.recording:
            facts = RecordingFacts(
                call=secrets.token_hex(8),
                phone="bench",
                contact="bench",
                started_at="2026-01-01T00:00:00+00:00",
                started_monotonic=time.monotonic(),
            )
            path = str(self.recordings / f"{call}.mkv")
            await self.ask(i, wire.OpenRecorder, call=call, path=path, facts=msgspec.json.encode(facts))
        await self.ask(i, wire.Bridge, call=call, deadline=time.monotonic() + DEADLINE_S)

    async def record(self, i: int) -> None:
        """The recorder writes before anything is bridged."""

    def stop(self) -> None:
        super().stop()
        for each in (trouble for control in self.controls for trouble in control.trouble):
            sys.stderr.write(f"{each}\n")

    async def hang_up(self, i: int) -> None:
        """End a call as a phone that hangs up does; its recording is sealed."""
        await self.ask(i, wire.CloseCall, call=f"call{i}", reason="hung_up_inside")

    async def ask(self, i: int, command: type[amp.Command], **arguments: object) -> dict[str, Any]:
        """Ask the worker that has call `i`."""
        asked = self.controls[i % self._workers].callRemote(command, **arguments)
        return await asyncio.wait_for(asked.asFuture(asyncio.get_running_loop()), 20)
