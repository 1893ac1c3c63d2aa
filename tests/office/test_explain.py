"""A decision is shown with every fact that it rested on: the same function that decides on calls."""

from typing import Any

from .conftest import Office
from .test_accounts import pay, talk

MONDAY = "2026-11-23T09:30"


def explain(office: Office, **how: str) -> Any:
    return office.do("explain", **({"phone": "cell-101", "number": "0639980001", "at": MONDAY} | how))


def with_rules(office: Office) -> None:
    office.add("windows", scope="site", weekday="mon", begins="09:00", ends="10:00")
    office.add("tariffs", unit="minute", price="0.15", valid_from="2026-01-01")
    office.add(
        "authorisations",
        detainee="anna",
        contact="sister",
        state="granted",
        authority="head",
        decided_on="2026-11-01",
    )
    pay(office, "5")


def test_a_granted_call_says_how_long_at_what_price_and_why(peopled: Office) -> None:
    with_rules(peopled)
    found = explain(peopled)
    assert (found["granted"], found["limit_s"], found["at_most"], found["recorded"]) == (True, 1200.0, "3.00", True)
    assert {"phone", "detainee", "authorisation", "schedule", "tariff", "balance"} <= {
        each["about"] for each in found["because"]
    }
    late = explain(peopled, at="2026-11-23T09:50")
    assert (late["limit_s"], late["shortened_by"]) == (600.0, "hours")


def test_a_refused_call_says_which_fact_refused_it(peopled: Office) -> None:
    with_rules(peopled)
    evening = explain(peopled, at="2026-11-23T19:00")
    assert (evening["granted"], evening["reason"]) == (False, "outside_hours")
    assert evening["again"] == "2026-11-30T09:00+01:00"
    assert evening["because"][-1]["refuses"] == "outside_hours"
    assert explain(peopled, number="0639980009")["reason"] == "unknown_number"
    assert explain(peopled, number="12")["reason"] == "not_a_number"
    assert explain(peopled, number="12")["again"] == ""
    assert explain(peopled, phone="none")["reason"] == "unknown_phone"
    assert explain(peopled, phone="yard")["reason"] == "not_identified"
    assert explain(peopled, phone="yard", detainee="anna")["granted"]
    assert explain(peopled, phone="yard", detainee="bilal")["reason"] == "not_authorised"
    assert explain(peopled, number="0639980002")["granted"]
    assert not explain(peopled, number="0639980002")["recorded"]


def test_who_is_in_a_call_now_is_busy_now(peopled: Office) -> None:
    with_rules(peopled)
    talk(peopled, end=False)
    assert explain(peopled, at="")["reason"] == "phone_busy"
    assert explain(peopled)["granted"]


def test_a_bad_time_is_told_and_no_number_stands_in_the_trail(peopled: Office) -> None:
    with_rules(peopled)
    assert peopled.refused(lambda: explain(peopled, at="soon"))[0].startswith("at: not a day and time")
    explain(peopled)
    (line,) = peopled.do("audit.list", kind="phone", object="cell-101", limit=1)
    assert line["action"] == "consult"
    assert "0639980001" not in str(line)
