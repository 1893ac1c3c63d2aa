"""What somebody may do is what their roles say, as long as they are designated; root and the service always may."""

import datetime
import itertools

import pytest

from avisiod.office.desk import OPERATIONS
from avisiod.office.permissions import EVERYTHING, PERMISSIONS
from avisiod.office.plan import Edit
from avisiod.office.roles import Denied, admit, needed_for

from .conftest import NOON, Office

TODAY, TOMORROW, YESTERDAY = "2026-11-24", "2026-11-25", "2026-11-23"
NEXT_YEAR = "2027-11-23"


def designate(office: Office, user: str, role: str, first: str = TODAY, last: str = NEXT_YEAR) -> None:
    office.add("staff", user=user, role=role, valid_from=first, valid_to=last)


def asks(office: Office, user: str, name: str, /, **arguments: object) -> str:
    """Empty where they are let; else what they are told."""
    try:
        admit(office.desk(f"unix:{user}"), user, name, arguments)
    except Denied as denied:
        (problem,) = denied.problems
        return str(problem)
    return ""


def test_until_somebody_is_designated_everybody_who_comes_to_the_counter_may_do_everything(office: Office) -> None:
    assert asks(office, "alice", "calls.cut", call="x") == ""
    designate(office, "bob", "supervisor")
    assert "alice is not designated for anything here" in asks(office, "alice", "calls.cut", call="x")
    assert asks(office, "bob", "calls.cut", call="x") == ""


def test_a_role_lets_do_what_it_says_and_nothing_else(office: Office) -> None:
    designate(office, "alice", "accountant")
    assert asks(office, "alice", "accounts.pay") == ""
    assert asks(office, "alice", "list", kind="people") == (
        "this needs `see_people`, which accountant does not include: "
        "ask somebody whose role does (avisioctl roles list)"
    )
    designate(office, "alice", "registrar")
    assert asks(office, "alice", "edit", kind="contacts") == ""
    assert asks(office, "alice", "edit", kind="tariffs").startswith(
        "this needs `edit_rules`, which accountant and registrar do not include"
    )
    designate(office, "root-of-all", "administrator")
    assert asks(office, "root-of-all", "audit.purge") == ""


def test_a_designation_holds_from_its_first_day_to_its_last(office: Office) -> None:
    designate(office, "alice", "supervisor", TODAY, TODAY)
    designate(office, "bob", "supervisor", TOMORROW)
    designate(office, "chloe", "supervisor", "2026-01-01", YESTERDAY)
    assert asks(office, "alice", "calls.cut") == ""
    assert "bob's designation as supervisor begins on 2026-11-25" in asks(office, "bob", "calls.cut")
    assert "chloe's designation as supervisor ended on 2026-11-23" in asks(office, "chloe", "calls.cut")
    office.at_utc = NOON + datetime.timedelta(days=1)
    assert "alice's designation as supervisor ended on 2026-11-24" in asks(office, "alice", "calls.cut")
    assert asks(office, "bob", "calls.cut") == ""


def test_that_all_designations_have_ended_opens_nothing(office: Office) -> None:
    designate(office, "alice", "administrator", "2026-01-01", YESTERDAY)
    assert asks(office, "alice", "list", kind="people") != ""
    assert asks(office, "zoe", "list", kind="people") != ""


def test_who_is_denied_is_written_down(office: Office) -> None:
    designate(office, "alice", "technician")
    assert asks(office, "alice", "accounts.pay", detainee="anna", amount="5") != ""
    (line,) = office.do("audit.list", kind="staff")
    assert (line["actor"], line["action"], line["object"]) == ("unix:alice", "denied", "alice")
    assert line["details"] == {"operation": "accounts.pay", "needs": "edit_money"}


