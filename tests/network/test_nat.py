"""A call between a prison's LAN and a page behind NAT, as the networks between them allow."""

import pytest

from tests.e2e.connected import connected
from tests.network.internet import BOX_INSIDE, BOX_OUTSIDE, CORE, HOME
from tests.network.place import Place
from tests.peers.baresip import BaresipPhone

pytestmark = [
    pytest.mark.peer,
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("quiet_afterwards"),
]

ADDRESSES = r"(?m)^c=IN IP4 (\S+)|^a=candidate:\S+ \S+ \S+ \S+ (\S+) \S+ typ host"


def test_a_page_behind_nat_is_in_the_call_and_the_box_has_an_address_of_its_own_on_each_side(
    place: Place, phone: BaresipPhone
) -> None:
    lines = phone.process.lines.mark()
    with connected(place, phone) as (relative, _):
        path, told = relative.path(), relative.evaluate("window.__peers.connection(-1).remoteDescription.sdp")
        source = phone.process.wait_for_line(r"incoming rtp for 'video' established, receiving from (\S+):", 1, lines)
    assert (path.local, path.local_address, path.remote_address) == ("prflx", HOME, BOX_OUTSIDE)
    assert source[1] == BOX_INSIDE
    assert BOX_OUTSIDE in told
    assert BOX_INSIDE not in told


def test_where_udp_is_closed_turn_over_tls_on_port_443_carries_the_call(place: Place, phone: BaresipPhone) -> None:
    place.net.home.treat(udp=False)
    with connected(place, phone) as (relative, _):
        path = relative.path()
        relative.wait_heard(-45.0)
    assert (path.local, path.relayed_by, path.remote_address) == ("relay", "tls", BOX_OUTSIDE)
    assert path.local_address == CORE
