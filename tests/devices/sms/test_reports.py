"""Delivery reports: whom they are believed from, and what a message that did not arrive brings about."""

import urllib.parse
import urllib.request

import msgspec
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from avisiod.config.sms import SmsRoute
from avisiod.devices.outbox import Outbox
from avisiod.devices.sms.http_client import HttpClient
from avisiod.devices.sms.line import Line
from avisiod.devices.sms.provider_route import ProviderRoute
from avisiod.devices.sms.report_server import ReportServer
from avisiod.ports import Sms
from tests.devices.conftest import NUMBER, TEXT, SteeredClock, until
from tests.peers.sms_provider import SmsProvider, post, settings

URL = "https://visio.example/sms-reports"


class Scene:
    """A provider that accepts, a second route, and the server for reports."""

    def __init__(self, kind, folder) -> None:
        from twisted.internet import reactor

        self.clock = SteeredClock()
        self.provider = SmsProvider(kind)
        entry = msgspec.convert(settings(self.provider, folder), SmsRoute)
        self.token = "" if kind == "twilio" else "/report-73519264"
        self.callback = f"{URL}/{kind}{self.token}"
        route = ProviderRoute(entry, "Avisio.io", self.clock, HttpClient(reactor, self.clock), self.callback)
        self.second: list[Sms] = []
        self.outbox = Outbox([Line(kind, route), Line("second", self)], self.clock, report_within_s=40, watcher=self)
        self.outbox.wanted = lambda _: self.waits
        self.waits = True
        self.seen: list = []
        self.server = ReportServer(
            reactor, [route], URL, lambda name, sms, good: self.outbox.reported(name, sms, delivered=good)
        )
        self.server.start("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.port}/sms-reports/{kind}{self.token}"

    def send(self, sms) -> Deferred:
        """As the second route."""
        self.second.append(sms)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def dial(self, name="call-1") -> Deferred:
        sms = Sms(id=name, number=NUMBER, text=TEXT, valid_s=300, give_up_at=self.clock.now() + 60)
        return self.outbox.send(sms)

    def tried(self, route, result, seconds): ...

    def finished(self, *, sent, seconds): ...

    def reported(self, route, result):
        self.seen.append(result)

    def sent_again(self, route):
        self.seen.append(f"again for {route}")

    async def close(self) -> None:
        self.outbox.stop()
        await self.server.stop()
        self.provider.close()
        assert self.clock.pending == 0


@pytest.fixture
def scene(tmp_path):
    made = []

    def make(kind):
        made.append(Scene(kind, tmp_path))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(each.close()))


def twilio(scene, status, name="SM0001", token=None):
    fields = {"MessageSid": name, "MessageStatus": status, "To": NUMBER}
    signed_for = scene.callback

    def tell():
        import base64
        import hashlib
        import hmac

        text = signed_for + "".join(key + fields[key] for key in sorted(fields))
        key = (token or "token-73519264").encode()
        signature = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha1)).decode()
        return post(scene.url, urllib.parse.urlencode(fields).encode(), {"X-Twilio-Signature": signature})

    return deferToThread(tell)


@pytest_twisted.ensureDeferred
async def test_a_delivered_message_is_no_more_waited_for(scene):
    s = scene("twilio")
    await s.dial()
    assert await twilio(s, "sent") == 204
    assert await twilio(s, "delivered") == 204
    assert await twilio(s, "undelivered") == 204
    assert (s.seen, s.second) == (["delivered"], [])
    assert s.server.counts == {"no_news": 1, "taken": 1, "unknown": 1}
    assert s.outbox.lines[0].allowance.tally.delivered == 1


@pytest_twisted.ensureDeferred
async def test_an_undelivered_code_goes_out_once_more_by_the_next_route_to_the_same_number(scene):
    s = scene("twilio")
    await s.dial()
    s.clock.advance(20)
    await twilio(s, "undelivered")
    assert s.seen == ["undelivered", "again for twilio"]
    (again,) = s.second
    assert (again.number, again.text, again.valid_s) == (NUMBER, TEXT, 280)


