"""Flashes and beeps found again in a recording: lip-sync within a party, and the parties against each other."""

import array
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import av
from av.container import InputContainer

from tests.peers.assets import BEEP_HZ, FLASH_S

WINDOW_S = 0.005
"""Resolution of a beep's onset; that of a flash is a frame."""
BRIGHT = 140
"""Mean luma of a flash; the dim picture between flashes stays far below."""
LOUD = 0.1
"""Amplitude of the beep's frequency, of full scale, from which it counts."""


def flashes_at(path: Path, stream: int) -> list[float]:
    """Seconds of the file at which the stream's picture turns white; `stream` is the index among all."""
    found: list[float] = []
    bright = True  # a track that begins within a flash says nothing about its onset
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[_place(container, stream)]):
            small = frame.reformat(16, 12, "gray")
            plane = small.planes[0]
            rows = bytes(plane)
            luma = sum(sum(rows[row * plane.line_size :][:16]) for row in range(12)) / (16 * 12)
            if luma >= BRIGHT and not bright and frame.time is not None:
                found.append(frame.time)
            bright = luma >= BRIGHT
    return found


def beeps_at(path: Path, stream: int) -> list[float]:
    """Seconds of the file at which the stream's beep sets in."""
    found: list[float] = []
    quiet_since = None
    for start, level in _beep_levels(path, stream):
        if level < LOUD:
            quiet_since = start if quiet_since is None else quiet_since
        else:
            if quiet_since is not None and start - quiet_since >= FLASH_S:
                found.append(start)
            quiet_since = None
    return found


def _beep_levels(path: Path, stream: int) -> "list[tuple[float, float]]":
    """Window by window: its start in seconds of the file and the beep's amplitude (Goertzel's algorithm)."""
    levels = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 8000)
        pending, begins = array.array("h"), 0.0
        size = int(8000 * WINDOW_S)
        factor = 2 * math.cos(2 * math.pi * BEEP_HZ / 8000)
        for frame in container.decode(container.streams.audio[_place(container, stream)]):
            if frame.time is None:
                continue
            due = begins + len(pending) / 8000
            if abs(frame.time - due) > WINDOW_S:  # a gap: what follows stands at its own time
                pending, begins = array.array("h"), frame.time
            for piece in resampler.resample(frame):
                pending.frombytes(bytes(piece.planes[0])[: piece.samples * 2])
            while len(pending) >= size:
                before, last = 0.0, 0.0
                for sample in pending[:size]:
                    before, last = last, sample + factor * last - before
                power = before * before + last * last - factor * before * last
                levels.append((begins, 2 * math.sqrt(max(power, 0.0)) / size / 32768))
                del pending[:size]
                begins += WINDOW_S
    return levels


def _place(container: InputContainer, index: int) -> int:
    """The stream's place among those of its own kind."""
    kind = container.streams[index].type
    return [stream.index for stream in container.streams if stream.type == kind].index(index)


def offsets(of: Sequence[float], against: Sequence[float]) -> list[float]:
    """For each moment of `against`, how much later (seconds) the nearest of `of` is, within half a second."""
    found = []
    for moment in against:
        nearest = min(of, key=lambda other: abs(other - moment), default=None)
        if nearest is not None and abs(nearest - moment) < 0.5:
            found.append(nearest - moment)
    return found


def typical(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return median(values) if values else None
