"""Each provider over a real server on loopback that checks what the real one checks, and fails as it does."""

import datetime

import msgspec
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred

from avisiod.clock import wall_utc
from avisiod.config.sms import SmsRoute
from avisiod.devices.outbox import Outbox
from avisiod.devices.sms.http_client import HttpClient
from avisiod.devices.sms.line import Line
from avisiod.devices.sms.provider_route import ProviderRoute
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.ports import Sms
from tests.devices.conftest import CODE, NUMBER, TEXT, SteeredClock, until
from tests.e2e.stage import make_certificate
from tests.peers.sms_provider import SmsProvider, settings

KINDS = ("ovh", "smsfactor", "twilio", "teltonika", "http")
TRICKY = f'Avisio : l\'"accès" & code+100% {CODE} é\n@visio.example #{CODE}'


class Rig:
    """A provider and the route to it, on a clock that stands still unless it is told."""

    def __init__(self, provider: SmsProvider, folder, **changes) -> None:
        from twisted.internet import reactor

        self.clock = SteeredClock()
        self.provider = provider
        self.settings = msgspec.convert(settings(provider, folder, **changes), SmsRoute)
        client = HttpClient(reactor, self.clock, self.settings.ca_file)
        self.route = ProviderRoute(self.settings, "Avisio.io", self.clock, client, "https://cb.example/x")

    def sms(self, **changes) -> Sms:
        values = {"id": "call-1", "number": NUMBER, "text": TEXT, "valid_s": 300.0}
        return Sms(**(values | {"give_up_at": self.clock.now() + 60} | changes))

    def failing(self, sms=None) -> list:
        found: list = []
        self.route.send(sms or self.sms()).addCallbacks(lambda _: found.append(None), lambda f: found.append(f.value))
        return found


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(kind, certificate=None, **changes):
        provider = SmsProvider(kind, certificate)
        made.append(provider)
        return Rig(provider, tmp_path, **changes)

    yield make
    for provider in made:
        provider.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [TEXT, TRICKY])
@pytest_twisted.ensureDeferred
async def test_a_message_arrives_as_it_was_written(rig, kind, text):
    r = rig(kind)
    await r.route.send(r.sms(text=text))
    (taken,) = r.provider.taken.items()
    assert (taken.number, taken.text) == (NUMBER, text)
    assert taken.sender == ("" if kind == "teltonika" else "Avisio.io")
    assert r.route.sms_of(taken.id if kind in ("twilio", "http") else "call-1") in ("call-1", None)


@pytest_twisted.ensureDeferred
async def test_ovh_is_told_not_to_wait_for_monday(rig):
    r = rig("ovh")
    await r.route.send(r.sms())
    (taken,) = r.provider.taken.items()
    asked = taken.asked
    assert asked["path"] == "/sms/sms-ab12345-1/jobs"
    assert (asked["noStopClause"], asked["coding"], asked["validityPeriod"]) == (True, "7bit", 5)


@pytest_twisted.ensureDeferred
async def test_each_has_its_own_sender_and_callback(rig):
    r = rig("twilio", sender="+33700000001")
    await r.route.send(r.sms())
    (taken,) = r.provider.taken.items()
    assert (taken.sender, taken.callback) == ("+33700000001", "https://cb.example/x")
    assert taken.asked["ValidityPeriod"] == "300"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("401", FailureKind.CREDENTIALS),
        ("402", FailureKind.CREDIT),
        ("429", FailureKind.BUSY),
        ("500", FailureKind.SERVER),
        ("503", FailureKind.BUSY),
        ("302", FailureKind.NONSENSE),
        ("garbage", FailureKind.NONSENSE),
        ("huge", FailureKind.NONSENSE),
        ("cut", FailureKind.NONSENSE),
        ("wrong_number", FailureKind.REFUSED),
    ],
)
@pytest_twisted.ensureDeferred
async def test_every_failure_is_told_by_its_class(rig, kind, fault, failure):
    r = rig(kind)
    r.provider.fault = fault
    with pytest.raises(RouteFailure) as caught:
        await r.route.send(r.sms())
    assert caught.value.kind is failure
    assert r.provider.asked == 1
    assert not r.provider.taken.items()
    if fault in ("429", "503"):
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(("fault", "failure"), [("TIMEOUT", FailureKind.NO_ANSWER), ("ERROR", FailureKind.NETWORK)])
@pytest_twisted.ensureDeferred
async def test_a_router_says_what_ails_its_modem(rig, fault, failure):
    r = rig("teltonika")
    r.provider.fault = fault
    with pytest.raises(RouteFailure) as caught:
        await r.route.send(r.sms())
    assert caught.value.kind is failure


