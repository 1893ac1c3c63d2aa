import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from avisiod.devices.outbox import Outbox
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.ports import Sms, SmsFailed
from tests.devices.conftest import NUMBER, TEXT, SteeredClock

RETRY = RouteFailure(FailureKind.NETWORK, "network out of order")
HOPELESS = RouteFailure(FailureKind.SIM, "no SIM")


class Route:
    """Answers as scripted: an exception, None for accepted, or `...` for nothing until the test says so."""

    def __init__(self, clock, *script):
        self.clock = clock
        self.script = list(script)
        self.times: list[float] = []
        self.open: list[Deferred] = []
        self.cancelled = 0

    def send(self, sms):
        self.times.append(self.clock.now() - 1000)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        deferred = Deferred(self._cancel)
        if step is ...:
            self.open.append(deferred)
        elif step is None:
            deferred.callback(None)
        else:
            deferred.errback(step)
        return deferred

    def _cancel(self, _):
        self.cancelled += 1


class Sending:
    def __init__(self, *scripts, give_up_s=60.0):
        self.clock = SteeredClock()
        self.routes = [Route(self.clock, *script) for script in scripts]
        self.outbox = Outbox(self.routes, self.clock)
        self.results: list = []
        self.deferred = self.send(give_up_s)

    def send(self, give_up_s=60.0, results=None):
        results = self.results if results is None else results
        sms = Sms(id="x", number=NUMBER, text=TEXT, valid_s=300, give_up_at=self.clock.now() + give_up_s)
        deferred = self.outbox.send(sms)
        deferred.addCallbacks(lambda _: results.append("accepted"), lambda f: results.append(f.value))
        return deferred


def test_the_first_route_that_accepts_ends_it():
    s = Sending((None,), (None,))
    assert s.results == ["accepted"]
    assert [r.times for r in s.routes] == [[0], []]
    assert s.clock.pending == 0


def test_tries_come_within_seconds():
    s = Sending((RETRY, RETRY, RETRY, RETRY, None))
    s.clock.advance(60)
    assert s.routes[0].times == [0, 2, 5, 10, 15]
    assert s.results == ["accepted"]


def test_the_next_route_is_tried_at_once():
    s = Sending((RETRY,), (None,))
    assert s.results == ["accepted"]
    assert [r.times for r in s.routes] == [[0], [0]]


def test_a_hopeless_route_is_left_out_and_the_other_goes_on():
    s = Sending((HOPELESS,), (RETRY, RETRY, None))
    s.clock.advance(60)
    assert [r.times for r in s.routes] == [[0], [0, 2, 5]]
    assert s.results == ["accepted"]


@pytest.mark.parametrize("scripts", [(), ((HOPELESS,),), ((HOPELESS,), (SmsFailed("no"),))])
def test_the_caller_hears_at_once_when_no_route_is_left(scripts):
    s = Sending(*scripts)
    (error,) = s.results
    assert isinstance(error, SmsFailed)
    assert "no route" in str(error)
    assert s.clock.pending == 0


def test_a_mistake_in_a_route_leaves_the_others_their_turn(caplog):
    s = Sending((KeyError(TEXT, NUMBER),), (None,))
    assert s.results == ["accepted"]
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]


def test_no_try_begins_after_give_up_at():
    s = Sending((RETRY,), give_up_s=12)
    s.clock.advance(100)
    (error,) = s.results
    assert "in time: network out of order" in str(error)
    assert s.routes[0].times == [0, 2, 5, 10]


def test_a_try_under_way_is_cancelled_at_give_up_at():
    s = Sending((...,), give_up_s=12)
    s.clock.advance(11.9)
    assert s.results == []
    s.clock.advance(0.2)
    assert isinstance(s.results[0], SmsFailed)
    assert not isinstance(s.results[0], CancelledError)
    assert s.routes[0].cancelled == 1
    assert s.clock.pending == 0


