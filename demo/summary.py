"""What the demonstration showed, for people to read."""

import sys
from collections.abc import Iterable
from pathlib import Path

from demo.checks import Check
from demo.recording_report import Report
from tests.e2e.one_call import Call
from tests.e2e.story import Moment

ACTOR_WIDTH = 12
COLOURS = {"detainee": 33, "phone": 33, "relative": 36, "page": 36, "modem": 35, "avisiod": 32, "kamailio": 34}


def coloured(text: str, colour: int) -> str:
    """In colour where a person looks at a terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m" if sys.stdout.isatty() else text


def moment_line(moment: Moment, began: float) -> str:
    """`  12.3 s  page         shows the call`."""
    actor = moment.actor.split()[0]
    name = coloured(f"{moment.actor:<{ACTOR_WIDTH}}", COLOURS.get(actor, 37))
    return f"{moment.at - began:7.2f} s  {name} {moment.text}"


def headline(text: str) -> str:
    """A line that parts the sections."""
    return coloured(f"\n{text}", 1)


def summary(
    moments: Iterable[Moment], began: float, call: Call, recording: Report | None, sheet: Path | None
) -> list[str]:
    """Timeline, what each side received, the recording; the recording's path has a line of its own."""
    lines = [headline("Timeline"), *(moment_line(moment, began) for moment in moments)]
    lines += [headline("Received"), *_received(call)]
    if recording is not None:
        lines += [headline("Recording"), str(recording.path), *(f"  {line}" for line in recording.lines())]
    if sheet is not None:
        lines += [f"  contact sheet: {sheet}"]
    return lines


def _received(call: Call) -> list[str]:
    video = call.phone_video
    lines = [
        (
            f"  phone: {video.frames} frames decoded, {video.width}x{video.height}, {video.keyframes} keyframes; "
            f"speech at {call.phone_level_dbfs:.0f} dBFS"
        )
    ]
    if call.page_seen and call.page_heard:
        seen, heard = call.page_seen, call.page_heard
        lines.append(
            f"  page:  {seen.frames} frames decoded, {seen.width}x{seen.height}, {seen.keyframes} keyframes, "
            f"{seen.codec}, {seen.lost} packets lost, jitter {seen.jitter_s * 1000:.0f} ms, {seen.freezes} freezes; "
            f"speech at {call.page_level_dbfs:.0f} dBFS, {heard.codec}, {heard.lost} packets lost"
        )
    if call.page_sent:
        sent = call.page_sent
        lines.append(
            f"  page sends {sent.width}x{sent.height}, {sent.target_bit_s / 1000:.0f} kbit/s, "
            f"limited by: {sent.limited_by}, {sent.keyframe_requests} keyframe requests"
        )
    return lines


def check_line(check: Check) -> str:
    """`✓ the phone is registered`."""
    mark = coloured("✓", 32) if check.seen else coloured("✗", 31)
    return f"  {mark} {check.name}" + (f": {check.detail}" if check.detail else "")
