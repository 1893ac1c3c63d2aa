"""The firewall of etc/nftables stands before the box of every test here; what is open answers, the rest does not."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from tests.network.firewall import FILE
from tests.network.internet import BOX_INSIDE, BOX_OUTSIDE
from tests.network.networks import Network
from tests.network.place import Place

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(120)]

WITHIN_S = 3.0


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(network: Network, address: str, port: int) -> bool:
    """Whether a connection from there comes about."""
    with network.entered(), contextlib.suppress(OSError), socket.create_connection((address, port), WITHIN_S):
        return True
    return False


@contextlib.contextmanager
def listening(network: Network, address: str, port: int, kind: socket.SocketKind) -> Iterator[socket.socket]:
    """A program of the box that listens there, whatever the firewall says."""
    with network.entered(), socket.socket(family(address), kind) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind((address, port))
        if kind is socket.SOCK_STREAM:
            ear.listen()
        yield ear


def heard(place: Place, source: Network, address: str, port: int) -> bool:
    """Whether a datagram from there reaches a program that is bound to that port."""
    with listening(place.net.box, address, port, socket.SOCK_DGRAM) as ear, source.entered():
        ear.settimeout(WITHIN_S)
        with socket.socket(family(address), socket.SOCK_DGRAM) as mouth:
            for _ in range(3):
                with contextlib.suppress(OSError):
                    mouth.sendto(b"anybody there?", (address, port))
        with contextlib.suppress(OSError):
            return ear.recv(64) == b"anybody there?"
    return False


def test_nft_takes_the_file_as_it_is(place: Place) -> None:
    place.net.box.run("nft", "-c", "-f", str(FILE))


def test_what_is_listed_answers(place: Place) -> None:
    net, media = place.net, place.settings["media"]
    assert tcp(net.phones, BOX_INSIDE, place.edge.port)
    assert tcp(net.page, BOX_OUTSIDE, 443)
    assert heard(place, net.phones, BOX_INSIDE, media["phone_ports"][1])
    assert heard(place, net.page, BOX_OUTSIDE, media["outside_ports"][1])


def test_what_is_not_listed_does_not_answer_though_a_program_listens(place: Place) -> None:
    net, media = place.net, place.settings["media"]
    for source, address in ((net.phones, BOX_INSIDE), (net.page, BOX_OUTSIDE)):
        with listening(net.box, address, 22, socket.SOCK_STREAM):
            assert not tcp(source, address, 22)
        with listening(net.box, address, 8080, socket.SOCK_STREAM):
            assert not tcp(source, address, 8080)
        assert not heard(place, source, address, 5070)
    assert not tcp(net.phones, BOX_INSIDE, 443)
    assert not heard(place, net.page, BOX_OUTSIDE, media["phone_ports"][1])
    assert not heard(place, net.phones, BOX_INSIDE, media["outside_ports"][1])


def test_the_other_sides_address_is_reached_from_nowhere(place: Place) -> None:
    """A host answers on any interface for any of its addresses, if nobody tells it not to."""
    net = place.net
    net.phones.route(BOX_INSIDE, f"{BOX_OUTSIDE}/32")
    net.core.route(BOX_OUTSIDE, f"{BOX_INSIDE}/32")
    try:
        assert not tcp(net.phones, BOX_OUTSIDE, 443)
        assert not tcp(net.page, BOX_INSIDE, place.edge.port)
        assert not heard(place, net.page, BOX_INSIDE, place.settings["media"]["phone_ports"][1])
    finally:
        net.phones.run("ip", "route", "del", f"{BOX_OUTSIDE}/32")
        net.core.run("ip", "route", "del", f"{BOX_INSIDE}/32")


def test_the_table_is_one_of_its_own_and_can_be_loaded_again(place: Place) -> None:
    place.firewall()
    place.firewall()
    listed = json.loads(place.net.box.run("nft", "-j", "list", "tables"))["nftables"]
    assert [each["table"]["name"] for each in listed if "table" in each] == ["avisiod"]
