"""Files from offices: read as they are written, refused whole where a line is bad, each with line and column."""

from typing import Any

import pytest

from avisiod.calls.ids import Number
from avisiod.office import csvfile
from avisiod.office.desk import perform
from avisiod.office.plan import Refused
from avisiod.store import contacts as store_contacts

from .conftest import Office

CONTACTS = "id;number;name;class\n"


def contacts(office: Office, text: str, *, dry_run: bool = False) -> Any:
    return office.do("import", kind="contacts", text=text, dry_run=dry_run)["done"]


def test_a_file_adds_changes_and_leaves(peopled: Office) -> None:
    text = (
        CONTACTS + "sister;0639980001;Sonia M.;ordinary\nlawyer;+33639980002;;confidential\nmum;06.39.98.00.09;Mum;\n"
    )
    dry = contacts(peopled, text, dry_run=True)
    assert [(line["line"], line["action"], line["key"]) for line in dry] == [
        (2, "change", "sister"),
        (3, "same", "lawyer"),
        (4, "add", "mum"),
    ]
    assert dry[0]["changes"] == {"name": ["Sonia", "Sonia M."]}
    assert len(peopled.do("list", kind="contacts")) == 2
    assert contacts(peopled, text) == dry
    assert {row["id"]: row["name"] for row in peopled.do("list", kind="contacts")} == {
        "sister": "Sonia M.",
        "lawyer": "",
        "mum": "Mum",
    }
    assert {line["action"] for line in contacts(peopled, text)} == {"same"}


def test_a_file_says_which_phones_may_call_a_contact(peopled: Office) -> None:
    text = "id;number;phones\nsister;0639980001;yard cell-101\nmum;0639980009;cell-101\nlawyer;+33639980002;\n"
    assert contacts(peopled, text)[0]["changes"] == {"phones": ["", "cell-101 yard"]}
    assert {row["id"]: row["phones"] for row in peopled.do("list", kind="contacts")} == {
        "sister": "cell-101 yard",
        "mum": "cell-101",
        "lawyer": "",
    }
    assert {line["action"] for line in contacts(peopled, text)} == {"same"}
    assert contacts(peopled, "id;number\nsister;0639980001\n")[0]["action"] == "same", "what is not in a file stays"
    with peopled.database.reading() as connection:
        assert store_contacts.by_number(connection, Number("+33639980001")).phones == ("cell-101", "yard")  # type: ignore[union-attr]
    contacts(peopled, "id;number;phones\nsister;0639980001;yard\nmum;0639980009;\n")
    assert {row["id"]: row["phones"] for row in peopled.do("list", kind="contacts")} == {
        "sister": "yard",
        "mum": "",
        "lawyer": "",
    }
    told = peopled.refused(lambda: contacts(peopled, "id;number;phones\nsister;0639980001;yard,cell-999\n"))
    assert told == ["line 2: phones: no phone `cell-999`: add it first, or correct the id"]


def test_many_contacts_with_phones_are_taken_in_one_go(peopled: Office) -> None:
    good = "".join(f"c{n};+3363998{n:04};cell-101 yard\n" for n in range(100, 200))
    contacts(peopled, f"id;number;phones\n{good}")
    assert {row["phones"] for row in peopled.do("list", kind="contacts") if row["id"] != "sister"} == {
        "cell-101 yard",
        "",
    }
    text = peopled.do("export", kind="contacts")
    assert {line["action"] for line in contacts(peopled, text)} == {"same"}


def test_an_export_is_an_import_that_changes_nothing(peopled: Office) -> None:
    peopled.add("windows", scope="site", weekday="mon", begins="9:00", ends="24:00")
    peopled.add("tariffs", unit="second", price="0.0025", valid_from="2026-01-01")
    peopled.add("allowances", scope="building:A", calls_day="2")
    peopled.add(
        "exceptions", scope="detainee:anna", kind="extra", from_local="2026-12-24 10:00", to_local="2026-12-25 10:00"
    )
    for plural in (
        "people",
        "contacts",
        "phones",
        "windows",
        "tariffs",
        "allowances",
        "exceptions",
        "classes",
        "authorities",
    ):
        text = peopled.do("export", kind=plural)
        done = peopled.do("import", kind=plural, text=text)["done"]
        assert done
        assert {line["action"] for line in done} == {"same"}, plural


