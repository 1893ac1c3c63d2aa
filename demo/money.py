"""What the demonstration's call cost, and whether the account says so too."""

from typing import NamedTuple

from avisiod.calls.tariff import Tariff, price_of
from demo.checks import Check
from tests.e2e.one_call import Call


class Money(NamedTuple):
    """The price, and the detainee's account before and after the call, in cents; None where it was not read."""

    tariff: Tariff
    before: int
    after: int | None


def euros(cents: int) -> str:
    """`10.00 €`."""
    return f"{cents / 100:.2f} €"


def charged(call: Call, money: Money) -> Check:
    """The connected time was paid for by the tariff, once, from the account."""
    lasted, charge = call.connected_s, call.charge_cents
    seen = (
        lasted is not None
        and charge is not None
        and charge == price_of(money.tariff, lasted) > 0
        and money.after == money.before - charge
    )
    return Check("the detainee paid for the connected time, and nothing else", seen, _told(charge, money))


def money_lines(call: Call, money: Money) -> list[str]:
    """Tariff, charge, account."""
    price = f"{money.tariff.price / 100:g} cents a begun {money.tariff.unit}"
    lasted = "" if call.connected_s is None else f", {call.connected_s:.1f} s connected"
    return [f"  tariff: {price}", f"  charged: {_told(call.charge_cents, money)}{lasted}"]


def _told(charge: int | None, money: Money) -> str:
    paid = "nothing that was seen" if charge is None else euros(charge)
    left = "unknown" if money.after is None else euros(money.after)
    return f"{paid}; account {euros(money.before)} → {left}"
