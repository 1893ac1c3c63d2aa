"""What a phone may ask for, read strictly: nothing but its own kinds of path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.rate import Rates
from avisiod.devices.provisioning.paths import Asked, PathRefused, asked, mac_in

MAC, SECRET = "001565a1b2c3", "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"/c/{MAC}/{SECRET}/{MAC}.cfg", Asked("c", MAC, SECRET, f"{MAC}.cfg")),
        (f"/t/00:15:65:A1:B2:C3/{SECRET}/cfg{MAC}.xml", Asked("t", MAC, SECRET, f"cfg{MAC}.xml")),
        (f"/e/{MAC}/{SECRET}/off_hook", Asked("e", MAC, SECRET, "off_hook")),
        (f"/f/{MAC}/{SECRET}/VP59-91.15.0.20.rom", Asked("f", MAC, SECRET, "VP59-91.15.0.20.rom")),
        (f"/c/{MAC}/{SECRET}/{MAC}/config", Asked("c", MAC, SECRET, f"{MAC}/config")),
        (f"/cfg{MAC}.xml", Asked("certificate", MAC, "", f"cfg{MAC}.xml")),
        ("/y000000000091.cfg", Asked("certificate", "", "", "y000000000091.cfg")),
    ],
)
def test_a_phones_path_is_read(path: str, found: Asked) -> None:
    assert asked(path.encode()) == found


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/../../etc/passwd", "traversal"),
        (f"/c/{MAC}/{SECRET}/../../../etc/passwd", "traversal"),
        (f"/c/{MAC}/{SECRET}/%2e%2e/x", "traversal"),
        (f"/c/{MAC}/{SECRET}/..%2fx", "traversal"),
        ("/c\\..\\x", "traversal"),
        (f"/c/{MAC}/{SECRET}/a%00.cfg", "traversal"),
        ("//etc/passwd", "traversal"),
        ("/", "path"),
        ("", "path"),
        ("cfg.xml", "path"),
        ("/c/", "path"),
        (f"/c/{MAC}", "path"),
        (f"/c/{MAC}/{SECRET}", "path"),
        (f"/c/{MAC}/{SECRET}/", "path"),
        (f"/c/{MAC}/short/{MAC}.cfg", "path"),
        (f"/c/nonsense/{SECRET}/{MAC}.cfg", "path"),
        (f"/c/ffffffffffff/{SECRET}/x.cfg", "path"),
        (f"/c/{MAC}/{SECRET}/.hidden", "path"),
        (f"/c/{MAC}/{SECRET}/{'x' * 400}", "path"),
        ("/caf\u00e9.cfg", "path"),
        (f"/c/{MAC}/{SECRET.upper()}/{MAC}.cfg", "path"),
    ],
)
def test_anything_else_is_refused_and_said_why(path: str, why: str) -> None:
    with pytest.raises(PathRefused) as refused:
        asked(path.encode())
    assert refused.value.why == why


@given(st.binary(max_size=400))
def test_any_bytes_are_a_path_or_refused(path: bytes) -> None:
    try:
        found = asked(path)
    except PathRefused:
        return
    assert ".." not in found.name
    assert not found.name.startswith("/")
    assert found.name.isascii()


def test_what_was_asked_shows_no_secret() -> None:
    assert SECRET not in repr(asked(f"/c/{MAC}/{SECRET}/{MAC}.cfg".encode()))


@pytest.mark.parametrize(
    ("name", "mac"),
    [
        (f"cfg{MAC}.xml", MAC),
        (f"{MAC.upper()}.cfg", MAC),
        (f"{MAC}/config", MAC),
        ("y000000000091.cfg", None),
        (f"{MAC}-{MAC}.cfg", None),
        (f"{MAC}0.cfg", None),
    ],
)
def test_the_mac_of_a_name(name: str, mac: str | None) -> None:
    assert mac_in(name) == mac


def test_an_address_asks_so_often_and_no_more_and_only_so_many_are_remembered() -> None:
    rates = Rates(per_minute=60, remembered=2)
    assert [rates.take("a", 0.0) for _ in range(16)] == [True] * 15 + [False]
    assert rates.take("b", 0.0), "another one is not held up"
    assert rates.take("a", 1.0), "one a second"
    assert not rates.take("a", 1.0)
    rates.take("c", 1.0)
    assert len(rates._left) == 2
