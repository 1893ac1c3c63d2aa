"""Money: whatever the order of holds, settlements, crashes and replays, nothing is lost, made or charged twice."""

import dataclasses
import datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from avisiod.calls import ledger
from avisiod.calls.ids import CallId, DetaineeId
from avisiod.calls.reasons import EndReason
from avisiod.calls.tariff import Tariff, Unit, affordable_s, price_of

ME, OTHER = DetaineeId("d1"), DetaineeId("d2")
TARIFF = Tariff(id="t", unit="minute", price=1250, valid_from=datetime.date(2026, 1, 1))


@pytest.mark.parametrize("cents", [0, -1])
def test_nothing_and_less_than_nothing_cannot_be_moved(cents: int) -> None:
    for make in (
        lambda: ledger.hold(CallId("c"), ME, cents),
        lambda: ledger.top_up("file:1", ME, cents, "top-up"),
        lambda: ledger.credit("c", ME, cents, "goodwill"),
        lambda: ledger.refund(CallId("c"), ME, cents),
    ):
        with pytest.raises(ledger.Unsound):
            make()


@pytest.mark.parametrize(("held", "charge"), [(100, 101), (100, -1), (0, 0)])
def test_a_settlement_that_does_not_fit_its_hold_is_refused(held: int, charge: int) -> None:
    with pytest.raises(ledger.Unsound):
        ledger.settle(CallId("c"), ME, held, charge)


def test_a_hold_beyond_the_balance_changes_nothing() -> None:
    balances = {"detainee:d1": 99}
    with pytest.raises(ledger.Unsound, match="overdraws detainee:d1"):
        ledger.book(balances, ledger.hold(CallId("c"), ME, 100))
    assert balances == {"detainee:d1": 99}


def test_a_transaction_that_makes_money_is_refused() -> None:
    made = ledger.Transaction(key="k", kind="credit", why="", postings=(("detainee:d1", 5), ("goodwill", -4)))
    with pytest.raises(ledger.Unsound, match="does not sum to zero"):
        ledger.book({}, made)


def test_what_a_call_costs_is_said_for_each_line() -> None:
    assert ledger.settle(CallId("c"), ME, 250, 25).postings == (
        ("held:d1", -250),
        ("revenue", 25),
        ("detainee:d1", 225),
    )
    assert ledger.settle(CallId("c"), ME, 250, 0).why == "call c: not charged"


@pytest.mark.parametrize("reason", EndReason)
def test_a_failure_of_ours_costs_nothing(reason: EndReason) -> None:
    charge = ledger.charge_of(TARIFF, 125.0, reason, 250)
    assert charge == (37 if reason.charged else 0)
    assert ledger.charge_of(None, 125.0, reason, 250) == 0


def test_never_more_than_was_held() -> None:
    assert ledger.charge_of(TARIFF, 125.0, EndReason.LIMIT_REACHED, 30) == 30


@dataclasses.dataclass
class Running:
    """A call under way, as the store has kept it: the hold is stored with the grant."""

    id: CallId
    detainee: DetaineeId
    tariff: Tariff
    limit_s: int
    held: int


class Books(RuleBasedStateMachine):
    """A ledger whose keys are unique, as the database keeps them, and a world that repeats and crashes."""

    calls = Bundle("calls")
    kept = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.balances: dict[str, int] = {}
        self.keys: set[str] = set()
        self.paid_for: dict[str, int] = {}
        self.worth: dict[str, int] = {}
        self.count = 0

    def post(self, transaction: ledger.Transaction) -> bool:
        if transaction.key in self.keys:
            return False
        self.balances = ledger.book(self.balances, transaction)
        self.keys.add(transaction.key)
        return True

    @rule(target=kept, detainee=st.sampled_from([ME, OTHER]), cents=st.integers(1, 3000), key=st.integers(0, 20))
    def tops_up(self, detainee: DetaineeId, cents: int, key: int) -> object:
        transaction = ledger.top_up(f"file:{key}", detainee, cents, "top-up")
        return transaction if self.post(transaction) else multiple()

    @rule(
        target=calls,
        detainee=st.sampled_from([ME, OTHER]),
        unit=st.sampled_from(["call", "minute", "second"]),
        price=st.integers(1, 3000),
        limit_s=st.integers(60, 1200),
    )
    def admits(self, detainee: DetaineeId, unit: Unit, price: int, limit_s: int) -> object:
        tariff = dataclasses.replace(TARIFF, unit=unit, price=price)
        paid = affordable_s(tariff, self.balances.get(ledger.account_of(detainee), 0))
        limit_s = limit_s if paid is None else min(limit_s, paid)
        held = price_of(tariff, limit_s)
        if limit_s < 1 or held == 0:
            return multiple()
        self.count += 1
        call = Running(CallId(f"c{self.count}"), detainee, tariff, limit_s, held)
        assert self.post(ledger.hold(call.id, detainee, held)), "what a balance pays can be held"
        return call

    @rule(
        target=kept,
        call=consumes(calls),
        part=st.floats(0, 1),
        reason=st.sampled_from(EndReason),
        again=st.sampled_from([None, *EndReason]),
    )
    def ends(self, call: Running, part: float, reason: EndReason, again: EndReason | None) -> ledger.Transaction:
        """The call ends; perhaps once more after a restart, with another reason."""
        connected_s = call.limit_s * part
        self.worth[call.id] = price_of(call.tariff, connected_s)
        first = self._settle(call, connected_s, reason)
        if again is not None:
            assert not self.post(self._settle_only(call, connected_s, again)), "a call is settled once"
        return first

    def _settle_only(self, call: Running, connected_s: float, reason: EndReason) -> ledger.Transaction:
        charge = ledger.charge_of(call.tariff, connected_s, reason, call.held)
        return ledger.settle(call.id, call.detainee, call.held, charge)

    def _settle(self, call: Running, connected_s: float, reason: EndReason) -> ledger.Transaction:
        transaction = self._settle_only(call, connected_s, reason)
        assert self.post(transaction)
        self.paid_for[call.id] = dict(transaction.postings).get(ledger.REVENUE, 0)
        assert reason.charged or self.paid_for[call.id] == 0
        return transaction

    @rule(transaction=kept)
    def repeats(self, transaction: ledger.Transaction) -> None:
        """A crash before the answer, a retry, a file read twice: the same key books nothing."""
        before = dict(self.balances)
        self.post(transaction)
        assert self.balances == before

    @rule(target=kept, settled=kept)
    def failed_after_all(self, settled: ledger.Transaction) -> object:
        """A settled call turns out to have failed by us: what it cost is given back, once."""
        call = CallId(settled.key.partition(":")[2])
        paid = dict(settled.postings).get(ledger.REVENUE, 0) if settled.kind == "settle" else 0
        if not paid:
            return multiple()
        detainee = DetaineeId(settled.postings[0][0].partition(":")[2])
        transaction = ledger.refund(call, detainee, paid)
        assert self.post(transaction) == (self.paid_for[call] > 0)
        self.paid_for[call] = 0
        return transaction

    @invariant()
    def sums_to_zero_and_nobody_owes(self) -> None:
        assert sum(self.balances.values()) == 0
        assert all(cents >= 0 for name, cents in self.balances.items() if not ledger.may_be_negative(name))

    @invariant()
    def nobody_pays_more_than_the_connected_time(self) -> None:
        assert all(paid <= self.worth[call] for call, paid in self.paid_for.items())
        assert self.balances.get(ledger.REVENUE, 0) == sum(self.paid_for.values())


Books.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase
