"""A real Chromium takes our answers, whatever the phone speaks, and negotiates what they say."""

from collections.abc import Iterator
from typing import Any

import pytest

from avisiod.gateway import sdp_browser
from avisiod.gateway.leg import Codec, Kind, MediaLine
from tests.gateway.test_sdp_browser import OWN, audio, video
from tests.peers.browser import Chromium, Relative

pytestmark = pytest.mark.peer

OFFER = """async () => {
  window.pc = new RTCPeerConnection();
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  stream.getTracks().forEach((track) => pc.addTrack(track, stream));
  pc.createDataChannel('an m-line that is refused');
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}"""
TAKE = """async (sdp) => {
  await pc.setRemoteDescription({ type: 'answer', sdp });
  return pc.getTransceivers().map(({ sender, receiver, currentDirection }) => ({
    kind: receiver.track.kind,
    direction: currentDirection,
    codecs: sender.getParameters().codecs,
  }));
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.fixture
def page(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relative]:
    empty = tmp_path_factory.mktemp("page") / "empty.html"
    empty.write_text("<!doctype html>")
    relative = chromium.relative()
    relative.open(empty.as_uri())
    yield relative
    relative.close()


def negotiated(page: Relative, *lines: MediaLine) -> dict[str, dict[str, Any]]:
    offer = page.evaluate(OFFER)
    agreement = sdp_browser.answer(offer, {line.kind: line for line in lines}, OWN, bandwidth_kbps=1500)
    return {each["kind"]: each for each in page.evaluate(TAKE, agreement.answer)}


@pytest.mark.parametrize(
    ("profile_level_id", "mode"), [("42e01f", "1"), ("42801f", "0"), ("4d001f", "1"), ("640028", "0")]
)
def test_the_browser_sends_h264_in_the_phones_mode(page: Relative, profile_level_id: str, mode: str) -> None:
    found = negotiated(page, audio(), video(profile_level_id, mode))["video"]
    assert found["direction"] == "sendrecv"
    codec, again = found["codecs"]
    assert (codec["mimeType"], again["mimeType"]) == ("video/H264", "video/rtx")
    assert f"packetization-mode={mode}" in codec["sdpFmtpLine"]


@pytest.mark.parametrize("name", ["OPUS", "G722", "PCMA", "PCMU"])
def test_the_browser_speaks_the_phones_codec_and_no_other(page: Relative, name: str) -> None:
    found = negotiated(page, audio(name, 101))
    assert found["audio"]["codecs"][0]["mimeType"].upper() == f"AUDIO/{name}"
    assert "video" not in found, "refused, so stopped"


def test_an_opus_phones_wishes_are_taken(page: Relative) -> None:
    fmtp = {"maxaveragebitrate": "24000", "useinbandfec": "1"}
    codec = Codec(name="OPUS", payload_type=96, clock_rate=48000, channels=2, fmtp=fmtp)
    found = negotiated(page, MediaLine(kind=Kind.AUDIO, codec=codec))["audio"]
    assert "maxaveragebitrate=24000" in found["codecs"][0]["sdpFmtpLine"]
