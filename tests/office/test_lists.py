"""Staff edit lists: what they write is kept, what contradicts is refused with the place and what to do."""

from typing import Any

import pytest

from avisiod.store import trail, trail_check

from .conftest import Office


def lines(office: Office, **how: Any) -> list[trail.KeptLine]:
    with office.database.reading() as connection:
        return trail.listed(connection, **how)


def test_what_was_added_is_listed_as_people_write_it(peopled: Office) -> None:
    (anna,) = peopled.do("list", kind="people", fields={"id": "anna"})
    assert anna == {
        "id": "anna",
        "register_number": "A-1001",
        "name": "Anna Martin",
        "language": "fr",
        "regime": "ordinary",
        "building": "A",
        "cell": "",
        "status": "convicted",
        "suspended": "false",
        "identifier": "1001",
        "version": "1",
    }
    (sister,) = peopled.do("list", kind="contacts", fields={"id": "sister"})
    assert (sister["number"], sister["class"]) == ("+33639980001", "ordinary")


def test_a_change_says_what_changed(peopled: Office) -> None:
    done = peopled.change("people", id="anna", cell="B 12", building="B", name="Anna Martin")
    assert (done["action"], done["changes"], done["version"]) == (
        "change",
        {"building": ["A", "B"], "cell": ["", "B 12"]},
        2,
    )
    assert peopled.change("people", id="anna", cell="B 12")["action"] == "same"
    assert peopled.do("show", kind="people", key="anna")["version"] == "2"


def test_the_trail_names_who_what_and_why_but_no_person(peopled: Office) -> None:
    peopled.change("people", id="anna", name="Anna Durand", cell="B 12")
    (line,) = lines(peopled, kind="detainee", object_="anna", limit=1)
    assert (line.actor, line.action, line.why) == ("unix:clerk", "change", "as asked")
    assert line.details == {"version": 2, "fields": ["cell", "name"], "cell": "B 12"}
    peopled.do("list", kind="people", fields={"name": "Anna Durand"})
    peopled.do("show", kind="contacts", key="sister")
    text = " ".join(str(line) for line in lines(peopled))
    for personal in ("Anna", "Durand", "1001", "Sonia", "+336", "0001"):
        assert personal not in text
    assert [line.action for line in lines(peopled, limit=2)] == ["consult", "consult"]
    with peopled.database.reading() as connection:
        assert trail_check.verify(connection).good


def test_two_admins_change_one_thing(peopled: Office) -> None:
    peopled.do(
        "edit",
        "unix:first",
        kind="people",
        edits=[{"action": "change", "fields": {"id": "anna", "cell": "B 12"}, "version": 1}],
    )
    (problem,) = peopled.refused(lambda: peopled.change("people", version=1, id="anna", cell="C 3", language="en"))
    assert problem == (
        "version: `anna` was changed meanwhile by unix:first: version 2, you saw 1; cell is now B 12: "
        "look at it again, then repeat your change"
    )
    assert peopled.change("people", version=2, id="anna", cell="C 3")["version"] == 3


def test_who_has_left_is_unlisted_and_may_come_back(peopled: Office) -> None:
    peopled.change("phones", id="cell-101", occupant="")
    assert peopled.edit("people", "remove", id="anna")["action"] == "remove"
    assert [row["id"] for row in peopled.do("list", kind="people")] == ["bilal"]
    assert [row["id"] for row in peopled.do("list", kind="people", unlisted=True)] == ["anna", "bilal"]
    back = peopled.add("people", id="anna", register_number="2001", name="Anna", status="remand")
    assert (back["action"], back["version"]) == ("add", 3)
    (anna,) = peopled.do("list", kind="people", fields={"id": "anna"})
    assert (anna["building"], anna["status"]) == ("", "remand")