def test_a_designation_is_ended_at_once_and_stays_on_the_list(office: Office) -> None:
    designate(office, "alice", "supervisor")
    (done,) = office.do("staff.end", user="alice", role="supervisor")["done"]
    assert (done["action"], done["changes"]["valid_to"]) == ("change", [NEXT_YEAR, YESTERDAY])
    assert "ended on 2026-11-23" in asks(office, "alice", "calls.cut")
    assert [row["valid_to"] for row in office.do("list", kind="staff")] == [YESTERDAY]
    assert "no designation" in office.refused(lambda: office.do("staff.end", user="bob", role="supervisor"))[0]


@pytest.mark.parametrize(
    ("role", "first", "last", "words"),
    [
        ("supervisor", TODAY, "2027-11-24", ""),
        ("supervisor", TODAY, "2027-11-25", "valid_to: the role supervisor is given for 366 days at most"),
        ("supervisor", TODAY, "", "valid_to: the role supervisor is given for 366 days at most"),
        ("administrator", TODAY, "", "valid_to: the role administrator is given for 366 days at most"),
        ("accountant", TODAY, "", ""),
        ("accountant", TODAY, "2026-11-22", "valid_to: ends before it begins"),
        ("none", TODAY, "", "role: no role `none`"),
    ],
)
def test_who_watches_or_interrupts_is_designated_for_a_year_at_most(
    office: Office, role: str, first: str, last: str, words: str
) -> None:
    if not words:
        designate(office, "alice", role, first, last)
        return
    assert words in office.refused(lambda: designate(office, "alice", role, first, last))[0]


def test_sites_make_roles_of_their_own(office: Office) -> None:
    office.add("roles", id="watch", may="cut_calls see_calls")
    designate(office, "alice", "watch")
    assert asks(office, "alice", "calls.cut") == ""
    office.change("roles", id="watch", may="see_calls")
    assert asks(office, "alice", "calls.cut") != ""
    assert "`fly` is not one of" in office.refused(lambda: office.add("roles", id="x", may="fly"))[0]


def test_a_role_does_not_come_to_interrupt_while_somebody_holds_it_without_an_end(office: Office) -> None:
    designate(office, "alice", "accountant", last="")
    designate(office, "bob", "accountant", "2024-01-01", YESTERDAY)
    told = office.refused(lambda: office.change("roles", id="accountant", may="see_money cut_calls"))
    assert told == [
        "may: alice holds it for more than 366 days: set the end of that first (staff change alice accountant)"
    ]
    office.change("staff", user="alice", role="accountant", valid_to=NEXT_YEAR)
    office.change("roles", id="accountant", may="see_money cut_calls")
    assert asks(office, "alice", "calls.cut") == ""


def test_the_roles_to_begin_with_are_written_as_they_are_read(office: Office) -> None:
    listed = office.do("list", kind="roles")
    assert {row["id"] for row in listed} >= {"administrator", "supervisor", "accountant", "technician"}
    for row in listed:
        assert row["may"] == ",".join(word for word in PERMISSIONS if word in row["may"].split(","))


def test_each_operation_needs_a_word_that_a_role_may_have(office: Office) -> None:
    desk = office.desk()
    for name, plural in itertools.product(OPERATIONS, [*desk.kinds, "none", ""]):
        assert needed_for(desk, name, {"kind": plural}) in PERMISSIONS
    named = {listed.needs for listed in OPERATIONS.values()} - {"see", "edit"}
    assert named <= set(PERMISSIONS)
    assert needed_for(desk, "dance", {}) == EVERYTHING
    assert needed_for(desk, "edit", {"kind": "people"}) == "edit_people"
    assert needed_for(desk, "export", {"kind": "staff"}) == "see_staff"


def test_the_list_of_the_staff_is_edited_by_those_who_may(office: Office) -> None:
    designate(office, "alice", "registrar")
    edit = Edit(action="add", fields={"user": "alice", "role": "administrator"})
    assert "edit_staff" in asks(office, "alice", "edit", kind="staff", edits=[edit])
    assert "edit_staff" in asks(office, "alice", "staff.end", user="bob", role="supervisor")
