"""The portal in a real browser: from the first screen to the end of the call, and whatever goes wrong between."""

import asyncio
import hashlib
import pathlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_twisted
from playwright.sync_api import Browser, Page
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import blockingCallFromThread

from avisiod import ports
from avisiod.calls.admission import Limit
from avisiod.calls.reasons import EndReason
from avisiod.gateway.sdp import writer
from avisiod.web.charter import OURS
from tests.web.browser import chromium, in_browser, new_page, to_call, to_code, until
from tests.web.conftest import Served, serve
from tests.web.desk import RIGHT, TOKEN, FakeDesk
from tests.web.desk import joined as verdict_joined
from tests.web.mediabox import MediaBox

pytestmark = pytest.mark.peer

NO_CAMERA = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wish) => wish.video
  ? Promise.reject(new DOMException("none", "NotFoundError")) : open(wish);
navigator.permissions.query = async () => ({ state: "prompt" });
"""


VP8_ONLY = "RTCRtpSender.getCapabilities = () => ({ codecs: [{ mimeType: 'video/VP8' }] })"


def tell(function: Callable[..., Any], *words: object, **named: object) -> None:
    """Call something of the reactor's from the browser's thread."""
    blockingCallFromThread(reactor, function, *words, **named)


async def browse(steps: Callable[[Browser], Page], *, devices: bool = True) -> None:
    """Run `steps` in Chromium; the page they return must have met no error, not even of its own policy."""

    def run() -> None:
        with chromium(devices=devices) as browser:
            assert steps(browser).faults == []  # type: ignore[attr-defined]

    await in_browser(run)


@pytest_twisted.async_yield_fixture
async def box(served: Served) -> AsyncIterator[MediaBox]:
    box = MediaBox()
    served.desk.answer = box.answer
    served.desk.on_asked = lambda what: box.candidate(what[2]) if what[0] == "candidate" else None
    yield box
    await Deferred.fromFuture(asyncio.ensure_future(box.close()))


def sees_the_other_side(page: Page) -> None:
    until(page, "document.getElementById('remote').videoWidth === 640")
    at = page.evaluate("() => document.getElementById('remote').currentTime")
    until(page, f"document.getElementById('remote').currentTime > {at} + 0.3")


@pytest_twisted.ensureDeferred
async def test_a_relative_joins_sees_is_warned_and_hears_why_it_ended(served: Served, box: MediaBox) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        tell(served.desk.page.state, "joining", None)
        sees_the_other_side(page)
        tell(served.desk.page.state, "connected", 125.0)
        page.wait_for_selector("#curtain", state="hidden")
        assert page.inner_text("#recording") == "Enregistré"
        assert page.inner_text("#remaining") in ("2:05", "2:04")
        tell(served.desk.page.shortened, Limit.HOURS, 125.0)
        page.wait_for_selector("#call-warning:not([hidden])")
        assert "plus court que d’habitude" in page.inner_text("#call-warning")
        tell(served.desk.page.warning, 120.0)
        page.wait_for_function("() => !document.getElementById('call-warning').innerText.includes('plus court')")
        assert "2 minutes" in page.inner_text("#call-warning")
        tell(served.desk.page.ended, EndReason.LIMIT_REACHED, 1200.0, charged=EndReason.LIMIT_REACHED.charged)
        page.wait_for_selector("#step-end:not([hidden])")
        assert page.inner_text("#title-end") == "Le temps de l’appel est écoulé"
        assert "20 minutes" in page.inner_text("#end-facts")
        assert page.evaluate("sessionStorage.getItem('avisio.token')") is None
        return page

    await browse(steps)
    assert "H264" in box.offers[0].split("m=video")[1].split("a=rtpmap:")[1]


@pytest_twisted.ensureDeferred
async def test_an_unrecorded_call_says_so(served: Served, box: MediaBox) -> None:
    served.desk.verdicts[RIGHT] = verdict_joined(recorded=False)

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        assert page.inner_text("#recording") == "Non enregistré"
        return page

    await browse(steps)


@pytest.mark.parametrize(
    ("verdict", "title", "advice"),
    [
        (ports.Rejected(why="wrong", tries_left=2), "Ce code n’est pas le bon", "Vérifiez les chiffres"),
        (ports.Rejected(why="expired"), "Ce code n’est plus valable", "doit recomposer"),
        (ports.Rejected(why="used"), "Ce code a déjà été utilisé", "doit recomposer"),
        (ports.Rejected(why="over"), "Cet appel est terminé", "pourra recomposer"),
        (ports.Rejected(why="throttled", retry_after_s=2.0), "Trop d’essais", "lien du SMS"),
        (ports.Rejected(why="busy"), "Le service a eu une panne", "Réessayez"),
    ],
    ids=lambda value: getattr(value, "why", None),
)
@pytest_twisted.ensureDeferred
async def test_a_code_that_opens_nothing_is_explained_and_the_next_one_joins(
    served: Served, box: MediaBox, verdict: ports.Rejected, title: str, advice: str
) -> None:
    served.desk.verdicts["111111"] = verdict

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url, "111111")
        page.wait_for_selector("#join-error:not([hidden])")
        assert page.inner_text("#join-error-title") == title
        assert advice in page.inner_text("#join-error-advice")
        if verdict.why == "throttled":
            assert "Attendez" in page.inner_text("#join-button")
            until(page, "document.getElementById('join-button').getAttribute('aria-disabled') === 'false'")
        page.fill("#code", RIGHT)
        page.click("#join-button")
        page.wait_for_selector("#step-call:not([hidden])")
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_the_code_is_asked_for_and_the_charter_must_be_accepted(served: Served) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_code(page, served.url)
        page.click("#join-button")
        assert page.inner_text("#code-error") == "Tapez les 6 chiffres du SMS."
        assert page.evaluate("document.activeElement.id") == "code"
        page.fill("#code", "12 34-56")
        assert page.input_value("#code") == "123456"
        page.click("#join-button")
        assert "accepter" in page.inner_text("#accept-error")
        assert page.evaluate("document.activeElement.id") == "accept"
        return page

    await browse(steps)
    assert served.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_the_link_of_the_sms_goes_with_the_code_also_after_a_change_of_language(
    served: Served, box: MediaBox
) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.goto(f"{served.url}/K3x7p")
        page.click("text=English")
        page.wait_for_url("**/en/K3x7p")
        to_call(page, page.url)
        page.wait_for_selector("#step-call:not([hidden])")
        assert page.inner_text("#recording") == "Recorded"
        return page

    await browse(steps)
    assert served.desk.asked[0] == ("redeem", RIGHT, "k3x7p", "127.0.0.1")


@pytest_twisted.ensureDeferred
async def test_a_refused_camera_is_explained_before_anything_is_spent(served: Served) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.goto(served.url)
        page.click("#start")
        page.click("#allow")
        page.wait_for_selector("#devices-error:not([hidden])")
        assert "n’a pas le droit" in page.inner_text("#devices-error-title")
        assert "Autorisations" in page.inner_text("#devices-error-advice")
        assert page.is_visible("#sound-only")
        return page

    await browse(steps, devices=False)
    assert served.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_without_a_camera_one_goes_on_with_sound_and_still_sees_the_other(
    served: Served, box: MediaBox
) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.add_init_script(NO_CAMERA)
        page.goto(served.url)
        page.click("#start")
        page.click("#allow")
        page.wait_for_selector("#devices-error:not([hidden])")
        page.click("#sound-only")
        page.click("#devices-done")
        page.fill("#code", RIGHT)
        page.check("#accept")
        page.click("#join-button")
        page.wait_for_selector("#step-call:not([hidden])")
        sees_the_other_side(page)
        assert page.is_disabled("#camera-off")
        return page

    await browse(steps)
    assert "a=recvonly" in box.offers[0].split("m=video")[1]


@pytest_twisted.ensureDeferred
async def test_a_refreshed_page_is_back_in_the_call_without_a_code(served: Served, box: MediaBox) -> None:
    served.desk.resumed = verdict_joined("session-2")

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.on("dialog", lambda dialog: dialog.accept())
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        sees_the_other_side(page)
        page.reload()
        page.wait_for_selector("#step-call:not([hidden])")
        sees_the_other_side(page)
        tell(served.desk.page.state, "connected", 600.0)
        page.wait_for_selector("#curtain", state="hidden")
        return page

    await browse(steps)
    kinds = [what[:2] for what in served.desk.asked if what[0] not in ("candidate", "redeem")]
    assert kinds[:4] == [
        ("offer", "session-1"),
        ("gone", "session-1"),
        ("resume", TOKEN),
        ("offer", "session-2"),
    ]


@pytest_twisted.ensureDeferred
async def test_a_refresh_after_the_call_is_over_says_that_it_is_over(served: Served, box: MediaBox) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.on("dialog", lambda dialog: dialog.accept())
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        page.reload()
        page.wait_for_selector("#step-end:not([hidden])")
        assert page.inner_text("#title-end") == "Cet appel est terminé"
        page.reload()
        page.wait_for_selector("#step-welcome:not([hidden])")
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_a_lost_connection_is_told_and_made_again(served: Served, box: MediaBox) -> None:
    served.desk.resumed = verdict_joined("session-2")

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        tell(served.desk.page.state, "connected", 600.0)
        page.wait_for_selector("#curtain", state="hidden")
        tell(served.drop_pages)
        page.wait_for_selector("#curtain:not([hidden])")
        assert "reconnexion" in page.inner_text("#curtain-text")
        sees_the_other_side(page)
        until(page, "document.getElementById('remote').srcObject !== null")
        while ("offer", "session-2") not in served.desk.asked:
            page.wait_for_timeout(50)
        tell(served.desk.page.state, "connected", 590.0)
        page.wait_for_selector("#curtain", state="hidden")
        return page

    await browse(steps)
    assert len(box.offers) == 2


@pytest_twisted.ensureDeferred
async def test_a_lost_network_path_is_replaced_and_where_that_is_refused_the_page_begins_anew(
    served: Served, box: MediaBox
) -> None:
    offers: list[str] = []

    def answer(sdp: str) -> Awaitable[str]:
        offers.append(sdp)
        return fail(ports.RestartRefused("no connection is left")) if len(offers) == 2 else box.answer(sdp)

    served.desk.answer = answer

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        sees_the_other_side(page)
        tell(box.vanish)
        while len(offers) < 3:
            page.wait_for_timeout(50)
        sees_the_other_side(page)
        return page

    await browse(steps)
    first, restart, anew = (writer(sdp) for sdp in offers)
    assert first == restart != anew
    first_ufrag, second_ufrag, _ = (sdp.split("a=ice-ufrag:")[1].split()[0] for sdp in offers)
    assert first_ufrag != second_ufrag


@pytest_twisted.ensureDeferred
async def test_media_that_does_not_get_through_is_tried_again_by_itself(served: Served, box: MediaBox) -> None:
    served.desk.resumed = verdict_joined("session-2")

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        tell(served.desk.page.state, "waiting", None)
        until(page, "document.getElementById('curtain-text').textContent.includes('nouvel essai')")
        while ("offer", "session-2") not in served.desk.asked:
            page.wait_for_timeout(50)
        sees_the_other_side(page)
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_hanging_up_asks_first_and_then_tells_the_desk(served: Served, box: MediaBox) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        page.click("#hang-up")
        page.click("#stay")
        assert ("hang_up", "session-1") not in served.desk.asked
        page.click("#hang-up")
        page.click("#really")
        while ("hang_up", "session-1") not in served.desk.asked:
            page.wait_for_timeout(50)
        tell(served.desk.page.ended, EndReason.RELATIVE_HUNG_UP, 3.0, charged=EndReason.RELATIVE_HUNG_UP.charged)
        page.wait_for_selector("#step-end:not([hidden])")
        assert page.inner_text("#title-end") == "Vous avez raccroché"
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_a_failure_of_ours_says_that_nobody_pays(served: Served, box: MediaBox) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        tell(served.desk.page.ended, EndReason.MEDIA_FAILED, 62.0, charged=EndReason.MEDIA_FAILED.charged)
        page.wait_for_selector("#step-end:not([hidden])")
        assert "n’est pas facturé" in page.inner_text("#end-facts")
        assert "1 minute 2\u00a0secondes" in page.inner_text("#end-facts")
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_mute_and_camera_off_stop_what_is_sent(served: Served, box: MediaBox) -> None:
    enabled = """() => document.getElementById('self-view').srcObject.getTracks()
      .map((track) => [track.kind, track.enabled]).sort()"""

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        assert page.evaluate(enabled) == [["audio", True], ["video", True]]
        page.click("#mute")
        page.click("#camera-off")
        assert page.evaluate(enabled) == [["audio", False], ["video", False]]
        assert page.get_attribute("#mute", "aria-pressed") == "true"
        assert page.is_visible("#self-off")
        page.click("#mute")
        assert page.evaluate(enabled) == [["audio", True], ["video", False]]
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_the_whole_way_can_be_gone_with_the_keyboard(served: Served, box: MediaBox) -> None:
    def tab_to(page: Page, wanted: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == wanted:
                return
        raise AssertionError(f"Tab does not reach {wanted}")

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.goto(served.url)
        tab_to(page, "start")
        page.keyboard.press("Enter")
        page.wait_for_selector("#devices-done")
        tab_to(page, "devices-done")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "title-code"
        tab_to(page, "code")
        page.keyboard.type(RIGHT)
        tab_to(page, "accept")
        page.keyboard.press("Space")
        tab_to(page, "join-button")
        page.keyboard.press("Enter")
        page.wait_for_selector("#step-call:not([hidden])")
        tab_to(page, "hang-up")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "stay"
        page.keyboard.press("Escape")
        page.wait_for_selector("#confirm", state="hidden")
        assert page.evaluate("document.activeElement.id") == "hang-up"
        page.keyboard.press("Enter")
        tab_to(page, "really")
        page.keyboard.press("Enter")
        while ("hang_up", "session-1") not in served.desk.asked:
            page.wait_for_timeout(50)
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_a_charter_that_changed_is_shown_again_and_an_answer_that_is_none_is_explained(
    desk: FakeDesk, tmp_path: pathlib.Path
) -> None:
    charter = tmp_path / "fr.md"
    charter.write_bytes((OURS / "fr.md").read_bytes())
    served = serve(desk, charter_folder=str(tmp_path))

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.goto(served.url)
        charter.write_text(charter.read_text("utf-8").replace("Ne filmez pas", "Jamais ne filmez"), "utf-8")
        tell(served.portal.reload(served.config))
        page.click("#start")
        page.click("#devices-done")
        page.wait_for_selector("#join-error:not([hidden])")
        assert page.inner_text("#join-error-title") == "La charte a changé"
        assert "Jamais ne filmez" in page.inner_text("#charter")
        page.fill("#code", RIGHT)
        page.check("#accept")
        page.click("#join-button")
        page.wait_for_selector("#step-end:not([hidden])")
        assert page.inner_text("#title-end") == "Le son et l’image n’ont pas pu démarrer"
        return page

    await browse(steps)
    assert [each.digest for each in desk.acceptances] == [hashlib.sha256(charter.read_bytes()).hexdigest()]
    await served.portal.stop()


@pytest.mark.parametrize(
    ("agent", "app"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Mobile/15E [FBAN/FBIOS;FBAV/1]",
            "S",
        ),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 7; wv) AppleWebKit/537 Chrome/120 Mobile Safari/537", "C"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537 Chrome/120 Mobile Safari/537 Instagram 300.0", "C"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537 Chrome/120 Mobile Safari/537.36", ""),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Version/17 Mobile Safari/604", ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_browser_of_an_app_is_noticed_at_once(served: Served, agent: str, app: str) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser, user_agent=agent)
        page.goto(served.url)
        until(page, "document.body.dataset.step === 'welcome'")
        assert page.is_visible("#in-app") == bool(app)
        if app:
            assert {"S": "Safari", "C": "Chrome"}[app] in page.inner_text("#in-app-advice")
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_a_browser_that_cannot_is_told_before_anything_is_spent(desk: FakeDesk) -> None:
    served = serve(desk, transcoded_calls=0)

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.add_init_script(VP8_ONLY)
        page.goto(served.url)
        page.wait_for_selector("#incapable:not([hidden])")
        assert "H.264" in page.inner_text("#incapable-advice")
        assert page.is_enabled("#start")
        page.add_init_script("delete window.RTCPeerConnection")
        page.goto(served.url)
        page.wait_for_selector("#incapable:not([hidden])")
        assert page.is_disabled("#start")
        return page

    try:
        await browse(steps)
    finally:
        await served.portal.stop()


@pytest.mark.parametrize("converting", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_browser_without_h264_is_told_before_the_code_only_where_nothing_is_free_to_convert_it(
    served: Served, converting: bool
) -> None:
    served.desk.converting = converting
    served.desk.answer = lambda sdp: Deferred()  # the call's screen stays

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.add_init_script(VP8_ONLY)
        to_code(page, served.url)
        assert page.is_hidden("#incapable")
        if not converting:
            page.wait_for_selector("#no-picture-now:not([hidden])")
            assert "code reste valable" in page.inner_text("#no-picture-now-advice")
        page.fill("#code", RIGHT)
        page.check("#accept")
        page.click("#join-button")
        page.wait_for_selector("#step-call:not([hidden])")  # what the portal said at first was heard before
        assert page.evaluate("() => document.getElementById('no-picture-now').hidden") == converting
        return page

    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_where_the_picture_was_refused_the_call_says_that_it_has_sound_only(
    served: Served, box: MediaBox
) -> None:
    async def answer(sdp: str) -> str:
        """Refuse the picture, as for want of a transcoder."""
        text = await box.answer(sdp)
        return re.sub(r"m=video \d+", "m=video 0", text).replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0")

    def steps(browser: Browser) -> Page:
        page = new_page(browser)
        page.add_init_script(VP8_ONLY)
        to_call(page, served.url)
        page.wait_for_selector("#step-call:not([hidden])")
        page.wait_for_selector("#sound-only-call:not([hidden])")
        assert "son seulement" in page.inner_text("#sound-only-call")
        return page

    served.desk.answer = answer
    await browse(steps)


@pytest_twisted.ensureDeferred
async def test_without_a_network_the_installed_app_says_so(served: Served) -> None:
    def steps(browser: Browser) -> Page:
        page = new_page(browser, service_workers="allow")
        page.goto(served.url)
        page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
        page.context.set_offline(True)
        page.goto(served.url + "/fr/")
        assert "pas connecté" in page.inner_text("h1")
        page.faults.clear()  # type: ignore[attr-defined]
        return page

    await browse(steps)
