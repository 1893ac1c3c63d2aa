"""The portal in a real browser: from the first screen to the end of the call."""

from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from playwright.sync_api import Page
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from avisiod.calls.reasons import EndReason
from tests.web.browser import chromium, in_browser, new_page, to_call, until
from tests.web.conftest import Served
from tests.web.mediabox import MediaBox

pytestmark = pytest.mark.peer


def tell(function: object, *words: object) -> None:
    """Call something of the reactor's from the browser's thread."""
    blockingCallFromThread(reactor, function, *words)


@pytest_twisted.async_yield_fixture
async def box(served: Served) -> AsyncIterator[MediaBox]:
    import asyncio

    box = MediaBox()
    served.desk.answer = box.answer
    served.desk.on_asked = lambda what: box.candidate(what[2]) if what[0] == "candidate" else None
    yield box
    await Deferred.fromFuture(asyncio.ensure_future(box.close()))


def sees_the_other_side(page: Page) -> None:
    until(page, "document.getElementById('remote').videoWidth === 640")
    until(page, "document.getElementById('remote').currentTime > 0.5")


@pytest_twisted.ensureDeferred
async def test_a_relative_joins_sees_is_warned_and_hears_why_it_ended(served: Served, box: MediaBox) -> None:
    def steps() -> list[str]:
        with chromium() as browser:
            page = new_page(browser)
            to_call(page, served.url)
            page.wait_for_selector("#step-call:not([hidden])")
            tell(served.desk.page.state, "joining", None)
            sees_the_other_side(page)
            tell(served.desk.page.state, "connected", 125.0)
            page.wait_for_selector("#curtain", state="hidden")
            assert page.inner_text("#recording") == "Enregistré"
            assert page.inner_text("#remaining") in ("2:05", "2:04")
            tell(served.desk.page.warning, 120.0)
            assert "2 minutes" in page.inner_text("#call-warning")
            tell(served.desk.page.ended, EndReason.LIMIT_REACHED, 1200.0)
            page.wait_for_selector("#step-end:not([hidden])")
            assert page.inner_text("#title-end") == "Le temps de l’appel est écoulé"
            assert "20 minutes" in page.inner_text("#end-facts")
            assert page.evaluate("sessionStorage.getItem('avisio.token')") is None
            return page.faults

    assert await in_browser(steps) == []
    assert "H264" in box.offers[0]
