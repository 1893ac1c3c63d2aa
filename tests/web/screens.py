"""Photograph every screen of the portal, in French, at three sizes, into build/screens: look at them after a change.

Run by `make screens`. The other side is a drawn figure; nothing leaves this machine.
"""

import asyncio
import pathlib
import sys

from twisted.internet import asyncioreactor

asyncioreactor.install(asyncio.new_event_loop())

from PIL import Image
from playwright.sync_api import Page
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from avisiod import ports
from avisiod.calls.reasons import EndReason
from avisiod.clock import SystemClock
from avisiod.web.portal import make_portal
from tests.web.browser import chromium, in_browser, new_page, to_call, until
from tests.web.conftest import configured, free_port
from tests.web.desk import FakeDesk
from tests.web.mediabox import MediaBox, camera_film

OUT = pathlib.Path(__file__).resolve().parent.parent.parent / "build" / "screens"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "computer": (1280, 800), "phone-turned": (844, 390)}
FACEBOOK = "Mozilla/5.0 (Linux; Android 14; Pixel 7 wv) AppleWebKit/537.36 Chrome/120 [FB_IAB/FB4A;FBAV/440;]"


class Photographer:
    """Goes through the portal with one size of screen."""

    def __init__(self, url: str, desk: FakeDesk, name: str, language: str) -> None:
        self._url, self._desk, self._name, self._language = url, desk, name, language
        self._film = camera_film(OUT.parent / "camera.mjpeg")

    def shoot(self, page: Page, screen: str, *, whole: bool = True) -> None:
        page.screenshot(path=OUT / f"{self._name}-{screen}.png", full_page=whole)

    def options(self, **more: object) -> dict[str, object]:
        width, height = SIZES[self._name]
        locale = {"fr": "fr-FR", "en": "en-GB"}[self._language]
        return {"viewport": {"width": width, "height": height}, "locale": locale, **more}

    def prepare(self) -> None:
        """Everything before the call."""
        with chromium(camera=self._film) as browser:
            page = new_page(browser, **self.options())
            page.goto(self._url)
            self.shoot(page, "1-welcome")
            for path in ("accessibilite", "confidentialite", "mentions-legales", "charte", "hors-ligne"):
                page.goto(f"{self._url}/{path}")
                self.shoot(page, f"6-{path}")
            page.goto(self._url)
            page.click("#start")
            page.wait_for_selector("#devices-done")
            until(page, "document.getElementById('preview').videoWidth > 0")
            self.shoot(page, "2-devices")
            page.click("#devices-done")
            self.shoot(page, "3-code")
            page.click("#join-button")
            self.shoot(page, "3-code-missing")
            page.fill("#code", "000000")
            page.check("#accept")
            page.click("#join-button")
            page.wait_for_selector("#join-error:not([hidden])")
            self.shoot(page, "3-code-wrong")
            page.fill("#code", "999999")
            page.click("#join-button")
            until(page, "document.getElementById('join-error-more').textContent !== ''")
            page.click("summary >> nth=1")
            self.shoot(page, "3-code-throttled-charter")
            page = new_page(browser, **self.options(user_agent=FACEBOOK))
            page.goto(self._url)
            self.shoot(page, "1-welcome-in-app")
        with chromium(devices=False) as browser:
            page = new_page(browser, **self.options(permissions=[]))
            page.goto(self._url)
            page.click("#start")
            self.shoot(page, "2-devices-before")
            page.click("#allow")
            page.wait_for_selector("#devices-error:not([hidden])")
            self.shoot(page, "2-devices-denied")

    def call(self) -> None:
        """The call and its end."""
        tell = lambda function, *words, **named: blockingCallFromThread(reactor, function, *words, **named)  # noqa: E731
        with chromium(camera=self._film) as browser:
            page = new_page(browser, **self.options(has_touch=self._name.startswith("phone")))
            to_call(page, self._url)
            page.wait_for_selector("#step-call:not([hidden])")
            self.shoot(page, "4-call-joining", whole=False)
            until(page, "document.getElementById('remote').currentTime > 1")
            tell(self._desk.page.state, "connected", 754.0)
            page.wait_for_selector("#curtain", state="hidden")
            self.shoot(page, "4-call", whole=False)
            page.click("#mute")
            page.click("#camera-off")
            tell(self._desk.page.state, "connected", 120.0)
            tell(self._desk.page.warning, 120.0)
            self.shoot(page, "4-call-warning", whole=False)
            page.click("#hang-up")
            self.shoot(page, "4-call-hang-up", whole=False)
            page.click("#stay")
            tell(self._desk.page.state, "interrupted", 100.0)
            self.shoot(page, "4-call-interrupted", whole=False)
            tell(self._desk.page.ended, EndReason.MEDIA_FAILED, 634.0, charged=EndReason.MEDIA_FAILED.charged)
            page.wait_for_selector("#step-end:not([hidden])")
            self.shoot(page, "5-end")


def postcard() -> None:
    """Three screens side by side, for docs/images/portal-call.png."""
    width, height = SIZES["phone"]
    gap = 24
    card = Image.new("RGB", (3 * width + 4 * gap, height + 2 * gap), "#dfe7ec")
    for place, screen in enumerate(("2-devices", "3-code", "4-call")):
        with Image.open(OUT / f"phone-{screen}.png") as photograph:
            top = photograph.crop((0, 0, width, min(height, photograph.height)))
            card.paste(top, (gap + place * (width + gap), gap))
    card.quantize(256).save(OUT / "portal-call.png", optimize=True)


async def main(names: list[str], language: str) -> None:
    """Serve a portal and photograph it."""
    OUT.mkdir(parents=True, exist_ok=True)
    desk = FakeDesk()
    desk.verdicts["999999"] = ports.Rejected(why="throttled", retry_after_s=40.0)
    config = configured(free_port(), help_contact="04 00 00 00 00")
    portal = make_portal(config, desk, SystemClock(asyncio.get_event_loop()))
    portal.start()
    for name in names:
        box = MediaBox()
        desk.answer = box.answer
        desk.on_asked = lambda what, box=box: box.candidate(what[2]) if what[0] == "candidate" else None
        photographer = Photographer(config.portal.public_url, desk, name, language)
        await in_browser(photographer.prepare)
        await in_browser(photographer.call)
        await Deferred.fromFuture(asyncio.ensure_future(box.close()))
    await portal.stop()
    if "phone" in names:
        postcard()


if __name__ == "__main__":
    from twisted.internet.task import react

    arguments = sys.argv[1:]
    chosen = [name for name in arguments if name in SIZES] or list(SIZES)
    react(lambda _: Deferred.fromCoroutine(main(chosen, "en" if "en" in arguments else "fr")))
