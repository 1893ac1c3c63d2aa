"""A relative's browser: Chromium with a camera and a microphone of ours, driven by Playwright."""

import math
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.peers import assets
from tests.peers.media import SILENCE_DBFS
from tests.peers.waiting import Feed, NotSeen, wait_until

EXECUTABLE = "/usr/bin/chromium"
MOBILE = {"width": 390, "height": 844}
"""A smartphone held upright, in CSS pixels."""

_HERE = Path(__file__).parent
T = TypeVar("T")


class Told(NamedTuple):
    """A title, alert or status message that a page showed; `at` on the monotonic clock."""

    at: float
    text: str


class Seen(NamedTuple):
    """The picture that a page receives, since its connection began."""

    frames: int
    keyframes: int
    width: int
    height: int
    packets: int
    lost: int
    jitter_s: float
    bytes: int
    freezes: int
    frozen_s: float
    codec: str


class Heard(NamedTuple):
    """The sound that a page receives, since its connection began. `energy` / `seconds` is its mean square."""

    energy: float
    seconds: float
    packets: int
    lost: int
    jitter_s: float
    concealed_samples: int
    codec: str

    def level_dbfs(self, since: "Heard | None" = None) -> float:
        """RMS over everything, or over what came after `since`."""
        energy = self.energy - (since.energy if since else 0.0)
        seconds = self.seconds - (since.seconds if since else 0.0)
        return max(SILENCE_DBFS, 10 * math.log10(energy / seconds)) if energy > 0 and seconds > 0 else SILENCE_DBFS


class NetworkPath(NamedTuple):
    """Between which candidates (RFC 8445) media passes: the page's and the box's. `relayed_by`: udp, tcp or tls."""

    local: str
    local_address: str
    relayed_by: str
    remote_address: str
    remote_port: int


class Sent(NamedTuple):
    """The picture that a page sends. `limited_by`: what makes it smaller than the camera's (none, cpu, bandwidth)."""

    frames: int
    width: int
    height: int
    target_bit_s: float
    limited_by: str
    keyframe_requests: int


class Chromium:
    """One browser process for any number of relatives, who share its camera and microphone files.

    Playwright wants one thread: everything runs in the browser's own, so that methods may be called from any
    (they block; on a reactor use `offreactor`).
    """

    def __init__(
        self,
        *,
        party: str = "FAMILLE",
        camera: Path | None = None,
        microphone: Path | None = None,
        hide_addresses: bool = False,
        flags: Sequence[str] = (),
    ) -> None:
        """`hide_addresses` announces mDNS names in place of our addresses, as browsers without camera consent do."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chromium")
        self._flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera or assets.camera(party)}",
            f"--use-file-for-fake-audio-capture={microphone or assets.speech(party)}",
            *([] if hide_addresses else ["--disable-features=WebRtcHideLocalIpsWithMdns"]),
            *flags,
        ]
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def start(self) -> Self:
        self.run(self._start)
        return self

    def _start(self) -> None:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=EXECUTABLE, args=self._flags)

    def stop(self) -> None:
        self.run(self._stop)
        self._thread.shutdown()

    def _stop(self) -> None:
        if self._browser:
            self._browser.close()
        if self._playwright:
            self._playwright.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """In the browser's thread, for what this class does not offer."""
        return self._thread.submit(function, *args).result()

    def relative(
        self, *, locale: str = "fr-FR", mobile: bool = True, sync: bool = False, h264: bool = True
    ) -> "Relative":
        """A new person: nothing stored, nothing remembered.

        `sync`: in place of camera and microphone, a flash and a beep in the same instant once a second.
        Without `h264` the browser knows VP8, VP9 and AV1 only.
        """

        def make() -> Relative:
            if self._browser is None:
                raise RuntimeError("the browser has not been started")
            context = self._browser.new_context(
                ignore_https_errors=True,
                locale=locale,
                viewport=MOBILE if mobile else {"width": 1280, "height": 800},  # type: ignore[arg-type]
                has_touch=mobile,
                permissions=["camera", "microphone"],
            )
            context.add_init_script(path=_HERE / "browser.js")
            if not h264:
                context.add_init_script(path=_HERE / "browser_vp8.js")
            if sync:
                context.add_init_script(path=_HERE / "browser_sync.js")
            return Relative(self, context)

        return self.run(make)


