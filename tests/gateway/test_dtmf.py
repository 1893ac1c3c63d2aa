"""A key press is one digit, whatever the network and the phone do to its packets."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtp
from avisiod.gateway.dtmf import DigitReader

EVENTS = {digit: number for number, digit in enumerate("0123456789*#ABCD")}


def press(digit: str, timestamp: int, *, updates: int = 4, ssrc: int = 7) -> list[bytes]:
    """The packets of one press: the first with the marker, updates every 160 units, the end three times."""
    durations = [160 * (number + 1) for number in range(updates)]
    packets = [event(EVENTS[digit], each, timestamp, marker=each == 160, ssrc=ssrc) for each in durations]
    return packets + [event(EVENTS[digit], 160 * updates + 160, timestamp, end=True, ssrc=ssrc)] * 3


def event(
    number: int, duration: int, timestamp: int, *, marker: bool = False, end: bool = False, ssrc: int = 7
) -> bytes:
    payload = struct.pack("!BBH", number, (0x80 if end else 0) | 10, duration)
    return rtp.packet(
        payload, payload_type=101, sequence=0, timestamp=timestamp & 0xFFFFFFFF, ssrc=ssrc, marker=marker
    )


def digits(packets: list[bytes]) -> str:
    reader = DigitReader()
    return "".join(filter(None, map(reader.read, packets)))


@pytest.mark.parametrize(
    "lost", [slice(0, 0), slice(0, 1), slice(-3, None), slice(1, 6), slice(0, 3), slice(1, None)]
)
def test_two_presses_of_one_key_are_two_digits_whatever_is_lost(lost: slice) -> None:
    first, second = press("5", 1000), press("5", 5000)
    del first[lost], second[lost]
    assert digits(first + second) == "55"


@given(st.lists(st.sampled_from("0123456789*#ABCD"), max_size=8), st.integers(0, 2**32 - 1), st.data())
def test_presses_are_told_in_order_with_any_packets_missing(keys: list[str], start: int, data: st.DataObject) -> None:
    packets = []
    for number, key in enumerate(keys):
        one = press(key, start + 4000 * number)
        kept = data.draw(st.lists(st.booleans(), min_size=len(one), max_size=len(one)).filter(any))
        if number and key == keys[number - 1]:
            kept[0] = (
                True  # with the first packet lost, and the end of the press before, the two could not be told apart
            )
        packets += [packet for packet, keep in zip(one, kept, strict=True) if keep]
    assert digits(packets) == "".join(keys)


def test_a_late_packet_of_an_earlier_press_is_no_new_digit() -> None:
    first, second = press("1", 1000), press("2", 5000)
    assert digits([*first[:3], *second, *first[3:]]) == "12"


def test_an_event_longer_than_a_segment_is_one_press() -> None:
    long = [event(3, 0xFFFF, 1000, marker=True), event(3, 400, 1000 + 0xFFFF), event(3, 800, 1000 + 0xFFFF, end=True)]
    assert digits(long) == "3"


def test_a_phone_that_moves_the_timestamp_on_within_a_press_still_gives_one_digit() -> None:
    odd = [event(4, 160 * (n + 1), 1000 + 160 * n, marker=n == 0) for n in range(5)]
    odd += [event(4, 960, 1000 + 800, end=True)] * 3
    assert digits(odd + press("4", 9000)) == "44"


def test_another_source_begins_anew() -> None:
    assert digits(press("6", 9000) + press("6", 1000, ssrc=8)) == "66"


@pytest.mark.parametrize("packet", [event(16, 160, 1000), event(255, 160, 1000), event(1, 1, 1)[:-1]])
def test_what_is_no_digit_is_passed_over(packet: bytes) -> None:
    assert digits([packet, *press("7", 2000)]) == "7"


@given(st.lists(st.binary(min_size=12, max_size=20).map(lambda tail: b"\x80\xe5" + tail)))
def test_any_valid_packets_are_read_without_an_error(packets: list[bytes]) -> None:
    digits([packet for packet in packets if rtp.is_valid(packet)])
