"""The figures' own arithmetic: numbers in media are found again, and a promise that is not kept is told as such."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import rtp
from tests.bench import figures
from tests.bench.numbered import number_of_picture, number_of_sound, numbered_message, numbered_sound
from tests.bench.transcoding import delays


@given(st.integers(0, 2**24 - 1))
def test_a_packet_of_sound_keeps_its_number_and_its_length(number: int) -> None:
    packet = numbered_sound(b"\x2a" * 160, number)
    assert (number_of_sound(packet), len(packet)) == (number, 160)


@pytest.mark.parametrize("payload", [b"\xd5" * 160, b"\x55" * 160, b"\x2a" * 160, b"", b"\xd5" * 4])
def test_silence_speech_and_crumbs_bear_no_number(payload: bytes) -> None:
    assert number_of_sound(payload) is None


@given(st.integers(0, 10**10 - 1), st.binary(max_size=40))
def test_a_picture_is_known_by_the_message_in_it(number: int, rest: bytes) -> None:
    assert number_of_picture(b"\x00\x00\x00\x2f" + numbered_message(number) + rest) == number


def test_a_message_needs_no_emulation_prevention() -> None:
    assert b"\0\0" not in numbered_message(0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 15), (0.95, 29), (1.0, 30)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert figures.percentile(list(range(30, 0, -1)), share) == value


def ended(**facts: Any) -> figures.Line:
    return {
        "kind": "call",
        "trouble": "quiet",
        "phone_ms": -5.0,
        "outside_ms": -8.0,
        "reason": "limit_reached",
        **facts,
    }


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (ended(), True),
        (ended(phone_ms=200.5), False),
        (ended(outside_ms=-200.5), False),
        (ended(reason="detainee_hung_up"), False),
        (ended(trouble="clock", under_libfaketime=True, wall_clock_step_s=-3600.0), True),
        (ended(trouble="clock", under_libfaketime=True, wall_clock_step_s=0.0), False),
        (ended(trouble="clock", under_libfaketime=False, wall_clock_step_s=-3600.0), False),
        (ended(trouble="stopped", state_at_limit="S"), False),
        (ended(trouble="blocked", unanswered_s=0.1), False),
    ],
)
def test_a_deadline_is_kept_only_with_the_trouble_there(line: figures.Line, kept: bool) -> None:
    assert figures.deadline([line])[-1].kept is kept


@pytest.mark.parametrize("judge", figures.VERDICTS.values())
def test_a_call_that_could_not_be_measured_is_told(judge: Any) -> None:
    verdicts = judge([{"kind": "failed", "why": "no code"}])
    assert not verdicts[0].kept
    assert "no code" in verdicts[0].measured


def test_nothing_measured_keeps_no_promise() -> None:
    assert not any(verdict.kept for judge in figures.VERDICTS.values() for verdict in judge([]))
    assert figures.farthest([]) == math.inf


def test_a_converted_picture_is_found_again_by_its_time_on_another_timeline() -> None:
    sent = {number * 3600: 10.0 + number * 0.04 for number in range(5)}

    def came(number: int, late: float, *, marker: bool = True) -> tuple[float, bytes]:
        stamp = (number * 3600 + 0xFFFFF000) & 0xFFFFFFFF
        packet = rtp.packet(b"x", payload_type=99, sequence=number, timestamp=stamp, ssrc=1, marker=marker)
        return 10.0 + number * 0.04 + late, packet

    arrivals = [came(1, 0.008), came(3, 0.5, marker=False), came(3, 0.009), came(4, 0.01)]
    assert delays(sent, arrivals) == pytest.approx([8, 9, 10])
