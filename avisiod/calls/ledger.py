"""Money as double entry: every transaction's postings sum to zero, and its key is booked once."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from avisiod.calls.ids import CallId, DetaineeId
from avisiod.calls.reasons import EndReason
from avisiod.calls.tariff import Tariff, price_of

TransactionKind = Literal["hold", "settle", "top_up", "credit", "refund"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Something that is booked, or not, as a whole."""

    key: str
    """Unique: the same key again is the same transaction, and books nothing."""
    kind: TransactionKind
    why: str
    """A sentence for the statement, without name or number."""
    postings: tuple[tuple[str, int], ...]
    """(account, cents): positive is for the account, negative against it."""


class Unsound(ValueError):
    """A transaction that may not be booked: it does not sum to zero, moves nothing, or overdraws."""


CASH, REVENUE, GOODWILL = "cash", "revenue", "goodwill"
"""`cash` and `goodwill` go below zero: what came in from outside, and what was given away."""


def account_of(detainee: DetaineeId) -> str:
    """The prepaid account. Never below zero."""
    return f"detainee:{detainee}"


def held_of(detainee: DetaineeId) -> str:
    """What is set aside for the call under way. Never below zero."""
    return f"held:{detainee}"


def may_be_negative(account: str) -> bool:
    """Whether the account stands for the world outside of the books."""
    return account in (CASH, GOODWILL, REVENUE)


def hold(call: CallId, detainee: DetaineeId, cents: int) -> Transaction:
    """Set aside the most that a call can cost, when it is admitted."""
    return _moved(
        f"hold:{call}", "hold", f"set aside for call {call}", cents, account_of(detainee), held_of(detainee)
    )


def settle(call: CallId, detainee: DetaineeId, held: int, charge: int) -> Transaction:
    """End the hold: `charge` cents are paid, the rest goes back. ValueError unless 0 <= charge <= held."""
    if not 0 <= charge <= held or held == 0:
        raise Unsound(f"a charge of {charge} cents does not fit a hold of {held}")
    why = f"call {call}" if charge else f"call {call}: not charged"
    legs = ((held_of(detainee), -held), (REVENUE, charge), (account_of(detainee), held - charge))
    return Transaction(key=f"settle:{call}", kind="settle", why=why, postings=tuple(leg for leg in legs if leg[1]))


def refund(call: CallId, detainee: DetaineeId, cents: int) -> Transaction:
    """Give back what a settled call has cost, because it turned out to have failed by us. Once a call."""
    return _moved(f"refund:{call}", "refund", f"call {call} failed by us", cents, REVENUE, account_of(detainee))


def top_up(key: str, detainee: DetaineeId, cents: int, why: str) -> Transaction:
    """Money that came in; `key` is that of the payment, so that a file read twice counts once."""
    return _moved(f"top_up:{key}", "top_up", why, cents, CASH, account_of(detainee))


def credit(key: str, detainee: DetaineeId, cents: int, why: str) -> Transaction:
    """Money given by the site, with a reason."""
    return _moved(f"credit:{key}", "credit", why, cents, GOODWILL, account_of(detainee))


def _moved(key: str, kind: TransactionKind, why: str, cents: int, source: str, target: str) -> Transaction:
    if cents <= 0:
        raise Unsound(f"{cents} cents cannot be moved from {source} to {target}")
    return Transaction(key=key, kind=kind, why=why, postings=((source, -cents), (target, cents)))


def book(balances: Mapping[str, int], transaction: Transaction) -> dict[str, int]:
    """The balances after it. Unsound, and nothing is booked, where a balance would go below zero."""
    if sum(cents for _, cents in transaction.postings) != 0:
        raise Unsound(f"{transaction.key} does not sum to zero")
    after = dict(balances)
    for account, cents in transaction.postings:
        after[account] = after.get(account, 0) + cents
    for account, _ in transaction.postings:
        if after[account] < 0 and not may_be_negative(account):
            raise Unsound(f"{transaction.key} overdraws {account}")
    return after


def charge_of(tariff: Tariff | None, connected_s: float, reason: EndReason, held: int) -> int:
    """Cents to pay for an ended call: its connected time, nothing where the failure is ours, never above the hold."""
    if tariff is None or not reason.charged:
        return 0
    return min(held, price_of(tariff, connected_s))
