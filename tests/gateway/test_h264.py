"""Profiles are compared by meaning, and keyframes are found in every form of packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.gateway import h264
from avisiod.gateway.h264 import Profile

SPS = bytes.fromhex("6742e01f95a014016e40")
PPS = bytes.fromhex("68ce3c80")
HEADER = bytes(12)


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", Profile.CONSTRAINED_BASELINE, 31),
        ("42E01F", Profile.CONSTRAINED_BASELINE, 31),
        ("42c00b", Profile.CONSTRAINED_BASELINE, 11),
        ("42f00b", Profile.CONSTRAINED_BASELINE, 9),
        ("4d801f", Profile.CONSTRAINED_BASELINE, 31),
        ("58c01f", Profile.CONSTRAINED_BASELINE, 31),
        ("42001f", Profile.BASELINE, 31),
        ("42801F", Profile.BASELINE, 31),
        ("58801f", Profile.BASELINE, 31),
        ("580014", Profile.EXTENDED, 20),
        ("4d001f", Profile.MAIN, 31),
        ("4d4028", Profile.MAIN, 40),
        ("640028", Profile.HIGH, 40),
        ("640c1f", Profile.CONSTRAINED_HIGH, 31),
        ("f4001f", None, 31),
        ("42e01", None, 10),
        ("xyzxyz", None, 10),
        ("42 e0 1f", None, 10),
        ("", None, 10),
    ],
)
def test_profile_level_id_by_meaning(text: str, profile: Profile | None, level: int) -> None:
    assert h264.profile(text) is profile
    assert h264.level(text) == level


@pytest.mark.parametrize(
    ("text", "ceiling", "lowered"),
    [("640028", 31, "64001f"), ("42E01F", 31, "42e01f"), ("42e00d", 31, "42e00d"), ("42e01f", 9, "42f00b"),
     ("42f00b", 31, "42f00b"), ("42f01f", 11, "42e00b"), ("nonsense", 31, "nonsense")],
)  # fmt: skip
def test_a_level_is_lowered_and_never_raised(text: str, ceiling: int, lowered: str) -> None:
    assert h264.with_level(text, ceiling) == lowered


@pytest.mark.parametrize(("value", "mode"), [(None, 0), ("0", 0), ("1", 1), ("2", 2), ("x", 0), ("", 0)])
def test_an_absent_packetization_mode_means_0(value: str | None, mode: int) -> None:
    assert h264.packetization_mode({} if value is None else {"packetization-mode": value}) == mode


def test_parameter_sets_of_the_sdp() -> None:
    fmtp = {"sprop-parameter-sets": "Z0LgH5WgFAFuQA==,aM48gA==,!!,,QUFB"}
    assert h264.parameter_sets(fmtp) == (SPS, PPS)
    assert h264.parameter_sets({}) == ()


def stap(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


@pytest.mark.parametrize(
    ("payload", "starts", "is_keyframe", "sets"),
    [
        (b"\x65\x88\x84", True, True, ()),
        (SPS, True, False, (SPS,)),
        (PPS, False, False, (PPS,)),
        (b"\x41\x9a", False, False, ()),
        (b"\x7c\x85\x88", True, True, ()),
        (b"\x7c\x05\x88", False, False, ()),
        (b"\x7c\x45\x88", False, False, ()),
        (b"\x7c\x81\x88", False, False, ()),
        (b"\x7c\x87\x42", True, False, ()),
        (b"\x7c", False, False, ()),
        (stap(SPS, PPS, b"\x65\x88"), True, True, (SPS, PPS)),
        (stap(b"\x09\x10", SPS, PPS), True, False, (SPS, PPS)),
        (stap(b"\x06\x05", b"\x41\x9a"), False, False, ()),
        (stap(SPS)[:-3], False, False, ()),
        (b"", False, False, ()),
    ],
)
def test_keyframes_and_parameter_sets_in_a_packet(
    payload: bytes, starts: bool, is_keyframe: bool, sets: tuple[bytes, ...]
) -> None:
    packet = HEADER + payload
    assert h264.starts_keyframe(packet, 12) is starts
    assert h264.is_keyframe(packet, 12) is is_keyframe
    assert h264.parameter_sets_of(packet, 12) == sets


@given(st.binary(max_size=40))
def test_any_payload_is_looked_at_without_an_error(payload: bytes) -> None:
    packet = HEADER + payload
    h264.parameter_sets_of(packet, 12)
    if h264.is_keyframe(packet, 12):
        assert h264.starts_keyframe(packet, 12)


def test_what_may_be_sent_to_a_decoder() -> None:
    assert h264.sendable(Profile.BASELINE)[0] is Profile.CONSTRAINED_BASELINE
    assert Profile.HIGH not in h264.sendable(Profile.MAIN)
    assert h264.sendable(Profile.HIGH)[0] is Profile.HIGH
    for profile in Profile:
        assert Profile.CONSTRAINED_BASELINE in h264.sendable(profile)
