"""One UDP port of ours and the one peer that may use it.

Until the peer has sent something valid, every datagram is judged by its source. The first valid one locks the port to
that source: nobody else is heard until signalling announces another address. For media the socket is then connected
to the peer: the kernel turns strangers away before they cost anything, and our system calls carry no addresses, which
makes them a quarter cheaper. A second socket on the same port takes what strangers send, only to count it.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

MAX_DATAGRAM = 2048
"""Octets; media that fits an Ethernet frame is far below, and a datagram that fills this may have been cut."""
BATCH = 32
"""Datagrams read in one wake-up, so that a flood on one port does not starve the others."""

Address = tuple[str, int]


class PeerPort:
    """See the module. Used from one event loop only; `close` it in the end."""

    __slots__ = (
        "_announced",
        "_any_source",
        "_connects",
        "_deliver",
        "_destination",
        "_direct",
        "_guard",
        "_locked",
        "_loop",
        "_on_lock",
        "_prepare",
        "_recv",
        "_send",
        "_sends",
        "_sendto",
        "_socket",
        "_valid",
        "invalid",
        "number",
        "strangers",
    )

    def __init__(
        self,
        bound: socket.socket,
        *,
        valid: Callable[[bytes], bool],
        deliver: Callable[[bytes, float], bool],
        on_lock: Callable[[], None],
        prepare: Callable[[socket.socket], None],
        connects: bool,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`bound` becomes ours.

        `valid` says whether a datagram may lock the port. `deliver` takes one of the peer with its arrival time and
        returns whether to read on at once: False where no other is likely to wait, which saves a system call.
        `on_lock` is called when the peer is known. `prepare` sets a socket's options. `connects`: see the module.
        """
        self._valid = valid
        self._deliver = deliver
        self._on_lock = on_lock
        self._prepare = prepare
        self._connects = connects
        self._loop = loop
        self._announced: Address | None = None
        self._any_source = False
        self._sends = False
        self._locked: Address | None = None
        self._destination: Address | None = None
        self._direct = False
        self._guard: socket.socket | None = None
        self.number: int = bound.getsockname()[1]
        self.strangers = 0
        self.invalid = 0
        self._use(bound)

    @property
    def locked(self) -> Address | None:
        """The only source that is heard; None until the peer has sent something valid."""
        return self._locked

    def follow(self, announced: Address, *, any_source: bool, sends: bool) -> None:
        """Hear the announced host, and send to the announced address where `sends`.

        With `any_source` (a peer behind NAT) the first valid source is heard instead, and sent to. A lock is opened
        when another address is announced than before.
        """
        if announced != self._announced:
            self._unlock()
        self._announced = announced
        self._any_source = any_source
        self._sends = sends
        self._aim()

    def mute(self) -> None:
        """Send nothing until `follow` says otherwise."""
        self._sends = False
        self._aim()

    def send(self, packet: bytes | bytearray | memoryview) -> None:
        """Send to the peer now; nothing where it may not, is not known or cannot be reached."""
        try:
            if self._direct:
                self._send(packet)
            elif self._destination is not None:
                self._sendto(packet, self._destination)
        except OSError:
            pass  # a full buffer, or an ICMP error about an earlier packet: media is not sent twice

    def hear(self, valid: Callable[[bytes], bool], deliver: Callable[[bytes, float], bool]) -> None:
        """Judge and deliver datagrams in another way from now on; see `__init__`."""
        self._valid, self._deliver = valid, deliver

    def close(self) -> None:
        """Release the port; harmless when closed."""
        self._direct = False
        self._destination = None
        self._close(self._socket)
        if self._guard is not None:
            self._close(self._guard)

    def _use(self, bound: socket.socket) -> None:
        self._prepare(bound)
        self._socket = bound
        self._recv = bound.recv
        self._send = bound.send
        self._sendto = bound.sendto
        self._loop.add_reader(bound, self._read_judging)

    def _close(self, one: socket.socket) -> None:
        if one.fileno() >= 0:
            self._loop.remove_reader(one)
            one.close()

    def _aim(self) -> None:
        target = self._locked if self._any_source else self._announced
        self._direct = self._sends and self._guard is not None and target == self._locked
        self._destination = target if self._sends and not self._direct else None

    def _read_locked(self) -> None:
        """The hot path: the kernel lets only the peer through."""
        now = time.monotonic()
        recv, deliver = self._recv, self._deliver
        for _ in range(BATCH):
            try:
                packet = recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about a packet of ours
            if not deliver(packet, now):
                return

    def _read_judging(self) -> None:
        """Read while anybody's datagrams may be in the queue: every source is looked at."""
        now = time.monotonic()
        for _ in range(BATCH):
            try:
                packet, source = self._socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                if self._guard is not None:  # what came before we were connected has been read
                    self._loop.add_reader(self._socket, self._read_locked)
                return
            except OSError:
                continue  # an ICMP error about a packet of ours
            if self._admits(packet, source[:2]):
                self._deliver(packet, now)

    def _admits(self, packet: bytes, source: Address) -> bool:
        """Whether this is a datagram of the peer, which becomes known by it where it was not."""
        if self._locked is None and self._announced is not None:
            if self._any_source or source[0] == self._announced[0]:
                if self._valid(packet):
                    self._lock(source)
                    return True
                self.invalid += 1
                return False
        elif source == self._locked:
            return True
        self.strangers += 1
        return False

    def _read_strangers(self) -> None:
        now = time.monotonic()
        for _ in range(BATCH):
            try:
                packet, source = self._guard.recvfrom(MAX_DATAGRAM) if self._guard else (b"", ("", 0))
            except OSError:
                return
            if source[:2] == self._locked:
                self._deliver(packet, now)  # it came while we were being connected
            else:
                self.strangers += 1

    def _lock(self, source: Address) -> None:
        self._locked = source
        if self._connects:
            self._connect(source)
        self._aim()
        self._on_lock()

    def _connect(self, source: Address) -> None:
        """Connect to the peer and let a second socket take the rest; without one the sources go on being judged."""
        guard = socket.socket(self._socket.family, socket.SOCK_DGRAM)
        guard.setblocking(False)
        both = (self._socket, guard)
        try:
            for each in both:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            guard.bind(self._socket.getsockname())
            self._socket.connect(source)
        except OSError:
            guard.close()
            return
        finally:
            with contextlib.suppress(OSError):  # no other program may share the port
                for each in both:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self._guard = guard
        self._loop.add_reader(guard, self._read_strangers)

    def _unlock(self) -> None:
        """Hear a new peer: the unconnected socket, which has the same port, takes over."""
        self._locked = None
        if self._guard is not None:
            connected, self._socket = self._socket, self._guard
            self._guard = None
            self._close(connected)
            self._use(self._socket)