@pytest.mark.parametrize("why", ["code typed", "too late"])
@pytest_twisted.ensureDeferred
async def test_nobody_gets_a_code_that_is_of_no_use(scene, why):
    s = scene("twilio")
    await s.dial()
    if why == "code typed":
        s.waits = False
    else:
        s.clock.advance(260)
    await twilio(s, "failed")
    assert s.second == []


@pytest.mark.parametrize("lie", ["other token", "no signature", "other address", "other fields", "unknown route"])
@pytest_twisted.ensureDeferred
async def test_a_lie_changes_nothing_but_a_counter(scene, lie):
    s = scene("twilio")
    await s.dial()
    before = s.outbox.lines[0].health, s.outbox.lines[0].allowance.tally
    if lie == "other token":
        status = await twilio(s, "undelivered", token="another")
    elif lie == "no signature":
        status = await deferToThread(post, s.url, b"MessageSid=SM0001&MessageStatus=undelivered")
    elif lie == "unknown route":
        status = await deferToThread(post, s.url.replace("/twilio", "/other"), b"MessageSid=SM0001")
    elif lie == "other address":
        s.callback = "https://elsewhere.example/twilio"
        status = await twilio(s, "undelivered")
    else:
        right = s.callback
        status = await deferToThread(
            post, s.url, b"MessageSid=SM0001&MessageStatus=failed", {"X-Twilio-Signature": right}
        )
    assert status == 403
    assert s.server.counts == {"denied": 1}
    assert (s.seen, s.second) == ([], [])
    assert (s.outbox.lines[0].health, s.outbox.lines[0].allowance.tally) == before


@pytest_twisted.ensureDeferred
async def test_a_report_on_a_message_that_is_not_ours_is_counted(scene):
    s = scene("twilio")
    await s.dial()
    assert await twilio(s, "undelivered", name="SM9999") == 204
    assert s.server.counts == {"unknown": 1}
    assert s.second == []


@pytest.mark.parametrize("how", ["json", "form", "query"])
@pytest_twisted.ensureDeferred
async def test_a_described_provider_reports_with_its_token_in_the_address(scene, how):
    s = scene("http")
    await s.dial()
    (taken,) = s.provider.taken.items()
    assert taken.callback == s.callback

    def tell(url):
        if how == "json":
            return post(url, b'{"id": "SM0001", "state": "expired"}', {"Content-Type": "application/json"})
        if how == "form":
            return post(url, b"id=SM0001&state=expired")
        with urllib.request.urlopen(f"{url}?id=SM0001&state=expired", timeout=10) as answer:
            return answer.status

    assert await deferToThread(tell, s.url) == 204
    assert (s.seen, len(s.second)) == (["undelivered", "again for http"], 1)
    if how != "query":
        assert await deferToThread(tell, s.url[:-1] + "5") == 403
        assert await deferToThread(tell, s.url.rpartition("/")[0]) in (403, 404)


@pytest.mark.parametrize("body", [b"", b"\xff" * 100, b"{" * 5000, b"a=b", b"x" * 20000])
@pytest_twisted.ensureDeferred
async def test_what_makes_no_sense_is_turned_away(scene, body):
    s = scene("http")
    status = await deferToThread(post, s.url, body, {"Content-Type": "application/json"})
    assert status in (204, 404)
    assert s.server.counts == {"unreadable": 1}


@pytest_twisted.ensureDeferred
async def test_a_route_that_reported_before_and_falls_silent_is_doubted(scene):
    s = scene("twilio")
    await s.dial("call-0")
    await twilio(s, "delivered")
    for place in range(1, 4):
        await s.dial(f"call-{place}")
        await until(lambda place=place: len(s.provider.taken.items()) == place + 1, "taken")
        s.clock.advance(39)
        assert len(s.second) == place - 1
        s.clock.advance(2)
        assert len(s.second) == place
    assert s.seen.count("unconfirmed") == 3
    assert s.outbox.lines[0].health.rests(s.clock.now())
    await s.dial("call-4")  # held back for the weekend: the next route comes first now
    assert len(s.second) == 4
    assert [each.id for each in s.second] == ["call-1", "call-2", "call-3", "call-4"]


@pytest_twisted.ensureDeferred
async def test_a_route_that_never_reports_is_not_doubted(scene):
    s = scene("twilio")
    await s.dial()
    s.clock.advance(400)
    assert (s.seen, s.second) == ([], [])
