"""Checks of strangers and of a hostile page against the browser leg: counted, bounded, and moving nobody."""

import socket

import pytest
import pytest_twisted
from aioice import stun

from avisiod.gateway import ortc
from avisiod.gateway.browser_leg import BrowserLeg, IceDtls
from avisiod.gateway.leg import Kind
from tests.gateway.webrtc_peer import Heard, Page, joined, outside, rtp, run, until

FLOOD = 500


def check(username: str, password: str, *, nominate: bool = True, priority: bool = True) -> bytes:
    """A connectivity check (RFC 8445 section 7.2.4)."""
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes["USERNAME"] = username
    if priority:
        request.attributes["PRIORITY"] = 1853693695
    request.attributes["ICE-CONTROLLING"] = 1
    if nominate:
        request.attributes["USE-CANDIDATE"] = None
    if password:
        request.add_message_integrity(password.encode())
    return bytes(request)


def there(answer: IceDtls) -> tuple[str, int]:
    return "127.0.0.1", int(answer.candidates[0].split()[5])


def answers(sock: socket.socket) -> list[bytes]:
    """Everything that has come by now."""
    found = []
    sock.setblocking(False)
    while True:
        try:
            found.append(sock.recv(2048))
        except BlockingIOError:
            return found


@pytest.mark.parametrize("password", ["", "wrong-wrong-wrong-wrong-"])
@pytest_twisted.ensureDeferred
async def test_a_flood_of_checks_without_the_password_moves_nothing_and_reflects_little(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    async def scenario() -> None:
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        answer = await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        nominated = leg._connection._nominated[1]
        names = f"{answer.username}:{page.gatherer.getLocalParameters().usernameFragment}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for n in range(FLOOD):
                stranger.sendto(check(names, password), there(answer))
                if n % 50 == 49:
                    await until(lambda n=n: leg.dropped_strangers == n + 1, "each is counted")
            back = answers(stranger)
        assert leg.dropped_strangers == FLOOD
        assert len(back) <= ortc.STRANGERS_ANSWERED
        assert all(stun.parse_message(each).message_class == stun.Class.ERROR for each in back)
        assert leg._connection._nominated[1] is nominated
        await page.send(rtp(8))
        await until(lambda: heard.packets == [(Kind.AUDIO, rtp(8))], "the page is served")
        await leg.close()
        await page.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_stranger_who_repeats_an_honest_check_from_elsewhere_gets_no_media(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever can read the page's traffic can repeat its check; without its password he answers none of ours."""

    async def scenario() -> None:
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        answer = await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        nominated = leg._connection._nominated[1]
        names = f"{answer.username}:{page.gatherer.getLocalParameters().usernameFragment}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.bind(("127.0.0.1", 0))
            thief.sendto(check(names, answer.password), there(answer))
            await until(lambda: answers(thief) != [], "our own check of the new address, or our answer")
            thief.sendto(rtp(8, sequence=77), there(answer))
            await until(lambda: leg.dropped_strangers == 1, "what is not validated is a stranger's")
            leg.send_rtp(Kind.AUDIO, rtp(8, ssrc=99))
            await until(lambda: page.dtls.packets == [rtp(8, ssrc=99)], "media goes to the page")
            assert all(data[0] < 4 for data in answers(thief)), "STUN and nothing else"
        assert leg._connection._nominated[1] is nominated
        await leg.close()
        await page.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_a_hostile_page_cannot_make_us_check_any_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(ortc, "PEER_ADDRESSES", 5)
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        answer = await joined(page, leg)
        await until(lambda: heard.states == ["connected"])
        names = f"{answer.username}:{page.gatherer.getLocalParameters().usernameFragment}"
        victims = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(10)]
        for victim in victims:
            victim.sendto(check(names, answer.password, nominate=False), there(answer))
        await until(lambda: leg.dropped_invalid >= 5, "the surplus is counted")
        assert len(leg._connection.remote_candidates) <= 5
        for victim in victims:
            victim.close()
        await leg.close()
        await page.close()

    await run(scenario())


@pytest_twisted.ensureDeferred
async def test_an_authentic_check_without_a_priority_before_we_begin_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        heard = Heard()
        page, leg = Page(monkeypatch), BrowserLeg(heard, outside(), [], {})
        offer = await page.offer()
        answer = await leg.gather()
        names = f"{answer.username}:{offer.username}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as early:
            early.sendto(check(names, answer.password, priority=False), there(answer))
            await until(lambda: bool(leg._connection._early_checks), "it waits for the page's password")
        leg.start(offer, {})
        await page.ice_to(answer)
        await page.dtls_to(answer)
        await until(lambda: heard.states == ["connected"])
        assert leg.dropped_invalid == 1
        await leg.close()
        await page.close()

    await run(scenario())