@pytest.mark.parametrize(
    ("plural", "fields", "problem"),
    [
        ("people", {"id": "anna"}, "id: `anna` is there already: change it, or take another id"),
        ("people", {"id": "a b"}, "id: not an id: take letters"),
        (
            "people",
            {"id": "c", "register_number": "A-1001"},
            "register_number: this register number belongs to `anna`",
        ),
        ("people", {"id": "c", "register_number": "B-1001"}, "identifier: this identifier belongs to `anna` already"),
        ("people", {"id": "c", "regime": "none"}, "regime: no regime `none`: add it first"),
        ("people", {"id": "c", "status": "free"}, "status: not one of remand, convicted: write one of them"),
        ("people", {"id": "c", "shoe": "43"}, "shoe: unknown for people: known: id, register_number"),
        ("contacts", {"id": "x", "number": "12"}, "number: not a telephone number: write it as dialled in FR"),
        ("contacts", {"id": "x", "number": "0639980001"}, "number: number …01 belongs to `sister` already"),
        ("contacts", {"id": "x"}, "number: missing: add it"),
        ("contacts", {"id": "x", "number": "0639980009", "class": "vip"}, "class: no class `vip`: add it first"),
        ("phones", {"id": "p", "shared": "maybe"}, "shared: neither true nor false: write true or false"),
        ("phones", {"id": "p", "occupant": "anna"}, "occupant: a phone for `anna`: it belongs to `cell-101` already"),
        ("phones", {"id": "p", "occupant": "bilal", "shared": "1"}, "occupant: a shared phone has no occupant"),
        ("windows", {"scope": "site", "weekday": "mon", "begins": "9"}, "ends: missing: add it"),
        ("windows", {"scope": "cell:1", "weekday": "mon", "begins": "9", "ends": "10"}, "scope: not a scope"),
        ("windows", {"scope": "regime:x", "weekday": "mon", "begins": "9", "ends": "10"}, "scope: no regime `x`"),
        ("windows", {"scope": "site", "weekday": "8", "begins": "9", "ends": "10"}, "weekday: not a day of the week"),
        ("windows", {"scope": "site", "weekday": "mon", "begins": "25:00", "ends": "26"}, "begins: not a time"),
        (
            "windows",
            {"scope": "site", "weekday": "mon", "begins": "22:00", "ends": "6:00"},
            "ends: ends at 06:00, before",
        ),
        ("allowances", {"scope": "site", "rolling_days": "7"}, "rolling_calls: missing: give both"),
        ("allowances", {"scope": "site", "calls_day": "ten"}, "calls_day: not a number that fits"),
        (
            "exceptions",
            {"scope": "site", "kind": "extra", "from_local": "2026-12-24 10:00", "to_local": "2026-12-24 11:00"},
            "scope: an extra call is granted to one person: write detainee:ID",
        ),
        (
            "exceptions",
            {"scope": "site", "kind": "closed", "from_local": "2026-12-24 10:00", "to_local": "24 dec"},
            "to_local: not a day and time: write it as 2026-12-24T18:00",
        ),
        (
            "tariffs",
            {"unit": "minute", "price": "0.00001", "valid_from": "2026-01-01"},
            "price: more than 4 decimals",
        ),
        ("tariffs", {"unit": "minute", "price": "cheap", "valid_from": "2026-01-01"}, "price: not a price"),
        ("tariffs", {"unit": "free", "price": "1", "valid_from": "2026-01-01"}, "price: a free call has no price"),
        ("tariffs", {"unit": "minute", "price": "1", "valid_from": "soon"}, "valid_from: not a day"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    peopled: Office, plural: str, fields: dict[str, str], problem: str
) -> None:
    told = peopled.refused(lambda: peopled.add(plural, **fields))
    if plural == "people":
        told = [line for line in told if "missing" not in line]
        if not told:  # the row lacked what must be given: with it, the rest is looked at
            whole = {"register_number": "77", "name": "C", "status": "remand"} | fields
            told = peopled.refused(lambda: peopled.add(plural, **whole))
    assert told[0].startswith(problem)


def window(office: Office, weekday: str, begins: str, ends: str, **more: str) -> Any:
    return office.add("windows", **{"scope": "site", "weekday": weekday, "begins": begins, "ends": ends} | more)


def test_windows_that_overlap_are_refused(office: Office) -> None:
    assert window(office, "mon", "09:00", "11:30")["key"] == "site-mon-0900"
    window(office, "mon", "11:30", "12:00")
    window(office, "tue", "11:00", "12:00")
    window(office, "lundi", "11h", "12h", scope="building:B")
    (problem,) = office.refused(lambda: window(office, "mon", "11:00", "11:45"))
    assert problem.startswith("begins: overlaps `site-mon-")
    (problem,) = office.refused(lambda: office.change("windows", id="site-mon-0900", ends="11:31"))
    assert problem == "begins: overlaps `site-mon-1130` (mon 11:30-12:00): join them, or move one"
    office.edit("windows", "remove", id="site-mon-1130")
    window(office, "mon", "11:45", "12:00")


def test_windows_of_different_years_do_not_overlap(office: Office) -> None:
    window(office, "mon", "09:00", "11:00", valid_to="2026-12-31")
    window(office, "mon", "10:00", "12:00", valid_from="2027-01-01")
    assert len(office.do("list", kind="windows")) == 2


def tariff(office: Office, **fields: str) -> Any:
    return office.add("tariffs", **{"unit": "minute", "price": "0.15", "valid_from": "2026-01-01"} | fields)


def test_tariffs_with_a_gap_or_an_overlap_are_refused(office: Office) -> None:
    (problem,) = office.refused(lambda: tariff(office, begins="08:00"))
    assert problem.startswith("valid_from: no price for every class on 2026-01-01 at 00:00: close the gap")
    (problem,) = office.refused(lambda: tariff(office, weekdays="mon-fri"))
    assert problem.startswith("valid_from: no price for every class on 2026-01-03 at 00:00")
    assert tariff(office, valid_to="2026-06-30")["key"] == "all-20260101"
    (problem,) = office.refused(lambda: tariff(office, valid_from="2026-06-30"))
    assert problem.startswith("valid_from: two prices at one time: overlaps `all-20260101`")
    (problem,) = office.refused(lambda: tariff(office, valid_from="2026-07-02"))
    assert problem.startswith("valid_from: no price for every class on 2026-07-01 at 00:00")
    tariff(office, valid_from="2026-07-01", price="0.20")
    (problem,) = office.refused(lambda: office.change("tariffs", id="all-20260101", valid_to="2026-06-29"))
    assert "no price for every class on 2026-06-30" in problem


def test_a_class_may_have_its_own_hours_where_all_have_a_price(office: Office) -> None:
    tariff(office)
    tariff(office, class_="ordinary", weekdays="sat sun", begins="18:00", price="0.10")
    (problem,) = office.refused(lambda: tariff(office, class_="confidential", valid_from="2025-01-01", begins="1:00"))
    assert "no price for class confidential on 2025-01-01" in problem


def authorise(office: Office, **fields: str) -> Any:
    given = {
        "detainee": "anna",
        "contact": "sister",
        "state": "granted",
        "authority": "head",
        "decided_on": "2026-11-01",
    }
    return office.add("authorisations", **given | fields)


def test_an_authorisation_keeps_its_history(peopled: Office) -> None:
    authorise(peopled, state="requested")
    peopled.change("authorisations", detainee="anna", contact="sister", state="granted", ends_on="2027-01-01")
    peopled.change("authorisations", detainee="anna", contact="sister", state="suspended")
    history = peopled.do("show", kind="authorisations", key="anna/sister")["history"]
    assert [(line["version"], line["state"], line["ends_on"]) for line in history] == [
        (1, "requested", ""),
        (2, "granted", "2027-01-01"),
        (3, "suspended", "2027-01-01"),
    ]
    assert {line["author"] for line in history} == {"unix:clerk"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"detainee": "bilal"}, "authority: a detainee on remand needs the magistrate's word"),
        ({"authority": "magistrate"}, "authority: a convicted detainee needs the head's word"),
        ({"ends_on": "2026-10-01"}, "ends_on: ends before it was decided"),
        ({"contact": "nobody"}, "contact: no contact `nobody`"),
        ({"detainee": "nobody"}, "detainee: no detainee `nobody`"),
        ({"class": "vip"}, "class: no class `vip`"),
        ({"state": "maybe"}, "state: not one of requested, granted"),
    ],
)
def test_an_authorisation_that_the_law_does_not_know_is_refused(
    peopled: Office, fields: dict[str, str], problem: str
) -> None:
    assert peopled.refused(lambda: authorise(peopled, **fields))[0].startswith(problem)


