"""A prison whose LAN has IPv6 and nothing else: a phone registers, calls, is seen and heard.

In networks of its own; the relative's browser is on the box itself.
"""

import socket
from collections.abc import Iterator

import pytest

from tests.e2e.connected import FRAMES, connected
from tests.e2e.stage import Stage
from tests.network.internet import BOX_INSIDE6, BOX_OUTSIDE, CORE, PHONES6
from tests.network.networks import Network, may_make
from tests.peers.baresip import BaresipPhone
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(120)]


SOMEBODY = "fd01::3"
STRANGERS = 'avisiod_dropped_datagrams_total{leg="phone",why="stranger"}'


def somebody_else_sends(stage: Stage, phones: Network) -> None:
    """RTP from another address of the phones' network, to every port that a call may have."""
    first, last = stage.settings["media"]["phone_ports"]
    packet = bytes((0x80, 8, 0, 1)) + bytes(8) + bytes(160)
    with phones.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as mouth:
        mouth.bind((SOMEBODY, 0))
        for port in range(first, last + 1):
            mouth.sendto(packet, (BOX_INSIDE6, port))


@pytest.fixture(autouse=True)
def on_the_box() -> None:
    """No place of this folder's other tests is needed here."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Network]]:
    if not may_make():
        pytest.skip("networks of their own need root (CAP_SYS_ADMIN)")
    settings = {"media": {"phone_address": BOX_INSIDE6, "outside_address": BOX_OUTSIDE}}
    folder = tmp_path_factory.mktemp("ipv6")
    with Network("box") as box, Network("phones") as phones, Network("outside") as outside:
        box.link("wan", f"{BOX_OUTSIDE}/24", outside, "eth0", f"{CORE}/24")
        box.route(CORE)
        box.cable("lan", phones, "eth0")
        box.address6("lan", f"{BOX_INSIDE6}/64")
        phones.address6("eth0", f"{PHONES6}/64")
        # Not preferred: the phone itself does not take it.
        phones.run("ip", "address", "add", f"{SOMEBODY}/64", "dev", "eth0", "nodad", "preferred_lft", "0")
        with (
            box.entered(),
            Stage(folder, settings=settings, edge_address=BOX_INSIDE6) as made,
        ):
            yield made, phones


@pytest.fixture(scope="module")
def phone(stage: tuple[Stage, Network]) -> BaresipPhone:
    made, phones = stage
    with phones.entered():
        return made.phone(address=PHONES6)


def test_a_phone_with_ipv6_alone_is_in_a_call(stage: tuple[Stage, Network], phone: BaresipPhone) -> None:
    made, phones = stage
    lines = phone.process.lines.mark()
    with connected(made, phone) as (relative, call):
        source = phone.process.wait_for_line(r"incoming rtp for 'video' established, receiving from (\S+):", 1, lines)
        relative.wait_heard(-45.0)
        phone.wait_heard(-45.0)
        assert BOX_INSIDE6 in source[1]
        assert made.metrics()[STRANGERS] == 0
        somebody_else_sends(made, phones)
        wait_until(lambda: made.metrics()[STRANGERS] > 0, 30, "what came from another address was dropped")
        relative.wait_frames(relative.seen().frames + FRAMES)
        assert next(row for row in made.calls() if row["id"] == call)["state"] == "connected"
    phone.hang_up()
