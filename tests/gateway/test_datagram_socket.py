"""The socket of a browser leg: aimed at one peer, it goes on hearing all the others."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from avisiod.gateway.datagram_socket import BATCH, DatagramSocket


def bound() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    one.settimeout(5)
    return one


class Rig:
    """A DatagramSocket, and three who send to it."""

    def __init__(self) -> None:
        self.anybody: list[tuple[bytes, tuple[str, int]]] = []
        self.direct: list[bytes] = []
        self.peers = [bound() for _ in range(3)]
        self.addresses = [each.getsockname() for each in self.peers]
        ours = bound()
        self.there = ours.getsockname()
        self.socket = DatagramSocket(
            asyncio.get_event_loop(), ours, lambda data, source: self.anybody.append((data, source))
        )

    def aim(self, number: int) -> None:
        self.socket.aim(self.addresses[number], self.direct.append)

    def say(self, number: int, data: bytes) -> None:
        self.peers[number].sendto(data, self.there)

    async def until(self, count: int) -> None:
        """So many datagrams have been heard."""
        for _ in range(500):
            if len(self.anybody) + len(self.direct) >= count:
                return
            await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0.01)))
        raise AssertionError(f"heard {self.anybody} and {self.direct}, {count} were sent")

    def close(self) -> None:
        self.socket.close()
        for each in self.peers:
            each.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


@pytest_twisted.ensureDeferred
async def test_before_it_is_aimed_everybody_is_heard_with_their_address_and_nobody_is_sent_to(rig: Rig) -> None:
    rig.say(0, b"zero")
    rig.socket.send(b"nowhere")
    await rig.until(1)
    assert rig.anybody == [(b"zero", rig.addresses[0])]


@pytest_twisted.ensureDeferred
async def test_what_the_peer_sends_comes_apart_and_the_others_are_heard_as_before(rig: Rig) -> None:
    rig.aim(0)
    rig.say(0, b"early")
    await rig.until(1)
    rig.say(0, b"zero")
    rig.say(1, b"one")
    await rig.until(3)
    assert rig.anybody == [(b"early", rig.addresses[0]), (b"one", rig.addresses[1])]
    assert rig.direct == [b"zero"]


@pytest_twisted.ensureDeferred
async def test_send_reaches_the_peer_from_the_same_port_and_sendto_anybody(rig: Rig) -> None:
    rig.aim(0)
    rig.socket.send(b"for zero")
    rig.socket.sendto(b"for one", rig.addresses[1])
    assert rig.peers[0].recvfrom(100) == (b"for zero", rig.there)
    assert rig.peers[1].recvfrom(100) == (b"for one", rig.there)


@pytest_twisted.ensureDeferred
async def test_aimed_at_another_peer_the_first_is_anybody_again(rig: Rig) -> None:
    rig.aim(0)
    rig.aim(1)
    rig.say(1, b"early")
    await rig.until(1)
    rig.say(0, b"zero")
    rig.say(1, b"one")
    rig.socket.send(b"for one")
    await rig.until(3)
    assert rig.anybody == [(b"early", rig.addresses[1]), (b"zero", rig.addresses[0])]
    assert rig.direct == [b"one"]
    assert rig.peers[1].recv(100) == b"for one"


@pytest_twisted.ensureDeferred
async def test_a_flood_of_the_peer_and_of_a_stranger_loses_nobody(rig: Rig) -> None:
    rig.aim(0)
    for _ in range(2 * BATCH):
        rig.say(0, b"zero")
        rig.say(2, b"two")
    await rig.until(4 * BATCH)
    assert [data for data, source in rig.anybody if source == rig.addresses[2]] == [b"two"] * (2 * BATCH)


@pytest_twisted.ensureDeferred
async def test_closed_it_releases_the_port_and_sends_nothing(rig: Rig) -> None:
    rig.aim(0)
    rig.socket.close()
    rig.socket.send(b"nothing")
    rig.aim(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(rig.there)


@pytest_twisted.ensureDeferred
async def test_no_other_program_can_share_the_port_of_an_aimed_socket(rig: Rig) -> None:
    rig.aim(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(rig.there)
