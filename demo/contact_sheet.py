"""A contact sheet of a recording: frames of both parties at the same moments, one row each."""

from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.recording_report import PARTIES, Report, Track

FIELD = (240, 180)
WIDTH, HEIGHT = FIELD
GAP, HEAD = 10, 30
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
    for number, party in enumerate(PARTIES):
        top = number * row
        draw.text((GAP, top + 6), TITLES[party], font=title, fill=INK)
        video = recording.track(party, "video")
        frames = pictures_at(recording.path, video, moments) if video else {}
        for column, moment in enumerate(moments):
            left = GAP + column * (WIDTH + GAP)
            sheet.paste(frames.get(moment) or Image.new("RGB", FIELD, EMPTY), (left, top + HEAD))
            clock = f"{int(moment) // 60}:{moment % 60:04.1f}"
            draw.text((left + WIDTH - draw.textlength(clock, small), top + 9), clock, font=small, fill=INK)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target)
    return target


def pictures_at(path: Path, video: Track, moments: list[float]) -> dict[float, Image.Image]:
    """What the track shows at each moment, fitted into a field; nothing for moments at which it had no picture.

    Decodes from the beginning: seeking would go by another track's keyframes.
    """
    found: dict[float, Image.Image] = {}
    shown: av.VideoFrame | None = None
    with av.open(str(path)) as container:
        for frame in _frames(container, video.index):
            for moment in moments:
                if shown is not None and moment not in found and frame.time > moment >= video.start_s:
                    found[moment] = _fitted(shown)
            shown = frame
    for moment in moments:
        if shown is not None and moment not in found and video.start_s <= moment <= video.end_s:
            found[moment] = _fitted(shown)
    return found


def _frames(container: "av.container.InputContainer", index: int) -> Iterator[av.VideoFrame]:
    for frame in container.decode(container.streams[index]):
        if isinstance(frame, av.VideoFrame) and frame.time is not None:
            yield frame


def _fitted(frame: av.VideoFrame) -> Image.Image:
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return ImageOps.pad(picture, FIELD, color="black")
