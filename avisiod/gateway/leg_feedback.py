"""What one leg and we tell each other about the media: reports, keyframe requests, counters.

Feedback is answered here, never passed on: a receiver's report about our stream says nothing to the other leg's
sender. What crosses over is the wish for a picture. What is missing of the peer's video is asked for again where the
peer takes NACKs, and made up for by a keyframe where it does not come; what the peer misses of ours is sent again.
REMB tells a page, TMMBR a phone, how much video it may send: see `steering`. Without any REMB Chromium begins with a
quarter of a megabit and small pictures, and takes half a minute to find out that there is more (REMB is believed at
once in the first 2 s of its estimator).
"""

import logging
import math
from collections.abc import Callable

from avisiod.gateway import rtcp
from avisiod.gateway.keyframes import KeyframeRequests
from avisiod.gateway.leg import Kind, Leg, MediaLine
from avisiod.gateway.losses import REORDER_S, Losses
from avisiod.gateway.reception import Reception
from avisiod.gateway.relay import OutStream
from avisiod.gateway.reports import Reports, SenderClock
from avisiod.gateway.retransmission import Retransmission
from avisiod.gateway.stats import LegStats, StreamStats
from avisiod.gateway.steering import Steering

log = logging.getLogger(__name__)

CNAME = "avisiod"
NTP_UNIT = 4294967296
"""Units of NTP in a second."""

OFTEN_S = 1.0
"""Between reports to a peer that steers its bitrate by them (RFC 4585 section 3.4 allows it)."""

LIMIT_VALID_S = 15.0
"""A peer that stopped telling how much it takes has no limit any more; browsers tell every second."""

GAP_PICTURE_S = 1.0
"""Between two keyframes asked for because of losses: where many packets are lost, large pictures make more of it."""

Later = Callable[[float, Callable[[float], None]], object]
"""Calls the function with the time then, in so many seconds."""

Told = Callable[[Kind, float, int, float], None]
"""Takes the kind, NTP in seconds, RTP timestamp and arrival of a sender report."""