@pytest_twisted.ensureDeferred
async def test_a_described_provider_that_says_no_in_its_own_words(rig):
    r = rig("http")
    r.provider.fault = "not_accepted"
    with pytest.raises(RouteFailure, match=r"result\.state"):
        await r.route.send(r.sms())


@pytest_twisted.ensureDeferred
async def test_silence_ends_with_the_time_that_the_settings_give(rig):
    r = rig("ovh", timeout_s=3)
    r.provider.fault = "hold"
    found = r.failing()
    await until(lambda: r.provider.asked, "the question")
    r.clock.advance(2.9)
    assert found == []
    r.clock.advance(0.2)
    await until(lambda: found, "the failure")
    assert found[0].kind is FailureKind.NO_ANSWER
    assert r.clock.pending == 0


@pytest_twisted.ensureDeferred
async def test_nobody_there(rig):
    r = rig("ovh")
    r.provider.close()
    with pytest.raises(RouteFailure) as caught:
        await r.route.send(r.sms())
    assert caught.value.kind is FailureKind.UNREACHABLE


@pytest_twisted.ensureDeferred
async def test_credentials_are_read_anew_for_every_message(rig, tmp_path):
    r = rig("smsfactor")
    file = tmp_path / "smsfactor.secret"
    good = file.read_text()
    for wrong in ("token: other\n", "other: x\n", "- a list\n", "{"):
        file.write_text(wrong)
        with pytest.raises(RouteFailure) as caught:
            await r.route.send(r.sms())
        assert caught.value.kind is FailureKind.CREDENTIALS
    file.unlink()
    with pytest.raises(RouteFailure, match="cannot be read"):
        await r.route.send(r.sms())
    file.write_text(good)
    await r.route.send(r.sms())
    assert len(r.provider.taken.items()) == 1


# Certificates.


@pytest.fixture
def certificate(tmp_path):
    make_certificate(tmp_path / "good.crt", tmp_path / "good.key")
    return tmp_path / "good.crt", tmp_path / "good.key"


