"""rtpengine in user space, driven through its ng protocol."""

import asyncio
import os
import random
import socket
from typing import Any

from tests.bench.load.browsers import Browser
from tests.bench.load.gateways.base import Gateway, installed
from tests.bench.load.phones import Phone
from tests.peers.ports import free_port


class RtpengineGateway(Gateway):
    """Option `num_threads=N`: as rtpengine's own."""

    name = "rtpengine"
    bundle = False  # 10.5 has no BUNDLE

    def start(self) -> None:
        control = ("127.0.0.1", free_port())
        argv = [
            *("rtpengine", "--config-file=none", "--table=-1", "--interface=127.0.0.1", "--foreground"),
            *(f"--listen-ng={control[0]}:{control[1]}", "--log-stderr", "--log-level=4"),
            *("--port-min=33000", "--port-max=40000", "--timeout=60"),
        ]
        if "num_threads" in self.options:
            argv.append(f"--num-threads={self.options['num_threads']}")
        if self.recording:
            argv += [f"--recording-dir={self.recordings}", "--recording-method=pcap", "--recording-format=eth"]
        self.launch(argv)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(control)
        self._socket.settimeout(5)

    def version(self) -> str:
        return installed("rtpengine-daemon")

    async def ready(self) -> None:
        for _ in range(100):
            try:
                self._ask({"command": "ping"})
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
        raise RuntimeError("rtpengine does not answer")

    async def connect(self, i: int, browser: Browser, phone: Phone) -> None:
        common: dict[str, Any] = {
            "call-id": f"bench-{os.getpid()}-{i}",
            "from-tag": f"b{i}",
            "replace": ["origin", "session-connection"],
            "SDES": ["off"],
        }
        if self.recording:
            common["record call"] = "yes"
        offered = await asyncio.to_thread(
            self._ask,
            {
                **common,
                "command": "offer",
                "sdp": await browser.offer(),
                "ICE": "remove",
                "transport-protocol": "RTP/AVP",
                "rtcp-mux": ["demux"],
                "DTLS": "off",
            },
        )
        answered = await asyncio.to_thread(
            self._ask,
            {
                **common,
                "command": "answer",
                "to-tag": f"p{i}",
                "sdp": phone.answer(offered["sdp"], i + 1),
                "ICE": "force",
                "transport-protocol": "UDP/TLS/RTP/SAVPF",
                "rtcp-mux": ["require"],
            },
        )
        await browser.accept(answered["sdp"])

    async def record(self, i: int) -> None:
        """Asked for with the offer."""

    def stop(self) -> None:
        self._socket.close()
        super().stop()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        cookie = b"%x" % random.getrandbits(60)
        self._socket.send(cookie + b" " + encoded(message))
        while True:
            reply = self._socket.recv(65535)
            if reply.startswith(cookie):
                out: dict[str, Any] = decoded(reply, len(cookie) + 1)[0]
                if out["result"] == "error":
                    raise RuntimeError(out)
                return out


def encoded(x: Any) -> bytes:
    """Bencoding."""
    if isinstance(x, dict):
        return b"d" + b"".join(encoded(key) + encoded(x[key]) for key in sorted(x)) + b"e"
    if isinstance(x, list):
        return b"l" + b"".join(map(encoded, x)) + b"e"
    if isinstance(x, int):
        return b"i%de" % x
    text = x.encode()
    return b"%d:%s" % (len(text), text)


def decoded(b: bytes, i: int = 0) -> tuple[Any, int]:
    """What is bencoded at `i`, and where it ends."""
    first = b[i : i + 1]
    if first == b"i":
        end = b.index(b"e", i)
        return int(b[i + 1 : end]), end + 1
    if first in (b"l", b"d"):
        out: list[Any] = []
        i += 1
        while b[i : i + 1] != b"e":
            value, i = decoded(b, i)
            out.append(value)
        return (out if first == b"l" else dict(zip(out[::2], out[1::2], strict=True))), i + 1
    end = b.index(b":", i)
    size = int(b[i:end])
    return b[end + 1 : end + 1 + size].decode("latin1"), end + 1 + size
