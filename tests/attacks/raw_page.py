"""A page as raw octets over TLS (RFC 6455): it can stop, dribble or lie at any point."""

import base64
import json
import os
import socket
import ssl
from typing import Any, Self

from avisiod.web import messages
from tests.web.client import ACCEPTED

TIMEOUT_S = 10.0


class Closed(Exception):
    """The portal closed the connection; the text is what it had said last."""


def tls() -> ssl.SSLContext:
    """Trusts anybody: it is the portal that is tried, not its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def secured(port: int, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """All of 127.0.0.0/8 is this machine's: `source` is a true address, as many as a test wants."""
    plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S, source_address=(source, 0))
    return tls().wrap_socket(plain, server_hostname="localhost")


def ask(port: int, request: bytes) -> bytes:
    """One HTTP request, and everything that comes until the portal closes."""
    with secured(port) as connection:
        connection.sendall(request)
        found = b""
        while data := connection.recv(65536):
            found += data
        return found


def upgrade(port: int, *, origin: str = "", address: str = "", path: str = messages.PATH) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: localhost:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {messages.SUBPROTOCOL}",
        f"Origin: {origin or f'https://localhost:{port}'}",
        *([f"X-Forwarded-For: {address}"] if address else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(payload: bytes, *, opcode: int = 1, said_length: int = -1) -> bytes:
    """A masked frame, whose header may name another length than it has."""
    length = len(payload) if said_length < 0 else said_length
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    return head + bytes(4) + payload  # a mask of zeros changes nothing


class RawPage:
    """One open page. `address` is what a proxy in front would say of it, `source` where it truly comes from."""

    def __init__(self, port: int, *, address: str = "", origin: str = "", source: str = "127.0.0.1") -> None:
        self.socket = secured(port, source)
        self._left = b""
        self.socket.sendall(upgrade(port, origin=origin, address=address))
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Closed(head.split(b"\r\n")[0].decode())
        self.hears("welcome")

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise Closed(self._left.decode(errors="replace"))
        self._left += data

    def _message(self) -> tuple[int, bytes]:
        while True:
            if len(self._left) >= 2:
                length, start = self._left[1] & 0x7F, 2
                if length >= 126:
                    start = 4 if length == 126 else 10
                    length = int.from_bytes(self._left[2:start], "big")
                if len(self._left) >= max(start + length, 10 if start == 10 else 0):
                    opcode, payload = self._left[0] & 0x0F, self._left[start : start + length]
                    self._left = self._left[start + length :]
                    return opcode, payload
            self._more()

    def heard(self) -> dict[str, Any]:
        """The next message; Closed at the end of the conversation."""
        while True:
            opcode, payload = self._message()
            if opcode == 8:
                raise Closed(str(int.from_bytes(payload[:2], "big")))
            if opcode == 9:
                self.socket.sendall(frame(payload, opcode=10))
            elif opcode == 1:
                message: dict[str, Any] = json.loads(payload)
                return message

    def hears_until_closed(self) -> None:
        """Raises Closed or ConnectionError in the end."""
        while True:
            self.heard()

    def hears(self, *kinds: str) -> dict[str, Any]:
        message = self.heard()
        assert message["type"] in kinds, message
        return message

    def say(self, **message: Any) -> None:
        self.socket.sendall(frame(json.dumps(message).encode()))

    def tries(self, code: str, link: str = "") -> dict[str, Any]:
        """`joined` or `rejected`."""
        self.say(type="join", code=code, link=link, charter=ACCEPTED)
        return self.hears("joined", "rejected")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
