"""A UDP socket on the event loop, read until it is empty, without the 256 KiB buffer of asyncio's transport."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

DATAGRAM_BYTES = 2048
"""Longest datagram taken; a longer one is cut, so that no check of its authenticity passes."""

BATCH = 64
"""Datagrams read in one go, so that a flood on one socket does not starve the others."""

RECEIVE_BUFFER_BYTES = 1 << 19
"""Room in the kernel for the burst of a keyframe while the loop is busy."""


class DatagramSocket(asyncio.DatagramTransport):
    """Hands every datagram to `received`; sends at once or drops, as the network itself would.

    `received` may return True where it expects no other datagram to be waiting: one system call and one exception
    less. A datagram that waits all the same is read in the next turn of the loop.

    Takes over `sock`, which is bound already, and closes it.
    """

    __slots__ = ("_closed", "_fd", "_loop", "_lost", "_received", "_sock")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        received: Callable[[bytes, Any], object],
        lost: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        super().__init__()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._received = received
        self._lost = lost
        self._closed = False
        loop.add_reader(self._fd, self._drain)

    def _drain(self) -> None:
        receive = self._sock.recvfrom
        received = self._received
        try:
            for _ in range(BATCH):
                data, address = receive(DATAGRAM_BYTES)
                if received(data, address):
                    return
        except OSError:
            # Nothing left; or an ICMP error of an earlier datagram (RFC 1122 4.1.3.3), which silence tells as well.
            return

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram; what the kernel does not take at once is lost."""
        try:
            self._sock.sendto(data, addr)
        except OSError:
            return

    def close(self) -> None:
        """Stop reading and close the socket; `lost` is called from the loop soon after."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._sock.close()
        self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        """The same as close: nothing is buffered."""
        self.close()

    def is_closing(self) -> bool:
        """Whether close was called."""
        return self._closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` and `socket`, as of any transport."""
        if name == "sockname" and not self._closed:
            return self._sock.getsockname()
        return self._sock if name == "socket" else default
