"""A source that is not ours: ffmpeg sends real RTP and sender reports, and judges what was recorded."""

import base64
import contextlib
import select
import socket
import subprocess
import time
from pathlib import Path

import av
import msgspec
import pytest

from avisiod.gateway.leg import Codec
from avisiod.gateway.recorder import Recorder
from avisiod.gateway.recording_track import Track, TrackFormat
from tests.gateway.recording_rig import facts, read

SECONDS = 4
VIDEO = Codec(name="H264", payload_type=96, clock_rate=90000)
SOUND = Codec(name="OPUS", payload_type=97, clock_rate=48000, channels=2)
NTP_EPOCH = 2**32

pytestmark = pytest.mark.peer


def port_pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets on an even port and the one after it."""
    while True:
        first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            if port % 2 == 0:
                second.bind(("127.0.0.1", port + 1))
                for each in (first, second):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
                return first, second
        first.close()
        second.close()


def film(path: Path) -> None:
    """A clip whose pictures all differ, with a tone."""
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=640x480:rate=25:duration={SECONDS}",
         "-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS}", "-c:v", "libx264", "-profile:v", "baseline",
         "-g", "50", "-b:v", "800k", "-c:a", "libopus", "-ac", "2", str(path)],
        check=True, timeout=60,
    )  # fmt: skip


def picture_digests(path: Path) -> list[str]:
    """MD5 of every decoded picture."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-vsync", "passthrough", "-"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


def report_of(packet: bytes) -> tuple[float, int] | None:
    """NTP and RTP time of a sender report (RFC 3550 section 6.4.1)."""
    if len(packet) < 20 or packet[1] != 200:
        return None
    seconds, fraction, rtp = (int.from_bytes(packet[at : at + 4], "big") for at in (8, 12, 16))
    return seconds + fraction / NTP_EPOCH, rtp


def in_sdp(path: Path) -> dict[str, str]:
    """Parameter sets of a clip as its SDP would carry them."""
    with av.open(str(path)) as container:
        record = container.streams.video[0].codec_context.extradata
    assert record is not None
    size = int.from_bytes(record[6:8], "big")
    sets = (record[8 : 8 + size], record[8 + size + 3 :])
    return {"sprop-parameter-sets": ",".join(base64.b64encode(nal).decode() for nal in sets)}


@pytest.mark.parametrize("in_band", [True, False])
def test_what_ffmpeg_sends_is_decoded_again_picture_for_picture(tmp_path: Path, in_band: bool) -> None:
    """Parameter sets come with each keyframe, or stand in the SDP only."""
    source = tmp_path / "source.mkv"
    film(source)
    codec = VIDEO if in_band else msgspec.structs.replace(VIDEO, fmtp=in_sdp(source))
    video, sound = port_pair(), port_pair()
    recorder = Recorder(
        tmp_path / "call.mkv",
        (
            TrackFormat(track=Track.OUTSIDE_AUDIO, codec=SOUND),
            TrackFormat(track=Track.OUTSIDE_VIDEO, codec=codec),
        ),
        facts(),
        keep_free_bytes=0,
        on_failure=pytest.fail,
    )
    recorder.open()
    tracks = {
        video[0]: (Track.OUTSIDE_VIDEO, False), video[1]: (Track.OUTSIDE_VIDEO, True),
        sound[0]: (Track.OUTSIDE_AUDIO, False), sound[1]: (Track.OUTSIDE_AUDIO, True),
    }  # fmt: skip
    to = ["-f", "rtp", "-pkt_size", "1000"]
    shape = ["-bsf:v", "h264_mp4toannexb"] if in_band else []
    ffmpeg = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-re", "-i", str(source),
         "-map", "0:v", "-c", "copy", *shape, "-payload_type", "96", *to, f"rtp://127.0.0.1:{video[0].getsockname()[1]}",
         "-map", "0:a", "-c", "copy", "-payload_type", "97", *to, f"rtp://127.0.0.1:{sound[0].getsockname()[1]}"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    reports = 0
    try:
        while ready := select.select(list(tracks), [], [], 2.0 if ffmpeg.poll() is None else 0.1)[0]:
            for each in ready:
                packet = each.recv(2048)
                track, is_report = tracks[each]
                if not is_report:
                    recorder.packet(track, packet, time.monotonic())
                elif (told := report_of(packet)) is not None:
                    recorder.sender_report(track, *told, time.monotonic())
                    reports += 1
        assert ffmpeg.wait(10) == 0
    finally:
        ffmpeg.kill()
        ffmpeg.wait(10)
        for each in tracks:
            each.close()
    manifest = recorder.seal("limit_reached")
    assert reports >= 2
    assert [track.lost_packets for track in manifest.tracks] == [0, 0]
    sent = picture_digests(source)
    assert len(sent) == SECONDS * 25
    assert picture_digests(tmp_path / "call.mkv") == sent
    times = read(tmp_path / "call.mkv")
    # The clip's first sound and first picture belong together.
    assert abs(times["outside-audio"][0][0] - times["outside-video"][0][0]) < 0.040
    steps = [at - times["outside-video"][0][0] for at, _ in times["outside-video"]]
    assert steps == pytest.approx([index * 0.04 for index in range(SECONDS * 25)], abs=0.02)
