"""Who may call whom, when, how often, at what price: every reason, and that no right lost ever grants."""

import dataclasses
import datetime
import zoneinfo
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avisiod.calls.admission import Facts, Granted, Limit, Refused, decide
from avisiod.calls.dossier import Dossier
from avisiod.calls.ids import ClassId, ContactId, DetaineeId, PhoneId
from avisiod.calls.people import (
    CONFIDENTIAL,
    ORDINARY,
    SITE,
    Authorisation,
    Callee,
    ContactClass,
    Detainee,
    Line,
    Scope,
)
from avisiod.calls.quotas import Allowance, PastCall
from avisiod.calls.reasons import EndReason
from avisiod.calls.schedule import ScheduleException, Window
from avisiod.calls.tariff import Tariff, price_of

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
MONDAY_3PM = datetime.datetime(2026, 11, 23, 14, tzinfo=datetime.UTC)
DAY = datetime.date(2026, 11, 23)
ME = Detainee(id=DetaineeId("d1"), building="b")
MINE = Scope("detainee", ME.id)
AFTERNOON = Window(id="w", scope=SITE, weekday=0, begins=840, ends=1020)
PER_MINUTE = Tariff(id="t", unit="minute", price=1000, valid_from=datetime.date(2026, 1, 1))
YES = Authorisation(detainee=ME.id, contact=ContactId("sister"), state="granted", authority="head")


def call(ago_s: float, seconds: float = 600.0, **more: Any) -> PastCall:
    ended = MONDAY_3PM - datetime.timedelta(seconds=ago_s)
    return PastCall(
        connected_utc=ended - datetime.timedelta(seconds=seconds),
        ended_utc=ended,
        connected_s=seconds,
        contact=ContactId("sister"),
        cls=more.pop("cls", ORDINARY.id),
        **more,
    )


DOSSIER = Dossier(
    line=Line(id=PhoneId("cell1"), occupant=ME.id),
    callee=Callee(id=ContactId("sister")),
    detainee=ME,
    authorisation=YES,
    windows=(AFTERNOON,),
    tariffs=(PER_MINUTE,),
    balance_cents=1000,
)
FACTS = Facts(
    at_utc=MONDAY_3PM,
    zone=PARIS,
    dossier=DOSSIER,
    number_valid=True,
    phone_busy=False,
    contact_busy=False,
    detainee_busy=False,
    open_calls=0,
    capacity=20,
    disk_free_enough=True,
    media_ready=True,
    draining=False,
    limit_s=1200.0,
    shortest_s=60.0,
)


def facts(**changes: Any) -> Facts:
    """The good case with changes, to itself or to its dossier."""
    own = {field.name for field in dataclasses.fields(Facts)}
    kept = {name: value for name, value in changes.items() if name not in own}
    changes = {name: value for name, value in changes.items() if name in own}
    return dataclasses.replace(FACTS, dossier=dataclasses.replace(DOSSIER, **kept), **changes)


def granted(**changes: Any) -> Granted:
    verdict = decide(facts(**changes))
    assert isinstance(verdict, Granted), verdict
    return verdict


def refused(**changes: Any) -> Refused:
    verdict = decide(facts(**changes))
    assert isinstance(verdict, Refused), verdict
    assert verdict.because[-1].refuses is verdict.reason
    assert [r for r in verdict.because if r.refuses] == [verdict.because[-1]]
    return verdict


@pytest.mark.parametrize(
    ("who", "reason"),
    [("contact_elsewhere", EndReason.CONTACT_BUSY), ("detainee_elsewhere", EndReason.DETAINEE_BUSY)],
)
def test_who_is_in_a_call_of_another_box_is_busy_here(who: str, reason: EndReason) -> None:
    assert refused(**{who: True}).reason is reason


def closure(kind: Any = "closed", scope: Scope = SITE, hour: int = 14) -> ScheduleException:
    return ScheduleException(
        id="e",
        scope=scope,
        kind=kind,
        from_local=datetime.datetime.combine(DAY, datetime.time(hour)),
        to_local=datetime.datetime.combine(DAY, datetime.time(18)),
    )


def yes(**changes: Any) -> Authorisation:
    return dataclasses.replace(YES, **changes)


