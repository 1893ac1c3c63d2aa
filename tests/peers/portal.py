"""What a relative does on the portal's pages, step by step, as a person would."""

from playwright.sync_api import TimeoutError  # noqa: A004 - Playwright's own, and the one meant here

from tests.peers.browser import Relative

STEP_TIMEOUT_MS = 10_000
ASKS_BY_ITSELF_MS = 3_000
"""Where the browser has said yes before, the page opens camera and microphone without a click."""


def try_camera(relative: Relative, url: str) -> None:
    """Open the portal and get through the camera and microphone check."""

    def steps() -> None:
        relative.page.set_default_timeout(STEP_TIMEOUT_MS)
        relative.page.goto(url)

    relative.run(steps)
    go_on(relative)


def go_on(relative: Relative) -> None:
    """Through the camera and microphone check of the page that is open."""

    def steps() -> None:
        page = relative.page
        page.set_default_timeout(STEP_TIMEOUT_MS)
        page.click("#start")
        done = page.locator("#devices-done")
        try:
            done.wait_for(timeout=ASKS_BY_ITSELF_MS)
        except TimeoutError:
            page.click("#allow")
        done.click()
        page.locator("#code").wait_for()

    relative.run(steps)


def give_code(relative: Relative, code: str) -> None:
    """Type the code, tick the charter, and press the button; what comes of it the page tells."""

    def steps() -> None:
        page = relative.page
        page.fill("#code", "")
        page.locator("#code").press_sequentially(code)
        page.check("#accept")
        page.click("#join-button")

    relative.run(steps)


def join(relative: Relative, url: str, code: str) -> None:
    """From the portal's address to the button that joins."""
    try_camera(relative, url)
    give_code(relative, code)


def hang_up(relative: Relative) -> None:
    """The red button, and yes, really."""

    def steps() -> None:
        relative.page.click("#hang-up")
        relative.page.click("#really")

    relative.run(steps)


def step(relative: Relative) -> str:
    """Where the page stands: welcome, devices, code, call or end."""
    return str(relative.evaluate("document.body.dataset.step ?? ''"))


def is_connected(relative: Relative) -> bool:
    """The call's screen is open and nothing hides the other's picture."""
    return bool(
        relative.evaluate("document.body.dataset.step === 'call' && document.getElementById('curtain').hidden")
    )


def ending(relative: Relative) -> str:
    """The title of the last screen: why the call ended, in plain words; empty before."""
    return str(
        relative.evaluate(
            "document.body.dataset.step === 'end' ? document.getElementById('title-end').textContent : ''"
        )
    )


def rejection(relative: Relative, timeout_ms: int = STEP_TIMEOUT_MS) -> str:
    """The title of the message that says why the code opened nothing, once it is there."""

    def title() -> str:
        found = relative.page.locator("#join-error-title")
        found.wait_for(timeout=timeout_ms)
        return found.inner_text()

    return relative.run(title)
