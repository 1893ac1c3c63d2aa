"""What is made of the settings: routes in order, counts that outlive a restart, an alert when the last is left."""

import logging

import msgspec
import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred

from avisiod.config.settings import Config
from avisiod.devices.sms.service import SmsService, routes_of
from avisiod.metrics.sms import SmsMetrics
from avisiod.metrics.sms_routes import SmsRouteMetrics
from avisiod.ports import Sms
from tests.devices.conftest import NUMBER, TEXT, SteeredClock
from tests.peers.sms_provider import SmsProvider, settings


class Scene:
    def __init__(self, folder, entries, modem="", clock=None) -> None:
        from twisted.internet import reactor

        self.clock = clock or SteeredClock()
        self.config = msgspec.convert(
            {
                "modem": {"device": modem},
                "sms": {"routes": entries, "tally_file": str(folder / "tally"), "report_within_s": 0},
            },
            Config,
        )
        self.registry = CollectorRegistry()
        self.metrics = SmsRouteMetrics(self.registry, SmsMetrics(self.registry))
        self.metrics.routes([route.name for route in routes_of(self.config)])
        self.service = SmsService(reactor, self.clock, self.config, self.metrics)

    def value(self, name, **labels):
        return self.registry.get_sample_value(name, labels)

    async def dial(self, name="call-1"):
        sms = Sms(id=name, number=NUMBER, text=TEXT, valid_s=300, give_up_at=self.clock.now() + 60)
        await self.service.outbox.send(sms)


@pytest.fixture
def providers(tmp_path):
    made = [SmsProvider("ovh"), SmsProvider("smsfactor")]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def scene(tmp_path):
    made = []

    def make(entries, **options):
        made.append(Scene(tmp_path, entries, **options))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(each.service.stop()))
        assert each.clock.pending == 0


@pytest_twisted.ensureDeferred
async def test_limits_and_costs_outlive_a_restart(scene, providers, tmp_path):
    entries = [settings(providers[0], tmp_path, per_day=2, cost_cents=6.0), settings(providers[1], tmp_path)]
    first = scene(entries)
    await first.dial()
    await first.service.stop()
    second = scene(entries, clock=first.clock)
    await second.dial("call-2")
    await second.dial("call-3")
    assert [len(each.taken.items()) for each in providers] == [2, 1]
    ovh, factor = second.service.rows()
    assert (ovh["state"], ovh["today"], ovh["cost"]) == ("spent for today", "2 of 2, of 2", "0.12")
    assert (factor["state"], factor["today"]) == ("up", "1 of 1")
    second.service.look()
    assert second.value("avisiod_sms_route_cost_today_cents", route="ovh") == 12
    assert second.value("avisiod_sms_route_left_today", route="ovh") == 0
    assert second.service.problems == ["only the SMS route smsfactor is left of 2: see `avisioctl sms routes`"]
    second.clock.advance(86400)
    await second.dial("call-4")
    assert len(providers[0].taken.items()) == 3


@pytest_twisted.ensureDeferred
async def test_a_tally_that_cannot_be_read_begins_anew(scene, providers, tmp_path):
    (tmp_path / "tally").write_text("{")
    s = scene([settings(providers[0], tmp_path, per_day=1)])
    await s.dial()
    assert s.service.rows()[0]["today"] == "1 of 1, of 1"


@pytest_twisted.ensureDeferred
async def test_one_warning_and_a_metric_when_only_the_last_route_is_left(scene, providers, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    s = scene([settings(each, tmp_path) for each in providers])
    s.service.look()
    assert (s.value("avisiod_sms_routes_usable"), s.service.problems) == (2, [])
    providers[0].fault = "401"
    await s.dial()
    for _ in range(3):
        s.service.look()
    assert s.value("avisiod_sms_routes_usable") == 1
    assert s.value("avisiod_sms_route_messages_total", route="ovh", result="credentials") == 1
    assert s.value("avisiod_sms_route_messages_total", route="smsfactor", result="accepted") == 1
    assert s.value("avisiod_sms_total", result="sent") == 1
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len([text for text in said if "Only the SMS route smsfactor is left" in text]) == 1
    assert s.service.rows()[0]["trouble"] == "credentials: needs a person"
    providers[0].fault = ""
    s.clock.advance(61)
    await s.dial("call-2")
    s.service.look()
    assert s.value("avisiod_sms_routes_usable") == 2
    assert any("more than one SMS route again" in r.getMessage() for r in caplog.records)


@pytest_twisted.ensureDeferred
async def test_a_test_goes_by_the_route_that_was_named_and_holds_no_code(scene, providers, tmp_path):
    s = scene([settings(each, tmp_path) for each in providers])
    outcome = await s.service.test("smsfactor", NUMBER)
    assert outcome["sent"]
    (taken,) = providers[1].taken.items()
    assert (taken.number, taken.text) == (NUMBER, "Avisio : test smsfactor")
    providers[1].fault = "wrong_number"
    assert not (await s.service.test("smsfactor", NUMBER))["sent"]
    with pytest.raises(KeyError):
        await s.service.test("other", NUMBER)


def test_a_single_modem_is_the_only_route(scene, tmp_path):
    s = scene([], modem=str(tmp_path / "modem"))
    (line,) = s.service.outbox.lines
    assert (line.name, line.kind) == ("modem", "modem")
    assert s.service.problems == [
        "the modem cannot send: calls end for want of an SMS; `avisioctl sms routes` and the journal say why"
    ]
