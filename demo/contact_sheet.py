"""A contact sheet of a recording: frames of both parties at the same moments, one row each."""

import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from demo.recording_report import PARTIES, Report

WIDTH, HEIGHT, GAP, HEAD = 240, 180, 10, 30
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
TITLES = {"phone": "Cellule · cell", "outside": "Famille · family"}
PAPER, INK, EMPTY = "#f5f3ee", "#222222", "#c9c5bb"


def contact_sheet(recording: Report, target: Path, count: int = 6) -> Path:
    """Write `target` (PNG): `count` moments spread over the recording; a grey field where a party had no picture."""
    moments = [recording.duration_s * (n + 0.5) / count for n in range(count)]
    title, small = ImageFont.truetype(FONT, 18), ImageFont.truetype(FONT, 14)
    row = HEAD + HEIGHT + GAP
    sheet = Image.new("RGB", (GAP + count * (WIDTH + GAP), len(PARTIES) * row + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    with tempfile.TemporaryDirectory() as folder:
        for number, party in enumerate(PARTIES):
            top = number * row
            draw.text((GAP, top + 6), TITLES[party], font=title, fill=INK)
            video = recording.track(party, "video")
            for column, moment in enumerate(moments):
                left = GAP + column * (WIDTH + GAP)
                box = (left, top + HEAD)
                frame = Path(folder) / f"{party}-{column}.png"
                if (
                    video
                    and video.start_s <= moment <= video.end_s
                    and _extract(recording.path, video.index, moment, frame)
                ):
                    sheet.paste(Image.open(frame), box)
                else:
                    draw.rectangle((*box, left + WIDTH, top + HEAD + HEIGHT), fill=EMPTY)
                clock = f"{int(moment) // 60}:{moment % 60:04.1f}"
                draw.text((left + WIDTH - draw.textlength(clock, small), top + 9), clock, font=small, fill=INK)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target)
    return target


def _extract(path: Path, index: int, moment: float, target: Path) -> bool:
    """Write the track's frame at `moment`, fitted into the field; False where there is none."""
    fit = f"scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease,pad={WIDTH}:{HEIGHT}:-1:-1"
    subprocess.run(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-ss", f"{moment:.3f}", "-i", path, "-map", f"0:{index}",
         "-frames:v", "1", "-vf", fit, "-y", target],
        check=False,
    )  # fmt: skip
    return target.exists()
