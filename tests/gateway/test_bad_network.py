"""A relative behind a bad network: real Chromium, a spawned media worker, and a link between them that loses."""

import re
import time

from avisiod.gateway.leg import Kind
from avisiod.gateway.manifest import decode
from avisiod.gateway.stats import LegStats
from tests.gateway.test_media_worker import Stage, chromium, shortly, site, stage, until
from tests.peers.lossy_relay import LossyRelay
from tests.peers.offreactor import aside

__all__ = ["chromium", "site"]


class FarAway(Stage):
    """The page knows no other way to the worker than through the relay, nor the worker to the page."""

    relay: LossyRelay | None = None

    async def introduce(self, offer: str) -> str:
        offer = re.sub(r"a=candidate:.*\r\n", "", offer)
        answer = await self.gateway.open_browser_leg("c1", "s1", offer, b"[]")
        port = int(re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host", answer)[1])
        self.relay = LossyRelay(("127.0.0.1", port))
        self.relay.__enter__()
        return answer.replace(f" 127.0.0.1 {port} ", f" 127.0.0.1 {self.relay.address[1]} ")

    async def close(self) -> None:
        await super().close()
        if self.relay is not None:
            self.relay.__exit__()

    def slow_down(self, loss: float) -> None:
        """A radio network: 60 ms there and back, and some of everything is lost or overtaken."""
        for link in (self.relay.to_server, self.relay.to_client):
            link.delay_s, link.loss, link.reordered = 0.03, loss, loss / 5

    async def available(self) -> float:
        """What the page believes that it may send, in bit/s."""
        return float(await aside(self.relative.evaluate, AVAILABLE) or 0)

    async def told(self, true, what: str) -> LegStats:
        """The worker's counters of the page's leg, once they are as they should be."""
        found: list[LegStats] = []

        def look() -> bool:
            found[:] = [each[1].outside for each in self.control.told if each[0] == "stats" and true(each[1].outside)]
            return bool(found)

        await until(look, what, within=40.0)
        return found[-1]


AVAILABLE = """pc.getStats().then(report => {
  const pairs = [...report.values()].filter(each => each.type === 'candidate-pair' && each.nominated);
  return pairs.length ? pairs[0].availableOutgoingBitrate : 0;
})"""


@stage(mode=1, made_of=FarAway)
async def test_with_5_percent_lost_each_way_picture_and_sound_go_on_and_what_was_lost_is_repaired(stage):
    await stage.join()
    await stage.gateway.bridge("c1", time.monotonic() + 100)
    before = await aside(stage.relative.wait_frames, 60)
    passed = len(stage.relayed(Kind.VIDEO))
    stage.slow_down(0.05)
    after = await aside(stage.relative.wait_frames, before.frames + 300, 40.0)
    heard = await aside(stage.relative.wait_heard, -40.0)
    stats = await stage.told(
        lambda leg: leg.video_sent.resent > 10 and leg.video_received.resent > 10, "packets were sent again both ways"
    )
    await until(lambda: len(stage.relayed(Kind.VIDEO)) > passed + 600, "the phone sees")
    manifest = decode(await stage.gateway.close_call("c1", "relative_hung_up"))
    packets = [packet for _, packet in stage.relayed(Kind.VIDEO) if packet[12] & 0x1F != 9]
    numbers = sorted({int.from_bytes(packet[2:4], "big") for packet in packets})
    outside = next(track for track in manifest.tracks if track.name == "outside-video")
    assert min(stage.relay.to_server.dropped, stage.relay.to_client.dropped) > 20, "the network was bad"
    assert after.frozen_s - before.frozen_s < 4, "of 12 s or more"
    assert heard > -40
    assert len(numbers) > 0.99 * (numbers[-1] - numbers[0] + 1), "the phone misses next to nothing"
    assert stats.video_received.lost < 0.3 * stats.video_received.resent
    assert stats.pictures_asked < 10
    assert outside.frames > 200


@stage(mode=1, made_of=FarAway)
async def test_a_page_behind_a_link_that_takes_less_than_it_sends_sends_less_and_nothing_more_is_lost(stage):
    await stage.join()
    await stage.gateway.bridge("c1", time.monotonic() + 100)
    up = stage.relay.to_server
    stage.slow_down(0.0)
    while (wanted := await stage.available()) < 900_000:
        await shortly(0.5)
    octets, since = up.octets, time.monotonic()
    await shortly(2.0)
    sent = (up.octets - octets) * 8 / (time.monotonic() - since)
    up.rate = round(sent) - 100_000
    calm = 0
    for _ in range(40):
        dropped, frames = up.dropped, (await aside(stage.relative.sent)).frames
        await shortly(1.0)
        lost, made = up.dropped - dropped, (await aside(stage.relative.sent)).frames - frames
        calm = calm + 1 if lost == 0 and made > 0 and await stage.available() < wanted else 0
        if calm == 3:
            break
    assert up.dropped > 0, "the link was too narrow"
    assert calm == 3, "three seconds in which a picture came and nothing was lost"
    assert await stage.available() < wanted
    seen = await aside(stage.relative.seen)
    assert seen.lost == 0, "the other direction is not touched"
