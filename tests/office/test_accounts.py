"""Money at the counter: payments count once, statements say why, nothing falls below zero."""

from typing import Any

import pytest

from avisiod.calls import ledger
from avisiod.calls.ids import CallId
from avisiod.calls.reasons import EndReason
from avisiod.store import books, calls, events
from tests.store import people as prison
from tests.store.records import CALL, after, entry

from .conftest import Office


def pay(office: Office, amount: str, key: str = "2026-1", detainee: str = "anna", **more: Any) -> Any:
    return office.do("accounts.pay", detainee=detainee, amount=amount, key=key, **more)


def balances(office: Office) -> dict[str, tuple[str, str]]:
    return {line["detainee"]: (line["balance"], line["held"]) for line in office.do("accounts.balance")}


def talk(office: Office, *, end: bool = True, reason: EndReason = EndReason.RELATIVE_HUNG_UP) -> None:
    """Anna calls her sister for two begun minutes at 15 cents."""
    with office.database.writing() as connection:
        more: dict[str, Any] = {"detainee": "anna", "contact": "sister", "phone": "cell-101"}
        calls.save(connection, prison.paid_call("connected", **more), after(0))
        events.append(connection, entry("Granted"), "inviting")
        if end:
            charged = reason.charged
            ended = prison.paid_call(
                "ended", connected_utc=after(9), connected_s=61.0, end_reason=reason, charged=charged, **more
            )
            calls.save(connection, ended, after(70))
            events.append(connection, entry("RelativeHungUp", seconds=70), "ended")


def test_a_payment_counts_once_and_a_statement_says_why(peopled: Office) -> None:
    assert pay(peopled, "10,50")["booked"]
    assert not pay(peopled, "10.50")["booked"]
    pay(peopled, "2", key="sorry", kind="credit")
    talk(peopled)
    statement = peopled.do("accounts.statement", detainee="anna")
    assert [(line["kind"], line["amount"], line["balance"]) for line in statement] == [
        ("top_up", "10.50", "10.50"),
        ("credit", "2.00", "12.50"),
        ("hold", "-3.00", "9.50"),
        ("settle", "2.70", "12.20"),
    ]
    assert balances(peopled) == {"anna": ("12.20", "0.00"), "bilal": ("0.00", "0.00")}
    assert {line["why"] for line in statement if line["kind"] == "top_up"} == {"as asked"}
    whole = peopled.do("accounts.statement")
    assert sum(round(float(line["amount"]) * 100) for line in whole) == 0


def test_what_is_held_is_shown_and_not_spent_twice(peopled: Office) -> None:
    pay(peopled, "3.50")
    talk(peopled, end=False)
    assert balances(peopled)["anna"] == ("0.50", "3.00")


def test_a_call_that_failed_by_us_is_given_back_once(peopled: Office) -> None:
    pay(peopled, "5")
    talk(peopled)
    assert balances(peopled)["anna"] == ("4.70", "0.00")
    assert peopled.do("accounts.refund", call=CALL)["booked"]
    assert not peopled.do("accounts.refund", call=CALL)["booked"]
    assert balances(peopled)["anna"] == ("5.00", "0.00")
    assert peopled.refused(lambda: peopled.do("accounts.refund", call="none"))[0].startswith("call: no call `none`")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"amount": "-5"}, "amount: below zero, or more than a million"),
        ({"amount": "1e9"}, "amount: below zero, or more than a million"),
        ({"amount": "five"}, "amount: not an amount: write it as 12.50"),
        ({"amount": "NaN"}, "amount: not an amount"),
        ({"amount": "0.005"}, "amount: more than 2 decimals"),
        ({"amount": "0"}, "amount: nothing"),
        ({"detainee": "nobody"}, "detainee: no detainee `nobody`"),
        ({"amount": "7"}, "key: `2026-1` was booked before, for another person or amount"),
        ({"detainee": "bilal"}, "key: `2026-1` was booked before, for another person or amount"),
    ],
)
def test_a_payment_that_cannot_be_is_refused(peopled: Office, arguments: dict[str, str], problem: str) -> None:
    pay(peopled, "5")
    given = {"amount": "5", "detainee": "anna"} | arguments
    assert peopled.refused(lambda: pay(peopled, **given))[0].startswith(problem)


def test_money_without_a_reason_is_refused(peopled: Office) -> None:
    (problem,) = peopled.refused(
        lambda: peopled.do("accounts.pay", "unix:clerk", "", detainee="anna", amount="5", key="k")
    )
    assert problem.startswith("why: no reason")


FILE = "key;register_number;amount;day\nA1;A-1001;10,00;2026-11-02\nA2;1002;5;2026-11-02\n"


def test_a_file_of_payments_is_booked_once(peopled: Office) -> None:
    dry = peopled.do("accounts.import", text=FILE, dry_run=True)
    assert [(line["line"], line["detainee"], line["amount"], line["booked"]) for line in dry] == [
        (2, "anna", "10.00", True),
        (3, "bilal", "5.00", True),
    ]
    assert balances(peopled)["anna"] == ("0.00", "0.00")
    assert peopled.do("accounts.import", text=FILE) == dry
    again = peopled.do("accounts.import", text=FILE + "A3;1002;1;\n")
    assert [line["booked"] for line in again] == [False, False, True]
    assert balances(peopled) == {"anna": ("10.00", "0.00"), "bilal": ("6.00", "0.00")}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("A3;9999;5;", "line 4: register_number: nobody has this register number"),
        ("A3;;5;", "line 4: detainee: no detainee ``"),
        (";1002;5;", "line 4: key: missing"),
        ("A1;1002;5;", "line 4: key: `A1` stands on line 2 already"),
        ("A3;1002;5,001;", "line 4: amount: more than 2 decimals"),
        ("A3;1002;5;yesterday", "line 4: day: not a day"),
    ],
)
def test_one_bad_line_books_nothing_of_a_file(peopled: Office, line: str, problem: str) -> None:
    told = peopled.refused(lambda: peopled.do("accounts.import", text=FILE + line + "\n"))
    assert told[0].startswith(problem)


def test_a_file_that_conflicts_with_what_is_booked_is_refused(peopled: Office) -> None:
    peopled.do("accounts.import", text=FILE)
    told = peopled.refused(lambda: peopled.do("accounts.import", text=FILE.replace("10,00", "12,00")))
    assert told == [
        "line 2: key: `A1` was booked before, for another person or amount: correct the key, or the amount"
    ]


def test_days_of_a_statement_are_the_sites(peopled: Office) -> None:
    pay(peopled, "5")
    day = peopled.desk().today.isoformat()
    assert len(peopled.do("accounts.statement", detainee="anna", since=day, until=day)) == 1
    assert peopled.do("accounts.statement", detainee="anna", since="2026-11-25") == []
    assert peopled.do("accounts.statement", detainee="anna", until="2026-11-23") == []
    assert peopled.refused(lambda: peopled.do("accounts.statement", since="x"))[0].startswith("since: not a day")


def test_the_books_stay_sound(peopled: Office) -> None:
    pay(peopled, "5")
    talk(peopled, reason=EndReason.MEDIA_FAILED)
    with peopled.database.reading() as connection:
        assert books.check(connection) == []
        assert books.balance(connection, ledger.account_of("anna")) == 500  # type: ignore[arg-type]
        assert calls.get(connection, CallId(CALL)) is not None
