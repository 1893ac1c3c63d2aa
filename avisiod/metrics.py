"""Prometheus metrics of the control process, in a registry of their own. No call, number or person is a label."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from avisiod import compiled
from avisiod.calls.call import State
from avisiod.calls.reasons import EndReason
from avisiod.clock import Clock, Timer

_SETUP_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300)
_JITTER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25)
_ROUND_TRIP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

STAGES = ("sms", "code", "join")
"""Of setting up: dialled to SMS accepted, SMS accepted to code accepted, code accepted to connected."""
PIN_ANSWERS = ("right", "wrong", "locked")
LEGS = ("phone", "outside")
WORKER_KINDS = ("sip", "media", "transcode")
NOT_SHOWN = ("incomplete", "undecodable", "awaiting", "late", "surplus", "overrun", "link_full")
"""Why a transcoder left something out. Frames: a packet of it was lost; no decoder takes it; it builds on one that is
missing; the processor was too slow, from here to the next keyframe, or for this one. Packets: they came faster than
they were taken, by the transcoder or by the media worker."""
PORTAL_REFUSALS = ("connection", "page", "origin", "request", "dawdling", "frame", "message", "too_fast")
SIP_REFUSALS = ("not_edge", "no_dialogue", "body", "unreadable")
COUNTER_REFUSALS = ("denied", "refused", "failed")
DOORS = (
    *(("portal", why) for why in PORTAL_REFUSALS),
    *(("sip", why) for why in SIP_REFUSALS),
    *(("counter", why) for why in COUNTER_REFUSALS),
)
"""Where something is turned away, and why: see `avisiod_refused`."""


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


class Metrics:
    """Everything that is measured. Methods return at once and never raise for a value that is out of the ordinary."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        hot_path = "compiled" if compiled.form().startswith("compiled") else "plain"
        Info("avisiod_build", "The program that runs; a plain hot path costs a third more.", registry=registry).info(
            {"version": version("avisiod"), "hot_path": hot_path}
        )
        self._calls = Gauge("avisiod_calls", "Calls by state.", ["state"], registry=registry)
        self._ended = Counter(
            "avisiod_calls_ended", "Ended calls by reason, and who caused it.", ["reason", "cause"], registry=registry
        )
        self._connected = Counter(
            "avisiod_connected_seconds", "Time in which both parties saw and heard each other.", registry=registry
        )
        self._capacity = Gauge("avisiod_calls_capacity", "Calls at once that are allowed.", registry=registry)
        self._setup = Histogram(
            "avisiod_setup_seconds",
            "Stages of setting up: sms (dialled to accepted by the network), code (to typed), join (to connected).",
            ["stage"],
            buckets=_SETUP_BUCKETS,
            registry=registry,
        )
        self._codes = Counter(
            "avisiod_codes_tried", "Codes that were typed, by answer.", ["answer"], registry=registry
        )
        self._pins = Counter(
            "avisiod_pins_tried",
            "Identifiers and PINs that were typed on shared phones.",
            ["answer"],
            registry=registry,
        )
        self._unpriced = Counter(
            "avisiod_calls_unpriced",
            "Calls that are free because no tariff is set for their class.",
            registry=registry,
        )
        self._store = Gauge("avisiod_store_up", "1 when the database takes writes.", registry=registry)
        self._lag = Histogram(
            "avisiod_loop_lag_seconds",
            "How late the control loop runs what is due.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.media = _Media(registry)
        self.world = _World(registry)
        self.conversions = _Conversions(registry)
        self._make_series()

    def _make_series(self) -> None:
        """Every series is there from the start: a rate over one that appears with its first event misses it."""
        for state in State:
            self._calls.labels(state.value)
        for reason in EndReason:
            self._ended.labels(reason.value, reason.cause.value)
        for stage in STAGES:
            self._setup.labels(stage)
        for answer in PIN_ANSWERS:
            self._pins.labels(answer)

    def call_moved(self, before: State | None, after: State) -> None:
        """A call changed its state; `before` is None for a new one. An ended one leaves the gauge."""
        if before is not None:
            self._calls.labels(before.value).dec()
        if after is not State.ENDED:
            self._calls.labels(after.value).inc()

    def call_ended(self, reason: EndReason, connected_s: float) -> None:
        """A call ended."""
        self._ended.labels(reason.value, reason.cause.value).inc()
        self._connected.inc(max(0.0, connected_s))

    def stage(self, name: str, seconds: float) -> None:
        """A stage of STAGES took so long. ValueError on another name: labels are a closed list."""
        if name not in STAGES:
            raise ValueError(f"{name!r} is not a stage of setting up")
        self._setup.labels(name).observe(max(0.0, seconds))

    def capacity(self, calls: int) -> None:
        """So many calls at once are allowed."""
        self._capacity.set(calls)

    def code_tried(self, answer: str) -> None:
        """A code was typed; `answer` as in `calls.invitation.Answer` (right, wrong, expired, …)."""
        self._codes.labels(answer).inc()

    def pin_tried(self, answer: str) -> None:
        """Somebody said who they are; `answer` is one of PIN_ANSWERS."""
        self._pins.labels(answer).inc()

    def unpriced(self) -> None:
        """A call is free for want of a tariff."""
        self._unpriced.inc()

    def store_up(self, *, up: bool) -> None:
        """Whether the database takes writes."""
        self._store.set(up)

    def loop_lag(self, seconds: float) -> None:
        """Something due ran so late."""
        self._lag.observe(max(0.0, seconds))


class _Conversions:
    """Calls whose pictures are converted, and the transcoders."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Gauge("avisiod_transcoded_calls", "Calls whose pictures are converted.", registry=registry)
        self._refused = Counter(
            "avisiod_transcoding_refused",
            "Pages without H.264 that had sound only, for want of a transcoder.",
            registry=registry,
        )
        self._pictures = Counter(
            "avisiod_transcoded_pictures", "Pictures made by transcoders.", ["towards"], registry=registry
        )
        self._dropped = Counter(
            "avisiod_transcoder_dropped", "Frames and packets that were not shown.", ["why"], registry=registry
        )
        self._seen: dict[tuple[int, str], int] = {}
        self._refused_before = 0
        for towards in ("phone", "page"):
            self._pictures.labels(towards)
        for why in NOT_SHOWN:
            self._dropped.labels(why)

    def looked(self, converted: int, refused: int) -> None:
        """So many calls are converted now; so many were refused since the start."""
        self._calls.set(converted)
        self._refused.inc(max(0, refused - self._refused_before))
        self._refused_before = refused

    def counted(self, worker: int, pictures: Mapping[str, int], dropped: Mapping[str, int]) -> None:
        """Counters of a transcoder since it started; one that starts again begins at 0."""
        for towards in ("phone", "page"):
            self._add(self._pictures.labels(towards), worker, towards, pictures.get(towards, 0))
        for why in NOT_SHOWN:
            self._add(self._dropped.labels(why), worker, why, dropped.get(why, 0))

    def _add(self, counter: Counter, worker: int, what: str, total: int) -> None:
        before = self._seen.get((worker, what), 0)
        counter.inc(total - before if total >= before else total)
        self._seen[worker, what] = total


class _Media:
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


class _World:
    """What is outside of the calls: disk, modem, phones, workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._disk = Gauge("avisiod_disk_free_bytes", "Free where recordings are written.", registry=registry)
        self._modem = Gauge("avisiod_modem_usable", "1 when a message can be tried now.", registry=registry)
        self._signal = Gauge(
            "avisiod_modem_signal_dbm", "Strength of the modem's signal; NaN when unknown.", registry=registry
        )
        self._sms = Counter("avisiod_sms", "Messages by result: sent or failed.", ["result"], registry=registry)
        self._sms_seconds = Histogram(
            "avisiod_sms_seconds", "From handing over to acceptance.", buckets=_SETUP_BUCKETS, registry=registry
        )
        self._phones = Gauge(
            "avisiod_phones", "Phones by registration: registered or not.", ["registered"], registry=registry
        )
        self._up = Gauge("avisiod_workers_up", "Workers that serve.", ["kind"], registry=registry)
        self._restarts = Counter(
            "avisiod_worker_restarts", "Workers that ended unasked.", ["kind"], registry=registry
        )
        self._replaced = Counter(
            "avisiod_workers_replaced", "Workers replaced because they grew too large.", ["kind"], registry=registry
        )
        self._refused = Counter(
            "avisiod_refused",
            "Turned away. At the portal: no place (connection, page), of another site (origin), requests that no "
            "browser makes (request), connections that dawdle (dawdling), WebSocket frames against the rules or "
            "too many (frame), messages that say nothing or come at the wrong time (message) or too fast (too_fast). "
            "At a SIP worker: INVITEs past the edge (not_edge), without a free dialogue there (no_dialogue), whose "
            "body is no session description (body), messages that cannot be read (unreadable). At the counter of "
            "staff: users who may not use avisioctl (denied), requests refused or failed (refused, failed).",
            ["door", "why"],
            registry=registry,
        )
        self._refusals = dict.fromkeys(DOORS, 0)
        self._signal.set(float("nan"))
        for door in DOORS:
            self._refused.labels(*door)
        for result in ("sent", "failed"):
            self._sms.labels(result)
        for kind in WORKER_KINDS:
            self._up.labels(kind)
            self._restarts.labels(kind)
            self._replaced.labels(kind)

    def disk_free(self, free_bytes: int) -> None:
        """Free space where recordings are written."""
        self._disk.set(free_bytes)

    def modem(self, *, usable: bool, signal_dbm: int | None) -> None:
        """The modem's state."""
        self._modem.set(usable)
        self._signal.set(float("nan") if signal_dbm is None else signal_dbm)

    def sms_sent(self, seconds: float) -> None:
        """The network accepted a message, so long after it was handed over."""
        self._sms.labels("sent").inc()
        self._sms_seconds.observe(max(0.0, seconds))

    def sms_failed(self) -> None:
        """No route could send a message."""
        self._sms.labels("failed").inc()

    def phones(self, *, registered: int, listed: int) -> None:
        """How many phones of the inventory are registered at the edge."""
        self._phones.labels("yes").set(registered)
        self._phones.labels("no").set(max(0, listed - registered))

    def workers_up(self, counts: Mapping[str, int]) -> None:
        """How many workers of each of WORKER_KINDS serve."""
        for kind in WORKER_KINDS:
            self._up.labels(kind).set(counts.get(kind, 0))

    def refused(self, door: str, why: str, total: int) -> None:
        """So much was turned away there since the start. KeyError on what is not in DOORS."""
        new = total - self._refusals[door, why]
        self._refusals[door, why] = total
        self._refused.labels(door, why).inc(max(0, new))

    def worker_restarted(self, kind: str) -> None:
        """A worker ended unasked and is started again. ValueError on a kind that is not of WORKER_KINDS."""
        if kind not in WORKER_KINDS:
            raise ValueError(f"{kind!r} is not a kind of worker")
        self._restarts.labels(kind).inc()

    def worker_replaced(self, kind: str) -> None:
        """A worker grew too large and was replaced. ValueError on a kind that is not of WORKER_KINDS."""
        if kind not in WORKER_KINDS:
            raise ValueError(f"{kind!r} is not a kind of worker")
        self._replaced.labels(kind).inc()


LOOP_LOOK_S = 0.5


def watch_loop(clock: Clock, metrics: Metrics) -> Callable[[], None]:
    """Measure the control loop's lag twice a second; call what is returned to stop."""
    timer: Timer | None = None
    stopped = False

    def look(due: float) -> None:
        nonlocal timer
        if stopped:
            return
        now = clock.now()
        metrics.loop_lag(now - due)
        again = now + LOOP_LOOK_S
        timer = clock.call_at(again, lambda: look(again))

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if timer is not None:
            timer.cancel()

    look(clock.now())
    return stop
