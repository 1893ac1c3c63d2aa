"""The demo's eyes: what it says about a recording is so."""

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from demo.contact_sheet import contact_sheet
from demo.recording_report import Report, report, sync
from tests.peers import assets

pytestmark = pytest.mark.peer


def recording_of_both(path: Path, outside_late_s: float, party_late_s: float) -> Report:
    """A file as the recorder writes it: both parties flash and beep; the delays are deliberate."""
    names = ("phone audio", "phone video", "outside audio", "outside video")
    subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-loglevel", "error", "-i", assets.sync_movie()),
            *("-itsoffset", str(party_late_s), "-i", assets.sync_movie(late_s=outside_late_s)),
            *("-map", "0:a", "-map", "0:v", "-map", "1:a", "-map", "1:v", "-c", "copy"),
            *(word for n, name in enumerate(names) for word in (f"-metadata:s:{n}", f"title={name}")),
            path,
        ],
        check=True,
    )
    return report(path)


def test_tracks_are_named_with_their_length_frames_and_loudness(tmp_path: Path) -> None:
    found = recording_of_both(tmp_path / "both.mkv", 0.0, 0.0)
    assert [(track.party, track.kind) for track in found.tracks] == [
        ("phone", "audio"),
        ("phone", "video"),
        ("outside", "audio"),
        ("outside", "video"),
    ]
    assert found.duration_s == pytest.approx(10, abs=0.1)
    video, audio = found.track("phone", "video"), found.track("outside", "audio")
    assert video
    assert audio
    assert (video.packets, video.codec, video.size) == (250, "h264", "640x480")
    assert audio.loudness_dbfs == pytest.approx(-19, abs=2), "a tenth of each second, at half of full scale"


@pytest.mark.parametrize("late_ms", [0, 40, 120])
def test_a_late_sound_is_measured(tmp_path: Path, late_ms: int) -> None:
    measured = sync(recording_of_both(tmp_path / "both.mkv", late_ms / 1000, 0.0))
    assert measured.sound_after_picture["phone"] == pytest.approx(0, abs=10)
    assert measured.sound_after_picture["outside"] == pytest.approx(late_ms, abs=10)
    assert measured.outside_after_phone == pytest.approx(0, abs=10)


def test_a_late_party_is_measured(tmp_path: Path) -> None:
    measured = sync(recording_of_both(tmp_path / "both.mkv", 0.0, 0.12))
    assert measured.outside_after_phone == pytest.approx(120, abs=10)
    assert measured.sound_after_picture["outside"] == pytest.approx(0, abs=10)


def test_a_recording_without_flashes_has_no_measure(tmp_path: Path) -> None:
    plain = tmp_path / "plain.mkv"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", assets.movie(), "-t", "2", "-c", "copy", plain], check=True)
    assert sync(report(plain)).sound_after_picture == {"phone": None, "outside": None}


def test_a_contact_sheet_shows_both_parties(tmp_path: Path) -> None:
    found = recording_of_both(tmp_path / "both.mkv", 0.0, 0.0)
    sheet = Image.open(contact_sheet(found, tmp_path / "sheet.png", count=4))
    assert sheet.size == (10 + 4 * 250, 2 * 220 + 10)
    for top in (30, 250):
        colours = sheet.crop((10, top, 250, top + 180)).getcolors(maxcolors=1_000_000)
        assert len(colours or []) > 50, "a picture, not a grey field"


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.mkv").write_bytes(b"noise" * 100)
    with pytest.raises(RuntimeError, match="ffprobe cannot read"):
        report(tmp_path / "noise.mkv")
