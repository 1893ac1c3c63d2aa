"""MAC addresses are read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.mac import mac_of, shown


@pytest.mark.parametrize("text", ["001565a1b2c3", "001565A1B2C3", "00:15:65:a1:b2:c3", "00-15-65-A1-B2-C3"])
def test_a_label_is_read_however_it_is_written(text: str) -> None:
    assert mac_of(text) == "001565a1b2c3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "001565a1b2c",
        "001565a1b2c33",
        "00:15:65:a1:b2-c3",
        "0015.65a1.b2c3",
        "001565a1b2cg",
        " 001565a1b2c3",
        "001565a1b2c3\n",
        "٠٠1565a1b2c3",
        "000000000000",
        "ffffffffffff",
        "01005e000001",
        "../etc/passwd",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert mac_of(text) is None


@given(st.integers(1, 2**48 - 1).filter(lambda number: not number >> 40 & 1))
def test_what_is_shown_is_read_again(number: int) -> None:
    mac = f"{number:012x}"
    assert mac_of(shown(mac)) == mac