def test_an_old_export_does_not_undo_what_came_after(peopled: Office) -> None:
    text = peopled.do("export", kind="people").replace("Anna Martin", "Anna M.")
    peopled.change("people", id="anna", cell="B 12")
    (problem,) = peopled.refused(lambda: peopled.do("import", kind="people", text=text))
    assert problem.startswith("line 2: version: `anna` was changed meanwhile by unix:clerk: version 2, you saw 1")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["line 1: id: missing column", "line 1: number: missing column"]),
        ("id,number,colour\n", ["line 1: colour: unknown column: known: id, number, name"]),
        ("id,id,number\n", ["line 1: id: stands twice: keep one of them"]),
        ("id,name\n", ["line 1: number: missing column"]),
        ("id;number\nx;0639980009\ny\n", ["line 3: 1 fields, not 2: quote texts that hold `;`"]),
        ('id;number\nx;"06\n', ["line 2: not CSV"]),
        ("id;number\nx;12\n\ny;abc\n", ["line 2: number: not a telephone number", "line 4: number: not a telephone"]),
        ("id;number\nx;0639980009\nx;0639980008\n", ["line 3: id: `x` stands on line 2 already: give each its own"]),
        ("id;number\nx;0639980009\ny;+33639980009\n", ["line 3: number: number …09 belongs to `x` already"]),
        ("id;number\nx;0639980001\n", ["line 2: number: number …01 belongs to `sister` already"]),
        ("id;number;class\nx;0639980009;vip\n", ["line 2: class: no class `vip`"]),
        ("id;number;version\nx;0639980009;one\n", ["line 2: version: not a number"]),
        ("id;number\nx;=1+1\n", ["line 2: number: not a telephone number"]),
        ('id;number;name\nx;0639980009;"a\x07b"\n', ["line 2: name: control characters"]),
    ],
)
def test_a_bad_file_changes_nothing_and_names_every_bad_line(peopled: Office, text: str, problems: list[str]) -> None:
    told = peopled.refused(lambda: contacts(peopled, text))
    assert len(told) == len(problems)
    for line, problem in zip(told, problems, strict=True):
        assert line.startswith(problem)
    assert "0639980009" not in "".join(told)


def test_windows_of_one_file_that_overlap_are_refused(office: Office) -> None:
    text = "scope,weekday,begins,ends\nsite,mon,09:00,11:00\nsite,mon,10:00,12:00\nsite,tue,12:00,10:00\n"
    told = office.refused(lambda: office.do("import", kind="windows", text=text))
    assert told[0].startswith("line 3: begins: overlaps `site-mon-0900` (mon 09:00-11:00)")
    assert told[1].startswith("line 4: ends: ends at 10:00, before it begins")


def test_tariffs_of_one_file_with_a_gap_are_refused(office: Office) -> None:
    text = "unit,price,valid_from,valid_to\nminute,0.15,2026-01-01,2026-06-30\nminute,0.20,2026-07-02,\n"
    (problem,) = office.refused(lambda: office.do("import", kind="tariffs", text=text))
    assert problem == (
        "line 3: valid_from: no price for every class on 2026-07-01 at 00:00: "
        "close the gap, with a free tariff if need be"
    )


def test_a_large_file_is_refused_whole_for_one_bad_line(peopled: Office) -> None:
    good = "".join(f"c{n};+3363998{n:04}\n" for n in range(100, 600))
    told = peopled.refused(lambda: contacts(peopled, f"id;number\n{good}bad;1\n"))
    assert told == ["line 502: number: not a telephone number: write it as dialled in FR, or +…"]
    contacts(peopled, f"id;number\n{good}")
    assert len(peopled.do("list", kind="contacts")) == 502
    assert ("writing", 500, 500) in peopled.told


def test_somebody_else_changes_the_lists_during_an_import(peopled: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    good = "".join(f"c{n};+3363998{n:04}\n" for n in range(100, 200))
    desk = peopled.desk()
    write = desk.write

    def later(work: Any) -> Any:
        peopled.change("contacts", id="sister", name="S.")
        return write(work)

    monkeypatch.setattr(desk, "write", later)

    with pytest.raises(Refused, match="somebody else changed the lists meanwhile; nothing was changed: try again"):
        perform(desk, "import", {"kind": "contacts", "text": f"id;number\n{good}"})
    assert len(peopled.do("list", kind="contacts")) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_both_encodings_of_offices_are_read(encoding: str) -> None:
    assert csvfile.decode("id;nom\nx;Zoé Lœuil – 5 €\n".encode(encoding)) == "id;nom\nx;Zoé Lœuil – 5 €\n"


def test_another_encoding_is_told_with_its_place() -> None:
    with pytest.raises(Refused, match="line 2: column 3 is neither UTF-8 nor Windows-1252: save the file in UTF-8"):
        csvfile.decode(b"id;name\nx;\x81\xe9\n")
    with pytest.raises(Refused, match="UTF-16"):
        csvfile.decode("id;name\n".encode("utf-16"))


def test_a_spreadsheet_runs_nothing_of_an_export(peopled: Office) -> None:
    peopled.change("contacts", id="sister", name="=HYPERLINK(1)")
    text = peopled.do("export", kind="contacts")
    assert "'=HYPERLINK" in text
    assert {line["action"] for line in contacts(peopled, text)} == {"same"}
    assert "+33639980001" in text
    assert "'+33" not in text


def test_the_example_rules_are_taken_as_they_are(office: Office) -> None:
    from pathlib import Path

    for plural in ("regimes", "allowances", "windows"):
        file = Path(__file__).resolve().parents[2] / "etc" / "rules" / f"{plural}.csv"
        done = office.do("import", kind=plural, text=csvfile.decode(file.read_bytes()))["done"]
        assert {line["action"] for line in done} == {"add"}