NOBODY = Line(id=PhoneId("cell1"))
SHARED = Line(id=PhoneId("yard"), shared=True)
ELSEWHERE = Callee(id=ContactId("sister"), phones=frozenset({PhoneId("cell2")}))


@pytest.mark.parametrize(
    ("changes", "reason", "found"),
    [
        ({"line": None}, EndReason.UNKNOWN_PHONE, "is not listed"),
        ({"phone_busy": True}, EndReason.PHONE_BUSY, "is in a call"),
        ({"draining": True}, EndReason.SERVICE_STOPPING, "is being stopped"),
        ({"media_ready": False}, EndReason.NO_CAPACITY, "has no media worker"),
        ({"open_calls": 20}, EndReason.NO_CAPACITY, "20 calls of 20"),
        ({"number_valid": False}, EndReason.NOT_A_NUMBER, "is no telephone number"),
        ({"line": NOBODY, "detainee": None}, EndReason.DETAINEE_UNKNOWN, "this phone has no occupant"),
        (
            {"line": SHARED, "detainee": None},
            EndReason.NOT_IDENTIFIED,
            "this phone is shared: who calls must say so",
        ),
        ({"detainee_busy": True}, EndReason.DETAINEE_BUSY, "is in a call on another phone"),
        ({"callee": None}, EndReason.UNKNOWN_NUMBER, "nobody is listed with this number"),
        ({"callee": ELSEWHERE}, EndReason.UNKNOWN_NUMBER, "sister may not be called by this phone"),
        (
            {"detainee": dataclasses.replace(ME, suspended=True)},
            EndReason.DETAINEE_SUSPENDED,
            "may not call for now",
        ),
        ({"authorisation": None}, EndReason.NOT_AUTHORISED, "none for this contact"),
        ({"authorisation": yes(state="suspended")}, EndReason.NOT_AUTHORISED, "is suspended"),
        (
            {"detainee": dataclasses.replace(ME, status="remand")},
            EndReason.NOT_AUTHORISED,
            "is of the head; remand needs the magistrate",
        ),
        (
            {"authorisation": yes(ends_on=datetime.date(2026, 11, 22))},
            EndReason.AUTHORISATION_ENDED,
            "ended on 2026-11-22",
        ),
        ({"contact_busy": True}, EndReason.CONTACT_BUSY, "is in a call"),
        ({"disk_free_enough": False}, EndReason.DISK_FULL, "there is no room on the disk"),
        ({"windows": ()}, EndReason.OUTSIDE_HOURS, "no window is set for anybody here"),
        (
            {"windows": (dataclasses.replace(AFTERNOON, weekday=1),)},
            EndReason.OUTSIDE_HOURS,
            "outside of the windows of site; opens 2026-11-24 14:00",
        ),
        ({"exceptions": (closure(),)}, EndReason.CLOSED, "exception e of site: closed; opens 2026-11-30 14:00"),
        (
            {"allowances": (Allowance(scope=SITE, calls_day=1),), "history": (call(3600),)},
            EndReason.QUOTA_REACHED,
            "calls_day of site: 1 of 1 calls used",
        ),
        (
            {"allowances": (Allowance(scope=SITE, minutes_week=10),), "history": (call(3600),)},
            EndReason.QUOTA_REACHED,
            "minutes_week of site: 10 of 10 minutes used",
        ),
        (
            {"allowances": (Allowance(scope=SITE, pause_s=900),), "history": (call(600),)},
            EndReason.PAUSE_WANTED,
            "after the last call, until 2026-11-23 15:05",
        ),
        ({"allowances": (Allowance(scope=SITE, call_s=0),)}, EndReason.QUOTA_REACHED, "no call is allowed"),
        ({"balance_cents": 9}, EndReason.BALANCE_TOO_LOW, "0 s are left by balance: too short for a call"),
        (
            {"windows": (dataclasses.replace(AFTERNOON, ends=901),), "shortest_s": 61},
            EndReason.OUTSIDE_HOURS,
            "60 s are left by hours: too short for a call",
        ),
        (
            {"allowances": (Allowance(scope=SITE, minutes_day=11),), "history": (call(3600, 601.0),)},
            EndReason.QUOTA_REACHED,
            "59 s are left by quota: too short for a call",
        ),
    ],
)
def test_every_reason_against_a_call(changes: dict[str, Any], reason: EndReason, found: str) -> None:
    verdict = refused(**changes)
    assert verdict.reason is reason
    assert verdict.because[-1].found == found


