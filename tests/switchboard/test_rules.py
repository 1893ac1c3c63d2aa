"""The site's rules in a call: who calls, whether they may, for how long, at what price, and who is told."""

import datetime
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from argon2 import PasswordHasher
from sqlalchemy import Connection, insert, select, update

from avisiod.calls import ledger
from avisiod.calls.call import State
from avisiod.calls.ids import DetaineeId
from avisiod.calls.reasons import EndReason
from avisiod.gateway import wire
from avisiod.ports import PinRecord
from avisiod.store import books, schema, schema_rules
from tests.switchboard.scene import PHONE, SECOND, SISTER, Page, Scene, eventually, make_scene

ANNA, BILAL = DetaineeId("d-anna"), DetaineeId("d-bilal")
IDENTIFIER, PIN = "471155", "836492"
THURSDAY_0116 = 1000.0
"""Where the scene's clock stands, in Paris, on the first day of 1970."""


def settle_in(connection: Connection) -> None:
    """Anna lives in the first cell; the second phone is shared; both may call the sister, at a price."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    person = {"regime": "ordinary", "building": "", "cell": "", "suspended": False, "listed": True}
    people = [
        {"id": ANNA, "name": "Anna", "register_number": "1", "language": "fr", "identifier": None, "pin_hash": ""},
        {
            "id": BILAL,
            "name": "Bilal",
            "register_number": "2",
            "language": "fr",
            "identifier": IDENTIFIER,
            "pin_hash": cheap.hash(PIN),
        },
    ]
    connection.execute(insert(schema_rules.detainees), [{**person, "status": "convicted", **each} for each in people])
    connection.execute(update(schema.phones).where(schema.phones.c.id == PHONE.id).values(occupant=ANNA))
    connection.execute(update(schema.phones).where(schema.phones.c.id == SECOND.id).values(shared=True))
    for who in (ANNA, BILAL):
        authorise(connection, who)
    window(connection, 0, 1440)
    connection.execute(
        insert(schema_rules.tariffs),
        {
            "id": "std",
            "unit": "minute",
            "price": 1000,
            "valid_from": DAY_ONE,
            "weekdays": "0123456",
            "begins": 0,
            "ends": 1440,
        },
    )
    pay_in(connection, ANNA, 1000)
    pay_in(connection, BILAL, 1000)


DAY_ONE = datetime.date(1970, 1, 1)
START = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def authorise(connection: Connection, who: DetaineeId, **more: Any) -> None:
    values = {"state": "granted", "authority": "head", "author": "x", "decided_on": DAY_ONE, **more}
    moment = {"changed_utc": START}
    connection.execute(
        insert(schema_rules.authorisations), {"detainee": who, "contact": SISTER.id, **moment, **values}
    )


def window(connection: Connection, begins: int, ends: int) -> None:
    connection.execute(schema_rules.windows.delete())
    values = {"id": "w", "scope_kind": "site", "scope_id": "", "weekday": 3, "begins": begins, "ends": ends}
    connection.execute(insert(schema_rules.windows), values)


def pay_in(connection: Connection, who: DetaineeId, cents: int) -> None:
    moment = START
    books.book(connection, ledger.top_up(f"{who}", who, cents, "cash"), books.Booking(at_utc=moment, detainee=who))


@pytest_twisted.async_yield_fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = await make_scene(tmp_path, "full")
    await scene.store._write(settle_in)
    yield scene
    await scene.settled()
    assert await scene.store._read(books.check) == []
    await scene.store.close()


async def change(scene: Scene, work: Callable[[Connection], object]) -> None:
    await scene.store._write(work)


async def balance(scene: Scene, who: DetaineeId) -> tuple[int, int]:
    names = ledger.account_of(who), ledger.held_of(who)
    return await scene.store._read(lambda c: (books.balance(c, names[0]), books.balance(c, names[1])))


@pytest_twisted.ensureDeferred
async def test_a_call_is_held_when_granted_and_charged_for_its_connected_time(scene: Scene) -> None:
    entry, page, _ = await scene.connect()
    assert await balance(scene, ANNA) == (800, 200)
    scene.clock.advance(61.0)
    scene.board.sip_ended("s1", "phone", 200)
    await scene.reach(State.ENDED)
    assert await balance(scene, ANNA) == (980, 0)
    kept = await scene.store.call(entry.call.id)
    assert kept is not None
    assert (kept.detainee, kept.cls, kept.hold_cents, kept.charge_cents) == (ANNA, "ordinary", 200, 20)
    assert kept.tariff is not None
    assert (kept.tariff.unit, kept.tariff.price) == ("minute", 1000)
    assert not [told for told in page.told if told[0] == "shortened"]


@pytest.mark.parametrize(("language", "words"), [("", "Votre code"), ("en", "Your code")])
@pytest_twisted.ensureDeferred
async def test_the_sms_speaks_the_language_of_the_contact(scene: Scene, language: str, words: str) -> None:
    await change(scene, lambda c: c.execute(update(schema.contacts).values(language=language)))
    await scene.wait_for_code()
    assert words.split()[1] in scene.route.sent[-1].text
    assert ("Your" in scene.route.sent[-1].text) is (language == "en")


@pytest_twisted.ensureDeferred
async def test_a_failure_of_ours_is_not_charged(scene: Scene) -> None:
    entry, _, _ = await scene.connect()
    scene.clock.advance(61.0)
    scene.board.media_lost([entry.call.id])
    await scene.reach(State.ENDED)
    assert await balance(scene, ANNA) == (1000, 0)


@pytest_twisted.ensureDeferred
async def test_ends_that_the_site_lets_go_unpaid_cost_nothing_and_count_for_no_quota(scene: Scene) -> None:
    settings = msgspec.structs.replace(scene.board.config.calls, unpaid_ends=("staff_ended",))
    scene.board.config = msgspec.structs.replace(scene.board.config, calls=settings)
    entry, page, _ = await scene.connect()
    scene.clock.advance(61.0)
    await scene.board.end_call(entry.call.id)
    assert page.charged is False
    assert await balance(scene, ANNA) == (1000, 0)
    facts = await scene.store.facts(PHONE.id, ANNA, SISTER.number, scene.clock.utc())
    assert facts.history == ()
    scene.board.prompt_over(entry.call.id, entry.farewell_prompt)
    await eventually(lambda: not scene.board.entries, "closed")
    entry, page, _ = await scene.connect(sip_call="s2")
    scene.clock.advance(61.0)
    scene.board.sip_ended("s2", "phone", 200)
    await scene.reach(State.ENDED)
    assert page.charged is True
    assert await balance(scene, ANNA) == (980, 0)


@pytest_twisted.ensureDeferred
async def test_a_window_that_ends_in_seven_minutes_shortens_the_call_and_says_so_at_its_start(scene: Scene) -> None:
    await change(scene, lambda c: window(c, 60, 84))  # it is 01:16:40
    entry, page, _ = await scene.connect()
    assert ("shortened", "hours", 440.0) in page.told
    said = scene.media.last("present")
    assert said[2:4] == ("shortened_hours+warning_420", "")
    for seconds in (320.0, 90.0, 31.0):  # to each warning, and past the end
        scene.clock.advance(seconds)
        await scene.settled()
    await scene.reach(State.ENDED)
    assert entry.call.reason is EndReason.LIMIT_REACHED
    assert entry.call.connected_s == 440.0
    assert await balance(scene, ANNA) == (920, 0)


@pytest_twisted.ensureDeferred
async def test_time_that_passes_before_the_relative_joins_is_not_added_to_the_window(scene: Scene) -> None:
    await change(scene, lambda c: window(c, 60, 84))
    entry, page = await scene.wait_for_code(), Page()
    scene.clock.advance(200.0)
    joined = await scene.join(page)
    await eventually(lambda: entry.call.recording, "the recorder writes")
    await scene.settled()
    scene.board.leg_changed(entry.call.id, "outside", joined.session, "flowing", scene.clock.now())
    await scene.reach(State.CONNECTED)
    assert entry.call.deadline == 1000 + 440
    assert ("shortened", "hours", 240.0) in page.told


@pytest_twisted.ensureDeferred
async def test_a_balance_for_less_than_the_limit_shortens_and_one_for_too_little_refuses(scene: Scene) -> None:
    await change(scene, lambda c: take_out(c, ANNA, 930))
    _, page, _ = await scene.connect()
    assert ("shortened", "balance", 420.0) in page.told
    assert scene.media.last("present")[2] == "shortened_balance+warning_420"
    assert await balance(scene, ANNA) == (0, 70)
    scene.board.sip_ended("s1", "phone", 200)
    await scene.reach(State.ENDED)
    await change(scene, lambda c: take_out(c, ANNA, 69))
    entry = await scene.dial(sip_call="s2")
    assert entry.call.reason is EndReason.BALANCE_TOO_LOW


def take_out(connection: Connection, who: DetaineeId, cents: int) -> None:
    moment = START
    out = ledger.Transaction(
        key=f"out:{who}:{cents}",
        kind="credit",
        why="released",
        postings=((ledger.account_of(who), -cents), (ledger.CASH, cents)),
    )
    books.book(connection, out, books.Booking(at_utc=moment, detainee=who))


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_spoken_and_its_reasons_are_kept_for_staff(scene: Scene) -> None:
    await change(scene, lambda c: window(c, 600, 660))
    entry = await scene.dial()
    assert entry.call.reason is EndReason.OUTSIDE_HOURS
    await eventually(lambda: "present" in scene.media.names(), "the phone is told")
    assert scene.media.last("present")[2:4] == (
        "outside_hours_now+again_today+hour_10",
        "outside_hours+again_today+hour_10",
    )
    refused = (await scene.store.journal(entry.call.id))[-2:]
    told = next(str(line.details["because"]) for line in refused if line.event == "Refused")
    assert "schedule: outside of the windows of site; opens 1970-01-01 10:00" in told
    assert SISTER.number not in told
    scene.board.prompt_over(entry.call.id, "outside_hours_now+again_today+hour_10")
    await eventually(lambda: not scene.board.entries, "it is hung up once it has heard that")


@pytest_twisted.ensureDeferred
async def test_a_language_of_which_only_the_sites_own_voice_is_there_hears_whole_sentences(scene: Scene) -> None:
    await change(scene, lambda c: window(c, 600, 660))
    await change(scene, lambda c: c.execute(update(schema_rules.detainees).values(language="ar")))
    await scene.dial()
    await eventually(lambda: "present" in scene.media.names(), "the phone is told")
    assert scene.media.last("present")[2:4] == ("outside_hours", "outside_hours")


@pytest_twisted.ensureDeferred
async def test_who_waits_until_the_hours_are_over_hears_the_next_ones(scene: Scene) -> None:
    await change(scene, lambda c: window(c, 60, 78))  # it is 01:16:40 of a Thursday
    friday = {"id": "f", "scope_kind": "site", "scope_id": "", "weekday": 4, "begins": 60, "ends": 78}
    await change(scene, lambda c: c.execute(insert(schema_rules.windows), friday))
    entry = await scene.wait_for_code()
    scene.clock.advance(81.0)
    await scene.reach(State.ENDED)
    assert entry.call.reason is EndReason.HOURS_OVER
    await eventually(lambda: "hours_over" in scene.media.last("present")[2], "the phone is told")
    assert scene.media.last("present")[2:4] == (
        "hours_over_now+again_tomorrow+hour_1",
        "hours_over+again_tomorrow+hour_1",
    )


@pytest_twisted.ensureDeferred
async def test_one_call_at_a_time_for_a_detainee_on_whatever_phone(scene: Scene) -> None:
    await change(scene, lambda c: c.execute(update(schema.phones).values(shared=False, occupant=ANNA)))
    await change(scene, second_contact)
    await scene.dial()
    entry = await scene.dial(number="0639980003", phone="cell2", sip_call="s2")
    assert entry.call.reason is EndReason.DETAINEE_BUSY


def second_contact(connection: Connection) -> None:
    values = {"state": "granted", "authority": "head", "author": "x", "decided_on": DAY_ONE}
    moment = {"changed_utc": START}
    connection.execute(
        insert(schema_rules.authorisations), {"detainee": ANNA, "contact": "cousin", **moment, **values}
    )


@pytest_twisted.ensureDeferred
async def test_a_call_without_a_tariff_is_free_and_staff_is_warned_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await change(scene, lambda c: c.execute(schema_rules.tariffs.delete()))
    with caplog.at_level(logging.DEBUG):
        for number in range(2):
            entry = await scene.dial(sip_call=f"s{number}")  # it leaves the board soon after its end
            scene.board.sip_ended(f"s{number}", "phone", 200)
            await eventually(lambda entry=entry: entry.call.state is State.ENDED, "it is over")
            await scene.settled()
    told = [r for r in caplog.records if "no tariff" in r.getMessage()]
    assert [r.levelno for r in told] == [logging.WARNING, logging.DEBUG]
    assert await balance(scene, ANNA) == (1000, 0)


@pytest_twisted.ensureDeferred
async def test_a_quota_counts_calls_that_took_place_and_no_failure_of_ours(scene: Scene) -> None:
    await change(
        scene,
        lambda c: c.execute(insert(schema_rules.allowances), {"scope_kind": "site", "scope_id": "", "calls_day": 1}),
    )
    entry, _, _ = await scene.connect()
    scene.clock.advance(30.0)
    scene.board.media_lost([entry.call.id])
    await scene.reach(State.ENDED)
    again, _, _ = await scene.connect(sip_call="s2")
    scene.clock.advance(30.0)
    scene.board.sip_ended("s2", "phone", 200)
    await eventually(lambda: again.call.state is State.ENDED, "it is over")
    await scene.settled()
    third = await scene.dial(sip_call="s3")
    assert third.call.reason is EndReason.QUOTA_REACHED


# A shared phone.


def press(scene: Scene, keys: str, how: str = "rtp", sip_call: str = "s1") -> None:
    for key in keys:
        if how == "rtp":
            scene.board.rtp_digit(scene.entry.call.id, key)
        else:
            scene.board.digit(sip_call, key)


async def asked(scene: Scene, sip_call: str = "s1") -> Any:
    entry = await scene.dial(phone="cell2", sip_call=sip_call)
    await eventually(lambda: entry.call.answered or entry.call.state is State.REFUSED, "the phone is answered")
    await scene.settled()
    return entry


@pytest.mark.parametrize("how", ["rtp", "info"])
@pytest_twisted.ensureDeferred
async def test_who_calls_from_a_shared_phone_says_so_by_its_keys(scene: Scene, how: str) -> None:
    entry = await asked(scene)
    assert (entry.call.state, scene.media.last("present")[2]) == (State.IDENTIFYING, "identifier")
    press(scene, f"{IDENTIFIER}#", how)
    await scene.settled()
    assert scene.media.last("present")[2] == "pin"
    press(scene, f"{PIN}#", how)
    await eventually(lambda: entry.call.state is State.WAITING, "the call goes on")
    await scene.settled()
    assert entry.call.detainee == BILAL
    assert scene.media.last("tailor")[1] == entry.call.id
    assert scene.media.last("present")[2] == "waiting"
    kept = await scene.store.call(entry.call.id)
    assert kept is not None
    assert (kept.detainee, kept.hold_cents) == (BILAL, 200)
    assert entry.language == "fr", "the phone's own is English"


@pytest_twisted.ensureDeferred
async def test_a_phone_that_sends_each_key_both_ways_is_heard_once(scene: Scene) -> None:
    entry = await asked(scene)
    for key in f"{IDENTIFIER}#{PIN}#":
        press(scene, key, "info")
        press(scene, key, "rtp")
    await eventually(lambda: entry.call.state is State.WAITING, "the call goes on")


@pytest_twisted.ensureDeferred
async def test_three_wrong_claims_end_the_call_and_lock_the_detainee_for_a_minute(scene: Scene) -> None:
    entry = await asked(scene)
    for number in range(3):
        press(scene, f"{IDENTIFIER}#000000#")
        await eventually(lambda n=number: entry.identification.tries == n + 1, "the claim was looked at")
        await scene.settled()
    await eventually(lambda: entry.call.reason is EndReason.PIN_REFUSED, "it is refused")
    await scene.settled()
    said = [each[2] for each in scene.media.asked if each[0] == "present"]
    assert said == ["identifier", "pin", "wrong", "pin", "wrong", "pin", "pin_refused"]
    scene.board.prompt_over(entry.call.id, "pin_refused")
    await eventually(lambda: not scene.board.entries, "the call is closed")

    locked = await asked(scene, "s2")
    press(scene, f"{IDENTIFIER}#{PIN}#")
    await eventually(lambda: locked.call.reason is EndReason.PIN_LOCKED, "even the right PIN is not heard")
    await scene.settled()
    assert scene.media.last("present")[2] == "pin_locked_now+again_today+hour_1+minute_18", "it is 01:16:40"
    scene.board.prompt_over(locked.call.id, locked.farewell_prompt)
    await eventually(lambda: not scene.board.entries, "the call is closed")

    scene.clock.advance(61.0)
    later = await asked(scene, "s3")
    press(scene, f"{IDENTIFIER}#{PIN}#")
    await eventually(lambda: later.call.detainee == BILAL, "a minute later it is")
    await eventually(lambda: later.call.state is State.WAITING, "the call goes on")


@pytest_twisted.ensureDeferred
async def test_hanging_up_before_the_answer_takes_no_try_back(scene: Scene) -> None:
    entry = await asked(scene)
    press(scene, f"{IDENTIFIER}#000000#")
    scene.board.sip_ended("s1", "phone", 200)
    await eventually(lambda: entry.call.state is State.ENDED, "it is over")

    async def wrong() -> int:
        return (await scene.store.pin_record(SECOND.id, IDENTIFIER)).by_detainee.wrong

    for _ in range(200):
        if await wrong():
            break
    assert await wrong() == 1


@pytest_twisted.ensureDeferred
async def test_a_phone_with_too_many_wrong_claims_asks_nobody_for_a_while(scene: Scene) -> None:
    for _ in range(9):
        await scene.store.pin_tried(SECOND.id, None, scene.clock.utc(), right=False)
    entry = await scene.dial(phone="cell2")
    assert entry.call.reason is EndReason.PIN_LOCKED
    await eventually(lambda: "present" in scene.media.names(), "the phone is told")
    assert scene.media.last("present")[2] == "pin_locked_now+again_today+hour_1+minute_18"
    scene.clock.advance(31.0)
    assert (await asked(scene, "s2")).call.state is State.IDENTIFYING


@pytest_twisted.ensureDeferred
async def test_nobody_in_particular_is_refused_like_a_wrong_pin(scene: Scene) -> None:
    entry = await asked(scene)
    press(scene, "999#000000#")
    await eventually(lambda: entry.identification.tries == 1, "the claim was looked at")
    await scene.settled()
    assert scene.media.last("present")[2] == "wrong"


@pytest_twisted.ensureDeferred
async def test_the_lawyers_line_is_protected_once_it_is_known_who_calls(scene: Scene) -> None:
    await change(
        scene,
        lambda c: c.execute(update(schema_rules.authorisations).values(cls="confidential")),
    )
    entry = await asked(scene)
    assert not entry.call.confidential
    press(scene, f"{IDENTIFIER}#{PIN}#")
    await eventually(lambda: entry.call.state is State.WAITING, "the call goes on")
    assert entry.call.confidential
    names = scene.media.names()
    assert names.index("tailor") < len(names) - 1 - names[::-1].index("present")
    assert scene.media.confidential == [False, False, True], "opened, spoken to in their language, protected"


@pytest_twisted.ensureDeferred
async def test_a_line_that_cannot_be_protected_is_not_used(scene: Scene) -> None:
    await change(
        scene,
        lambda c: c.execute(update(schema_rules.authorisations).values(cls="confidential")),
    )
    entry = await asked(scene)
    scene.media.failing["tailor"] = wire.RecorderUnavailable("io: recorded already")
    press(scene, f"{IDENTIFIER}#{PIN}#")
    await eventually(lambda: entry.call.reason is EndReason.MEDIA_FAILED, "the call ends")


@pytest_twisted.ensureDeferred
async def test_a_store_that_fails_while_somebody_is_identified_ends_the_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await asked(scene)

    async def broken(*_: object) -> None:
        raise ValueError(f"nobody expects {PIN}")

    monkeypatch.setattr(scene.board.gatekeeper._books, "pin_record", broken)
    press(scene, f"{IDENTIFIER}#{PIN}#")
    await eventually(lambda: entry.call.reason is EndReason.STORE_FAILED, "the call ends")


@pytest_twisted.ensureDeferred
async def test_no_key_of_a_phone_is_in_any_log_journal_or_repr(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.DEBUG):
        entry = await asked(scene)
        press(scene, f"{IDENTIFIER}#{PIN}")
        typed = repr(entry) + repr(entry.identification) + repr(entry.identification.claim)
        press(scene, "1#")
        await eventually(lambda: entry.identification.tries == 1, "the claim was looked at")
        press(scene, f"{IDENTIFIER}#{PIN}#")
        await eventually(lambda: entry.call.state is State.WAITING, "the call goes on")

        other = await asked_again(scene)

        async def broken(*_: object) -> None:
            raise ValueError(f"nobody expects {PIN}")

        monkeypatch.setattr(scene.board.gatekeeper._books, "pin_record", broken)
        press(scene, f"{IDENTIFIER}#{PIN}#")
        await eventually(lambda: other.call.reason is EndReason.STORE_FAILED, "the other ends")
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    journal = "".join(repr(line) for line in await scene.store.journal(entry.call.id))
    kept = await scene.store._read(lambda c: repr(c.execute(select(schema.events)).all()))
    for where in (typed, logged, journal, kept):
        assert where
        for secret in (IDENTIFIER, PIN):
            assert secret not in where
            assert ", ".join(repr(digit) for digit in secret) not in where


async def asked_again(scene: Scene) -> Any:
    scene.board.sip_ended("s1", "phone", 200)
    await scene.reach(State.ENDED)
    return await asked(scene, "s2")


def test_the_record_of_a_pin_shows_no_hash() -> None:
    record = PinRecord(detainee=BILAL, pin_hash="$argon2id$secret")
    assert "secret" not in repr(record)
    assert msgspec.structs.asdict(record)["pin_hash"]