def test_who_must_authorise_is_the_sites_data(peopled: Office) -> None:
    peopled.change("authorities", status="remand", authority="head")
    authorise(peopled, detainee="bilal")


def test_no_more_contacts_than_the_allowance_lets(peopled: Office) -> None:
    peopled.add("allowances", scope="site", contacts_max="1")
    authorise(peopled)
    (problem,) = peopled.refused(lambda: authorise(peopled, contact="lawyer"))
    assert problem == "state: more than 1 contacts: withdraw another one first"
    peopled.add("allowances", scope="detainee:anna", contacts_max="2")
    authorise(peopled, contact="lawyer")


def test_what_the_inventory_file_says_is_changed_there(peopled: Office) -> None:
    from avisiod.ports import Contact, Phone
    from avisiod.store import contacts, phones

    with peopled.database.writing() as connection:
        phones.sync(connection, [Phone(id="filed", ha1="0" * 32, cell="F 1")], "avisio")  # type: ignore[arg-type]
        contacts.sync(connection, [Contact(id="aunt", number="+33639980007")])  # type: ignore[arg-type]
    assert peopled.change("phones", id="filed", building="F", occupant="bilal")["action"] == "change"
    (problem,) = peopled.refused(lambda: peopled.change("phones", id="filed", cell="F 2"))
    assert problem == "cell: is as the inventory file says: change it there"
    (problem,) = peopled.refused(lambda: peopled.edit("contacts", "remove", id="aunt"))
    assert problem == "id: stands in the inventory file: remove it there"
    with peopled.database.writing() as connection:
        phones.sync(connection, [Phone(id="filed", ha1="0" * 32, cell="F 3")], "avisio")  # type: ignore[arg-type]
        contacts.sync(connection, [])
    (filed,) = peopled.do("list", kind="phones", fields={"id": "filed"})
    assert (filed["cell"], filed["building"], filed["occupant"]) == ("F 3", "F", "bilal")
    assert len(peopled.do("list", kind="phones")) == 3
    assert [row["id"] for row in peopled.do("list", kind="contacts")] == ["lawyer", "sister"]


