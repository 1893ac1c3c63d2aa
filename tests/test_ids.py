"""Ids are unique by entropy and telephone numbers never show whole."""

import pytest

from avisiod.calls.ids import ID_BYTES, id_from, masked


def test_an_id_carries_all_its_entropy() -> None:
    ids = {id_from(bytes([n] * ID_BYTES)) for n in range(256)}
    assert len(ids) == 256
    assert {len(i) for i in ids} == {24}


def test_an_id_of_too_little_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="15 random bytes"):
        id_from(b"short")


def test_a_masked_number_shows_two_digits() -> None:
    assert masked("+33612345678") == "…78"