def test_the_last_day_of_an_authorisation_ends_at_midnight_of_the_site() -> None:
    late = datetime.datetime(2026, 11, 23, 22, 58, tzinfo=datetime.UTC)
    all_day = dataclasses.replace(AFTERNOON, begins=0, ends=1440)
    tomorrow = dataclasses.replace(all_day, id="x", weekday=1)
    changes = {"at_utc": late, "windows": (all_day, tomorrow), "authorisation": yes(ends_on=DAY)}
    verdict = granted(**changes)
    assert (verdict.limit_s, verdict.shortened_by) == (120, Limit.AUTHORISATION)
    assert verdict.not_after_utc == late + datetime.timedelta(minutes=2)
    assert refused(**changes, shortest_s=121).reason is EndReason.AUTHORISATION_ENDED


def test_the_good_case_rests_on_every_fact_in_order() -> None:
    verdict = granted()
    assert (verdict.limit_s, verdict.shortened_by, verdict.confidential) == (1200, None, False)
    assert (verdict.tariff, verdict.hold_cents) == (PER_MINUTE, 200)
    assert verdict.not_after_utc == datetime.datetime(2026, 11, 23, 16, tzinfo=datetime.UTC)
    assert [(r.about, r.found) for r in verdict.because] == [
        ("phone", "cell1 is listed"),
        ("service", "takes calls: 0 of 20"),
        ("number", "is a telephone number"),
        ("detainee", "d1, the occupant, regime ordinary, convicted"),
        ("contact", "sister, class ordinary"),
        ("class", "ordinary"),
        ("authorisation", "granted by the head, without end"),
        ("recording", "yes, there is room on the disk"),
        ("schedule", "window w of site: Monday 14:00 to 17:00, until 2026-11-23 17:00"),
        ("pause", "none to wait for"),
        ("limit", "1200 s, the service’s"),
        ("tariff", "t: 1000 a minute"),
        ("balance", "1000 cents pay for 6000 s"),
    ]


@pytest.mark.parametrize(
    ("changes", "limit_s", "by"),
    [
        ({"windows": (dataclasses.replace(AFTERNOON, ends=907),)}, 420, Limit.HOURS),
        ({"allowances": (Allowance(scope=SITE, minutes_day=15),), "history": (call(3600),)}, 300, Limit.QUOTA),
        ({"balance_cents": 59}, 300, Limit.BALANCE),
        ({"allowances": (Allowance(scope=MINE, call_s=1800), Allowance(scope=SITE, call_s=60))}, 1800, None),
        ({"allowances": (Allowance(scope=SITE, call_s=300),), "balance_cents": 50}, 300, None),
    ],
)
def test_whatever_shortens_a_call_is_a_minimum(changes: dict[str, Any], limit_s: float, by: Limit | None) -> None:
    verdict = granted(**changes)
    assert (verdict.limit_s, verdict.shortened_by) == (limit_s, by)
    assert verdict.hold_cents == price_of(PER_MINUTE, limit_s)


def test_a_lawyer_may_be_called_at_any_hour_by_anybody_for_nothing_and_is_never_recorded() -> None:
    verdict = granted(
        callee=Callee(id=ContactId("lawyer"), cls=CONFIDENTIAL.id),
        detainee=dataclasses.replace(ME, suspended=True),
        authorisation=None,
        windows=(),
        exceptions=(closure(),),
        allowances=(Allowance(scope=SITE, calls_day=0, pause_s=900),),
        history=(call(1),),
        disk_free_enough=False,
        balance_cents=0,
    )
    assert verdict.confidential
    assert (verdict.limit_s, verdict.tariff, verdict.hold_cents, verdict.unpriced) == (1200, None, 0, False)


def test_a_number_can_be_confidential_for_one_detainee_only() -> None:
    assert granted(authorisation=yes(cls=CONFIDENTIAL.id)).confidential
    assert not granted().confidential
    assert refused(authorisation=yes(cls=CONFIDENTIAL.id, state="withdrawn")).reason is EndReason.NOT_AUTHORISED


