"""Who calls from a shared phone: keys in, a claim out, and nothing of it to be read anywhere."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.identification import (
    DETAINEE_FREE,
    DETAINEE_LONGEST_S,
    LONGEST,
    PHONE_FREE,
    PHONE_LONGEST_S,
    TRIES,
    Claim,
    Identification,
    Key,
    detainee_wait_s,
    phone_wait_s,
)

NOW = datetime.datetime(2026, 11, 23, 14, tzinfo=datetime.UTC)


def typed(keys: str, state: Identification | None = None) -> tuple[Identification, list[Key]]:
    state = state or Identification()
    told = []
    for key in keys:
        state, outcome = state.press(key)
        if outcome is not Key.NOTHING:
            told.append(outcome)
    return state, told


@pytest.mark.parametrize(
    ("keys", "claim"),
    [
        ("4711#2580#", Claim("4711", "2580")),
        ("##4711##2580#", Claim("4711", "2580")),
        ("12*4711#99*2580#", Claim("4711", "2580")),
        ("4711#*815#2580#", Claim("815", "2580")),
        ("4A7B1C1D#2580#9999#", Claim("4711", "2580")),
        ("*4711#25*80#", Claim("4711", "80")),
    ],
)
def test_hash_ends_and_star_clears(keys: str, claim: Claim) -> None:
    state, told = typed(keys)
    assert state.verifying
    assert state.claim == claim
    assert told[0] is Key.PIN_WANTED
    assert told[-1] is Key.CLAIMED


def test_star_with_nothing_typed_asks_for_the_identifier_again() -> None:
    assert typed("4711#*")[1] == [Key.PIN_WANTED, Key.IDENTIFIER_WANTED]


def test_three_wrong_claims_and_it_is_over() -> None:
    state = Identification()
    for number in range(TRIES):
        assert not state.over
        state, told = typed("4711#0000#", state)
        assert told[-1] is Key.CLAIMED
        state = state.answered(right=False)
        assert state.tries == number + 1
    assert state.over
    assert typed("4711#2580#", state) == (state, [])


@given(st.text("0123456789*#ABCD", max_size=60))
def test_nothing_typed_shows_in_a_repr_and_nothing_grows_without_end(keys: str) -> None:
    state, _ = typed(keys)
    assert not any(character.isdigit() for character in repr(state).replace("tries=0", ""))
    assert len(state.typed) <= LONGEST + 1
    assert len(state.identifier) <= LONGEST + 1
    assert not any(character.isdigit() for character in repr(state.claim))


@pytest.mark.parametrize("key", ["", "12", "٣", "²", "a", "\n"])
def test_what_is_no_key_does_nothing(key: str) -> None:
    assert Identification().press(key) == (Identification(), Key.NOTHING)


@given(st.integers(0, 2000), st.integers(-(10**7), 10**7))
def test_waits_grow_are_bounded_and_no_clock_put_back_makes_them_longer(wrong: int, ago: int) -> None:
    last = NOW - datetime.timedelta(seconds=ago)
    for wait, free, longest in (
        (detainee_wait_s, DETAINEE_FREE, DETAINEE_LONGEST_S),
        (phone_wait_s, PHONE_FREE, PHONE_LONGEST_S),
    ):
        assert 0 <= wait(wrong, last, NOW) <= wait(wrong + 1, last, NOW) <= longest
        assert (wait(wrong, NOW, NOW) > 0) is (wrong >= free)
        assert wait(wrong, None, NOW) == 0
        if abs(ago) > longest:
            assert wait(wrong, last, NOW) == 0


def test_the_first_wait_is_a_minute_and_doubles() -> None:
    assert [detainee_wait_s(n, NOW, NOW) for n in (2, 3, 4, 5, 9)] == [0, 60, 120, 240, 3600]
    assert detainee_wait_s(3, NOW - datetime.timedelta(seconds=59), NOW) == 1
