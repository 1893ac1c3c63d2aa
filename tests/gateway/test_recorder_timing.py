"""One clock for all: whatever the sources' clocks say, what happened together lies together in the file."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from avisiod.gateway.depacketizer import Frame
from avisiod.gateway.leg import Codec, Kind
from avisiod.gateway.recorder import TEND_S, Recorder
from avisiod.gateway.recording_track import Track, TrackFormat
from avisiod.gateway.timeline import TrackClock
from tests.gateway.recording_rig import facts, read
from tests.gateway.rtp_source import H264, OPUS, PCMA, rtp

APART_S = 0.040
SECONDS = 60


@pytest.fixture(autouse=True)
def a_minute_in_an_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk keeps up with simulated time."""
    monkeypatch.setattr("avisiod.gateway.recorder.MAX_QUEUED", 10_000)


class Source(NamedTuple):
    """One sender's stream: what was captured at `t` carries a time of its own clock and arrives a while later."""

    track: Track
    codec: Codec
    every_s: float
    rtp_at_zero: int
    ntp_at_zero: float
    skew: float
    delay_s: float
    """From capture to the gateway at best: encoding and network."""
    jitter_s: float

    def rtp_time(self, t: float) -> int:
        return round(self.rtp_at_zero + t * (1 + self.skew) * self.codec.clock_rate)

    def ntp(self, t: float) -> float:
        return self.ntp_at_zero + t * (1 + self.skew)

    def packets(self, rng: random.Random) -> Iterator[tuple[float, bytes]]:
        """Arrival (never out of order) and packet of each moment."""
        arrival = 0.0
        for index in range(int(SECONDS / self.every_s)):
            t = index * self.every_s
            arrival = max(arrival, t + self.delay_s + rng.expovariate(1 / self.jitter_s))
            payload = b"\x65\x88" + index.to_bytes(4, "big") if self.track.kind is Kind.VIDEO else b"\xf8" + bytes(40)
            packet = rtp(index, self.rtp_time(t), payload, pt=self.codec.payload_type, ssrc=1, marker=True)
            yield arrival, packet


PHONE = (
    Source(Track.PHONE_AUDIO, PCMA, 0.02, 2**32 - 9000, 1000.0, 1e-4, 0.010, 0.002),
    Source(Track.PHONE_VIDEO, H264, 0.04, 77, 1000.0, 1e-4, 0.090, 0.004),
)
OUTSIDE = (
    Source(Track.OUTSIDE_AUDIO, OPUS, 0.02, 123456, 3.9e9, -1e-4, 0.030, 0.015),
    Source(Track.OUTSIDE_VIDEO, H264, 1 / 30, 2**31, 3.9e9, -1e-4, 0.150, 0.020),
)