def test_cancelling_stops_the_try_and_all_later_ones():
    s = Sending((...,), (None,))
    s.deferred.cancel()
    assert isinstance(s.results[0], CancelledError)
    s.clock.advance(100)
    assert [len(r.times) for r in s.routes] == [1, 0]
    assert s.clock.pending == 0


def test_cancelling_between_tries_stops_them():
    s = Sending((RETRY, None))
    s.deferred.cancel()
    s.clock.advance(100)
    assert len(s.routes[0].times) == 1
    assert s.clock.pending == 0


def test_a_route_holds_one_message_at_a_time_in_order():
    s = Sending((...,))
    second: list = []
    third: list = []
    s.send(results=second)
    s.send(results=third)
    assert len(s.routes[0].open) == 1
    s.routes[0].open.pop().callback(None)
    assert (s.results, second, len(s.routes[0].open)) == (["accepted"], [], 1)
    s.routes[0].open.pop().callback(None)
    assert (second, third) == (["accepted"], [])


def test_a_message_that_waits_for_its_turn_expires_there_and_does_not_block():
    s = Sending((...,))
    second: list = []
    third: list = []
    s.send(give_up_s=5, results=second)
    s.send(results=third)
    s.clock.advance(6)
    assert isinstance(second[0], SmsFailed)
    s.routes[0].open.pop().callback(None)
    assert len(s.routes[0].open) == 1
    s.routes[0].open.pop().callback(None)
    assert third == ["accepted"]


def test_an_unknown_fate_is_tried_again():
    unknown = RouteFailure(FailureKind.NO_ANSWER, "it is not known whether it was sent")
    s = Sending((unknown, None))
    s.clock.advance(2)
    assert s.results == ["accepted"]


@given(st.lists(st.lists(st.sampled_from([RETRY, HOPELESS, None]), min_size=1, max_size=6).map(tuple), max_size=3))
def test_there_is_exactly_one_result_and_at_most_one_acceptance(scripts):
    s = Sending(*scripts)
    s.clock.advance(200)
    assert len(s.results) == 1
    assert all(t < 60 for r in s.routes for t in r.times)
    assert s.clock.pending == 0


@pytest_twisted.ensureDeferred
async def test_unplugged_in_mid_sending_and_replugged_the_code_arrives_once(bench):
    b = bench()
    modem = b.start()
    outbox = Outbox([modem], b.clock)
    await b.ready()
    b.soft.faults.lose_submit = 1
    results: list = []
    outbox.send(b.sms()).addCallbacks(lambda _: results.append("accepted"), results.append)
    await b.until(lambda: not b.soft.faults.lose_submit, "the message at the modem")
    b.soft.unplug()
    await b.until(lambda: not modem.state.present, "the modem lost")
    b.soft.plug()
    await b.until(lambda: results, "a result", step=0.05)
    assert results == ["accepted"]
    assert [s.text for s in b.soft.received] == [TEXT]


@pytest_twisted.ensureDeferred
async def test_a_second_modem_takes_over(bench, tmp_path):
    (tmp_path / "second").mkdir()
    first, second = bench(sim="absent"), bench(folder="second")
    broken, sound = first.start(), second.start()
    await second.ready()
    await first.until(lambda: broken.state.sim == "absent", "the SIM's state", step=0.05)
    await Outbox([broken, sound], second.clock).send(second.sms())
    assert len(second.soft.received) == 1
    assert broken.state.failed == 0


@pytest_twisted.ensureDeferred
async def test_without_a_sim_the_caller_hears_at_once(bench):
    b = bench(sim="absent")
    modem = b.start()
    await b.until(lambda: modem.state.sim == "absent", "the SIM's state", step=0.05)
    results: list = []
    Outbox([modem], b.clock).send(b.sms()).addErrback(lambda f: results.append(str(f.value)))
    assert results == ["no route can send the message: the modem is not ready (sim)"]
