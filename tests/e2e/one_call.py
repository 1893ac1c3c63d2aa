"""One whole call, played on a stage as two people would, and everything that was seen of it."""

import dataclasses
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.stage import Stage
from tests.peers import portal
from tests.peers.baresip import BaresipPhone, Video
from tests.peers.browser import Heard, Relative, Seen, Sent, Told
from tests.peers.media import SILENCE_DBFS, Found, Sound, find_sound, read_wav
from tests.peers.waiting import NotSeen, wait_until

FRAMES = 75
"""Three seconds of picture on each side count as seeing each other."""
LOUD_DBFS = -45.0
"""Speech is far above, comfort noise far below."""
NO_VIDEO = Video(0, 0, 0, 0)
PROMPTS = Path(__file__).resolve().parents[2] / "build" / "prompts" / "fr"
WARNING_SLACK_S = 3.0
ALIKE = 0.8
"""Speech of somebody else stays below 0.6."""
LAST_WORDS_S = 20.0
"""So long after the limit may the phone still hear that the call is over."""


@dataclasses.dataclass
class Call:
    """What was seen; None, 0 or empty where it was not. Moments are on the monotonic clock."""

    registered: bool = False
    answered_at: float | None = None
    sms_text: str = ""
    code: str = ""
    connected_at: float | None = None
    page_ended_at: float | None = None
    phone_closed_at: float | None = None
    phone_video: Video = NO_VIDEO
    phone_level_dbfs: float = SILENCE_DBFS
    phone_heard: Sound = dataclasses.field(default_factory=Sound.empty)
    page_seen: Seen | None = None
    page_heard: Heard | None = None
    page_level_dbfs: float = SILENCE_DBFS
    page_sent: Sent | None = None
    page_warnings: list[Told] = dataclasses.field(default_factory=list)
    heard_before_s: float = 0.0
    """What the phone had heard when the page was connected."""
    phone_warnings: list[Found] = dataclasses.field(default_factory=list)
    page_ending: str = ""
    pictures: list[Path] = dataclasses.field(default_factory=list)
    recording: Path | None = None
    manifest: Path | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    journal: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    charge_cents: int | None = None
    """What the detainee paid."""
    troubles: list[str] = dataclasses.field(default_factory=list)

    @property
    def connected_s(self) -> float | None:
        """From the moment the page showed the other party to the moment it showed the end."""
        if self.connected_at is None or self.page_ended_at is None:
            return None
        return self.page_ended_at - self.connected_at


def play(stage: Stage, limit_s: float, *, codec: str = "PCMA") -> Call:
    """Dial, join, talk, and let the limit end it. What does not happen is in `troubles`, and the rest goes on."""
    call, story = Call(), stage.story
    contact = stage.contacts[0]
    phone = stage.phone(codecs=[codec])
    call.registered = True
    phone.dial(contact.dialled)
    story.add("detainee", f"dials {contact.dialled}")
    phone.wait_established(15)
    call.answered_at = story.add("phone", "is answered: sees and hears that it waits")
    call.code = stage.wait_code(contact)
    call.sms_text = stage.sms.items()[-1].text
    relative = stage.relative()
    portal.try_camera(relative, stage.portal_url)
    story.add("relative", "opens the portal; camera and microphone work")
    call.pictures.append(phone.snapshot("waiting"))
    portal.give_code(relative, call.code)
    story.add("relative", "types the code and accepts the charter")
    wait_until(lambda: portal.is_connected(relative), 30, f"the page: connected ({relative.text()!r})")
    call.connected_at = story.add("page", "shows the call: connected")
    call.heard_before_s = phone.heard().duration_s
    _talk(stage, call, phone, relative)
    _end(stage, call, phone, relative, limit_s)
    _aftermath(stage, call)
    return call


