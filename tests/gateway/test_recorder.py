"""The recorder: every frame that was received, at its time, in a file that every player reads."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import msgspec
import pytest

from avisiod.gateway.leg import Codec, Kind
from avisiod.gateway.manifest import manifest_path, recording_facts, verify
from avisiod.gateway.recorder import MAX_QUEUED
from avisiod.gateway.recording_file import facts_path, part_path
from avisiod.gateway.recording_track import Track
from avisiod.gateway.sealing import manifests, seal_truncated
from avisiod.gateway.wire import RecorderUnavailable
from tests.gateway.recording_rig import FORMATS, Rig, decoded_frames, facts, one, probe, read
from tests.gateway.rtp_source import G722, H264, OPUS, PCMA, PCMU, pictures, rtp, video_packets

FRAMES = list(pictures(50))
PACKETS = video_packets(FRAMES)


def send_video(rig: Rig, track: Track, packets: list[list[bytes]] = PACKETS, start: float = 0.0) -> None:
    for index, frame in enumerate(packets):
        for packet in frame:
            rig.recorder.packet(track, packet, rig.at(start + index * 0.04))


def send_sound(rig: Rig, track: Track, codec: Codec, count: int = 100, size: int = 160) -> list[bytes]:
    head = b"\xf8" if codec is OPUS else b""  # one frame of 20 ms (RFC 6716 section 3.1)
    payloads = [head + bytes((index % 256,)) * (size - len(head)) for index in range(count)]
    step = codec.clock_rate // 50
    for index, payload in enumerate(payloads):
        packet = rtp(index, index * step, payload, pt=codec.payload_type)
        rig.recorder.packet(track, packet, rig.at(index * 0.02))
    return payloads


def test_four_tracks_come_back_byte_for_byte(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    for track in (Track.PHONE_VIDEO, Track.OUTSIDE_VIDEO):
        send_video(rig, track)
    phone = send_sound(rig, Track.PHONE_AUDIO, PCMA)
    outside = send_sound(rig, Track.OUTSIDE_AUDIO, OPUS)
    manifest = rig.recorder.seal("limit_reached")
    found = read(rig.path)
    assert [data for _, data in found["phone-audio"]] == phone
    assert [data for _, data in found["outside-audio"]] == outside
    stored = [b"".join(len(nal).to_bytes(4, "big") + nal for nal in frame) for frame in FRAMES]
    assert [data for _, data in found["phone-video"]] == stored
    assert [data for _, data in found["outside-video"]] == stored
    assert [track.frames for track in manifest.tracks] == [100, 50, 100, 50]
    assert rig.failures == []


@pytest.mark.parametrize("codec", [PCMA, PCMU, G722, OPUS])
def test_each_audio_codec_is_named_so_that_a_player_finds_its_decoder(tmp_path: Path, codec: Codec) -> None:
    rig = Rig(tmp_path, formats=one(Track.PHONE_AUDIO, codec))
    rig.recorder.open()
    payloads = send_sound(rig, Track.PHONE_AUDIO, codec)
    rig.recorder.seal("limit_reached")
    found = read(rig.path)["phone-audio"]
    assert [data for _, data in found] == payloads
    assert [at for at, _ in found] == pytest.approx([index * 0.02 for index in range(100)], abs=0.003)


def test_the_file_is_there_with_a_valid_header_before_any_media(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    assert part_path(rig.path).stat().st_size > 0
    assert not rig.path.exists()
    manifest = rig.recorder.seal("join_failed")
    assert manifest.tracks[0].frames == 0
    assert manifest.tracks[0].first_s is None
    assert verify(rig.path) == manifest


def test_the_manifest_tells_the_recording_and_no_more_than_pseudonyms(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    send_video(rig, Track.PHONE_VIDEO, [*PACKETS[:19], [], *PACKETS[20:]])
    manifest = rig.recorder.seal("relative_hung_up")
    told = json.loads(manifest_path(rig.path).read_bytes())
    assert told["file"] == "call.mkv"
    assert told["end_reason"] == "relative_hung_up"
    assert told["facts"]["phone"] == "cell-12"
    assert told["ended_at"] == "2026-03-01T12:00:01.960+00:00"
    assert not told["truncated"]
    [gap] = told["tracks"][1]["gaps"]
    assert (gap["from_s"], gap["to_s"], gap["lost_packets"]) == (0.72, 0.8, 1)
    assert told["tracks"][1]["frames"] == 49
    assert told["tracks"][1]["sizes"] == [{"at_s": 0.0, "width": 320, "height": 240}]
    assert verify(rig.path) == manifest
    assert rig.recorder.seal("again") == manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.mkv", "call.mkv.json"]


BROKEN = {
    "the recorder begins between two keyframes": (PACKETS[4:], [*range(10, 50)], 6),
    "a picture lacks a packet": ([*PACKETS[:20], PACKETS[20][:-1], *PACKETS[21:]], [*range(20), *range(30, 50)], 9),
    "a picture is missing": ([*PACKETS[:13], [], *PACKETS[14:]], [*range(13), *range(20, 50)], 6),
    "the picture before a keyframe is missing": ([*PACKETS[:19], [], *PACKETS[20:]], [*range(19), *range(20, 50)], 0),
    "another source begins between two keyframes": (
        [*PACKETS[:12], *video_packets(FRAMES[:19], ssrc=8)[13:], *video_packets(FRAMES, ssrc=8)[19:]],
        [*range(12), *range(20, 50)],
        7,
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_no_picture_is_recorded_that_builds_on_a_missing_one(tmp_path: Path, what: str) -> None:
    """A player makes something up for what is missing, and every picture until the next keyframe shows it."""
    packets, recorded, left_out = BROKEN[what]
    rig = Rig(tmp_path)
    rig.recorder.open()
    send_video(rig, Track.OUTSIDE_VIDEO, packets)
    rig.tend(rig.at(10))
    assert rig.recorder.stats.left_out == left_out
    track = rig.recorder.seal("limit_reached").tracks[3]
    found = [data for _, data in read(rig.path)["outside-video"]]
    assert found == [b"".join(len(nal).to_bytes(4, "big") + nal for nal in FRAMES[index]) for index in recorded]
    assert track.incomplete_frames == left_out + (what == "a picture lacks a packet")
    with av.open(str(rig.path)) as container:
        decoder = container.streams.video[1]
        decoder.codec_context.options = {"err_detect": "explode"}
        assert sum(1 for _ in container.decode(decoder)) == len(recorded)


def test_a_keyframe_is_lacking_as_long_as_pictures_are_left_out_for_want_of_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    packets = video_packets(list(pictures(100, key_every=50)))
    del packets[10]
    lacked = []
    for index, frame in enumerate(packets):
        for packet in frame:
            rig.recorder.packet(Track.OUTSIDE_VIDEO, packet, rig.at(index * 0.04))
        rig.tend(rig.at(index * 0.04 + 0.01))
        if rig.recorder.lacks_keyframe() == [Track.OUTSIDE_VIDEO]:
            lacked.append(index)
    assert 10 < min(lacked) < 30
    assert max(lacked) in (48, 49)
    assert len(lacked) == max(lacked) - min(lacked) + 1
    assert rig.recorder.seal("limit_reached").tracks[3].frames == 60


def test_a_manifest_does_not_fit_another_name_or_another_content(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    rig.recorder.seal("limit_reached")
    other = tmp_path / "other.mkv"
    shutil.copy(rig.path, other)
    shutil.copy(manifest_path(rig.path), manifest_path(other))
    with pytest.raises(ValueError, match="belongs to"):
        verify(other)
    text = manifest_path(rig.path).read_text()
    manifest_path(rig.path).write_text(text.replace("limit_reached", "staff_ended"))
    with pytest.raises(ValueError, match="changed"):
        verify(rig.path)
    manifest_path(rig.path).write_text(text)
    with rig.path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(ValueError, match="not what was sealed"):
        verify(rig.path)


def test_a_recording_of_the_same_name_is_never_written_over(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for taken in (rig.path, part_path(rig.path)):
        taken.write_bytes(b"old")
        with pytest.raises(RecorderUnavailable, match=r"^io: "):
            rig.recorder.open()
        assert taken.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [taken]
        taken.unlink()


def test_too_little_free_space_refuses_the_recording_and_leaves_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, keep_free_bytes=2**60)
    with pytest.raises(RecorderUnavailable, match=r"^disk_full: "):
        rig.recorder.open()
    assert list(tmp_path.iterdir()) == []


def test_space_that_runs_low_in_mid_call_ends_the_recording_with_what_was(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    send_video(rig, Track.PHONE_VIDEO)
    file = rig.recorder._file
    assert file is not None
    file._keep_free_bytes = 2**60
    assert rig.failed.wait(10)
    manifest = rig.recorder.seal("disk_full")
    assert rig.failures == ["disk_full"]
    assert manifest.truncated
    assert manifest.tracks[1].frames == 50
    assert verify(rig.path) == manifest


def test_a_queue_that_nobody_drains_is_bounded_and_told_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for second in range(MAX_QUEUED + 20):
        for n in range(50):
            packet = rtp(second * 50 + n, (second * 50 + n) * 160, b"\xd5" * 160, pt=PCMA.payload_type)
            rig.recorder.packet(Track.PHONE_AUDIO, packet, rig.at(second + n * 0.02))
        rig.tend(rig.at(second + 1))
    assert rig.failures == ["overrun"]
    assert rig.recorder.stats.queued == pytest.approx((MAX_QUEUED + 1) * 50, abs=50)


def test_digits_are_not_recorded_and_a_changed_payload_type_goes_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    rig.recorder.packet(Track.PHONE_AUDIO, rtp(1, 0, b"one", pt=8), rig.at(0))
    rig.recorder.packet(Track.PHONE_AUDIO, rtp(2, 0, b"key", pt=101), rig.at(0.02))
    rig.recorder.renegotiated(Track.PHONE_AUDIO, 98)
    rig.recorder.packet(Track.PHONE_AUDIO, rtp(3, 320, b"two", pt=98), rig.at(0.04))
    rig.recorder.seal("limit_reached")
    assert [data for _, data in read(rig.path)["phone-audio"]] == [b"one", b"two"]


def test_the_manifest_of_the_worst_call_still_fits_into_one_message(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    for track in Track:
        for index in range(1000):
            payload_type = next(form.codec.payload_type for form in FORMATS if form.track is track)
            payload = b"\x65\x88" if track.kind is Kind.VIDEO else b"\xf8"
            packet = rtp(2 * index, index * 9000, payload, pt=payload_type, marker=True)
            rig.recorder.packet(track, packet, rig.at(index * 0.1))
    manifest = rig.recorder.seal("limit_reached")
    assert len(manifest_path(rig.path).read_bytes()) < 50_000
    assert all(len(track.gaps) + track.gaps_left_out > 900 for track in manifest.tracks)


def test_what_was_sealed_can_be_listed_and_what_was_changed_is_left_out(tmp_path: Path) -> None:
    sealed = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        rig = Rig(folder)
        rig.recorder.open()
        sealed.append((rig.path, rig.recorder.seal("limit_reached")))
    assert list(manifests(tmp_path)) == sealed
    path = manifest_path(sealed[0][0])
    path.write_text(path.read_text().replace("limit_reached", "staff_ended"))
    assert list(manifests(tmp_path)) == sealed[1:]


def test_facts_without_an_offset_from_utc_are_refused() -> None:
    good = msgspec.json.encode(facts())
    assert recording_facts.decode(good).phone == "cell-12"
    with pytest.raises(msgspec.ValidationError, match="offset"):
        recording_facts.decode(good.replace(b"+00:00", b""))


def test_parameter_sets_beyond_all_measure_do_not_spoil_the_file(tmp_path: Path) -> None:
    rig = Rig(tmp_path, formats=one(Track.PHONE_VIDEO, H264))
    rig.recorder.open()
    sets = [b"\x67" + bytes(60000), b"\x68" + bytes(60000)]
    for sequence, payload in enumerate([*sets, b"\x65\x88"]):
        rig.recorder.packet(Track.PHONE_VIDEO, rtp(sequence, 0, payload, pt=99), rig.at(0))
    assert rig.recorder.seal("limit_reached").tracks[0].frames == 1
    assert verify(rig.path).readable


@pytest.mark.peer
def test_ffmpeg_decodes_every_frame_through_a_change_of_picture_size(tmp_path: Path) -> None:
    rig = Rig(tmp_path, formats=one(Track.OUTSIDE_VIDEO, H264))
    rig.recorder.open()
    portrait = list(pictures(30, width=240, height=320))
    second = video_packets(portrait, sequence=100 + sum(map(len, PACKETS)), timestamp=5000 + 50 * 3600)
    send_video(rig, Track.OUTSIDE_VIDEO)
    send_video(rig, Track.OUTSIDE_VIDEO, second, start=2.0)
    manifest = rig.recorder.seal("limit_reached")
    assert decoded_frames(rig.path, "v:0") == 80
    assert [(size.width, size.height) for size in manifest.tracks[0].sizes] == [(320, 240), (240, 320)]
    shown = probe(rig.path, "-show_entries", "stream=codec_name,profile,width,height:format=duration", "-of", "json")
    told = json.loads(shown)
    assert told["streams"][0] == {
        "codec_name": "h264", "profile": "Constrained Baseline", "width": 320, "height": 240,
    }  # fmt: skip
    assert float(told["format"]["duration"]) == pytest.approx(3.16, abs=0.05)


@pytest.mark.peer
def test_a_player_can_seek_by_the_index(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    send_video(rig, Track.PHONE_VIDEO)
    send_sound(rig, Track.PHONE_AUDIO, PCMA)
    rig.recorder.seal("limit_reached")
    shown = probe(rig.path, "-read_intervals", "1.5", "-select_streams", "v:0", "-show_entries", "packet=pts_time",
                  "-of", "csv=p=0")  # fmt: skip
    assert 1.0 < float(shown.split()[0].rstrip(",")) <= 1.5


@pytest.mark.peer
@pytest.mark.parametrize(("codec", "name"), [(PCMA, "pcm_alaw"), (PCMU, "pcm_mulaw"), (G722, "adpcm_g722")])
def test_ffmpeg_hears_the_phone(tmp_path: Path, codec: Codec, name: str) -> None:
    rig = Rig(tmp_path, formats=one(Track.PHONE_AUDIO, codec))
    rig.recorder.open()
    send_sound(rig, Track.PHONE_AUDIO, codec)
    rig.recorder.seal("limit_reached")
    told = probe(rig.path, "-show_entries", "stream=codec_name,sample_rate", "-of", "csv=p=0").strip()
    assert told == f"{name},{16000 if codec is G722 else 8000}"
    assert decoded_frames(rig.path, "a:0") == 100


KILLED = """
import sys, time
from pathlib import Path
from tests.gateway.recording_rig import Rig
from tests.gateway.rtp_source import pictures, rtp, video_packets
from avisiod.gateway.recording_track import Track
import threading
rig = Rig(Path(sys.argv[1]))
rig.recorder.open()
rig.zero = rig.recorder._facts.started_monotonic
packets = video_packets(list(pictures(100)))
tick = threading.Event()
begin = time.monotonic()
for index, frame in enumerate(packets):
    tick.wait(max(0, begin + index * 0.04 - time.monotonic()))
    for packet in frame:
        rig.recorder.packet(Track.PHONE_VIDEO, packet, time.monotonic())
    if index % 3 == 2:
        rig.recorder.tend(time.monotonic())
