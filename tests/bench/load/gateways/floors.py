"""The floors as gateways: relays with SRTP keys that are given, no ICE, DTLS or SDP, under the same load.

A relay reads a line for each call on its standard input, ten ports and two keys,

    A Ar V Vr S   a ar v vr s   key-to-browser key-from-browser

and answers `ok`: what it binds for sound and pictures (RTP, RTCP) and for the bundled SRTP leg, and where phone and
browser listen. Keys are 30 bytes in hexadecimal, for AES128_CM_SHA1_80.
"""

import asyncio
import subprocess
import sys
from typing import IO, cast

from tests.bench.load.browsers import Browser, StaticBrowser
from tests.bench.load.gateways.base import Gateway
from tests.bench.load.phones import Phone
from tests.bench.load.pump import HERE, build
from tests.peers.ports import free_range


class Floor(Gateway):
    """A relay that does nothing else."""

    static = True

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        self._next = free_range(300)[0]
        process = self.launch(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._in, self._out = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)

    async def connect(self, i: int, browser: Browser, phone: Phone) -> None:
        assert isinstance(browser, StaticBrowser)
        own = list(range(self._next, self._next + 5))
        self._next += 5
        audio, video = phone.port("audio"), phone.port("video")
        ports = [*own, audio, audio + 1, video, video + 1, browser.port]
        self._in.write(f"{' '.join(map(str, ports))} {browser.rx.hex()} {browser.tx.hex()}\n".encode())
        self._in.flush()
        if (await asyncio.to_thread(self._out.readline)).strip() != b"ok":
            raise RuntimeError("the relay did not take the call")
        phone.remote = {"audio": ("127.0.0.1", own[0], own[1], [8]), "video": ("127.0.0.1", own[2], own[3], [96])}
        browser.remote = ("127.0.0.1", own[4])


class FloorC(Floor):
    """In C, a packet at a time."""

    name = "floor-c"

    def command(self) -> list[str]:
        return [str(build("floor", "floor.c", "-lsrtp2", "-lcrypto")), "relay", "1"]


class FloorPython(Floor):
    """In Python: asyncio's protocols on uvloop, pylibsrtp."""

    name = "floor-python"

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "floor.py")]
