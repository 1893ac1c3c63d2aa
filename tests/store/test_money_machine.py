"""Whatever the order of payments, holds, ends, crashes and replays: the ledger sums to zero, nobody pays twice."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from avisiod.calls import ledger
from avisiod.calls.ids import CallId, DetaineeId
from avisiod.calls.reasons import EndReason
from avisiod.calls.tariff import price_of
from avisiod.ports import CallRecord, StoreRefused
from avisiod.store import books, calls, progress, trail_check
from avisiod.store.database import Database

from .people import ANNA, BILAL, PER_MINUTE, paid_call, pay_in, settle_in
from .records import after, entry


class Money(RuleBasedStateMachine):
    """Two accounts, calls one after the other and at once, and a model of what each must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="avisiod-money-"))
        self.database = Database(self.folder / "avisiod.db")
        self.paid: dict[str, tuple[DetaineeId, int]] = {}
        self.steps: list[CallRecord] = []
        """Every record that was ever saved: any of them may come again."""
        self.calls: dict[CallId, CallRecord] = {}
        self.clock = 0
        with self.database.writing() as connection:
            settle_in(connection)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    def save(self, record: CallRecord) -> bool:
        self.clock += 1
        try:
            with self.database.writing() as connection:
                progress.save(connection, record, entry("Step", of=record.id, seconds=self.clock))
        except (*self.database.errors, StoreRefused):
            return False
        self.steps.append(record)
        return True

    @rule(key=st.integers(0, 5), cents=st.integers(1, 700), who=st.sampled_from([ANNA, BILAL]))
    def pay(self, key: int, cents: int, who: DetaineeId) -> None:
        """A payment; the same key again counts once."""
        with self.database.writing() as connection:
            booked = pay_in(connection, cents, str(key), who)
        assert booked == (str(key) not in self.paid)
        self.paid.setdefault(str(key), (who, cents))

    @rule(who=st.sampled_from([ANNA, BILAL]), hold=st.integers(15, 600))
    def grant(self, who: DetaineeId, hold: int) -> None:
        """A call is granted as far as the balance pays for it."""
        record = paid_call("inviting", of=CallId(f"call-{len(self.calls)}"), detainee=who, hold=hold)
        with self.database.reading() as connection:
            balance = books.balance(connection, ledger.account_of(who))
        assert self.save(record) == (hold <= balance)
        if hold <= balance:
            self.calls[record.id] = record

    @precondition(lambda self: self.calls)
    @rule(
        data=st.data(),
        seconds=st.floats(0, 4000, allow_nan=False),
        reason=st.sampled_from([EndReason.RELATIVE_HUNG_UP, EndReason.LIMIT_REACHED, EndReason.MEDIA_FAILED]),
    )
    def end(self, data: st.DataObject, seconds: float, reason: EndReason) -> None:
        """A call ends, for the first time or once more, in the same way or another."""
        name = data.draw(st.sampled_from(sorted(self.calls)))
        granted = self.calls[name]
        charged = reason.charged and seconds > 0
        record = paid_call(
            "ended",
            of=name,
            detainee=granted.detainee,
            hold=granted.hold_cents,
            connected_s=seconds,
            end_reason=reason,
            charged=charged,
        )
        with self.database.reading() as connection:
            before = calls.get(connection, name)
        taken = self.save(record)
        assert before is not None
        if before.state != "ended":
            assert taken

    @precondition(lambda self: self.steps)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """A record comes again, as after a crash or from a client that heard no answer."""
        with self.database.reading() as connection:
            before = books.balances(connection)
        self.save(data.draw(st.sampled_from(self.steps)))
        with self.database.reading() as connection:
            assert books.balances(connection) == before

    @rule()
    def crash(self) -> None:
        """The process dies and starts again."""
        self.database.close()
        self.database = Database(self.folder / "avisiod.db")
        with self.database.writing() as connection:
            progress.end_open(connection, EndReason.SERVICE_RESTARTED, after(self.clock), 0.0)

    @invariant()
    def sound(self) -> None:
        with self.database.reading() as connection:
            assert books.check(connection) == []
            assert trail_check.verify(connection).good
            charges = dict.fromkeys((ANNA, BILAL), 0)
            held = dict.fromkeys((ANNA, BILAL), 0)
            for name in self.calls:
                record = calls.get(connection, name)
                assert record is not None
                assert record.detainee is not None
                charges[record.detainee] += record.charge_cents
                assert record.charge_cents <= min(record.hold_cents, price_of(PER_MINUTE, record.connected_s))
                held[record.detainee] += 0 if record.state == "ended" else record.hold_cents
            for who in (ANNA, BILAL):
                paid = sum(cents for payer, cents in self.paid.values() if payer == who)
                assert books.balance(connection, ledger.account_of(who)) == paid - charges[who] - held[who]
                assert books.balance(connection, ledger.held_of(who)) == held[who]


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=8, stateful_step_count=14, deadline=None)
TestMoney.pytestmark = [pytest.mark.timeout(600)]  # type: ignore[attr-defined]
