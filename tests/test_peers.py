"""The peers themselves: what they report can be believed."""

import base64
import subprocess
from pathlib import Path

import av
import pytest

from tests.peers import assets
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium
from tests.peers.media import find_sound, read_wav
from tests.peers.sync import beeps_at, flashes_at, offsets

pytestmark = pytest.mark.peer


def test_a_sound_is_found_again_and_no_other(tmp_path: Path) -> None:
    sentence = read_wav(assets.speech("FAMILLE"))
    within = tmp_path / "within.wav"
    other = assets.speech("CELLULE")
    sox = ["sox", other, assets.speech("FAMILLE"), other, "-r", "8000", "-c", "1", "-e", "a-law", tmp_path / "a.wav"]
    subprocess.run(sox, check=True, capture_output=True)
    subprocess.run(["sox", tmp_path / "a.wav", "-e", "signed", "-b", "16", within, "vol", "0.3"], check=True)
    found = find_sound(sentence, read_wav(within))
    assert found.at_s == pytest.approx(read_wav(other).duration_s, abs=0.05)
    assert found.likeness > 0.95
    assert find_sound(sentence, read_wav(assets.talk("CELLULE"))).likeness < 0.6


@pytest.mark.parametrize("codec", ["PCMA", "PCMU", "G722", "opus"])
def test_two_phones_see_and_hear_each_other(tmp_path: Path, codec: str) -> None:
    with (
        BaresipPhone(tmp_path / "bob", user="bob", register=False, codecs=[codec], auto_answer=True) as bob,
        BaresipPhone(tmp_path / "alice", user="alice", register=False, codecs=[codec]) as alice,
    ):
        alice.dial(f"sip:bob@127.0.0.1:{bob.sip_port}")
        alice.wait_established()
        for phone in (alice, bob):
            assert phone.wait_frames(30).width == 640
            assert phone.wait_heard(above_dbfs=-40) < 0
        first, second = alice.snapshot("one"), alice.snapshot("two")
        assert first.read_bytes() != second.read_bytes()
        mark = bob.events.mark()
        alice.hang_up()
        bob.wait_closed(since=mark)
        assert all(stream.received > 20 for stream in bob.packets())


LOOPBACK = """<video id=v autoplay playsinline></video><button onclick=go()>go</button><script>
async function go() {
  const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
  for (const [a, b] of [[near, far], [far, near]]) a.onicecandidate = (e) => b.addIceCandidate(e.candidate);
  far.ontrack = (e) => (v.srcObject = e.streams[0]);
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  stream.getTracks().forEach((track) => near.addTrack(track, stream));
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
}
</script>"""


@pytest.mark.parametrize("sync", [False, True])
def test_a_browser_reports_what_it_decodes(tmp_path: Path, sync: bool) -> None:
    page = tmp_path / "loop.html"
    page.write_text(LOOPBACK)
    with Chromium() as chromium:
        relative = chromium.relative(sync=sync)
        relative.open(page.as_uri())
        relative.run(lambda: relative.page.click("button"))
        seen = relative.wait_frames(30)
        assert (seen.width, seen.lost) == (640, 0)
        assert relative.wait_heard(above_dbfs=-50) < 0
        assert relative.heard().codec == "audio/opus"
        relative.evaluate("window.__peers.connection(-1).close()")
        assert relative.seen().frames >= 30, "the figures outlive the connection"


RECORD = """async () => {
  const recorder = new MediaRecorder(v.srcObject, { mimeType: 'video/webm;codecs=vp8,opus' });
  const parts = [];
  recorder.ondataavailable = (e) => parts.push(e.data);
  recorder.start();
  await new Promise((done) => { setTimeout(done, 6000); });
  await new Promise((done) => { recorder.onstop = done; recorder.stop(); });
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}"""


def test_a_browser_in_sync_mode_flashes_and_beeps_together_once_a_second(tmp_path: Path) -> None:
    page, recording = tmp_path / "loop.html", tmp_path / "received.webm"
    page.write_text(LOOPBACK)
    with Chromium() as chromium:
        relative = chromium.relative(sync=True)
        relative.open(page.as_uri())
        relative.run(lambda: relative.page.click("button"))
        relative.wait_frames(30)
        recording.write_bytes(base64.b64decode(relative.evaluate(RECORD)))
    with av.open(str(recording)) as container:
        audio, video = container.streams.audio[0].index, container.streams.video[0].index
    apart = offsets(beeps_at(recording, audio), flashes_at(recording, video))
    assert len(apart) >= 4
    assert max(map(abs, apart)) < 0.5, "the page's own recorder, behind two jitter buffers, is no finer"
