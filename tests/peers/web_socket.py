"""A WebSocket of a client (RFC 6455) on asyncio: text frames out and in, pings answered. Over TLS, trusting anybody.

autobahn's clients are for one framework in a process, and beside the portal's own that is Twisted.
"""

import asyncio
import base64
import json
import os
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10


class WebSocket:
    """`heard` is called with each message, `closed` once with the reason, both on the loop."""

    def __init__(self, heard: Callable[[Any], None], closed: Callable[[str], None]) -> None:
        self._heard = heard
        self._closed = closed
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, url: str, path: str, subprotocol: str) -> None:
        """Connect to `url`, whose origin is told; ConnectionError where the server does not want a WebSocket."""
        where = urlsplit(url)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", where.port, ssl=context, server_hostname=where.hostname
        )
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {where.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {subprotocol}",
            f"Origin: {url}",
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.splitlines()[0]:
            writer.close()
            raise ConnectionError(head.splitlines()[0].decode())
        self._writer = writer
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        why = "the connection ended"
        try:
            while True:
                opcode, payload = await self._frame(reader)
                if opcode == TEXT:
                    self._heard(json.loads(payload))
                elif opcode == PING:
                    self._send(PONG, payload)
                elif opcode == CLOSE:
                    why = f"{int.from_bytes(payload[:2])} {payload[2:].decode(errors='replace')}"
                    return
        except (asyncio.IncompleteReadError, OSError) as error:
            why = type(error).__name__
        finally:
            self._closed(why)
            if self._writer is not None:
                self._writer.close()

    @staticmethod
    async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        """One frame; the portal sends none in pieces, and none masked."""
        first, length = await reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        return first & 0x0F, await reader.readexactly(length)

    def say(self, **message: Any) -> None:
        """Send a message; on the loop."""
        self._send(TEXT, json.dumps(message).encode())

    def _send(self, opcode: int, payload: bytes) -> None:
        if self._writer is None:
            raise ConnectionError("not connected")
        length = len(payload)
        if length < 126:
            head = bytes((0x80 | opcode, 0x80 | length))
        else:
            head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2)
        self._writer.write(head + bytes(4) + payload)  # a mask of zeros changes nothing

    def close(self) -> None:
        """Say goodbye; harmless when it is over."""
        if self._writer is not None and not self._writer.is_closing():
            self._send(CLOSE, (1000).to_bytes(2))

    def abort(self) -> None:
        """Be gone without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