def test_a_class_that_is_not_kept_is_protected_and_exempt_from_nothing() -> None:
    verdict = granted(callee=Callee(id=ContactId("sister"), cls=ClassId("gone")))
    assert verdict.confidential
    assert refused(callee=Callee(id=ContactId("x"), cls=ClassId("gone")), windows=()).reason


def test_a_contact_that_is_marked_confidential_is_so_whatever_its_class_says() -> None:
    assert granted(callee=Callee(id=ContactId("sister"), confidential=True)).confidential


def test_calls_to_the_lawyer_use_no_quota_up() -> None:
    once = (Allowance(scope=SITE, calls_day=1),)
    assert granted(allowances=once, history=(call(60, cls=CONFIDENTIAL.id),))
    assert refused(allowances=once, history=(call(60),)).reason is EndReason.QUOTA_REACHED


def test_a_call_without_a_tariff_is_free_and_staff_are_to_be_told() -> None:
    verdict = granted(tariffs=(), balance_cents=0)
    assert (verdict.tariff, verdict.hold_cents, verdict.unpriced) == (None, 0, True)


EXTRA = closure("extra", MINE)
TWICE = {"allowances": (Allowance(scope=SITE, calls_day=1, pause_s=900),), "history": (call(60),)}


def test_an_extra_call_is_granted_beyond_hours_quota_and_pause() -> None:
    verdict = granted(exceptions=(EXTRA,), windows=(), **TWICE)
    assert verdict.extra == "e"
    assert verdict.not_after_utc == datetime.datetime(2026, 11, 23, 17, tzinfo=datetime.UTC)
    assert refused(windows=(), **TWICE).reason is EndReason.OUTSIDE_HOURS


def test_an_extra_call_is_not_used_up_where_none_is_needed() -> None:
    assert granted(exceptions=(EXTRA,)).extra is None


def test_an_extra_call_that_gives_more_time_is_used() -> None:
    verdict = granted(exceptions=(EXTRA,), windows=(dataclasses.replace(AFTERNOON, ends=905),))
    assert (verdict.extra, verdict.limit_s) == ("e", 1200)


def test_an_extra_call_costs_what_any_call_costs() -> None:
    assert refused(exceptions=(EXTRA,), balance_cents=0, **TWICE).reason is EndReason.BALANCE_TOO_LOW


def test_where_the_list_alone_decides_nothing_else_is_looked_at() -> None:
    bare = {"detainee": None, "authorisation": None, "windows": (), "line": SHARED, "balance_cents": 0}
    verdict = granted(mode="listed", **bare)
    assert (verdict.limit_s, verdict.tariff, verdict.confidential) == (1200, None, False)
    lawyer = Callee(id=ContactId("lawyer"), cls=CONFIDENTIAL.id)
    assert granted(mode="listed", callee=lawyer, disk_free_enough=False, **bare).confidential
    for changes, reason in (
        ({"callee": None}, EndReason.UNKNOWN_NUMBER),
        ({"callee": ELSEWHERE}, EndReason.UNKNOWN_NUMBER),
        ({"contact_busy": True}, EndReason.CONTACT_BUSY),
        ({"disk_free_enough": False}, EndReason.DISK_FULL),
    ):
        assert refused(mode="listed", **(bare | changes)).reason is reason


# Whoever loses a right, or finds less of what a call needs, is never granted what they were refused before.

STRICT = ContactClass(id=ClassId("ordinary"))
WEAKENED: list[tuple[str, Callable[[Facts], Facts]]] = []


def weaker(name: str) -> Callable[[Callable[[Dossier], dict[str, Any]]], None]:
    def add(change: Callable[[Dossier], dict[str, Any]]) -> None:
        WEAKENED.append(
            (name, lambda f: dataclasses.replace(f, dossier=dataclasses.replace(f.dossier, **change(f.dossier))))
        )

    return add