def test_a_pin_is_kept_as_a_hash_and_forgives(peopled: Office) -> None:
    import datetime

    from avisiod.calls.ids import DetaineeId, PhoneId
    from avisiod.store import pins

    with peopled.database.writing() as connection:
        for _ in range(3):
            pins.tried(
                connection,
                PhoneId("yard"),
                DetaineeId("anna"),
                datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                right=False,
            )
        record = pins.record(connection, PhoneId("yard"), "1001")
        assert (record.detainee, record.on_phone.wrong, record.by_detainee.wrong) == ("anna", 3, 3)
    (problem,) = peopled.refused(lambda: peopled.do("people.pin", id="anna", hash="1234"))
    assert problem.startswith("pin: not an argon2id hash")
    peopled.do("people.pin", id="anna", hash="$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA")
    peopled.do("unlock", phone="yard")
    with peopled.database.writing() as connection:
        record = pins.record(connection, PhoneId("yard"), "1001")
        assert (record.on_phone.wrong, record.by_detainee.wrong) == (0, 0)
        assert record.pin_hash.startswith("$argon2id$")
        pins.tried(connection, PhoneId("yard"), None, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), right=False)
        assert pins.record(connection, PhoneId("yard"), "9999").on_phone.wrong == 1
    assert "argon2" not in str(peopled.do("show", kind="people", key="anna"))
    assert "argon2" not in str(lines(peopled))
    assert "9999" not in repr(record)


def test_a_phones_password_is_kept_as_its_ha1(peopled: Office) -> None:
    peopled.do("phones.password", id="yard", hash="0" * 32)
    (problem,) = peopled.refused(lambda: peopled.do("phones.password", id="yard", hash="hush"))
    assert problem.startswith("password: not an HA1")
    (problem,) = peopled.refused(lambda: peopled.do("phones.password", id="none", hash="0" * 32))
    assert problem.startswith("id: no phone `none`")


def test_an_unknown_operation_or_request_is_refused(office: Office) -> None:
    assert office.refused(lambda: office.do("people.eat"))[0].startswith("no operation `people.eat`")
    assert "unknown field" in office.refused(lambda: office.do("show", kind="people", key="x", more=1))[0]
    assert office.refused(lambda: office.do("list", kind="cats"))[0].startswith("no list `cats`")


def test_what_changes_between_reading_and_writing_is_not_written_over(peopled: Office) -> None:
    from avisiod.office.plan import Edit, Plan

    desk = peopled.desk()
    edits = [
        Edit(action="set", fields={"id": name, "cell": "B 12"}, line=line)
        for line, name in ((2, "anna"), (3, "bilal"))
    ]
    for chosen, words in ((edits[:1], "line 2: version: `anna` was"), (edits, "version: one of these rows was")):
        plan = desk.read(
            lambda connection, chosen=chosen: Plan(connection, desk.kinds, desk.kind("people"), chosen, desk.today)
        )
        peopled.change("people", id="anna", cell=words[:9])
        (problem,) = peopled.refused(
            lambda plan=plan: desk.write(lambda connection: plan.write(connection, desk.who))
        )
        assert problem.startswith(f"{words} changed meanwhile by somebody else")
    plan = desk.read(
        lambda connection: Plan(
            connection, desk.kinds, desk.kind("people"), [Edit(action="remove", fields={"id": "bilal"})], desk.today
        )
    )
    peopled.change("people", id="bilal", cell="X")
    (problem,) = peopled.refused(lambda: desk.write(lambda connection: plan.write(connection, desk.who)))
    assert "`bilal` was changed meanwhile" in problem
