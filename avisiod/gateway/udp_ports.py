"""A configured range of UDP ports, handed out bound: one by one, or an even one for RTP with the odd one for RTCP."""

import ipaddress
import socket
from collections import deque

from avisiod.gateway.wire import NoPorts

REST_S = 10.0
"""A released port is not used again for this long: late packets of the old call must not reach the new one."""


class UdpPorts:
    """A pool over a range of ports of one address, both ends included.

    Ports are bound here, so that one that another program uses is passed over. The longest unused come first.
    With `width` 2 they come in pairs of an even port and the odd one above it.
    """

    def __init__(self, address: str, port_range: tuple[int, int], *, width: int = 1, rest_s: float = REST_S) -> None:
        first, last = port_range
        self.address = address
        self._family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        self._free = deque(range(first + first % width, last + 2 - width, width))
        self._width = width
        self.wanting = False
        """Whether the latest `take` found none."""
        self._resting: deque[tuple[float, int]] = deque()
        self._rest_s = rest_s

    def take(self, now: float) -> tuple[socket.socket, ...]:
        """`width` bound, non-blocking sockets on neighbouring ports, the lowest first.

        NoPorts when all are in use, resting, or taken by other programs. Close the sockets, then `give_back`.
        """
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])
        for _ in range(len(self._free)):
            port = self._free.popleft()
            bound = self._bound(port)
            if bound:
                self.wanting = False
                return bound
            self._free.append(port)
        self.wanting = True
        raise NoPorts(
            f"no UDP port on {self.address} is free: widen the configured range, or see which program holds its ports"
        )

    def give_back(self, port: int, now: float, *, announced: bool = True) -> None:
        """What `take` gave with this lowest port has been closed; it rests from now if a peer was told of it."""
        if announced:
            self._resting.append((now + self._rest_s, port))
        else:
            self._free.append(port)

    def _bound(self, port: int) -> tuple[socket.socket, ...]:
        found: list[socket.socket] = []
        for number in range(port, port + self._width):
            one = self._socket(number)
            if one is None:
                for each in found:
                    each.close()
                return ()
            found.append(one)
        return tuple(found)

    def _socket(self, port: int) -> socket.socket | None:
        bound = socket.socket(self._family, socket.SOCK_DGRAM)
        bound.setblocking(False)
        try:
            bound.bind((self.address, port))
        except OSError:
            bound.close()
            return None
        return bound
