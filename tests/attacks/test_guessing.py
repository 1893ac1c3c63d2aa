"""Codes guessed through the real portal, from one address and from as many as it takes; nobody else is locked out."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from avisiod.calls.throttle import FIRST_WAIT_S, FREE_TRIES, TYPED_RISK
from tests.attacks.raw_page import RawPage
from tests.e2e.stage import Stage
from tests.peers.baresip import BaresipPhone
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    settings = {"calls": {"code_valid_s": 170.0}, "portal": {"trusted_proxies": ["127.0.0.1"]}}
    with Stage(tmp_path_factory.mktemp("guessing"), settings=settings) as stage:
        yield stage


@pytest.fixture(scope="module")
def phone(stage: Stage) -> BaresipPhone:
    return stage.phone()


def port(stage: Stage) -> int:
    return int(stage.settings["portal"]["port"])


def invited(stage: Stage, phone: BaresipPhone) -> tuple[str, str]:
    """Code and link of a call that waits."""
    since = stage.sms.mark()
    phone.dial(stage.contacts[0].dialled)
    code = stage.wait_code(since=since)
    link = stage.sms.items()[-1].text.split(f"localhost:{port(stage)}/")[1].split()[0].strip(" .,;")
    return code, link


def wrong(code: str, n: int) -> str:
    return f"{(int(code) + 1 + n) % 1_000_000:06d}"


def test_no_number_of_addresses_buys_more_tries_than_the_day_has_and_the_link_still_opens(
    stage: Stage, phone: BaresipPhone
) -> None:
    code, link = invited(stage, phone)
    answers: Counter[str] = Counter()
    waits: list[float] = []

    # One address: a few tries, then it is told to wait, and how long.
    with RawPage(port(stage), address="198.51.100.1") as one:
        for n in range(FREE_TRIES + 2):
            told = one.tries(wrong(code, n))
            answers[told["why"]] += 1
            if told["why"] == "throttled":
                waits.append(told["retry_after_s"])
    assert answers == {"wrong": FREE_TRIES, "throttled": 2}
    assert all(0 < wait <= FIRST_WAIT_S for wait in waits)

    # As many addresses as there are, each as often as it may.
    n = FREE_TRIES
    while answers["throttled"] < 12:
        assert n < TYPED_RISK + 50, "the budget of a day has no end"
        with RawPage(port(stage), address=f"2001:db8:{n:x}::1") as another:
            for _ in range(FREE_TRIES):
                n += 1
                told = another.tries(wrong(code, n))
                answers[told["why"]] += 1
    assert answers["wrong"] == TYPED_RISK, "one code was out: each wrong try cost one millionth"
    assert told["retry_after_s"] > 3600, "typed codes wait for the day to pass, and are told so"

    # A link that is none is a typed try: it buys nothing either.
    with RawPage(port(stage), address="2001:db8:ffff::1") as guesser:
        assert guesser.tries(wrong(code, 1), "22222")["why"] == "throttled"
    counted = stage.metrics()
    assert counted['avisiod_codes_tried_total{answer="wrong"}'] == TYPED_RISK
    assert counted['avisiod_codes_tried_total{answer="throttled"}'] == answers["throttled"] + 1

    # The relative has the SMS and its link.
    with RawPage(port(stage), address="203.0.113.9") as honest:
        assert honest.tries(wrong(code, 5), link)["tries_left"] == 9
        assert honest.tries(code, link)["type"] == "joined"
    phone.hang_up()
    wait_until(lambda: stage.calls()[-1]["state"] == "ended", 20, "the call has ended")


def test_a_link_that_leaked_gives_ten_tries_and_costs_only_its_own_call(stage: Stage, phone: BaresipPhone) -> None:
    code, link = invited(stage, phone)
    with RawPage(port(stage), address="198.51.100.7") as thief:
        left = [thief.tries(wrong(code, n), link).get("tries_left") for n in range(9)]
        assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1]
        assert thief.tries(wrong(code, 10), link)["why"] == "over"
        assert thief.tries(code, link)["why"] in {"over", "expired"}
    wait_until(lambda: stage.calls()[-1]["state"] == "ended", 20, "the phone hears that the call is over")
    assert stage.calls()[-1]["end_reason"] == "code_expired"


ADDRESSES = 1000


def test_a_thousand_true_addresses_find_no_code_and_lock_no_link_out(tmp_path: Path) -> None:
    """One try each: none of them ever waits for its own sake, the day's budget holds them all."""
    with Stage(tmp_path, settings={"calls": {"code_valid_s": 280.0}}) as stage:
        phone = stage.phone()
        code, link = invited(stage, phone)
        answers: Counter[str] = Counter()
        for n in range(ADDRESSES):
            with RawPage(port(stage), source=f"127.{1 + n % 200}.{n // 200}.{7 + n % 100}") as guesser:
                answers[guesser.tries(wrong(code, n))["why"]] += 1
        assert answers == {"wrong": TYPED_RISK, "throttled": ADDRESSES - TYPED_RISK}
        counted = stage.metrics()
        assert counted['avisiod_codes_tried_total{answer="wrong"}'] == TYPED_RISK
        assert counted['avisiod_codes_tried_total{answer="throttled"}'] == ADDRESSES - TYPED_RISK
        with RawPage(port(stage), source="127.99.99.99") as honest:
            assert honest.tries(code, link)["type"] == "joined"
