"""Metrics of the media: packets, pictures and recordings of both legs."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_JITTER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25)
_ROUND_TRIP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5)

LEGS = ("phone", "outside")


class Stream(Protocol):
    """Counters of one direction of one kind on one leg, as a media worker tells them."""

    @property
    def packets(self) -> int:
        """Since the leg began."""

    @property
    def bytes(self) -> int:
        """Since the leg began."""

    @property
    def lost(self) -> int:
        """Since the leg began."""

    @property
    def jitter_ms(self) -> float:
        """Now."""

    @property
    def keyframes(self) -> int:
        """Since the leg began."""

    @property
    def asked_again(self) -> int:
        """Since the leg began."""

    @property
    def resent(self) -> int:
        """Since the leg began."""

    @property
    def freezes(self) -> int:
        """Since the leg began."""

    @property
    def frozen_ms(self) -> int:
        """Since the leg began."""


class Leg(Protocol):
    """Counters of one leg."""

    @property
    def audio_received(self) -> Stream:
        """What its sender sent us."""

    @property
    def video_received(self) -> Stream:
        """What its sender sent us."""

    @property
    def audio_sent(self) -> Stream:
        """What we sent it."""

    @property
    def video_sent(self) -> Stream:
        """What we sent it."""

    @property
    def round_trip_ms(self) -> float:
        """Now; 0 where unknown."""

    @property
    def dropped_strangers(self) -> int:
        """Since the leg began."""

    @property
    def dropped_invalid(self) -> int:
        """Since the leg began."""

    @property
    def pictures_asked(self) -> int:
        """Since the leg began."""

    @property
    def pictures_wanted(self) -> int:
        """Since the leg began."""


class Recorder(Protocol):
    """Counters of one recorder."""

    @property
    def queued(self) -> int:
        """Now."""

    @property
    def written_bytes(self) -> int:
        """Since it began."""

    @property
    def gaps(self) -> int:
        """Since it began."""

    @property
    def left_out(self) -> int:
        """Pictures, since it began."""


class Stats(Protocol):
    """Counters of one call: `gateway.stats.CallStats` has this shape, and the gateway is not ours to import."""

    @property
    def call(self) -> str:
        """Its id."""

    @property
    def phone(self) -> Leg:
        """The phone's leg."""

    @property
    def outside(self) -> Leg:
        """The browser's leg."""

    @property
    def recorder(self) -> Recorder | None:
        """None on a confidential line."""

    @property
    def not_converted(self) -> int:
        """Packets for a transcoder that took none."""


