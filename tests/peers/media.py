"""How loud a recording is, and what else can be read off sound files while they still grow."""

import array
import math
import struct
from pathlib import Path
from typing import NamedTuple

SILENCE_DBFS = -96.0
"""What digital silence counts as: the floor of 16 bits."""


class Sound(NamedTuple):
    """Mono samples of 16 bits and their rate in Hz."""

    rate: int
    samples: "array.array[int]"

    @classmethod
    def empty(cls) -> "Sound":
        return cls(8000, array.array("h"))

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate

    def cut(self, start_s: float, end_s: float) -> "Sound":
        """A stretch of it."""
        return Sound(self.rate, self.samples[max(int(start_s * self.rate), 0) : max(int(end_s * self.rate), 0)])

    def level_dbfs(self, start_s: float = 0.0, end_s: float | None = None) -> float:
        """RMS over a stretch, 0 dBFS being a full-scale square wave; negative `start_s` counts from the end."""
        first = int(start_s * self.rate) + (len(self.samples) if start_s < 0 else 0)
        last = len(self.samples) if end_s is None else int(end_s * self.rate)
        stretch = self.samples[max(first, 0) : last]
        if not stretch:
            return SILENCE_DBFS
        rms = math.sqrt(sum(sample * sample for sample in stretch) / len(stretch))
        return max(SILENCE_DBFS, 20 * math.log10(rms / 32768)) if rms else SILENCE_DBFS

    def levels_dbfs(self, window_s: float = 0.1) -> list[float]:
        """RMS window by window."""
        return [self.level_dbfs(n * window_s, (n + 1) * window_s) for n in range(int(self.duration_s / window_s))]


class Found(NamedTuple):
    """Where a sound lies in another, and how alike the two are there: 1 is the same, 0 nothing in common."""

    at_s: float
    likeness: float


def find_sound(wanted: Sound, heard: Sound, since_s: float = 0.0, step_s: float = 0.02) -> Found:
    """Where `wanted` was most likely heard, whatever the codecs and the volume did to it.

    Compares how loudness goes up and down (normalised correlation of the levels, step by step), not wave forms.
    """
    pattern, levels = _loudness(wanted, step_s), _loudness(heard, step_s)
    count = len(pattern)
    best = Found(0.0, 0.0)
    mean = sum(pattern) / max(count, 1)
    pattern = [value - mean for value in pattern]
    size = math.sqrt(sum(value * value for value in pattern))
    for start in range(int(since_s / step_s), len(levels) - count + 1):
        stretch = levels[start : start + count]
        middle = sum(stretch) / count
        spread = math.sqrt(sum((value - middle) ** 2 for value in stretch))
        if size and spread:
            likeness = sum(a * b for a, b in zip(pattern, stretch, strict=True)) / (size * spread)
            if likeness > best.likeness:
                best = Found(start * step_s, likeness)
    return best


def _loudness(sound: Sound, step_s: float) -> list[float]:
    size = int(sound.rate * step_s)
    steps = range(0, len(sound.samples) - size + 1, size)
    return [math.sqrt(sum(sample * sample for sample in sound.samples[n : n + size]) / size) for n in steps]


def read_wav(path: Path) -> Sound:
    """A WAV of 16 bits, also one that is still being written: its sizes are not believed. First channel only."""
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path} is no WAV file")
    position, rate, channels = 12, 0, 1
    while position + 8 <= len(data):
        kind, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if kind == b"fmt ":
            channels, rate = struct.unpack_from("<HI", data, position + 10)
        elif kind == b"data":
            samples = array.array("h")
            body = data[position + 8 :]
            samples.frombytes(body[: len(body) // 2 * 2])
            return Sound(rate, samples[::channels])
        position += 8 + size + size % 2
    return Sound.empty()