print("sent", flush=True)
tick.wait(60)
"""


@pytest.mark.peer
def test_a_killed_writer_leaves_all_but_the_last_two_seconds_and_the_next_start_seals_them(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    assert seal_truncated(tmp_path, "service_restarted") == []
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    [manifest] = seal_truncated(tmp_path, "service_restarted")
    assert manifest.truncated
    assert manifest.readable
    assert manifest.facts is not None
    assert manifest.facts.phone == "cell-12"
    assert manifest.end_reason == "service_restarted"
    track = manifest.tracks[1]
    assert track.first_s is not None
    assert track.last_s is not None
    assert track.last_s - track.first_s >= 3.96 - 2.0
    assert decoded_frames(tmp_path / "call.mkv", "v:0") == track.frames
    assert verify(tmp_path / "call.mkv") == manifest
    assert seal_truncated(tmp_path, "service_restarted") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.mkv", "call.mkv.json"]


def killed(rig: Rig) -> None:
    """The writer dies: its lock is gone, and what it held in memory."""
    file, thread = rig.recorder._file, rig.recorder._thread
    assert file is not None
    assert thread is not None
    rig.recorder._queue.put(None)
    thread.join(10)
    file.close()


@pytest.mark.parametrize("frames", [0, 12])
def test_a_writer_that_is_killed_before_its_first_cluster_leaves_an_empty_recording_that_opens(
    tmp_path: Path, frames: int
) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    send_video(rig, Track.PHONE_VIDEO, PACKETS[:frames])
    rig.tend(rig.at(0.5))
    killed(rig)
    [manifest] = seal_truncated(tmp_path, "media_failed")
    assert manifest.readable
    assert manifest.truncated
    assert manifest.duration_s == 0
    assert manifest.facts == facts(rig.zero)
    assert [(track.name, track.codec, track.frames) for track in manifest.tracks] == [
        ("phone-audio", "PCMA", 0), ("phone-video", "H264", 0), ("outside-audio", "OPUS", 0),
        ("outside-video", "H264", 0),
    ]  # fmt: skip
    assert verify(rig.path) == manifest
    assert read(rig.path) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.mkv", "call.mkv.json"]


def test_a_recording_of_a_call_in_which_nothing_came_opens(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    rig.recorder.seal("detainee_hung_up")
    assert read(rig.path) == {}


@pytest.mark.parametrize("content", [b"", bytes(8192)])
def test_a_file_that_died_before_its_first_byte_is_no_recording(tmp_path: Path, content: bytes) -> None:
    part = tmp_path / "call.mkv.part"
    part.write_bytes(content)
    assert seal_truncated(tmp_path, "service_restarted") == []
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_recording_is_kept_under_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "2026"
    folder.mkdir()
    (folder / "x.mkv.part").write_bytes(b"not a film")
    [manifest] = seal_truncated(tmp_path, "service_restarted")
    assert not manifest.readable
    assert (folder / "x.mkv.unreadable").read_bytes() == b"not a film"
    assert verify(folder / "x.mkv.unreadable") == manifest
    assert manifest.recording(folder).call == "x"
    assert seal_truncated(tmp_path, "service_restarted") == []


def test_a_sealing_that_was_interrupted_after_the_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    left = facts_path(rig.path).read_bytes()
    rig.recorder.seal("limit_reached")
    facts_path(rig.path).write_bytes(left)
    assert seal_truncated(tmp_path, "service_restarted") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.mkv", "call.mkv.json"]


def test_a_recording_that_is_being_written_is_never_sealed_by_another(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    assert seal_truncated(tmp_path, "service_restarted") == []
    assert not rig.recorder.seal("limit_reached").truncated
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.mkv", "call.mkv.json"]


def test_a_sealing_that_was_interrupted_before_the_rename_is_finished_as_it_was_meant(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.recorder.open()
    send_sound(rig, Track.PHONE_AUDIO, PCMA)
    manifest = rig.recorder.seal("limit_reached")
    rig.path.rename(part_path(rig.path))
    assert seal_truncated(tmp_path, "service_restarted") == [manifest]
    assert verify(rig.path) == manifest


FULL = """
import sys, time
from pathlib import Path
from tests.gateway.recording_rig import Rig
from tests.gateway.rtp_source import rtp
from avisiod.gateway.recording_track import Track
rig = Rig(Path(sys.argv[1]))
rig.recorder.open()
for index in range(2000):
    rig.recorder.packet(Track.PHONE_AUDIO, rtp(index, index * 160, bytes(160), pt=8), rig.at(index * 0.02))
