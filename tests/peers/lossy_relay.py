"""A bad network in the middle of a UDP conversation: loss, delay, reordering, a link that carries only so much."""

import contextlib
import heapq
import random
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Link:
    """One direction. Everything may be changed while it runs."""

    loss: float = 0.0
    """Share of the datagrams, at random."""
    delay_s: float = 0.0
    reordered: float = 0.0
    """Share of the datagrams that come `reorder_s` later than their turn."""
    reorder_s: float = 0.03
    rate: int = 0
    """Bit/s of UDP payload; 0 for no limit."""
    queue_s: float = 0.1
    """What the link holds of its own rate; more is dropped."""
    passed: int = 0
    dropped: int = 0
    octets: int = 0
    """Passed."""
    _free_at: float = field(default=0.0, repr=False)

    def due(self, size: int, now: float, chance: random.Random) -> float | None:
        """When a datagram arrives; None when never."""
        at = now
        if self.rate:
            if self._free_at - now > self.queue_s:
                self.dropped += 1
                return None
            at = self._free_at = max(self._free_at, now) + size * 8 / self.rate
        if chance.random() < self.loss:
            self.dropped += 1
            return None
        self.passed += 1
        self.octets += size
        return at + self.delay_s + (self.reorder_s if chance.random() < self.reordered else 0.0)


class LossyRelay:
    """Stands between a client, whoever sends to `address` first, and a server; each sees the relay as the other."""

    def __init__(self, server: tuple[str, int], *, seed: int = 1) -> None:
        self.to_server, self.to_client = Link(), Link()
        self._server = server
        self._client: tuple[str, int] | None = None
        self._chance = random.Random(seed)
        self._front, self._back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for each in (self._front, self._back):
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.address: tuple[str, int] = self._front.getsockname()
        self._waiting: list[tuple[float, int, bool, bytes]] = []
        self._count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._front.close()
        self._back.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            now = time.monotonic()
            patience = min(max(self._waiting[0][0] - now, 0.0), 0.1) if self._waiting else 0.1
            readable, _, _ = select.select([self._front, self._back], [], [], patience)
            for each in readable:
                self._take(each)
            self._deliver(time.monotonic())

    def _take(self, source: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, sender = source.recvfrom(2048)
                up = source is self._front
                if up:
                    self._client = sender
                elif sender != self._server:
                    continue
                at = (self.to_server if up else self.to_client).due(len(data), time.monotonic(), self._chance)
                if at is not None:
                    self._count += 1
                    heapq.heappush(self._waiting, (at, self._count, up, data))

    def _deliver(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, _, up, data = heapq.heappop(self._waiting)
            with contextlib.suppress(OSError):
                if up:
                    self._back.sendto(data, self._server)
                elif self._client is not None:
                    self._front.sendto(data, self._client)
