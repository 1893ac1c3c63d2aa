"""A real Chromium in a thread of its own, driven through Playwright, with a made-up camera and microphone."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]
ALLOWED = "--use-fake-ui-for-media-stream"
Result = TypeVar("Result")


@contextlib.contextmanager
def chromium(*, devices: bool = True, camera: pathlib.Path | None = None) -> Iterator[Browser]:
    """Chromium; `devices`: camera and microphone are there and allowed; `camera`: an MJPEG file to be seen by it."""
    arguments = [*ARGUMENTS, ALLOWED] if devices else ARGUMENTS
    if camera is not None:
        arguments = [*arguments, f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, **options: Any) -> Page:
    """A page in French on a phone held upright, unless `options` say otherwise."""
    wanted = {"locale": "fr-FR", "viewport": {"width": 390, "height": 844}, "service_workers": "block", **options}
    context: BrowserContext = browser.new_context(**wanted)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.faults = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.faults.append(str(error)))  # type: ignore[attr-defined]
    page.on(
        "console",
        lambda line: page.faults.append(line.text) if line.type == "error" else None,  # type: ignore[attr-defined]
    )
    return page


def in_browser(steps: Callable[..., Result], *words: object) -> "Deferred[Result]":
    """Run what a person does in a thread; the reactor serves the page meanwhile."""
    return deferToThread(steps, *words)


def until(page: Page, condition: str) -> None:
    """Wait until an expression holds in the page, 20 s at most; the page's own policy forbids Playwright's eval."""
    page.evaluate(
        f"""() => new Promise((done, failed) => {{
          const look = () => {{ if ({condition}) done(); else setTimeout(look, 50); }};
          setTimeout(() => failed(new Error({condition!r} + " does not come true")), 20000);
          look();
        }})"""
    )


def to_code(page: Page, url: str) -> None:
    """Open the page and go on until the code is asked for."""
    page.goto(url)
    page.click("#start")
    page.click("#devices-done")
    page.wait_for_selector("#step-code:not([hidden])")


def to_call(page: Page, url: str, code: str = "123456") -> None:
    """Join the call."""
    to_code(page, url)
    page.fill("#code", code)
    page.check("#accept")
    page.click("#join-button")