rig.tend(time.monotonic())
assert rig.failed.wait(20)
assert rig.failures == ["disk_full"], rig.failures
manifest = rig.recorder.seal("disk_full")
assert manifest.truncated and 0 < manifest.tracks[0].last_s
print("kept", flush=True)
"""


@pytest.mark.peer
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root; the file size limit above stands in for it")
def test_a_full_disk_leaves_a_recording_that_is_sealed_once_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=True)
    try:
        filler = disk / "filler"
        filler.write_bytes(bytes(300_000))
        rig = Rig(disk, formats=one(Track.PHONE_AUDIO, PCMA))
        rig.recorder.open()
        send_sound(rig, Track.PHONE_AUDIO, PCMA, 3000)
        rig.recorder.tend(time.monotonic())
        assert rig.failed.wait(20)
        assert rig.failures == ["disk_full"]
        with (disk / "last").open("wb", buffering=0) as last, contextlib.suppress(OSError):
            while True:
                last.write(bytes(1000))
        with pytest.raises(RecorderUnavailable, match=r"^disk_full: "):
            rig.recorder.seal("disk_full")
        filler.unlink()
        [manifest] = seal_truncated(disk, "disk_full")
        assert verify(rig.path) == manifest
        assert manifest.truncated
        assert decoded_frames(rig.path, "a:0") == manifest.tracks[0].frames > 500
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_ends_the_recording_and_keeps_what_was_written(tmp_path: Path) -> None:
    """The kernel's file size limit refuses a write half-way, as a full disk does."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], preexec_fn=limited, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "kept\n", done.stderr
    assert verify(tmp_path / "call.mkv").truncated
    assert len(read(tmp_path / "call.mkv")["phone-audio"]) > 100
    assert not facts_path(tmp_path / "call.mkv").exists()