weaker("no authorisation")(lambda d: {"authorisation": None})
weaker("suspended")(lambda d: {"detainee": d.detainee and dataclasses.replace(d.detainee, suspended=True)})
weaker("a cent less")(lambda d: {"balance_cents": max(0, d.balance_cents - 1)})
weaker("one more past call")(lambda d: {"history": (*d.history, call(1200, 60.0))})
weaker("no exemptions")(
    lambda d: {"classes": {k: dataclasses.replace(c, exempt=frozenset()) for k, c in d.classes.items()}}
)
weaker("closed")(lambda d: {"exceptions": (*d.exceptions, closure(scope=MINE, hour=0))})
weaker("no extra call")(lambda d: {"exceptions": tuple(e for e in d.exceptions if e.kind != "extra")})
weaker("stricter")(
    lambda d: {
        "allowances": (
            *(a for a in d.allowances if a.scope != MINE),
            *(
                dataclasses.replace(a, calls_day=0)
                for a in [a for a in d.allowances if a.scope == MINE] or [Allowance(scope=MINE)]
            ),
        ),
    }
)
WEAKENED += [
    (name, lambda f, n=name: dataclasses.replace(f, **{n: True}))
    for name in ("phone_busy", "contact_busy", "detainee_busy", "draining")
]
WEAKENED += [
    (name, lambda f, n=name: dataclasses.replace(f, **{n: False}))
    for name in ("number_valid", "media_ready", "disk_free_enough")
]


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    number = st.none() | st.integers(0, 40)
    booleans = st.sampled_from([False, False, False, True])
    allowance = st.builds(
        Allowance,
        scope=st.sampled_from([SITE, MINE]),
        call_s=st.none() | st.integers(0, 2000),
        calls_day=st.none() | st.integers(0, 3),
        minutes_week=number,
        pause_s=st.none() | st.integers(0, 3600),
    )
    exempt = draw(st.sets(st.sampled_from(["schedule", "quota", "pause", "price", "authorisation"])))
    cls = ContactClass(id=ORDINARY.id, exempt=frozenset(exempt), confidential=draw(st.booleans()))
    return facts(
        at_utc=MONDAY_3PM + datetime.timedelta(minutes=draw(st.integers(-90, 180))),
        classes={ORDINARY.id: cls},
        detainee=draw(st.sampled_from([ME, ME, ME, dataclasses.replace(ME, suspended=True)])),
        authorisation=draw(st.sampled_from([YES, YES, yes(ends_on=DAY), yes(state="refused"), None])),
        windows=draw(st.sampled_from([(AFTERNOON,), ()])),
        exceptions=draw(st.sampled_from([(), (EXTRA,), (closure(hour=16),), (closure("open", MINE, 15),)])),
        allowances=tuple(draw(st.lists(allowance, max_size=2, unique_by=lambda a: a.scope))),
        history=tuple(
            call(draw(st.integers(0, 200_000)), draw(st.floats(1, 1200))) for _ in range(draw(st.integers(0, 3)))
        ),
        tariffs=draw(st.sampled_from([(), (PER_MINUTE,)])),
        balance_cents=draw(st.integers(0, 300)),
        shortest_s=draw(st.sampled_from([1.0, 60.0])),
        **{
            name: draw(booleans)
            for name in ("phone_busy", "contact_busy", "detainee_busy", "draining")
            if draw(st.integers(0, 9)) == 0
        },
    )


@given(any_facts(), st.sampled_from(WEAKENED))
@settings(max_examples=200, deadline=None)
def test_a_right_lost_never_grants_and_never_lengthens(
    before: Facts, weakened: tuple[str, Callable[[Facts], Facts]]
) -> None:
    first, second = decide(before), decide(weakened[1](before))
    if isinstance(second, Granted):
        assert isinstance(first, Granted)
        assert second.limit_s <= first.limit_s
        assert first.not_after_utc is None or second.not_after_utc is not None


@given(any_facts())
@settings(max_examples=200, deadline=None)
def test_what_is_granted_can_be_paid_and_lies_within_what_is_open(before: Facts) -> None:
    verdict = decide(before)
    if isinstance(verdict, Refused):
        assert verdict.because[-1].refuses is verdict.reason
        return
    assert not any(r.refuses for r in verdict.because)
    assert verdict.hold_cents <= before.dossier.balance_cents
    if verdict.tariff is not None:
        assert verdict.hold_cents == price_of(verdict.tariff, verdict.limit_s)
    if verdict.not_after_utc is not None:
        assert before.at_utc + datetime.timedelta(seconds=verdict.limit_s) <= verdict.not_after_utc
    if verdict.shortened_by is not None:
        assert verdict.limit_s >= before.shortest_s