def self_signed(crt, key, name: str, days: int) -> None:
    """Valid for so many days from now; below 0: it was, until a day ago."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = wall_utc()
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(private.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=9))
    made = made.not_valid_after(now + datetime.timedelta(days=days))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    crt.write_bytes(made.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()))


@pytest.mark.parametrize("kind", ["ovh", "teltonika"])
@pytest_twisted.ensureDeferred
async def test_a_certificate_of_an_authority_that_was_named_is_believed(rig, certificate, kind):
    r = rig(kind, certificate, ca_file=str(certificate[0]))
    await r.route.send(r.sms())
    assert len(r.provider.taken.items()) == 1


@pytest.mark.parametrize("what", ["unknown authority", "other name", "other authority", "expired"])
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_not_to_be_believed_gets_no_code(rig, certificate, tmp_path, what):
    if what == "unknown authority":
        r = rig("teltonika", certificate)
    elif what == "other authority":
        make_certificate(tmp_path / "other.crt", tmp_path / "other.key")
        r = rig("teltonika", certificate, ca_file=str(tmp_path / "other.crt"))
    else:
        crt, key = tmp_path / "bad.crt", tmp_path / "bad.key"
        name = "router.example" if what == "other name" else "localhost"
        self_signed(crt, key, name, -1 if what == "expired" else 7)
        r = rig("teltonika", (crt, key), ca_file=str(crt))
    with pytest.raises(RouteFailure) as caught:
        await r.route.send(r.sms())
    assert caught.value.kind is FailureKind.TLS
    assert not caught.value.kind.again
    assert r.provider.asked == 0


# Failover.


class Failing:
    """Several providers in an outbox."""

    def __init__(self, rigs) -> None:
        self.clock = rigs[0].clock
        for each in rigs:
            each.route._clock = each.route._client._clock = self.clock
        self.outbox = Outbox(
            [Line(each.provider.kind, each.route, at_once=8, overtake_s=4) for each in rigs], self.clock
        )
        self.rigs = rigs
        self.results: list = []

    def send(self, **changes) -> Deferred:
        sms = self.rigs[0].sms(**changes)
        sending = self.outbox.send(sms)
        sending.addCallbacks(lambda _: self.results.append("accepted"), lambda f: self.results.append(f.value))
        return sending

    def taken(self):
        return [[each.number for each in r.provider.taken.items()] for r in self.rigs]


@pytest.mark.parametrize("fault", ["401", "429", "500", "garbage", "wrong_number", "gone"])
@pytest_twisted.ensureDeferred
async def test_the_next_route_sends_at_once_where_the_first_fails(rig, fault):
    f = Failing([rig("ovh"), rig("smsfactor")])
    if fault == "gone":
        f.rigs[0].provider.close()
    f.rigs[0].provider.fault = fault
    f.send()
    await until(lambda: f.results, "a result")
    assert f.results == ["accepted"]
    assert f.clock.now() == 1000
    assert f.taken() == [[], [NUMBER]]
    # The next message passes the route that rests by; a wrong number does not make it rest.
    f.rigs[0].provider.fault = ""
    f.send(id="call-2")
    await until(lambda: len(f.results) == 2, "a second result")
    assert [len(each) for each in f.taken()] == ([1, 1] if fault == "wrong_number" else [0, 2])


@pytest_twisted.ensureDeferred
async def test_a_route_that_hangs_is_overtaken_and_a_late_acceptance_does_no_harm(rig):
    f = Failing([rig("ovh"), rig("twilio")])
    f.rigs[0].provider.fault = "hold"
    f.send()
    await until(lambda: f.rigs[0].provider.asked, "the first question")
    f.clock.advance(3.9)
    assert f.rigs[1].provider.asked == 0
    f.clock.advance(0.2)
    await until(lambda: f.results, "a result")
    assert (f.results, f.taken()) == (["accepted"], [[], [NUMBER]])
    assert f.outbox.lines[1].allowance.tally.accepted == 1
    await until(lambda: f.clock.pending == 0, "no timer left")


@pytest_twisted.ensureDeferred
async def test_the_caller_hears_at_once_when_every_route_is_wrong(rig):
    f = Failing([rig("ovh"), rig("smsfactor")])
    f.rigs[0].provider.fault = "401"
    f.rigs[1].provider.fault = "wrong_number"
    f.send()
    await until(lambda: f.results, "a result")
    assert "no route can send the message" in str(f.results[0])
    assert f.clock.now() == 1000


@pytest_twisted.ensureDeferred
async def test_codes_never_change_their_number(rig):
    f = Failing([rig("ovh"), rig("twilio")])
    f.rigs[0].provider.fault = "hold"
    for place in range(6):
        f.send(id=f"call-{place}", number=f"+3363998000{place}", text=f"code 00000{place}")
    await until(lambda: f.rigs[0].provider.asked == 6, "six questions")
    f.clock.advance(4.1)
    await until(lambda: len(f.results) == 6, "six results")
    for each in (taken for r in f.rigs for taken in r.provider.taken.items()):
        assert each.number[-1] == each.text[-1]
