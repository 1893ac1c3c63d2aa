"""What contacts mean, and when it is believed: by tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.config.board import Board, BoardKey, BoardLamp
from avisiod.config.board_rules import broken
from avisiod.devices.board.key import Key, KeyState, Reading
from avisiod.devices.board.unit import covers
from avisiod.phone_ports import Device

REST, PRESSED, FAULT = KeyState.REST, KeyState.PRESSED, KeyState.FAULT


@pytest.mark.parametrize(
    ("closed", "second", "meaning"),
    [
        (True, None, REST),
        (False, None, PRESSED),
        (True, False, REST),
        (False, True, PRESSED),
        (False, False, FAULT),
        (True, True, FAULT),
    ],
)
def test_contacts_have_one_meaning(closed, second, meaning):
    assert Reading(closed, second).meaning is meaning


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        ([(0, True), (0.04, True)], [None, REST]),
        ([(0, True), (0.04, True), (0.1, False), (0.12, False), (0.14, False)], [None, REST, REST, REST, PRESSED]),
        ([(0, True), (0.04, True), (0.1, False), (0.12, True), (0.16, True)], [None, REST, REST, REST, REST]),
        ([(0, True), (0.04, True), (1.0, None), (2.03, None), (2.05, None)], [None, REST, REST, REST, FAULT]),
        ([(0, None), (1.9, None), (2.1, None)], [None, None, FAULT]),
        ([(0, None), (2.1, None), (2.2, True), (2.3, True)], [None, FAULT, FAULT, REST]),
        ([(0, False), (0.04, False)], [None, PRESSED]),
    ],
)
def test_a_contact_that_bounces_is_not_believed_and_one_that_stays_is(steps, states):
    key = Key(0.03, 2.0, 0.0)
    found = [key.missed(at) if value is None else key.read(Reading(value), at) for at, value in steps]
    assert found == states


def test_contacts_that_do_not_change_together_are_no_fault():
    key = Key(0.03, 2.0, 0.0)
    for at in (0.0, 0.05):
        key.read(Reading(True, False), at)
    assert key.read(Reading(False, False), 0.10) is REST
    assert key.read(Reading(False, True), 0.12) is REST
    assert key.read(Reading(False, True), 0.16) is PRESSED
    assert key.read(Reading(False, False), 0.2) is PRESSED
    assert key.read(Reading(False, False), 2.3) is FAULT


@given(st.lists(st.tuples(st.floats(0.001, 0.5), st.sampled_from([True, False, None])), max_size=60))
def test_a_press_is_believed_only_after_it_has_held(steps):
    key, now, since = Key(0.03, 2.0, 0.0), 0.0, None
    for pause, value in steps:
        now += pause
        before = key.state
        state = key.missed(now) if value is None else key.read(Reading(value), now)
        if value is False:
            since = now if since is None else since
        elif value is True:
            since = None
        if state is PRESSED and before is not PRESSED:
            assert since is not None
            assert now - since >= 0.03


def test_a_contact_is_looked_at_again_when_it_has_held_for_long_enough():
    key = Key(0.03, 2.0, 0.0)
    assert key.believed_at is None
    key.read(Reading(True, False), 1.0)
    assert key.believed_at == pytest.approx(1.03)
    key.read(Reading(True, False), 1.04)
    assert key.believed_at is None
    key.read(Reading(False, True), 2.0)
    assert key.believed_at == pytest.approx(2.03)
    key.read(Reading(False, False), 2.01)
    assert key.believed_at == pytest.approx(4.01)
    key.read(Reading(True, False), 2.02)
    assert key.believed_at is None


A1 = Device(phone="p1", building="A", floor="1")


@pytest.mark.parametrize(
    ("unit", "place", "unknown", "covered"),
    [
        ({}, A1, False, True),
        ({}, None, False, True),
        ({"building": "A"}, A1, False, True),
        ({"building": "B"}, A1, True, False),
        ({"building": "A", "floor": "2"}, A1, True, False),
        ({"floor": "1"}, A1, True, True),
        ({"building": "A"}, None, True, True),
        ({"building": "A"}, None, False, False),
        ({"phones": ("p1",)}, None, False, True),
        ({"phones": ("p2",)}, A1, True, False),
    ],
)
def test_a_unit_covers_its_phones(unit, place, unknown, covered):
    key = BoardKey(name="k", closed_input=0, **unit)
    assert covers(key, "p1", place, unknown=unknown) is covered


def test_boards_that_contradict_themselves_are_named():
    key = BoardKey(name="k", closed_input=0)
    good = Board(name="a", device="/dev/x", keys=(key,), lamps=(BoardLamp(name="l", output=0),))
    assert list(broken([good])) == []
    bad = Board(
        name="a",
        device="/dev/x",
        debounce_s=0.1,
        keys=(key, BoardKey(name="k", open_input=0)),
        lamps=(BoardLamp(name="l", output=0), BoardLamp(name="m", output=0)),
    )
    found = [f"{keys[0]}: {reason}" for keys, reason, _ in broken([good, bad])]
    assert found == [
        "boards.list[1].name: another board is called `a` too",
        "boards.list[1].device: the board a has this port",
        "boards.list[1].keys[1].closed_input: missing",
        "boards.list[1].keys[1].open_input: input 0 has another contact",
        "boards.list[1].keys[1].name: another key is called `k` too",
        "boards.list[1].lamps[1].output: relay 0 has another lamp",
    ]
