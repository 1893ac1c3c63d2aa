"""What a detainee dials becomes E.164, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.numbers import dialled_number


@pytest.mark.parametrize(
    ("dialled", "region", "number"),
    [
        ("0639980012", "FR", "+33639980012"),
        ("06 39 98 00 12", "FR", "+33639980012"),
        ("06.39.98.00.12", "FR", "+33639980012"),
        ("+33639980012", "FR", "+33639980012"),
        ("0033639980012", "FR", "+33639980012"),
        ("+33 (0)6 39 98 00 12", "FR", "+33639980012"),
        ("+491715550123", "FR", "+491715550123"),
        ("00491715550123", "FR", "+491715550123"),
        ("0473123456", "BE", "+32473123456"),
    ],
)
def test_a_number_is_understood_as_the_country_dials(dialled: str, region: str, number: str) -> None:
    assert dialled_number(dialled, region) == number


@pytest.mark.parametrize(
    "dialled",
    [
        "",
        "+",
        "00",
        "15",
        "3117",
        "*31#0639980012",
        "0639980012#",
        "06399800",
        "061234567",
        "06399800123",
        "0639980012;ext=1",
        "0639980012 ext. 5",
        "tel:0639980012",
        "FLOWERS",
        "٠٦٣٩٩٨٠٠١٢",
        "0" * 1000,
    ],
)
def test_what_is_no_number_is_none(dialled: str) -> None:
    assert dialled_number(dialled, "FR") is None


@given(text=st.text("0123456789+ *#.", max_size=20))
def test_every_number_is_plain_e164_and_understood_again(text: str) -> None:
    number = dialled_number(text, "FR")
    if number is not None:
        assert number[0] == "+"
        assert number[1:].isdecimal()
        assert len(number) <= 16
        assert dialled_number(number, "FR") == number
