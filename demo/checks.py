"""Whether every step of the demonstration was seen to happen."""

import re
from typing import Any, NamedTuple

from demo.recording_report import Report
from tests.e2e.one_call import FRAMES, LOUD_DBFS, Call

TOLERANCE_S = 1.0
"""Of the limit, as seen on a page that is looked at ten times a second."""


class Check(NamedTuple):
    """One step: what it is, whether it was seen, and what exactly."""

    name: str
    seen: bool
    detail: str


def checks(call: Call, limit_s: float, warnings_s: tuple[float, ...], recording: Report | None) -> list[Check]:
    """Every step, in the order in which they happen."""
    return [
        Check("the phone is registered with the edge", call.registered, ""),
        Check("the phone's call is answered while it waits", call.answered_at is not None, ""),
        Check("the SMS with the code reached the modem", bool(call.code), ""),
        Check("the code opened the call on the page", call.connected_at is not None, ""),
        _both_see(call),
        _both_hear(call),
        *_warnings(call, warnings_s),
        _limit(call, limit_s),
        *_recording(recording, limit_s),
        _metrics(call),
        _journal(call),
    ]


def _both_see(call: Call) -> Check:
    page = call.page_seen.frames if call.page_seen else 0
    seen = page > FRAMES and call.phone_video.frames > FRAMES and len(call.pictures) > 1
    return Check("both see each other", seen, f"page {page} frames, phone {call.phone_video.frames} frames")


def _both_hear(call: Call) -> Check:
    seen = min(call.page_level_dbfs, call.phone_level_dbfs) > LOUD_DBFS
    return Check(
        "both hear each other", seen, f"page {call.page_level_dbfs:.0f} dBFS, phone {call.phone_level_dbfs:.0f} dBFS"
    )


def _warnings(call: Call, warnings_s: tuple[float, ...]) -> list[Check]:
    told = [warning.text for warning in call.page_warnings]
    spoken = [f"{found.likeness:.2f} alike at {found.at_s:.1f} s" for found in call.phone_warnings]
    return [
        Check("the page warned before the end", len(told) == len(warnings_s), "; ".join(told)),
        Check("the phone heard the warnings", len(spoken) == len(warnings_s), "; ".join(spoken)),
    ]


def _limit(call: Call, limit_s: float) -> Check:
    lasted = call.connected_s
    seen = lasted is not None and abs(lasted - limit_s) <= TOLERANCE_S and call.phone_closed_at is not None
    return Check(
        f"the call ended by itself at its limit of {limit_s:g} s",
        seen,
        f"{lasted:.2f} s connected, the page said “{call.page_ending}”" if lasted is not None else call.page_ending,
    )


def _recording(recording: Report | None, limit_s: float) -> list[Check]:
    if recording is None:
        return [Check("the call was recorded", False, "no sealed recording")]
    lengths = [track.end_s - track.start_s for track in recording.tracks]
    long_enough = all(length > limit_s - 3 for length in lengths)
    sounds = [track.loudness_dbfs or 0.0 for track in recording.tracks if track.kind == "audio"]
    pictures = [track.packets for track in recording.tracks if track.kind == "video"]
    return [
        Check("the recording has the four tracks", len(lengths) == 4, ", ".join(t.name for t in recording.tracks)),
        Check(
            f"each lasts about {limit_s:g} s", bool(lengths) and long_enough, ", ".join(f"{n:.1f} s" for n in lengths)
        ),
        Check(
            "with pictures and sound in them",
            bool(pictures) and min(pictures) > limit_s * 5 and bool(sounds) and min(sounds) > LOUD_DBFS,
            f"{pictures} frames, {sounds} dBFS",
        ),
    ]


def _metrics(call: Call) -> Check:
    ended = [name for name, value in call.metrics.items() if 'reason="limit_reached"' in name and value == 1]
    return Check("the metrics count the ended call and its reason", bool(ended), ", ".join(ended))


def _journal(call: Call) -> Check:
    events = [str(entry["event"]) for entry in call.journal]
    return Check("the journal tells the story", _tells(call.journal), " → ".join(dict.fromkeys(events)))


def _tells(journal: list[dict[str, Any]]) -> bool:
    told = " ".join(re.sub(r"[^a-z]", "", str(entry["event"]).lower()) for entry in journal)
    steps = ("granted", "phoneanswered", "smsaccepted", "codeaccepted", "warning", "deadlinereached")
    return all(step in told for step in steps) and len({entry["call"] for entry in journal}) == 1
