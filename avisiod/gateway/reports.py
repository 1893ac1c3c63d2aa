"""Sender and receiver reports of one stream pair on one leg (RFC 3550 section 6.4). Pure.

NTP times are of the monotonic clock, which the RFC allows (section 4): no step of the wall clock reaches the peers,
and all streams of this machine share the clock, so that receivers can bring sound and picture together.
"""

from typing import Protocol

from avisiod.gateway import rtcp
from avisiod.gateway.leg import Kind
from avisiod.gateway.reception import Reception
from avisiod.gateway.stats import StreamStats

FIRST_S = 0.5
INTERVAL_S = 5.0
"""Between reports (RFC 3550 section 6.2); the first comes early: sound and picture are in sync only after it."""

_MASK = 0xFFFFFFFF


class Outgoing(Protocol):
    """A stream that we send."""

    ssrc: int
    packets: int
    octets: int
    """Payload."""

    def timestamp_at(self, now: float) -> int:
        """What the stream's RTP clock shows at `now`."""


def ntp(now: float) -> int:
    """A monotonic time as 64 bits of NTP: seconds in units of 2^-32 s."""
    return int(now * 4294967296) & 0xFFFFFFFFFFFFFFFF


class Reports:
    """Makes our reports to a peer about one kind of media, and reads the peer's about what we send it."""

    def __init__(self, kind: Kind, clock_rate: int, cname: str, outgoing: Outgoing, reception: Reception, now: float):
        """`clock_rate` is that of the codec in both directions."""
        self.round_trip_s = 0.0
        """As the peer's last report tells it; 0 while unknown."""
        self.fraction_lost = 0.0
        """Of what we send, 0 to 1, in the peer's last report."""
        self.reported_at = float("-inf")
        """When that report came."""
        self._kind = kind
        self._rate = clock_rate
        self._cname = cname
        self._outgoing = outgoing
        self._reception = reception
        self._due = now + FIRST_S
        self._reported_packets = 0
        self._peer_lost = 0
        self._peer_jitter = 0

    def due(self, now: float) -> bool:
        """Whether `make` should be called."""
        return now >= self._due

    def make(self, now: float, timestamp: int | None = None) -> bytes:
        """The compound report: SR where we have sent since the last one, else RR; block of what came; CNAME.

        `timestamp` is the RTP time of the outgoing stream at `now` where it is better known than by the stream
        itself (`SenderClock`).
        """
        self._due = now + INTERVAL_S
        block = self._reception.block(now)
        blocks = (block,) if block is not None else ()
        out = self._outgoing
        report: rtcp.SenderReport | rtcp.ReceiverReport
        if out.packets > self._reported_packets:
            self._reported_packets = out.packets
            report = rtcp.SenderReport(
                ssrc=out.ssrc,
                ntp=ntp(now),
                rtp=out.timestamp_at(now) if timestamp is None else timestamp & _MASK,
                packets=out.packets,
                octets=out.octets,
                blocks=blocks,
            )
        else:
            report = rtcp.ReceiverReport(ssrc=out.ssrc, blocks=blocks)
        return rtcp.build(report, rtcp.SourceDescription(cnames=((out.ssrc, self._cname),)))

    def goodbye(self, now: float) -> bytes:
        """The last compound of a leg that is closed."""
        return self.make(now) + rtcp.build(rtcp.Goodbye(ssrcs=(self._outgoing.ssrc,)))

    def heard(self, report: rtcp.SenderReport | rtcp.ReceiverReport, now: float) -> None:
        """A report of the peer; blocks about other streams than ours are passed over."""
        if isinstance(report, rtcp.SenderReport):
            self._reception.heard_report(report, now)
        for block in report.blocks:
            if block.ssrc == self._outgoing.ssrc:
                self._peer_lost = block.lost
                self._peer_jitter = block.jitter
                self.fraction_lost = block.fraction_lost / 256
                self.reported_at = now
                self._measure(block, now)

    def received(self) -> StreamStats:
        """What the peer sent us."""
        return self._reception.stats()

    def sent(self) -> StreamStats:
        """What we sent the peer, loss and jitter as it reports them."""
        return StreamStats(
            packets=self._outgoing.packets,
            bytes=self._outgoing.octets,
            lost=max(self._peer_lost, 0),
            jitter_ms=self._peer_jitter * 1000 / self._rate,
        )

    def _measure(self, block: rtcp.ReportBlock, now: float) -> None:
        """Round trip by LSR and DLSR (RFC 3550 section 6.4.1): now less both, in units of 1/65536 s."""
        if not block.last_sr:
            return
        trip = ((ntp(now) >> 16) - block.last_sr - block.delay_since_last_sr) & _MASK
        if trip < 0x80000000:  # a wrong DLSR would make it negative
            self.round_trip_s = trip / 65536


class SenderClock:
    """A sender's own relation of sound to picture, told by its sender reports, on our clock.

    Sound and picture reach us with different delays. The sender's reports tie both to its one clock; one fixed offset
    carries that over to ours, so that what we report on keeps the sender's lip sync. Reset when the sender changes.
    """

    ADJUST_S = 0.5
    """A sender's clock that drifts or steps further than this against ours is taken anew."""

    def __init__(self, clock_rates: dict[Kind, int]) -> None:
        self._rates = clock_rates
        self._offset: float | None = None
        self._known: dict[Kind, tuple[int, float, int]] = {}

    def heard(self, kind: Kind, report: rtcp.SenderReport, now: float) -> None:
        """An SR of the sender; one without NTP time (zero) tells nothing."""
        if not report.ntp:
            return
        seconds = report.ntp / 4294967296
        if self._offset is None or abs(now - seconds - self._offset) > self.ADJUST_S:
            self._offset = now - seconds
        if any(ssrc != report.ssrc for known, (ssrc, _, _) in self._known.items() if known is kind):
            self._known.clear()
        self._known[kind] = report.ssrc, seconds, report.rtp

    def timestamp_at(self, kind: Kind, ssrc: int, now: float) -> int | None:
        """What the RTP clock of the sender's stream shows at `now`; None until every kind has been told of.

        Also None for a kind that the sender has not, such as the picture of a page that has sound only.
        """
        known = self._known.get(kind)
        if self._offset is None or self._known.keys() != self._rates.keys() or known is None or known[0] != ssrc:
            return None
        _, seconds, timestamp = known
        return (timestamp + round((now - self._offset - seconds) * self._rates[kind])) & _MASK
