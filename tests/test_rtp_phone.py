"""The phone that is exact in time: others understand what it sends, and it is in sync with itself."""

import os
from pathlib import Path

import pytest

from tests.peers.baresip import BaresipPhone
from tests.peers.ports import free_range
from tests.peers.processes import Process
from tests.peers.rtp_phone import RtpPhone
from tests.peers.sip_client import SipClient
from tests.peers.sync import beeps_at, flashes_at, offsets, typical
from tests.peers.waiting import wait_until

pytestmark = pytest.mark.peer


def test_two_of_them_exchange_every_packet() -> None:
    with RtpPhone() as near, RtpPhone() as far:
        near.connect(far.offer())
        far.connect(near.offer())
        for phone in (near, far):
            assert phone.wait_received("audio", 50).lost == 0
            video = phone.wait_received("video", 60)
            assert (video.lost, video.sources) == (0, 1)
            assert video.first_keyframe_at is not None


def test_nothing_of_it_is_left_open() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    RtpPhone().close()  # the first claims its ports for as long as we live
    first, _ = free_range(4)
    before = descriptors()
    for _ in range(3):
        with RtpPhone(first_port=first) as near, RtpPhone() as far:
            near.connect(far.offer())
            near.close()
        before += 1  # the other's claim on its ports
    assert descriptors() <= before


@pytest.mark.parametrize("mode", [0, 1])
def test_a_real_phone_sees_and_hears_it(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "bob"
    with (
        BaresipPhone(folder, user="bob", register=False, auto_answer=True, every_video_codec=mode == 1) as bob,
        RtpPhone(packetization_mode=mode) as phone,
        SipClient(f"127.0.0.1:{bob.sip_port}", "alice") as alice,
    ):
        answer = alice.ask(alice.request("INVITE", f"sip:bob@127.0.0.1:{bob.sip_port}", phone.offer()))
        assert answer.status == 200
        alice.established(answer)
        alice.send(alice.within("ACK").encode())
        phone.connect(answer.body.decode())
        assert bob.wait_frames(50).width == 640
        wait_until(lambda: bob.heard().duration_s > 3, 10, "three seconds of sound")
        loud = [level > -20 for level in bob.heard().levels_dbfs(0.02)]
        assert 0.05 < sum(loud) / len(loud) < 0.2, "a tenth of each second"
        assert phone.wait_received("video", 50).lost == 0
        alice.ask(alice.within("BYE"))
        bob.wait_closed()


@pytest.mark.parametrize("audio_late_s", [0.0, 0.12])
def test_its_flashes_and_beeps_are_as_far_apart_as_asked_for(tmp_path: Path, audio_late_s: float) -> None:
    first, _ = free_range(4)
    sdp, recording = tmp_path / "listen.sdp", tmp_path / "recording.mkv"
    answer = (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {first} RTP/AVP 8\r\n"
        f"m=video {first + 2} RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 packetization-mode=1\r\n"
    )
    sdp.write_text(answer)
    listen = [
        "-protocol_whitelist",
        "file,udp,rtp",
        "-i",
        sdp,
        "-map",
        "0:a",
        "-map",
        "0:v",
        "-t",
        "6",
        "-c:v",
        "copy",
        "-c:a",
        "pcm_s16le",
    ]
    with RtpPhone(audio_late_s=audio_late_s) as phone:
        recorder = Process(["ffmpeg", "-nostdin", "-loglevel", "error", *listen, recording])
        phone.connect(answer)
        assert recorder.wait(30) == 0
    beeps, flashes = beeps_at(recording, 0), flashes_at(recording, 1)
    late = typical(offsets(beeps, flashes))
    assert late == pytest.approx(audio_late_s, abs=0.03)
