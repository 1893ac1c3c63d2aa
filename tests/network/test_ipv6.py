"""A box with IPv4 and IPv6 outside: whoever has one of them alone is in the call by it.

A page with IPv4 alone is in every other test of this folder, at the same box.
"""

import re
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.connected import connected
from tests.network.internet import BOX_INSIDE6, BOX_OUTSIDE, BOX_OUTSIDE6, HOME, PAGE6
from tests.network.place import Place, leads_to
from tests.network.test_firewall import heard, listening, tcp
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium, Relative

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(120)]

CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host")


@pytest.fixture(scope="module")
def elsewhere(place: Place) -> Iterator[Chromium]:
    """A browser that has IPv6 and nothing else."""
    with place.net.page6.entered(), Chromium(flags=[leads_to(f"[{BOX_OUTSIDE6}]")]) as chromium:
        yield chromium


def told(place: Place, relative: Relative) -> set[str]:
    """The box's addresses that the page was told; their ports are those of the firewall."""
    first, last = place.settings["media"]["outside_ports"]
    found = CANDIDATE.findall(str(relative.evaluate("window.__peers.connection(-1).remoteDescription.sdp")))
    assert all(first <= int(port) <= last for _, port in found)
    return {address for address, _ in found}


@pytest.mark.usefixtures("quiet_afterwards")
def test_a_page_that_has_ipv6_alone_is_in_the_call(
    place: Place, phone: BaresipPhone, elsewhere: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "relative", elsewhere.relative)
    with connected(place, phone) as (relative, _):
        path = relative.path()
        assert told(place, relative) == {BOX_OUTSIDE, BOX_OUTSIDE6}
        relative.wait_heard(-45.0)
        phone.wait_heard(-45.0)
    assert (path.local_address, path.remote_address) == (PAGE6, BOX_OUTSIDE6)


@pytest.mark.usefixtures("quiet_afterwards")
def test_a_page_that_has_ipv4_alone_is_in_the_call_at_the_same_box(place: Place, phone: BaresipPhone) -> None:
    with connected(place, phone) as (relative, _):
        path = relative.path()
        assert told(place, relative) == {BOX_OUTSIDE, BOX_OUTSIDE6}
    assert (path.local_address, path.remote_address) == (HOME, BOX_OUTSIDE)


def test_over_ipv6_the_firewall_opens_what_is_listed_and_nothing_else(place: Place) -> None:
    net, media = place.net, place.settings["media"]
    assert tcp(net.page6, BOX_OUTSIDE6, 443)
    assert heard(place, net.page6, BOX_OUTSIDE6, media["outside_ports"][1])
    assert heard(place, net.phones, BOX_INSIDE6, media["phone_ports"][1])
    for source, address in ((net.phones, BOX_INSIDE6), (net.page6, BOX_OUTSIDE6)):
        for port in (22, 8080):
            with listening(net.box, address, port, socket.SOCK_STREAM):
                assert not tcp(source, address, port)
        assert not heard(place, source, address, 5070)
    assert not heard(place, net.page6, BOX_OUTSIDE6, media["phone_ports"][1])
    assert not heard(place, net.phones, BOX_INSIDE6, media["outside_ports"][1])


def test_the_prisons_ipv6_address_is_reached_from_nowhere_else(place: Place) -> None:
    net = place.net
    net.core.route(BOX_OUTSIDE6, f"{BOX_INSIDE6}/128")
    try:
        assert not heard(place, net.page6, BOX_INSIDE6, place.settings["media"]["phone_ports"][1])
    finally:
        net.core.run("ip", "route", "del", f"{BOX_INSIDE6}/128")
