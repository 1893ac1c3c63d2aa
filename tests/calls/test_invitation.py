"""A code opens its own call, once, in time; a guesser has less than one chance in a thousand a day."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from avisiod.calls.ids import CallId
from avisiod.calls.invitation import LINK_LENGTH, REMEMBER_CLOSED_S, Answer, Invitation, Invitations
from avisiod.calls.throttle import CODES, FREE_TRIES, LINKED_TRIES, TYPED_RISK, Throttle

KEY = bytes(range(32))
HOME = "192.0.2.1"


def draws(*numbers: int):
    feed = itertools.chain(numbers, itertools.count(1000))
    return lambda below: next(feed) % below


def issued(code: int = 123456, now: float = 0.0, valid_s: float = 300.0) -> tuple[Invitations, Invitation]:
    invitations = Invitations(KEY, Throttle())
    invitation = invitations.issue(CallId("c"), draws(code, 7))
    invitations.start(CallId("c"), now + valid_s)
    return invitations, invitation


def test_the_right_code_opens_its_call_once() -> None:
    invitations, invitation = issued()
    first = invitations.redeem(invitation.code, "", HOME, 10)
    assert (first.answer, first.call) == (Answer.RIGHT, "c")
    assert invitations.redeem(invitation.code, "", HOME, 11).answer is Answer.USED
    assert invitations.redeem(invitation.code, invitation.link, HOME, 11).answer is Answer.USED


def test_a_code_with_leading_zeros_has_six_digits() -> None:
    _, invitation = issued(code=7)
    assert invitation.code == "000007"
    assert len(invitation.link) == LINK_LENGTH


def test_a_code_expires_at_its_instant_and_not_before() -> None:
    invitations, invitation = issued()
    assert invitations.redeem(invitation.code, "", HOME, 300.0).answer is Answer.EXPIRED
    invitations, invitation = issued()
    assert invitations.redeem(invitation.code, "", HOME, 299.999).answer is Answer.RIGHT


def test_a_cancelled_call_has_no_code() -> None:
    invitations, invitation = issued()
    invitations.cancel(CallId("c"), 5)
    assert invitations.redeem(invitation.code, "", HOME, 10).answer is Answer.EXPIRED
    assert invitations.redeem(invitation.code, "", HOME, 5 + REMEMBER_CLOSED_S).answer is Answer.WRONG


def test_two_open_codes_are_never_the_same() -> None:
    invitations = Invitations(KEY, Throttle())
    first = invitations.issue(CallId("a"), draws(5, 9))
    second = invitations.issue(CallId("b"), draws(5, 6, 9, 10))
    assert first.code != second.code
    assert first.link != second.link


def test_a_link_opens_only_its_own_invitation() -> None:
    invitations = Invitations(KEY, Throttle())
    a = invitations.issue(CallId("a"), draws(1, 1))
    b = invitations.issue(CallId("b"), draws(2, 2))
    assert invitations.redeem(b.code, a.link, HOME, 1).answer is Answer.WRONG
    assert invitations.redeem(b.code, b.link, HOME, 1).call == "b"


def test_an_invitation_is_void_after_too_many_wrong_tries_on_its_link() -> None:
    invitations, invitation = issued()
    for left in range(LINKED_TRIES - 1, 0, -1):
        result = invitations.redeem("999999", invitation.link, HOME, 1)
        assert (result.answer, result.tries_left) == (Answer.WRONG, left)
    assert invitations.redeem("999999", invitation.link, HOME, 1).answer is Answer.VOIDED
    assert invitations.redeem(invitation.code, invitation.link, HOME, 1).answer is Answer.EXPIRED


def test_an_address_waits_longer_and_longer() -> None:
    invitations, _ = issued()
    for _ in range(FREE_TRIES):
        assert invitations.redeem("999999", "", HOME, 1).answer is Answer.WRONG
    assert invitations.redeem("999999", "", HOME, 1).wait_s == 5
    assert invitations.redeem("999999", "", HOME, 6).answer is Answer.WRONG
    assert invitations.redeem("999999", "", HOME, 6).wait_s == 10
    assert invitations.redeem("999999", "", "192.0.2.2", 6).answer is Answer.WRONG, "another address does not wait"


def test_addresses_of_one_ipv6_network_wait_together() -> None:
    invitations, _ = issued()
    for host in range(FREE_TRIES):
        invitations.redeem("999999", "", f"2001:db8::{host + 1:x}", 1)
    assert invitations.redeem("999999", "", "2001:db8::ffff", 1).answer is Answer.THROTTLED


@settings(max_examples=25, deadline=None)
@given(open_codes=st.integers(1, 60), addresses=st.integers(1, 5000), seed=st.integers())
def test_a_guesser_with_many_addresses_stays_below_one_in_a_thousand_a_day(
    open_codes: int, addresses: int, seed: int
) -> None:
    chance = random.Random(seed)
    invitations = Invitations(KEY, Throttle())
    links = []
    for n in range(open_codes):
        links.append(invitations.issue(CallId(str(n)), draws(n, n)).link)
        invitations.start(CallId(str(n)), 1e9)
    spent = 0
    for _ in range(3000):
        address = f"10.0.{chance.randrange(addresses) // 250}.{chance.randrange(250)}"
        result = invitations.redeem("999999", chance.choice(["", "zzzzz"]), address, chance.random() * 10)
        if result.answer is Answer.WRONG:
            spent += open_codes
    assert spent <= TYPED_RISK < CODES / 1000
    right = invitations.redeem("000000", links[0], "10.0.0.1", 20)
    assert right.answer is Answer.RIGHT, "the relative who opens the link is not locked out"


def test_the_budget_comes_back_after_a_day() -> None:
    invitations, invitation = issued(valid_s=1e9)
    tries = 0
    while invitations.redeem("999999", "", f"10.{tries // 250}.{tries % 250}.1", 1).answer is Answer.WRONG:
        tries += 1
    assert tries == TYPED_RISK
    assert invitations.redeem(invitation.code, "", HOME, 2).answer is Answer.THROTTLED
    assert invitations.redeem(invitation.code, "", HOME, 86_402).answer is Answer.RIGHT


def test_nothing_shows_a_code() -> None:
    _, invitation = issued()
    assert invitation.code not in repr(invitation) + str(invitation)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Invitations(b"short", Throttle())


@given(code=st.text(max_size=40), link=st.text(max_size=10), address=st.text(max_size=40))
def test_nonsense_is_only_wrong(code: str, link: str, address: str) -> None:
    invitations, invitation = issued()
    assert invitations.redeem(code, link, address, 1).answer is Answer.WRONG or code == invitation.code


class ACodeWorksOnce(RuleBasedStateMachine):
    """However calls, cancellations, tries and time mix, each code opens at most one call, its own, once."""

    def __init__(self) -> None:
        super().__init__()
        self.invitations = Invitations(KEY, Throttle())
        self.now = 0.0
        self.codes: dict[str, Invitation] = {}
        self.opened: list[str] = []
        self.ends: dict[str, float] = {}

    @rule(seed=st.integers(0, 1 << 30))
    def issue(self, seed: int) -> None:
        call = f"c{len(self.codes)}"
        self.codes[call] = self.invitations.issue(CallId(call), random.Random(seed).randrange)
        self.ends[call] = self.now + 300
        self.invitations.start(CallId(call), self.now + 300)

    @rule(data=st.data(), linked=st.booleans(), after=st.sampled_from([0.0, 1.0, 150.0, 301.0]))
    def redeem(self, data: st.DataObject, linked: bool, after: float) -> None:
        self.now += after
        if not self.codes:
            return
        call = data.draw(st.sampled_from(sorted(self.codes)))
        invitation = self.codes[call]
        result = self.invitations.redeem(invitation.code, invitation.link if linked else "", HOME, self.now)
        if result.answer is Answer.RIGHT:
            assert result.call == call
            assert self.now < self.ends[call]
            assert call not in self.opened
            self.opened.append(call)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.codes:
            call = data.draw(st.sampled_from(sorted(self.codes)))
            self.invitations.cancel(CallId(call), self.now)
            self.ends[call] = min(self.ends[call], self.now)


TestACodeWorksOnce = ACodeWorksOnce.TestCase


def test_a_code_of_another_box_costs_nothing_and_a_wrong_one_costs_what_is_open_on_all() -> None:
    invitations, _ = issued()
    invitations.elsewhere = 4
    open_codes = invitations.open_codes(10)
    assert open_codes == 5
    throttle = invitations._throttle
    assert invitations.redeem("000001", "", HOME, 10).answer is Answer.WRONG
    assert throttle.risk(10) == 5
    for _ in range(3 * FREE_TRIES):
        assert invitations.redeem("000002", "", HOME, 10).answer is Answer.WRONG
        invitations.was_right_elsewhere(HOME, 10, open_codes)
    assert throttle.risk(10) == 5
    assert invitations.redeem("123456", "", HOME, 10).answer is Answer.RIGHT