def record(folder: Path, sources: tuple[Source, ...], *, reports: bool) -> dict[str, list[float]]:
    """Run the sources through a recorder in simulated time; return the times of every track's frames."""
    formats = tuple(TrackFormat(track=source.track, codec=source.codec) for source in sources)
    failures: list[str] = []
    recorder = Recorder(folder / "call.mkv", formats, facts(0.0), keep_free_bytes=0, on_failure=failures.append)
    recorder.open()
    rng = random.Random(5)
    coming = [(arrival, source, packet) for source in sources for arrival, packet in source.packets(rng)]
    if reports:
        coming += [(1.0 + 5 * n + source.delay_s, source, None) for source in sources for n in range(SECONDS // 5)]
    wake = TEND_S
    for arrival, source, packet in sorted(coming, key=lambda entry: entry[0]):
        while arrival > wake:
            recorder.tend(wake)
            wake += TEND_S
        if packet is None:
            t = arrival - source.delay_s
            recorder.sender_report(source.track, source.ntp(t), source.rtp_time(t) & 0xFFFFFFFF, arrival)
        else:
            recorder.packet(source.track, packet, arrival)
    recorder.seal("limit_reached")
    assert failures == []
    return {name: [at for at, _ in packets] for name, packets in read(folder / "call.mkv").items()}


def errors(times: dict[str, list[float]], source: Source, since_s: float) -> list[float]:
    """How far each frame lies from the moment that it was captured."""
    found = times[source.track.value]
    assert len(found) == int(SECONDS / source.every_s)
    moments = [index * source.every_s for index in range(len(found))]
    return [at - moment for at, moment in zip(found, moments, strict=True) if moment >= since_s]


def test_all_four_tracks_lie_within_40_ms_of_each_other_by_sender_reports(tmp_path: Path) -> None:
    times = record(tmp_path, PHONE + OUTSIDE, reports=True)
    all_errors = [error for source in PHONE + OUTSIDE for error in errors(times, source, 5.0)]
    assert max(all_errors) - min(all_errors) < APART_S


def test_the_two_parties_sound_lies_within_40_ms_from_the_first_second_on_without_any_report(tmp_path: Path) -> None:
    sources = (PHONE[0], OUTSIDE[0])
    times = record(tmp_path, sources, reports=False)
    all_errors = [error for source in sources for error in errors(times, source, 0.0)]
    assert max(all_errors) - min(all_errors) < APART_S


def test_without_reports_pictures_lie_where_they_came_in(tmp_path: Path) -> None:
    times = record(tmp_path, PHONE, reports=False)
    assert errors(times, PHONE[1], 0.0) == pytest.approx([0.09] * (SECONDS * 25), abs=0.02)


def test_reports_of_a_clock_that_was_never_set_are_not_believed(tmp_path: Path) -> None:
    wrong = (PHONE[0], PHONE[1]._replace(ntp_at_zero=0.0))
    times = record(tmp_path, wrong, reports=True)
    assert errors(times, PHONE[1], 0.0) == pytest.approx([0.09] * (SECONDS * 25), abs=0.02)


def frame(rtp_s: float, arrival: float, *, epoch: int = 0) -> Frame:
    return Frame(round(rtp_s * 8000), arrival, (b"x",), True, epoch, 0, False)


def test_jitter_does_not_show_in_the_times() -> None:
    clock = TrackClock(8000)
    rng = random.Random(1)
    frames = [frame(n * 0.02, 100 + n * 0.02 + rng.choice((0.0, 0.0, 0.05, 0.1))) for n in range(500)]
    times = [at for n in range(0, 500, 10) for at in clock.times(frames[n : n + 10])]
    assert times == pytest.approx([100 + n * 0.02 for n in range(500)], abs=0.011)


def test_a_timestamp_that_stood_still_during_a_hold_goes_on_at_the_right_time() -> None:
    clock = TrackClock(8000)
    clock.times([frame(n * 0.02, 100 + n * 0.02) for n in range(50)])
    assert clock.times([frame(1.0, 161.0), frame(1.02, 161.02)]) == pytest.approx([161.0, 161.02])


def test_a_new_source_begins_where_it_arrives_and_leaves_the_old_one_s_last_frames_where_they_were() -> None:
    clock = TrackClock(8000)
    clock.times([frame(n * 0.02, 100 + n * 0.02) for n in range(50)])
    mixed = [frame(1.0, 101.0), frame(9999.0, 101.5, epoch=1), frame(9999.02, 101.52, epoch=1)]
    assert clock.times(mixed) == pytest.approx([101.0, 101.5, 101.52])


def test_what_was_held_up_in_the_network_is_put_back_in_its_place() -> None:
    clock = TrackClock(8000)
    clock.times([frame(n * 0.02, 100 + n * 0.02) for n in range(50)])
    stalled = [frame(1 + n * 0.02, max(102.5, 101 + n * 0.02)) for n in range(100)]
    assert clock.times(stalled)[80:] == pytest.approx([101 + n * 0.02 for n in range(80, 100)], abs=0.01)


@pytest.mark.parametrize("skew", [-2e-4, 2e-4])
def test_a_clock_that_runs_too_fast_or_too_slow_is_followed_for_a_whole_call(skew: float) -> None:
    clock = TrackClock(8000)
    times = [clock.times([frame(n * 0.1 * (1 + skew), n * 0.1)])[0] for n in range(12000)]
    assert times == pytest.approx([n * 0.1 for n in range(12000)], abs=0.005)


def test_a_backlog_of_several_seconds_does_not_leave_the_track_behind() -> None:
    clock = TrackClock(8000)
    clock.times([frame(n * 0.02, 100 + n * 0.02) for n in range(50)])
    clock.times([frame(1.0, 104.0)])
    clock.times([frame(1 + n * 0.02, 104.01) for n in range(1, 150)])
    assert clock.times([frame(4.1, 104.1)]) == pytest.approx([104.1], abs=0.1)


def test_the_times_of_a_track_always_grow(tmp_path: Path) -> None:
    recorder = Recorder(
        tmp_path / "call.mkv",
        (TrackFormat(track=Track.PHONE_AUDIO, codec=PCMA),),
        facts(0.0),
        keep_free_bytes=0,
        on_failure=lambda why: None,
    )
    recorder.open()
    rng = random.Random(3)
    for n in range(300):
        packet = rtp(n, rng.randrange(2**32) if rng.random() < 0.1 else n * 160, b"\xd5" * 160, pt=8, ssrc=n // 100)
        recorder.packet(Track.PHONE_AUDIO, packet, n * 0.02 + rng.random())
        if n % 10 == 9:
            recorder.tend(n * 0.02 + 1)
    recorder.seal("limit_reached")
    times = [at for at, _ in read(tmp_path / "call.mkv")["phone-audio"]]
    assert len(times) == 300
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