class LegFeedback:
    """The feedback of one leg. Methods are called from the loop; `tick` a few times a second."""

    def __init__(
        self, wants_picture: Callable[[], None], later: Later, info: Callable[[], None] | None = None
    ) -> None:
        """`wants_picture`: the peer asks for a keyframe; `info` has a SIP INFO sent, where the leg has SIP."""
        self._wants_picture = wants_picture
        self._later = later
        self._info = info
        self._leg: Leg | None = None
        self._streams: dict[Kind, OutStream] = {}
        self._receptions: dict[Kind, Reception] = {}
        self._rates: dict[Kind, int] = {}
        self._steering: Steering | None = None
        self._told_bitrate = 0
        self._remb = False
        self._limit = 0
        self._limit_at = 0.0
        self._reports: dict[Kind, Reports] = {}
        self._keyframes: KeyframeRequests | None = None
        self._keyframes_before = 0
        self._retransmission: Retransmission | None = None
        self._looks_for_losses = False
        self._gap_picture_due = 0.0
        self._loss_taken_at = 0.0
        self.clock = SenderClock({})
        self.unreadable = 0
        """Compound packets that are none."""
        self.pictures_wanted = 0
        """Keyframe requests of the peer."""

    def follow(
        self,
        leg: Leg,
        lines: dict[Kind, MediaLine],
        streams: dict[Kind, OutStream],
        now: float,
        bitrate: int = 0,
    ) -> dict[Kind, Reception]:
        """What was agreed and what we send; returns what takes note of the packets of each kind.

        `bitrate` is what the peer's video may have at most, in bit/s, where the peer takes REMB or TMMBR; 0: nothing
        is said.
        """
        self._leg = leg
        for kind, line in lines.items():
            rate = line.codec.clock_rate
            if self._rates.get(kind) != rate or self._streams.get(kind) is not streams[kind]:
                self._rates[kind] = rate
                self._streams[kind] = streams[kind]
                self._receptions[kind] = Reception(kind, rate, vp8=line.codec.name == "VP8")
                self._reports[kind] = Reports(kind, rate, CNAME, streams[kind], self._receptions[kind], now)
                self.clock = SenderClock(self._rates)
        self._follow_video(lines.get(Kind.VIDEO))
        self._follow_bitrate(lines.get(Kind.VIDEO), bitrate)
        return self._receptions

    def _follow_video(self, line: MediaLine | None) -> None:
        if line is not None:
            self._follow_losses(line)
        if line is None:
            self._keyframes = None
        elif self._keyframes is None:
            self._keyframes = KeyframeRequests(
                line, self._streams[Kind.VIDEO].ssrc, CNAME, lambda packet: self._send(Kind.VIDEO, packet), self._info
            )
        else:
            self._keyframes.agree(line)

    def _follow_bitrate(self, line: MediaLine | None, bitrate: int) -> None:
        if line is None or not bitrate or not (line.remb or line.tmmbr):
            self._steering = None
            return
        self._remb = line.remb
        if self._steering is None or self._steering.reception is not self._receptions[Kind.VIDEO]:
            self._steering = Steering(self._receptions[Kind.VIDEO], bitrate)
        self._steering.ceiling = bitrate

    def _follow_losses(self, line: MediaLine) -> None:
        """Both ways: what we miss, and what the peer misses."""
        reception = self._receptions[Kind.VIDEO]
        if reception.losses is None:
            reception.losses = Losses(asks=line.nack)
            reception.on_gap = self._gap
            self._retransmission = None
        reception.losses.asks = line.nack
        if not line.nack:
            self._retransmission = None
        elif self._retransmission is None:
            self._retransmission = Retransmission(self._streams[Kind.VIDEO], line)
        else:
            self._retransmission.agree(line)

    def _gap(self, _: float) -> None:
        """Something is missing of the peer's video: soon it must be asked for."""
        if not self._looks_for_losses:
            self._looks_for_losses = True
            self._later(REORDER_S, self._look_for_losses)

    def _look_for_losses(self, now: float) -> None:
        self._looks_for_losses = False
        reception = self._receptions[Kind.VIDEO]
        losses = reception.losses
        if self._leg is None or losses is None or reception.ssrc is None:
            return
        lost = losses.look(reception.extended, now, self.round_trip_s)
        if lost:
            numbers = tuple(number & 0xFFFF for number in lost)
            own = self._streams[Kind.VIDEO].ssrc
            self._send_feedback(rtcp.Nack(sender=own, media=reception.ssrc, lost=numbers))
        self._mend(now)
        if losses.waits:
            self._looks_for_losses = True
            self._later(losses.next_look(now), self._look_for_losses)

    def _mend(self, now: float) -> None:
        """A gap that stays is made up for by a keyframe."""
        losses = self._receptions[Kind.VIDEO].losses
        if losses is not None and losses.broken and now >= self._gap_picture_due:
            self._gap_picture_due = now + GAP_PICTURE_S
            self.want_picture(now)

    @property
    def round_trip_s(self) -> float:
        """To the peer and back; 0 while unknown."""
        return max((reports.round_trip_s for reports in self._reports.values()), default=0.0)

    def _send(self, kind: Kind, packet: bytes) -> None:
        if self._leg is not None:
            self._leg.send_rtcp(kind, packet)

    def want_picture(self, now: float) -> None:
        """Ask this leg's sender for a keyframe, and again until one comes."""
        if self._keyframes is not None:
            self._keyframes_before = self._receptions[Kind.VIDEO].keyframes
            self._keyframes.want(now, self._receptions[Kind.VIDEO].ssrc)

    def tick(self, now: float, other: "LegFeedback | None") -> None:
        """Send the reports and requests that are due; `other` is the leg at the other end of our streams."""
        steering = self._steering
        tell = steering is not None and steering.look(now, *(other.takes(now) if other is not None else (0, 0.0)))
        often = tell and self._remb
        for kind, reports in self._reports.items():
            if often or reports.due(now):
                self._send(kind, reports.make(now, self._timestamp(kind, now, other)))
        if tell and steering is not None:
            self._tell_bitrate(steering.bitrate)
        keyframes = self._keyframes
        if keyframes is None:
            return
        self._mend(now)
        if keyframes.wanted:
            reception = self._receptions[Kind.VIDEO]
            if reception.keyframes != self._keyframes_before:
                keyframes.seen()
            else:
                keyframes.check(now, reception.ssrc)

    def takes(self, now: float) -> tuple[int, float]:
        """How much video the peer wants at most, in bit/s, 0 where it does not say; what share of it got lost."""
        limit = self._limit if now - self._limit_at < LIMIT_VALID_S else 0
        reports = self._reports.get(Kind.VIDEO)
        fresh = reports is not None and reports.reported_at > self._loss_taken_at
        self._loss_taken_at = now
        return limit, reports.fraction_lost if reports is not None and fresh else 0.0

    def _tell_bitrate(self, bitrate: int) -> None:
        """REMB each time, as it gets lost; before the sender's SSRC is known it names none, and applies all the same.

        TMMBR holds until the next one.
        """
        own, source = self._streams[Kind.VIDEO].ssrc, self._receptions[Kind.VIDEO].ssrc
        limit: rtcp.Packet
        if self._remb:
            limit = rtcp.Remb(sender=own, bitrate=bitrate, ssrcs=(source,) if source is not None else ())
        elif source is None or bitrate == self._told_bitrate:
            return
        else:
            limit = rtcp.Tmmbr(sender=own, media=source, bitrate=bitrate)
        self._told_bitrate = bitrate
        self._send_feedback(limit)

    def _send_feedback(self, packet: rtcp.Packet) -> None:
        """In a compound of its own (RFC 4585 section 3.1)."""
        own = self._streams[Kind.VIDEO].ssrc
        description = rtcp.SourceDescription(cnames=((own, CNAME),))
        self._send(Kind.VIDEO, rtcp.build(rtcp.ReceiverReport(ssrc=own), description, packet))

    def _timestamp(self, kind: Kind, now: float, sender: "LegFeedback | None") -> int | None:
        """Our stream's RTP time by the sender's own clock, where that is known."""
        stream = self._streams[kind]
        shift = stream.shift
        if sender is None or shift is None:
            return None
        timestamp = sender.clock.timestamp_at(kind, stream.source, now)
        return None if timestamp is None else timestamp + shift

    def heard(self, kind: Kind | None, compound: bytes, now: float, told: Told) -> None:
        """A compound packet of the peer."""
        try:
            packets = rtcp.parse(compound)
        except ValueError as error:
            self.unreadable += 1
            log.debug("RTCP passed over: %s", error)
            return
        for packet in packets:
            self._read(kind, packet, now, told)

    def _read(self, kind: Kind | None, packet: rtcp.Packet, now: float, told: Told) -> None:
        match packet:
            case rtcp.SenderReport():
                which = kind or self._kind_of(packet.ssrc)
                if which in self._reports:
                    self._reports[which].heard(packet, now)
                    self.clock.heard(which, packet, now)
                    if packet.ntp:
                        told(which, packet.ntp / NTP_UNIT, packet.rtp, now)
                self._hear_blocks(packet, which, now)
            case rtcp.ReceiverReport():
                self._hear_blocks(packet, None, now)
            case rtcp.Nack():
                self._resend(packet, now)
            case rtcp.Remb() if packet.bitrate and self._is_ours(packet.ssrcs):
                self._limit, self._limit_at = packet.bitrate, now
            case rtcp.Tmmbr() if packet.bitrate and self._is_ours((packet.media,)):
                self._limit, self._limit_at = packet.bitrate, math.inf
                self._send_feedback(
                    rtcp.Tmmbn(
                        sender=self._streams[Kind.VIDEO].ssrc,
                        asker=packet.sender,
                        bitrate=packet.bitrate,
                        overhead=packet.overhead,
                    )
                )
            case rtcp.PictureLoss() | rtcp.FullIntraRequest():
                self.pictures_wanted += 1
                self._wants_picture()

    def _is_ours(self, ssrcs: tuple[int, ...]) -> bool:
        video = self._streams.get(Kind.VIDEO)
        return video is not None and video.ssrc in ssrcs

    def _resend(self, nack: rtcp.Nack, now: float) -> None:
        retransmission, leg = self._retransmission, self._leg
        if retransmission is None or leg is None or nack.media != self._streams[Kind.VIDEO].ssrc:
            return
        for packet in retransmission.asked(nack.lost, now, self.round_trip_s):
            leg.send_rtp(Kind.VIDEO, packet)

    def _hear_blocks(self, report: rtcp.SenderReport | rtcp.ReceiverReport, done: Kind | None, now: float) -> None:
        """One report of a bundled peer may carry blocks about both of our streams."""
        if report.blocks:
            blocks = rtcp.ReceiverReport(ssrc=report.ssrc, blocks=report.blocks)
            for kind, reports in self._reports.items():
                if kind is not done:
                    reports.heard(blocks, now)

    def _kind_of(self, ssrc: int) -> Kind | None:
        return next((kind for kind, reception in self._receptions.items() if reception.ssrc == ssrc), None)

    def stop(self) -> None:
        """The leg is about to close: nothing is sent any more."""
        self._leg = None

    def goodbye(self, now: float) -> None:
        """Tell the peer that our streams end."""
        for kind, reports in self._reports.items():
            self._send(kind, reports.goodbye(now))

    def stats(self) -> LegStats:
        """Counters of the leg."""
        stats = LegStats(
            dropped_strangers=self._leg.dropped_strangers if self._leg is not None else 0,
            dropped_invalid=(self._leg.dropped_invalid if self._leg is not None else 0) + self.unreadable,
            pictures_asked=self._keyframes.asked if self._keyframes is not None else 0,
            pictures_wanted=self.pictures_wanted,
            round_trip_ms=self.round_trip_s * 1000,
        )
        nothing = StreamStats()
        audio, video = self._reports.get(Kind.AUDIO), self._reports.get(Kind.VIDEO)
        stats.audio_received, stats.audio_sent = (audio.received(), audio.sent()) if audio else (nothing, nothing)
        stats.video_received, stats.video_sent = (video.received(), video.sent()) if video else (nothing, nothing)
        if self._retransmission is not None:
            stats.video_sent.asked_again = self._retransmission.wanted
            stats.video_sent.resent = self._retransmission.resent
        return stats