class Relative:
    """A person in front of one page."""

    def __init__(self, chromium: Chromium, context: BrowserContext, page: Page | None = None) -> None:
        """Made by `Chromium.relative`."""
        self._chromium = chromium
        self._context = context
        self.page: Page = page or context.new_page()
        self.console: Feed[str] = Feed("the page's console")
        self.page.on("console", lambda message: self.console.add(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.add(f"uncaught: {error}"))

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Use `self.page` in the browser's thread."""
        return self._chromium.run(function, *args)

    def open(self, url: str) -> None:
        self.run(self.page.goto, url)

    def close(self) -> None:
        """The tab closes, as when a person is gone."""
        self.run(self._context.close)

    def second_tab(self) -> "Relative":
        """The same page once more, as when a person duplicates the tab: what the tab remembers goes along."""

        def duplicate() -> Relative:
            with self.page.expect_popup() as opened:
                self.page.evaluate("() => { window.open(location.href); }")
            return Relative(self._chromium, self._context, opened.value)

        return self.run(duplicate)

    def reload(self) -> None:
        self.run(self.page.reload)

    def evaluate(self, script: str, argument: object = None) -> Any:
        return self.run(self.page.evaluate, script, argument)

    def text(self) -> str:
        """What a person can read on the page now."""
        return str(self.evaluate("document.body.innerText"))

    def wait_text(self, pattern: str, timeout: float = 10.0) -> str:
        """Until the page shows text that matches; returns the match."""
        found: list[str] = []

        def look() -> bool:
            match = re.search(pattern, self.text(), re.IGNORECASE)
            if match:
                found.append(match[0])
            return bool(match)

        wait_until(look, timeout, f"text like {pattern!r} on the page", 0.1)
        return found[0]

    def screenshot(self, path: Path) -> Path:
        self.run(lambda: self.page.screenshot(path=path))
        return path

    def told(self) -> list[Told]:
        """Everything that this page has told the person since it was loaded, with its moment."""
        said = self.evaluate("window.__peers ? window.__peers.told() : []")
        now = time.monotonic()
        return [Told(now - entry["ago"], entry["text"]) for entry in said]

    def wait_told(self, pattern: str, timeout: float = 10.0, since: float = 0.0) -> Told:
        """The first title, alert or status message that matches, shown after the moment `since`."""
        found: list[Told] = []

        def look() -> bool:
            found[:] = [told for told in self.told() if told.at >= since and re.search(pattern, told.text)]
            return bool(found)

        try:
            wait_until(look, timeout, f"the page: nothing told like {pattern!r}", 0.1)
        except NotSeen as not_seen:
            raise NotSeen("\n    ".join([str(not_seen), *(told.text for told in self.told())])) from None
        return found[0]

    # What arrives.

    def connections(self) -> list[dict[str, Any]]:
        """Figures of every RTCPeerConnection that the page ever made, the latest last (getStats, by kind)."""
        figures: list[dict[str, Any]] = self.evaluate("window.__peers ? window.__peers.figures() : []")
        return figures

    def _inbound(self, kind: str) -> dict[str, Any]:
        connections = self.connections()
        return dict(connections[-1]["inbound"].get(kind, {})) if connections else {}

    def path(self) -> NetworkPath:
        """Of the latest connection; empty before one works."""
        connections = self.connections()
        found = connections[-1]["path"] if connections else {}
        local, remote = found.get("local", {}), found.get("remote", {})
        return NetworkPath(
            local=local.get("candidateType", ""),
            local_address=local.get("address", ""),
            relayed_by=local.get("relayProtocol", ""),
            remote_address=remote.get("address", ""),
            remote_port=remote.get("port", 0),
        )

    def seen(self) -> Seen:
        """Of the latest connection."""
        video = self._inbound("video")
        return Seen(
            frames=video.get("framesDecoded", 0),
            keyframes=video.get("keyFramesDecoded", 0),
            width=video.get("frameWidth", 0),
            height=video.get("frameHeight", 0),
            packets=video.get("packetsReceived", 0),
            lost=video.get("packetsLost", 0),
            jitter_s=video.get("jitter", 0.0),
            bytes=video.get("bytesReceived", 0),
            freezes=video.get("freezeCount", 0),
            frozen_s=video.get("totalFreezesDuration", 0.0),
            codec=video.get("codec") or "",
        )

    def heard(self) -> Heard:
        """Of the latest connection."""
        audio = self._inbound("audio")
        return Heard(
            energy=audio.get("totalAudioEnergy", 0.0),
            seconds=audio.get("totalSamplesDuration", 0.0),
            packets=audio.get("packetsReceived", 0),
            lost=audio.get("packetsLost", 0),
            jitter_s=audio.get("jitter", 0.0),
            concealed_samples=audio.get("concealedSamples", 0),
            codec=audio.get("codec") or "",
        )

    def sent(self) -> Sent:
        """On the latest connection."""
        connections = self.connections()
        video = connections[-1]["outbound"].get("video", {}) if connections else {}
        return Sent(
            frames=video.get("framesSent", 0),
            width=video.get("frameWidth", 0),
            height=video.get("frameHeight", 0),
            target_bit_s=video.get("targetBitrate", 0.0),
            limited_by=video.get("qualityLimitationReason", ""),
            keyframe_requests=video.get("pliCount", 0) + video.get("firCount", 0),
        )

    def wait_frames(self, count: int, timeout: float = 15.0) -> Seen:
        """Until `count` frames were decoded on the latest connection."""
        wait_until(lambda: self.seen().frames >= count, timeout, f"the page: {count} decoded frames", 0.1)
        return self.seen()

    def wait_heard(self, above_dbfs: float, timeout: float = 15.0) -> float:
        """Until half a second of sound louder than `above_dbfs` came; returns that level."""
        levels: list[float] = []
        before = self.heard()

        def loud() -> bool:
            nonlocal before
            now = self.heard()
            if now.seconds < before.seconds:
                before = now
            elif now.seconds - before.seconds >= 0.5:
                levels.append(now.level_dbfs(before))
                before = now
            return bool(levels) and levels[-1] > above_dbfs

        wait_until(loud, timeout, f"the page: sound above {above_dbfs:g} dBFS", 0.1)
        return levels[-1]
