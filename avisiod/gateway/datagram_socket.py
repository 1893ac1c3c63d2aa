"""A UDP socket on the event loop, read until it is empty, without the 256 KiB buffer of asyncio's transport.

Once most datagrams go to and come from one peer, `aim` gives that peer a second socket on the same port, connected to
it: its system calls carry no addresses and look up no route, which makes them a quarter cheaper.
"""

import asyncio
import contextlib
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

    __slots__ = (
        "_closed",
        "_direct",
        "_direct_received",
        "_fd",
        "_loop",
        "_lost",
        "_peer",
        "_received",
        "_recv",
        "_send",
        "_sock",
    )

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
        self._peer: Any = None
        self._direct: socket.socket | None = None
        self._direct_received: Callable[[bytes], object] = _nothing
        self._recv: Callable[[int], bytes]
        self._send: Callable[[Any], object] = self._send_unconnected
        loop.add_reader(self._fd, self._drain)

    def aim(self, peer: Any, received: Callable[[bytes], object]) -> None:
        """From now on `send` goes to this peer, and what it sends comes to `received`, which is as that of all.

        A second socket does that; where the system gives none, the first goes on for this peer too.
        """
        if self._closed or peer == self._peer:
            return
        self._drop_direct()
        self._peer = peer
        direct = socket.socket(self._sock.family, socket.SOCK_DGRAM)
        direct.setblocking(False)
        both = (self._sock, direct)
        try:
            direct.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            for each in both:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            direct.bind(self._sock.getsockname())
            direct.connect(peer)
        except OSError:
            direct.close()
            return
        finally:
            with contextlib.suppress(OSError):  # no other program may share the port
                for each in both:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self._direct = direct
        self._direct_received = received
        self._recv = direct.recv
        self._send = direct.send
        self._loop.add_reader(direct, self._drain_early)

    def _drain_early(self) -> None:
        """Anybody's datagrams may have come between bind and connect: look at the sources until all are read."""
        direct = self._direct
        if direct is None:
            return
        try:
            for _ in range(BATCH):
                self._received(*direct.recvfrom(DATAGRAM_BYTES))
                if direct is not self._direct:
                    return  # aimed elsewhere by what was received
        except BlockingIOError:
            self._loop.add_reader(direct, self._drain_direct)
        except OSError:
            return  # as in _drain

    def _drain_direct(self) -> None:
        """The hot path: the kernel lets only the peer through."""
        receive = self._recv
        received = self._direct_received
        try:
            for _ in range(BATCH):
                if received(receive(DATAGRAM_BYTES)):
                    return
        except OSError:
            return  # as in _drain

    def _drop_direct(self) -> None:
        if self._direct is not None:
            self._loop.remove_reader(self._direct)
            self._direct.close()
            self._direct = None
        self._send = self._send_unconnected

    def _send_unconnected(self, data: Any) -> None:
        if self._peer is not None:
            self._sock.sendto(data, self._peer)

    def send(self, data: Any) -> None:
        """Send one datagram to the peer of `aim`; what the kernel does not take at once is lost."""
        try:
            self._send(data)
        except OSError:
            return

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
        self._drop_direct()
        self._peer = None
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


def _nothing(_: bytes) -> None:
    """Nobody is aimed at."""
