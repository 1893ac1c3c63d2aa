"""Each screen, seen by axe-core with the rules of WCAG 2.1 AA, and on the narrowest phone."""

import pathlib
from collections.abc import Callable
from typing import Any

import axe_core_python
import pytest
import pytest_twisted
from playwright.sync_api import Browser, Page

from avisiod import ports
from avisiod.calls.reasons import EndReason
from avisiod.web.pages import DOCUMENTS
from tests.web.browser import chromium, in_browser, new_page, to_code, until
from tests.web.conftest import Served
from tests.web.mediabox import MediaBox
from tests.web.test_portal_in_chromium import box, tell

pytestmark = pytest.mark.peer

__all__ = ["box"]

AXE = (pathlib.Path(axe_core_python.__file__).parent / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
SIZES = [(390, 844), (320, 568), (1280, 800), (844, 390)]


class Inspector:
    """Collects what is wrong on each screen."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def look(self, page: Page, screen: str) -> None:
        page.evaluate(AXE)
        verdict: dict[str, Any] = page.evaluate(
            "(rules) => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES
        )
        for violation in verdict["violations"]:
            places = "; ".join(str(node["target"]) for node in violation["nodes"])
            self.found.append(f"{screen}: {violation['id']} ({violation['impact']}): {places}")
        if page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth"):
            self.found.append(f"{screen}: must be scrolled sideways")


async def inspect(steps: Callable[[Browser, Inspector], None], *, devices: bool = True) -> list[str]:
    def run() -> list[str]:
        inspector = Inspector()
        with chromium(devices=devices) as browser:
            steps(browser, inspector)
        return inspector.found

    return await in_browser(run)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest_twisted.ensureDeferred
async def test_every_step_of_a_call_is_free_of_known_faults(
    served: Served, box: MediaBox, size: tuple[int, int]
) -> None:
    served.desk.verdicts["111111"] = ports.Rejected(why="throttled", retry_after_s=1.0)

    def steps(browser: Browser, inspector: Inspector) -> None:
        page = new_page(browser, viewport={"width": size[0], "height": size[1]})
        page.goto(served.url)
        until(page, "document.body.dataset.step === 'welcome'")
        inspector.look(page, "welcome")
        to_code(page, served.url)
        inspector.look(page, "code")
        page.click("#join-button")
        page.click("#charter summary")
        inspector.look(page, "code, nothing typed")
        page.fill("#code", "111111")
        page.check("#accept")
        page.click("#join-button")
        page.wait_for_selector("#join-error:not([hidden])")
        inspector.look(page, "code, throttled")
        until(page, "document.getElementById('join-button').getAttribute('aria-disabled') === 'false'")
        page.fill("#code", "123456")
        page.click("#join-button")
        page.wait_for_selector("#step-call:not([hidden])")
        inspector.look(page, "joining")
        tell(served.desk.page.state, "connected", 119.0)
        tell(served.desk.page.warning, 119.0)
        page.wait_for_selector("#call-warning:not([hidden])")
        inspector.look(page, "call, warned")
        page.click("#mute")
        page.click("#camera-off")
        page.click("#hang-up")
        inspector.look(page, "call, hanging up")
        page.click("#stay")
        tell(served.desk.page.state, "interrupted", 100.0)
        until(page, "!document.getElementById('curtain').hidden")
        inspector.look(page, "call, interrupted")
        tell(served.desk.page.ended, EndReason.PHONE_LOST, 30.0, charged=EndReason.PHONE_LOST.charged)
        page.wait_for_selector("#step-end:not([hidden])")
        inspector.look(page, "end")

    assert await inspect(steps) == []


@pytest_twisted.ensureDeferred
async def test_the_preparation_and_the_other_pages_are_free_of_known_faults(served: Served) -> None:
    def steps(browser: Browser, inspector: Inspector) -> None:
        page = new_page(browser)
        for path in DOCUMENTS:
            page.goto(f"{served.url}/en/{path}")
            inspector.look(page, f"/en/{path}")
        page.goto(served.url)
        page.click("#start")
        inspector.look(page, "devices, not asked yet")
        page.click("#allow")
        page.wait_for_selector("#devices-error:not([hidden])")
        inspector.look(page, "devices, refused")

    assert await inspect(steps, devices=False) == []


@pytest_twisted.ensureDeferred
async def test_the_camera_check_is_free_of_known_faults(served: Served) -> None:
    def steps(browser: Browser, inspector: Inspector) -> None:
        page = new_page(browser)
        page.goto(served.url)
        page.click("#start")
        page.wait_for_selector("#devices-ready:not([hidden])")
        page.click("#device-choice summary")
        inspector.look(page, "devices")

    assert await inspect(steps) == []
