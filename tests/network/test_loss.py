"""A bad network before the page: what is lost and what does not fit is made up for, and counted."""

import time

import pytest

from tests.e2e.connected import connected
from tests.network.place import Place
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Relative
from tests.peers.waiting import wait_until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("quiet_afterwards"),
]

LOST_PERCENT = 5
SHORT_KBIT_S = 100
FRAMES = 250
HEADERS = 1.05
"""IP, UDP and SRTP make so much more of a packet."""


def sends_kbit_s(relative: Relative) -> float:
    """What the page sends, sound and picture, over some 100 pictures."""

    def octets() -> int:
        return sum(int(each["bytesSent"]) for each in relative.connections()[-1]["outbound"].values())

    frames, before, begun = relative.sent().frames, octets(), time.monotonic()
    wait_until(lambda: relative.sent().frames >= frames + 100, 60, "the page sends pictures", 0.2)
    return 8 * (octets() - before) / (time.monotonic() - begun) / 1000


def test_with_5_percent_lost_and_100_kbit_s_less_than_the_page_sends_picture_and_sound_go_on(
    place: Place, phone: BaresipPhone
) -> None:
    with connected(place, phone) as (relative, _):
        wait_until(lambda: relative.sent().target_bit_s > 700_000, 60, "the page sends as much as it may", 0.5)
        wanted, target = sends_kbit_s(relative), relative.sent().target_bit_s
        before, shown, begun = relative.seen(), phone.video().frames, time.monotonic()
        place.net.home.treat(lost_percent=LOST_PERCENT)
        place.net.home.narrow(up_kbit_s=round(HEADERS * wanted - SHORT_KBIT_S))
        phone.wait_frames(shown + FRAMES, 60)
        after = relative.wait_frames(before.frames + FRAMES, 60)
        lasted = time.monotonic() - begun
        relative.wait_heard(-45.0)
        phone.wait_heard(-45.0)
        wait_until(lambda: relative.sent().target_bit_s < 0.9 * target, 60, "the page sends less", 0.2)
    assert after.lost > before.lost
    assert after.frozen_s - before.frozen_s < lasted / 2


def test_pictures_that_break_are_counted_and_so_is_what_is_sent_again(place: Place, phone: BaresipPhone) -> None:
    with connected(place, phone):
        place.net.home.treat(lost_percent=30)

        def counted() -> bool:
            metrics = place.metrics()
            received, sent = (
                metrics.get(f'avisiod_rtp_resent_packets_total{{direction="{way}",kind="video",leg="outside"}}', 0)
                for way in ("received", "sent")
            )
            broken = metrics['avisiod_picture_freezes_total{leg="outside"}']
            lasted = metrics['avisiod_picture_frozen_seconds_total{leg="outside"}']
            return min(received, sent, broken, lasted, metrics['avisiod_pictures_wanted_total{leg="outside"}']) > 0

        wait_until(counted, 60, "broken pictures are counted", 0.5)
