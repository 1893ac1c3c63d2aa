"""Phones and contacts are read whole, or every bad line is named and nothing is used."""

import contextlib
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avisiod.ports import Contact, Phone
from avisiod.store.inventory import Inventory, InventoryError, ha1, load

ROOT = Path(__file__).resolve().parents[2]
HA1 = "0123456789abcdef0123456789abcdef"
PHONE = f'  - {{id: "c1", ha1: "{HA1}"}}\n'


def loaded(folder: Path, text: str, name: str = "inventory.yaml") -> Inventory:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return load(path)


def refusal(folder: Path, text: str, name: str = "inventory.yaml") -> list[str]:
    with pytest.raises(InventoryError) as refused:
        loaded(folder, text, name)
    return [str(problem) for problem in refused.value.problems]


def test_the_example_loads() -> None:
    inventory = load(ROOT / "etc" / "inventory.example.yaml")
    assert [phone.id for phone in inventory.phones] == ["cell-101", "cell-102"]
    assert inventory.contacts[0] == Contact(id="c-0001", number="+33639980001", phones=("cell-101",))
    assert inventory.contacts[1].confidential


def test_a_password_becomes_its_ha1_and_is_forgotten(tmp_path: Path) -> None:
    inventory = loaded(tmp_path, 'phones:\n  - {id: "Mufasa", password: "Circle of Life"}\n')
    (phone,) = inventory.phones
    assert phone == Phone(id="Mufasa", ha1=ha1("Mufasa", "avisio", "Circle of Life"))
    assert "Circle" not in repr(inventory)


def test_ha1_is_that_of_the_rfc() -> None:
    # the example of RFC 2617 section 3.5
    assert ha1("Mufasa", "testrealm@host.com", "Circle Of Life") == "939e7578ed9e3c518a452acee763bce9"


def test_csv_and_yaml_say_the_same(tmp_path: Path) -> None:
    from_yaml = loaded(
        tmp_path,
        f"""
phones:
  - {{id: "c1", cell: "A, 1", ha1: "{HA1}", language: en}}
  - {{id: "c2", password: "pw"}}
contacts:
  - {{id: "k1", number: "0639980001", phones: [c1, c2]}}
  - {{id: "k2", number: "+33639980002", confidential: true}}
""",
    )
    commas = f"""kind,id,cell,ha1,password,language,number,confidential,phones
phone,c1,"A, 1",{HA1},,en,,,
phone,c2,,,pw,,,,
contact,k1,,,,,06 39 98 00 01,non,c1 c2

contact,k2,,,,,0033639980002,oui,
"""
    semicolons = "\ufeff" + commas.replace('"A, 1"', "A! 1").replace(",", ";").replace("A! 1", "A, 1")
    assert loaded(tmp_path, commas, "a.csv") == from_yaml
    assert loaded(tmp_path, semicolons.replace("\n", "\r\n"), "b.CSV") == from_yaml


@pytest.mark.parametrize("text", ["", "phones:\ncontacts: []\n"])
def test_an_empty_inventory_is_one(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) == Inventory()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("phones:\n  - {id: 101, password: x}", "line 2: id: YAML does not read this as text: put it in quotes"),
        ("phones:\n  - {password: x}", "line 2: id: missing: add it"),
        (
            "phones:\n  - {id: 'a b', password: x}",
            "line 2: id: not an id: take letters, digits, `.`, `_`, `-`, 64 at most",
        ),
        (
            f"phones:\n{PHONE}{PHONE}",
            "line 3: id: `c1` stands on line 2 already: give each its own",
        ),
        ("phones:\n  - {id: c1}", "line 2: password: neither or both of password and ha1: give one of the two"),
        (
            "phones:\n  - {id: c1, ha1: abc}",
            "line 2: ha1: not an MD5: write 32 hexadecimal digits: MD5 of user:realm:password",
        ),
        (
            "phones:\n  - {id: c1, password: x, pin: '1'}",
            "line 2: pin: unknown for a phone: known: id, cell, ha1, password, language",
        ),
        ("phones:\n  - c1", "line 2: phones[0]: expected keys and values: write `key: value` lines"),
        ("phones: c1", "line 1: phones: expected a list: begin each entry with `- `"),
        ("phone: []", "line 1: phone: unknown heading: known here: phones, contacts"),
        ("[]", "line 1: expected `phones:` and `contacts:`: write both lists below these headings"),
        (
            "contacts:\n  - {id: k, number: '3117'}",
            "line 2: number: not a telephone number: write it as dialled in FR, or +…",
        ),
        (
            "contacts:\n  - {id: k, number: 33639980001}",
            "line 2: number: YAML does not read this as text: put it in quotes",
        ),
        (
            "contacts:\n  - {id: a, number: '0639980001'}\n  - {id: b, number: '+33639980001'}",
            "line 3: number: …01 is the number of line 2 already: make it one contact, and list all its phones there",
        ),
        (
            "contacts:\n  - {id: k, number: '0639980001', phones: [c9]}",
            "line 2: phones: no phone `c9` in this file: correct it, or add the phone",
        ),
        (
            "contacts:\n  - {id: k, number: '0639980001', phones: c9}",
            "line 2: phones: not a list of phones: write [id, id]",
        ),
        (
            "contacts:\n  - {id: k, number: '0639980001', confidential: maybe}",
            "line 2: confidential: neither true nor false: write true or false",
        ),
        ("phones:\n  - id: [", "line 2: "),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, problem: str) -> None:
    assert any(shown.startswith(problem) for shown in refusal(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n", "line 1: the first line does not name the columns"),
        ("kind,id\nphone\n", "line 2: 1 fields, not 2: quote separators in texts"),
        ("kind,id\nfridge,x\n", "line 2: kind: neither phone nor contact: write one of the two"),
        ('kind,id\nphone,"x', "line 2: not CSV"),
        ("", "line 1: the first line does not name the columns"),
    ],
)
def test_a_bad_csv_line_is_named(tmp_path: Path, text: str, problem: str) -> None:
    assert refusal(tmp_path, text, "inventory.csv")[0].startswith(problem)


def test_every_bad_line_is_named_at_once_and_numbers_stay_unsaid(tmp_path: Path) -> None:
    problems = refusal(
        tmp_path,
        "phones:\n  - {id: c1}\n  - {id: c2, password: hush}\n"
        "contacts:\n  - {id: k, number: '061234567'}\n  - {id: k}\n",
    )
    assert [problem.split(":")[0] for problem in problems] == ["line 2", "line 5", "line 6"]
    assert "061234567" not in "".join(problems)
    assert "hush" not in "".join(problems)


def test_passwords_in_an_open_file_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text("phones:\n  - {id: c1, password: hush}\n")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load(path)
    assert "chmod 640" in caplog.text
    assert "hush" not in caplog.text


@given(
    text=st.text(st.characters(exclude_categories=("Cs",)), max_size=80), name=st.sampled_from(["a.yaml", "a.csv"])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
def test_any_file_is_read_or_refused_in_words(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / name
    path.write_text("kind,id\n" + text if name == "a.csv" else text, encoding="utf-8")
    with contextlib.suppress(InventoryError):
        load(path)
