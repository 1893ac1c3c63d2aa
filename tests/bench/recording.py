"""What lies in a recording: whether it is all there, and how far apart the parties are."""

import itertools
import json
from pathlib import Path
from statistics import median
from typing import Any

from demo.recording_report import report, sync
from tests.bench.exact_relative import ExactRelative
from tests.bench.numbered import NumberedStream, blocks, numbers
from tests.bench.scene import Dialled, Lines, dialled, new_folder, pause_until
from tests.e2e.stage import Stage
from tests.peers import portal
from tests.peers.waiting import NotSeen, wait_until

LIMIT_S = 12.0
WARNING_S = 6.0
"""While the phone hears it, the relative's sound is recorded, though not forwarded."""
SEALED_WITHIN_S = 10.0
EDGE_S = 0.005
"""A frame sent in the limit's last milliseconds may arrive after it."""


def measure(lines: Lines, calls: int) -> None:
    """So many calls between exact parties, and as many with Chromium."""
    settings = {"calls": {"limit_s": LIMIT_S, "warnings_s": [WARNING_S]}}
    with Stage(new_folder("recording"), settings=settings) as stage:
        for number in range(calls):
            for with_, run in (("exact", _exact), ("Chromium", _chromium)):
                try:
                    lines.add("call", relative=with_, number=number, **run(stage))
                except (NotSeen, OSError, RuntimeError, ValueError) as error:
                    lines.add("failed", relative=with_, number=number, why=str(error).partition("\n")[0])


def _sealed(stage: Stage, call: Dialled) -> Path:
    def found() -> list[Path]:
        return [path for path in stage.recordings() if path.stem == call.id and _manifest(path).exists()]

    wait_until(lambda: bool(found()), SEALED_WITHIN_S, "the sealed recording")
    return found()[0]


def _manifest(recording: Path) -> Path:
    return recording.with_name(recording.name + ".json")


def _exact(stage: Stage) -> dict[str, Any]:
    """Both parties number their frames and note when each was sent."""
    with dialled(stage) as call, ExactRelative(stage.portal_url) as relative:
        relative.join(call.code)
        wait_until(call.is_connected, 10, "connected")
        opened = call.connected_at()
        limit = opened + LIMIT_S
        pause_until(limit + 0.5)
        call.wait_ended()
        path = _sealed(stage, call)
        manifest = json.loads(_manifest(path).read_bytes())
        zero = float(manifest["facts"]["started_monotonic"])
        found = blocks(path)
        tracks: dict[str, dict[str, Any]] = {}
        for party, media in (("phone", call.phone), ("outside", relative.media)):
            for kind, stream in (("audio", media.audio), ("video", media.video)):
                name = f"{party}-{kind}"
                began = stream.began()
                late = [
                    zero + block.at_s - began - block.number * stream.tick_s
                    for block in found[name]
                    if block.number is not None
                ]
                facts = next(track for track in manifest["tracks"] if track["name"] == name)
                tracks[name] = _account(stream, numbers(found[name]), late, opened, limit) | {
                    "lost_packets": facts["lost_packets"],
                    "incomplete_frames": facts["incomplete_frames"],
                }
        return {"tracks": tracks, **_apart(tracks)}


def _account(
    stream: NumberedStream, in_file: list[int], late: list[float], opened: float, limit: float
) -> dict[str, Any]:
    """Frames that were sent while the bridge was open against those in the file, and how late the file has them.

    Late against the instant in which a frame was due: what its RTP timestamp says, whenever it left.
    """
    first, last = in_file[0], in_file[-1]
    due = [number for number, at in stream.sent_at.items() if number >= first and opened <= at < limit - EDGE_S]
    present = set(in_file)
    ms = sorted(value * 1000 for value in late)
    return {
        "sent": len(due),
        "in_file": len(in_file),
        "missing": len([number for number in due if number not in present]),
        "twice": len(in_file) - len(present),
        "out_of_order": sum(b < a for a, b in itertools.pairwise(in_file)),
        "first_after_opening_ms": round((stream.sent_at[first] - opened) * 1000, 1),
        "last_before_limit_ms": round((limit - stream.sent_at[last]) * 1000, 1),
        "late_ms": {"median": round(median(ms), 1), "min": round(ms[0], 1), "max": round(ms[-1], 1)},
    }


def _apart(tracks: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How far the file moves tracks against each other that were sent in the same instant, in ms."""
    typical = {name: float(track["late_ms"]["median"]) for name, track in tracks.items()}
    return {
        "parties_apart_ms": round(
            max(abs(typical[f"outside-{kind}"] - typical[f"phone-{kind}"]) for kind in ("audio", "video")), 1
        ),
        "tracks_apart_ms": round(max(typical.values()) - min(typical.values()), 1),
        "worst_frames_apart_ms": round(
            max(track["late_ms"]["max"] for track in tracks.values())
            - min(track["late_ms"]["min"] for track in tracks.values()),
            1,
        ),
    }


def _chromium(stage: Stage) -> dict[str, Any]:
    """Both flash and beep at the full seconds of the machine's clock; the file is decoded and looked at."""
    relative = stage.relative(sync=True)
    try:
        with dialled(stage) as call:
            portal.join(relative, stage.portal_url, call.code)
            wait_until(call.is_connected, 15, "connected")
            pause_until(call.connected_at() + LIMIT_S + 0.5)
            call.wait_ended()
            path = _sealed(stage, call)
            found = sync(report(path))
            manifest = json.loads(_manifest(path).read_bytes())
    finally:
        relative.close()
    if found.outside_after_phone is None or None in found.sound_after_picture.values():
        raise NotSeen("flashes or beeps are not in the recording")
    return {
        "parties_apart_ms": found.outside_after_phone,
        "sound_after_picture_ms": found.sound_after_picture,
        "incomplete_frames": sum(track["incomplete_frames"] or 0 for track in manifest["tracks"]),
        "lost_packets": sum(track["lost_packets"] or 0 for track in manifest["tracks"]),
    }
