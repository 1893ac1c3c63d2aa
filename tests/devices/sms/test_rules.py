"""Health, limits and choice of routes, by tables."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices.sms.choice import Candidate, Nothing, Try, Wait, choose
from avisiod.devices.sms.exchange import Answer, field_of, refusal, retry_after_s
from avisiod.devices.sms.health import BUSY_LAST_S, ILL_S, REST_LAST_S, RouteHealth
from avisiod.devices.sms.limits import NEVER, Allowance
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.metrics.sms_routes import RESULTS

DAY = datetime.date(2026, 11, 25)
NOW = datetime.datetime(2026, 11, 25, 2, 0, tzinfo=datetime.UTC)
UP, RESTS, RUNS, OUT = Candidate(), Candidate(rests=True), Candidate(running=True), Candidate(out=True)
LATER = Candidate(ready_at=12.0)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ((), Nothing()),
        ((UP, UP), Try(0)),
        ((RESTS, UP), Try(1)),
        ((RESTS, RESTS), Try(0)),
        ((RUNS, RESTS), Try(1)),
        ((OUT, UP), Try(1)),
        ((OUT, RUNS), Nothing()),
        ((LATER, UP), Try(1)),
        ((LATER, RESTS), Try(1)),
        ((LATER, Candidate(ready_at=11.0)), Wait(11.0)),
        ((Candidate(ready_at=NEVER), OUT), Nothing()),
        ((LATER, RUNS), Wait(12.0)),
    ],
)
def test_the_first_that_works_is_chosen(candidates, chosen):
    assert choose(candidates, 10.0) == chosen


@pytest.mark.parametrize(
    ("kind", "rests_s"),
    [
        (FailureKind.SERVER, 10),
        (FailureKind.NO_ANSWER, 10),
        (FailureKind.UNREACHABLE, 10),
        (FailureKind.NONSENSE, 10),
        (FailureKind.CREDENTIALS, 60),
        (FailureKind.CREDIT, 60),
        (FailureKind.TLS, 60),
        (FailureKind.BUSY, 10),
    ],
)
def test_a_failed_route_rests_and_is_ill_until_it_has_sent(kind, rests_s):
    failed = RouteHealth().failed(kind, 100.0)
    assert failed.rests(100.0 + rests_s - 0.1)
    assert not failed.rests(100.0 + rests_s)
    assert not failed.well(100.0 + rests_s)
    assert failed.well(100.0 + ILL_S)
    assert failed.succeeded().well(100.0)
    assert failed.broken is (rests_s == 60)


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.EXPIRED])
def test_a_wrong_number_says_nothing_of_the_route(kind):
    assert RouteHealth().failed(kind, 0.0) == RouteHealth()


def test_a_route_that_fails_on_rests_longer_up_to_a_limit():
    health, rests = RouteHealth(), []
    for _ in range(8):
        health = health.failed(FailureKind.SERVER, 0.0)
        rests.append(health.rests_until)
    assert rests == [10, 20, 40, 80, 160, 300, 300, 300]
    assert rests[-1] == REST_LAST_S


@pytest.mark.parametrize(("asked", "rests_s"), [(7.0, 7.0), (0.0, 10.0), (1e9, BUSY_LAST_S), (0.1, 1.0)])
def test_retry_after_is_followed_within_reason(asked, rests_s):
    assert RouteHealth().failed(FailureKind.BUSY, 0.0, asked).rests_until == rests_s


def test_no_more_than_the_minute_and_the_day_allow():
    allowance = Allowance(per_minute=2, per_day=3, cost_cents=6.5)
    for at in (0.0, 10.0):
        assert allowance.free_at(at, DAY) == at
        allowance.take(at, DAY)
        allowance.accepted()
    assert allowance.free_at(20.0, DAY) == 60.0
    assert allowance.free_at(61.0, DAY) == 61.0
    allowance.take(61.0, DAY)
    assert allowance.free_at(200.0, DAY) == NEVER
    assert (allowance.tally.tried, allowance.tally.accepted, allowance.tally.cost_cents) == (3, 2, 13.0)
    assert allowance.free_at(201.0, DAY + datetime.timedelta(days=1)) == 201.0
    assert allowance.tally.cost_cents == 0


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60), st.integers(1, 5), st.integers(1, 9))
def test_limits_hold_for_any_traffic(steps, per_minute, per_day):
    allowance, now, sent = Allowance(per_minute, per_day), 0.0, []
    for pause, back in steps:
        now += pause
        if allowance.free_at(now, DAY) <= now:
            allowance.take(now, DAY)
            sent.append(now)
            if back:
                allowance.give_back()
                sent.pop()
    assert len(sent) <= per_day
    assert all(sum(at - 60 < each <= at for each in sent) <= per_minute for at in sent)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("Wed, 25 Nov 2026 02:01:00 GMT", 60), ("Wed, 25 Nov 2026 01:00:00 GMT", 0), ("soon", 0), ("", 0)],
)
def test_retry_after_is_a_number_or_a_date(text, seconds):
    assert retry_after_s(text, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (400, FailureKind.REFUSED, False),
        (401, FailureKind.CREDENTIALS, False),
        (402, FailureKind.CREDIT, False),
        (403, FailureKind.CREDENTIALS, False),
        (429, FailureKind.BUSY, True),
        (500, FailureKind.SERVER, True),
        (302, FailureKind.NONSENSE, True),
        (204, FailureKind.NONSENSE, True),
    ],
)
def test_a_status_has_one_meaning(status, kind, again):
    failure = refusal(Answer(status), NOW)
    assert (failure.kind, failure.kind.again) == (kind, again)


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.0.b", "1"), ("a.1.b", ""), ("a.b", ""), ("t", "true"), ("n", ""), ("x.y", ""), ("a", "")],
)
def test_a_field_is_found_by_its_path(path, value):
    assert field_of({"a": [{"b": 1}], "t": True, "n": None}, path) == value


def test_an_answer_that_is_no_json_is_no_answer():
    with pytest.raises(RouteFailure) as failure:
        Answer(200, b"<html>").json()
    assert failure.value.kind is FailureKind.NONSENSE


def test_the_metric_knows_every_class_of_failure():
    assert set(RESULTS) == {"accepted", *(kind.value for kind in FailureKind)}