def _talk(stage: Stage, call: Call, phone: BaresipPhone, relative: Relative) -> None:
    story = stage.story
    shown_before = phone.video().frames
    with _noted(call):
        seen = relative.wait_frames(FRAMES)
        story.add("page", f"has decoded {seen.frames} frames, {seen.width}x{seen.height}, {seen.codec}")
    with _noted(call):
        call.phone_video = phone.wait_frames(shown_before + FRAMES)
        frames = call.phone_video.frames
        story.add("phone", f"has decoded {frames} frames, {frames - shown_before} of them since it is connected")
    with _noted(call):
        call.page_level_dbfs = relative.wait_heard(LOUD_DBFS)
        story.add("page", f"plays speech at {call.page_level_dbfs:.0f} dBFS")
    with _noted(call):
        call.phone_level_dbfs = phone.wait_heard(LOUD_DBFS)
        story.add("phone", f"plays speech at {call.phone_level_dbfs:.0f} dBFS")
    with _noted(call):
        call.pictures.append(phone.snapshot("talking"))
        call.pictures.append(relative.screenshot(stage.folder / "page-talking.png"))


def _end(stage: Stage, call: Call, phone: BaresipPhone, relative: Relative, limit_s: float) -> None:
    assert call.connected_at is not None
    story, mark = stage.story, 0
    warnings: list[Told] = []

    def over() -> bool:
        nonlocal mark
        video = phone.video()
        warnings[:] = [told for told in relative.told() if _is_warning(told, call.connected_at or 0.0)]
        for told in warnings[mark:]:
            story.add("page", f"warns: {told.text}", told.at)
            relative.screenshot(stage.folder / f"page-warning-{mark + 1}.png")
            mark += 1
        call.page_ending = portal.ending(relative)
        if not call.page_ending:  # later the phone sees the farewell picture
            call.phone_video = max(call.phone_video, video)
        return bool(call.page_ending)

    with _noted(call):
        wait_until(over, limit_s + 10, "the page: the end of the call", 0.1)
        told = relative.wait_told(re.escape(call.page_ending), 2, since=call.connected_at)
        call.page_ended_at = story.add("page", f"tells the end: {call.page_ending}", told.at)
    call.page_warnings = warnings
    with _noted(call):
        why = phone.wait_closed(LAST_WORDS_S)
        call.phone_closed_at = story.add("phone", f"call closed: {why or 'BYE'}")
    call.page_seen, call.page_heard, call.page_sent = relative.seen(), relative.heard(), relative.sent()
    call.phone_heard = phone.heard()
    call.phone_warnings = _warnings_heard(call, limit_s, stage.settings["calls"]["warnings_s"])
    for found in call.phone_warnings:
        at = call.connected_at + found.at_s - call.heard_before_s
        story.add("phone", f"plays the warning ({found.likeness:.2f} alike to the prompt)", at)
    call.pictures.append(relative.screenshot(stage.folder / "page-end.png"))


def _warnings_heard(call: Call, limit_s: float, warnings_s: Sequence[float]) -> list[Found]:
    """The spoken warnings, found again in what the phone decoded, each near its due moment."""
    found = []
    for left in warnings_s:
        named = PROMPTS / f"warning_{left:g}.wav"
        prompt = read_wav(named if named.exists() else PROMPTS / "warning.wav")
        due = call.heard_before_s + limit_s - left
        nearby = call.phone_heard.cut(due - WARNING_SLACK_S, due + prompt.duration_s + WARNING_SLACK_S)
        place = find_sound(prompt, nearby)
        if place.likeness > ALIKE:
            found.append(place._replace(at_s=place.at_s + max(due - WARNING_SLACK_S, 0.0)))
    return found


def _is_warning(told: Told, since: float) -> bool:
    return told.at > since and bool(re.search(r"(se termine|termine|ends) (dans|in) ", told.text))


def _aftermath(stage: Stage, call: Call) -> None:
    with _noted(call):
        wait_until(lambda: bool(stage.recordings()), 10, "a sealed recording")
        call.recording = stage.recordings()[-1]
        stage.story.add("avisiod", "has sealed the recording")
    with _noted(call):
        call.metrics = stage.metrics()
    with _noted(call):
        call.journal = stage.journal()
    with _noted(call):
        call.charge_cents = stage.calls()[-1]["charge_cents"]


class _noted:  # noqa: N801 - reads like a function
    """What was not seen is noted, and the call goes on."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, NotSeen | OSError | RuntimeError):
            return False
        self._call.troubles.append(str(error))
        return True
