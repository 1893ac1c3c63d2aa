"""Pictures with a few large words for the phone's screen, drawn and encoded ahead of time. Blocking: use a thread."""

import fractions
from collections.abc import Sequence
from typing import NamedTuple

import av
from PIL import Image, ImageDraw, ImageFont

from avisiod.gateway import h264
from avisiod.gateway.parameter_sets import Size
from avisiod.gateway.prompt_catalogue import INTERRUPTED, JOINING, WAITING, Text

MAX_PAYLOAD = 1100
"""Bytes of one RTP payload: fits every path between a phone and its gateway."""

_TOP, _BOTTOM = (22, 48, 74), (12, 28, 46)
_WORDS, _SOFT = (255, 255, 255), (201, 217, 232)
_ACCENTS = {WAITING: (94, 178, 235), JOINING: (104, 201, 141), INTERRUPTED: (240, 178, 76)}
_ENDED = (159, 178, 197)
_SCALE = 2
"""Drawn this much larger, then reduced: smooth edges."""


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class _Paragraph(NamedTuple):
    """Words broken into rows of one font."""

    font: _Font
    line: float
    """Height of a row, pixels."""
    rows: list[str]

    @property
    def height(self) -> float:
        return self.line * len(self.rows)


def render(name: str, text: Text, size: Size) -> Image.Image:
    """Draw one picture: a sign, a title, a sentence, the whole in the middle."""
    width, height = size.width * _SCALE, size.height * _SCALE
    image = Image.linear_gradient("L").resize((width, height))
    image = Image.composite(Image.new("RGB", image.size, _BOTTOM), Image.new("RGB", image.size, _TOP), image)
    draw = ImageDraw.Draw(image)
    title = _fitted(draw, text.title, bold=True, largest=height // 10, width=width * 0.86, rows=2)
    body = _fitted(draw, text.text, bold=False, largest=height // 15, width=width * 0.84, rows=4)
    radius, gap = height * 0.105, height * 0.06
    top = (height - 2 * radius - gap - title.height - gap / 2 - body.height) / 2
    _sign(draw, name, (width / 2, top + radius), radius)
    below = _write(draw, title, width / 2, top + 2 * radius + gap, _WORDS)
    _write(draw, body, width / 2, below + gap / 2, _SOFT)
    return image.resize((size.width, size.height), Image.Resampling.LANCZOS)


def _write(
    draw: ImageDraw.ImageDraw, paragraph: _Paragraph, centre: float, top: float, colour: tuple[int, int, int]
) -> float:
    """Write a paragraph from `top` down; return where it ends."""
    for row in paragraph.rows:
        draw.text((centre, top + paragraph.line / 2), row, colour, paragraph.font, anchor="mm")
        top += paragraph.line
    return top


def _sign(draw: ImageDraw.ImageDraw, name: str, centre: tuple[float, float], radius: float) -> None:
    """A ring, and in it what is going on: dots while one waits, a play mark, a broken line, a stop mark."""
    x, y = centre
    colour = _ACCENTS.get(name, _ENDED)
    line = round(radius * 0.11)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=line)
    if name == WAITING:
        for offset in (-0.42, 0.0, 0.42):
            dot = radius * 0.13
            at = x + offset * radius
            draw.ellipse((at - dot, y - dot, at + dot, y + dot), fill=colour)
    elif name == JOINING:
        points = ((-0.26, -0.42), (-0.26, 0.42), (0.46, 0.0))
        draw.polygon([(x + dx * radius, y + dy * radius) for dx, dy in points], fill=colour)
    elif name == INTERRUPTED:
        draw.line((x, y - radius * 0.5, x, y + radius * 0.12), fill=colour, width=line * 2)
        dot = line * 1.15
        draw.ellipse((x - dot, y + radius * 0.42 - dot, x + dot, y + radius * 0.42 + dot), fill=colour)
    else:
        side = radius * 0.36
        draw.rounded_rectangle((x - side, y - side, x + side, y + side), radius=side * 0.25, fill=colour)


def _fitted(draw: ImageDraw.ImageDraw, text: str, *, bold: bool, largest: int, width: float, rows: int) -> _Paragraph:
    """The words in the largest font in which they fit, their rows about equally long."""
    size = largest
    while True:
        font = _font(bold, size)
        wrapped = _wrapped(draw, text, font, width)
        if len(wrapped) <= rows or size <= largest // 2:
            break
        size -= max(1, largest // 20)
    narrower = width
    while narrower > width / 3:
        narrower -= width / 50
        again = _wrapped(draw, text, font, narrower)
        if len(again) > len(wrapped) or max(draw.textlength(row, font) for row in again) > narrower:
            break
        wrapped = again
    return _Paragraph(font, size * 1.28, wrapped)


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: _Font, width: float) -> list[str]:
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if rows[-1] and draw.textlength(longer, font) > width:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def _font(bold: bool, size: int) -> _Font:
    """DejaVu Sans from the system's font folders, Pillow's own font where it is missing."""
    try:
        return ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def size_for(fmtp: dict[str, str]) -> Size:
    """The largest of our picture sizes that a decoder of this level takes (ITU-T H.264 table A-1).

    A phone that declares no level would be one of level 1 by RFC 6184: no phone with a screen on the wall is.
    """
    declared = fmtp.get("profile-level-id")
    level = h264.DEFAULT_LEVEL if declared is None else h264.level(declared)
    if level >= 22:
        return Size(640, 480)
    return Size(352, 288) if level >= 11 else Size(176, 144)


def encode(image: Image.Image) -> tuple[bytes, ...]:
    """NAL units of one IDR picture in constrained baseline, SPS and PPS first, each at most MAX_PAYLOAD bytes.

    Constrained baseline, so that a decoder of any profile takes it; small NAL units, so that each goes into a packet
    of its own, which packetization-mode 0 asks for and mode 1 allows (RFC 6184 sections 6.2 and 6.3).
    """
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = image.width, image.height, "yuv420p"
    encoder.time_base, encoder.framerate = fractions.Fraction(1, 25), fractions.Fraction(25)
    encoder.options = {
        "preset": "slow",
        "profile": "baseline",
        "tune": "stillimage,zerolatency",
        "crf": "22",
        "level": {640: "2.2", 352: "1.1"}.get(image.width, "1"),
        "x264-params": f"slice-max-size={MAX_PAYLOAD - 20}:threads=1:sliced-threads=0:repeat-headers=1:annexb=1",
    }
    frame = av.VideoFrame(image.width, image.height, "rgb24")
    stride, row = frame.planes[0].line_size, image.width * 3
    pixels = image.convert("RGB").tobytes()
    lines = (pixels[at : at + row] + bytes(stride - row) for at in range(0, len(pixels), row))
    frame.planes[0].update(b"".join(lines))
    frame = frame.reformat(format="yuv420p")
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    units = _units(b"".join(bytes(packet) for packet in packets))
    return tuple(unit for unit in units if unit[0] & 0x1F != h264.SEI)


def _units(annex_b: bytes) -> Sequence[bytes]:
    """Split at start codes (ITU-T H.264 annex B), which never occur inside a NAL unit."""
    return [unit.rstrip(b"\x00") for unit in annex_b.split(b"\x00\x00\x01") if unit.rstrip(b"\x00")]