class MediaMetrics:
    """Legs and recorders: counters of running calls, added up over all calls there ever were."""

    def __init__(self, registry: CollectorRegistry) -> None:
        stream = ["leg", "kind", "direction"]
        self._streams = {
            "packets": Counter("avisiod_rtp_packets", "RTP packets.", stream, registry=registry),
            "bytes": Counter("avisiod_rtp_bytes", "RTP bytes; their rate is the bitrate.", stream, registry=registry),
            "lost": Counter("avisiod_rtp_lost_packets", "Expected and not received.", stream, registry=registry),
            "keyframes": Counter("avisiod_keyframes", "Complete pictures.", stream, registry=registry),
            "asked_again": Counter(
                "avisiod_rtp_asked_again_packets", "Missed and asked for by NACK.", stream, registry=registry
            ),
            "resent": Counter("avisiod_rtp_resent_packets", "Sent again on a NACK.", stream, registry=registry),
        }
        self._jitter = Histogram(
            "avisiod_rtp_jitter_seconds",
            "Interarrival jitter, one sample for each report of a call.",
            ["leg", "kind", "direction"],
            buckets=_JITTER_BUCKETS,
            registry=registry,
        )
        self._round_trip = Histogram(
            "avisiod_round_trip_seconds",
            "Round trip to the party, one sample for each report of a call.",
            ["leg"],
            buckets=_ROUND_TRIP_BUCKETS,
            registry=registry,
        )
        self._dropped = Counter(
            "avisiod_dropped_datagrams",
            "Datagrams that were not let in: stranger (wrong source) or invalid.",
            ["leg", "why"],
            registry=registry,
        )
        self._asked = Counter("avisiod_pictures_asked", "Keyframe requests sent.", ["leg"], registry=registry)
        self._wanted = Counter("avisiod_pictures_wanted", "Keyframe requests heard.", ["leg"], registry=registry)
        self._freezes = Counter(
            "avisiod_picture_freezes",
            "Times that a leg's picture broke: a packet was lost for good while it was whole.",
            ["leg"],
            registry=registry,
        )
        self._frozen = Counter(
            "avisiod_picture_frozen_seconds",
            "How long broken pictures lasted, until the next keyframe.",
            ["leg"],
            registry=registry,
        )
        self._queued = Gauge(
            "avisiod_recorder_queue_packets",
            "Packets that wait for a recorder, the longest queue.",
            registry=registry,
        )
        self._written = Counter("avisiod_recorded_bytes", "Bytes written by recorders.", registry=registry)
        self._gaps = Counter("avisiod_recording_gaps", "Gaps in recordings.", registry=registry)
        self._left_out = Counter(
            "avisiod_recording_pictures_left_out",
            "Whole pictures that are in no recording since they build on one that is missing.",
            registry=registry,
        )
        self._not_converted = Counter(
            "avisiod_not_converted_packets",
            "Packets that a transcoder did not take, or no RTP from it.",
            registry=registry,
        )
        self._seen: dict[str, dict[tuple[str, ...], int]] = {}
        self._queues: dict[str, int] = {}
        for leg in LEGS:
            for why in ("stranger", "invalid"):
                self._dropped.labels(leg, why)
            for counter in (self._asked, self._wanted, self._freezes, self._frozen):
                counter.labels(leg)

    def stats(self, stats: Stats) -> None:
        """Take a call's counters; what was counted before is not counted twice."""
        for name, leg in (("phone", stats.phone), ("outside", stats.outside)):
            self._leg(stats.call, name, leg)
        self._add(stats.call, self._not_converted, (), "not_converted", stats.not_converted)
        if stats.recorder is not None:
            self._add(stats.call, self._written, (), "recorded", stats.recorder.written_bytes)
            self._add(stats.call, self._gaps, (), "gaps", stats.recorder.gaps)
            self._add(stats.call, self._left_out, (), "left_out", stats.recorder.left_out)
            self._queues[stats.call] = stats.recorder.queued
            self._queued.set(max(self._queues.values()))

    def forget(self, call: str) -> None:
        """The call is over and its last counters were taken."""
        self._seen.pop(call, None)
        self._queues.pop(call, None)
        self._queued.set(max(self._queues.values(), default=0))

    def _leg(self, call: str, name: str, leg: Leg) -> None:
        streams = {
            ("audio", "received"): leg.audio_received,
            ("video", "received"): leg.video_received,
            ("audio", "sent"): leg.audio_sent,
            ("video", "sent"): leg.video_sent,
        }
        for (kind, direction), stream in streams.items():
            labels = (name, kind, direction)
            for what, counter in self._streams.items():
                self._add(call, counter, labels, what, getattr(stream, what))
            if stream.packets and stream.jitter_ms > 0:
                self._jitter.labels(*labels).observe(stream.jitter_ms / 1000)
        if leg.round_trip_ms > 0:
            self._round_trip.labels(name).observe(leg.round_trip_ms / 1000)
        self._add(call, self._dropped, (name, "stranger"), "stranger", leg.dropped_strangers)
        self._add(call, self._dropped, (name, "invalid"), "invalid", leg.dropped_invalid)
        self._add(call, self._asked, (name,), "asked", leg.pictures_asked)
        self._add(call, self._wanted, (name,), "wanted", leg.pictures_wanted)
        self._add(call, self._freezes, (name,), "freezes", leg.video_received.freezes)
        self._add(call, self._frozen, (name,), "frozen", leg.video_received.frozen_ms, 0.001)

    def _add(
        self, call: str, counter: Counter, labels: tuple[str, ...], what: str, total: int, unit: float = 1
    ) -> None:
        """Add what is new. A total that went back belongs to a leg that began anew: all of it is new."""
        seen = self._seen.setdefault(call, {})
        before = seen.get((what, *labels), 0)
        seen[(what, *labels)] = total
        new = total - before if total >= before else total
        (counter.labels(*labels) if labels else counter).inc(max(0, new) * unit)
