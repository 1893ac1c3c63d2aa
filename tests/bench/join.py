"""From the code to the first picture on both sides: Chromium, and a phone whose packets libavcodec decodes."""

import contextlib
import time
from pathlib import Path
from typing import Any

import av

from avisiod.gateway import h264
from avisiod.gateway.depacketizer import Depacketizer, Frame
from tests.bench.numbered import Arrival
from tests.bench.scene import Dialled, Lines, dialled, new_folder
from tests.e2e.stage import Stage
from tests.peers import portal
from tests.peers.browser import Relative
from tests.peers.rtp_phone import VIDEO_PT
from tests.peers.waiting import NotSeen, wait_until

HERE = Path(__file__).parent
FIRST_PICTURE_WITHIN_S = 20.0
SHOWN = ("first frame shown", "first frame counted")
JOURNAL = {"CodeAccepted": "code accepted", "RecorderOpened": "recorder open"}


class FirstPicture:
    """Fed with what the phone gets; knows when libavcodec has decoded the first picture of the relative.

    The phone is shown our own pictures until the bridge opens. They are all of one encoder, whose parameter sets are
    not a browser's: what comes with others after the bridge opened is the relative.
    """

    def __init__(self, arrivals: list[Arrival], bridged_at: float) -> None:
        self._came: dict[int, float] = {}
        assembler = Depacketizer(VIDEO_PT, video=True)
        for each in arrivals:
            assembler.push(each.packet, each.at)
            self._came[each.timestamp] = each.at
        frames = assembler.flush()
        ours = {self._sps(frame) for frame in frames if frame.arrival < bridged_at}
        theirs = iter(frames)
        self._frames: list[Frame] = []
        for frame in theirs:
            if frame.arrival >= bridged_at and frame.key and self._sps(frame) not in ours:
                self._frames = [frame, *theirs]

    @staticmethod
    def _sps(frame: Frame) -> bytes:
        return next((nal for nal in frame.nals if nal[0] & 31 == h264.SPS), b"")

    def decoded_at(self) -> float | None:
        """When it came whole, and the time that decoding it takes here; None where nothing can be decoded yet."""
        decoder = av.CodecContext.create("h264", "r")
        decoder.thread_count = 1
        took = 0.0
        for frame in self._frames:
            data = b"".join(b"\0\0\0\1" + nal for nal in frame.nals)
            began = time.monotonic()
            pictures = decoder.decode(av.Packet(data))
            took += time.monotonic() - began
            if pictures:
                return self._came[frame.rtp_time & 0xFFFFFFFF] + took
        return None


def measure(lines: Lines, calls: int) -> None:
    """So many calls, one after the other, each with a page that was just opened."""
    settings = {"calls": {"limit_s": 60.0, "warnings_s": []}}
    with Stage(new_folder("join"), settings=settings) as stage:
        for number in range(calls):
            try:
                lines.add("call", number=number, **_call(stage))
            except (NotSeen, OSError, RuntimeError, ValueError) as error:
                lines.add("failed", number=number, why=str(error).partition("\n")[0])


def _call(stage: Stage) -> dict[str, Any]:
    relative = stage.relative()
    try:
        with dialled(stage) as call:
            relative.run(lambda: relative.page.context.add_init_script(path=HERE / "first_frame.js"))
            portal.try_camera(relative, stage.portal_url)
            portal.give_code(relative, call.code)
            return _seen(call, relative)
    finally:
        with contextlib.suppress(Exception):
            relative.close()


def _seen(call: Dialled, relative: Relative) -> dict[str, Any]:
    marks: dict[str, float] = {}
    phone: list[float] = []

    def both() -> bool:
        marks.update(relative.evaluate("window.__marks()"))
        if not call.is_connected():
            return False
        found = FirstPicture(list(call.phone.video.arrivals), call.connected_at()).decoded_at()
        phone[:] = [found] if found else []
        return bool(phone) and SHOWN[0] in marks and SHOWN[1] in marks

    with contextlib.suppress(NotSeen):
        wait_until(both, FIRST_PICTURE_WITHIN_S, "a first picture on both sides", 0.2)
    page = [marks[name] for name in SHOWN if name in marks]
    if not page or not phone:
        missing = [name for name, seen in (("page", page), ("phone", phone)) if not seen]
        raise NotSeen(f"no first picture on {' and '.join(missing)} within {FIRST_PICTURE_WITHIN_S:.0f} s")
    ahead_s = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    sent = marks["code sent"]
    stages = {name: (at - sent) / 1000 for name, at in marks.items()}
    began = sent / 1000 - ahead_s
    stages |= {f"journal: {name}": call.moment(event) - began for event, name in JOURNAL.items()}
    stages["journal: connected"] = call.connected_at() - began
    page_s, phone_s = (min(page) - sent) / 1000, phone[0] - began
    return {
        "page_s": round(page_s, 3),
        "phone_s": round(phone_s, 3),
        "both_s": round(max(page_s, phone_s), 3),
        "stages_s": {name: round(at, 3) for name, at in sorted(stages.items(), key=lambda each: each[1])},
    }
