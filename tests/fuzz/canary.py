"""A harness with a planted fault behind five comparisons, which no random input meets: the fuzzer must find it."""

from collections.abc import Iterator

MAX_OCTETS = 64


def seeds() -> Iterator[bytes]:
    """Nothing that is near."""
    yield b"?????"


def one(data: bytes) -> None:
    """Broken for one beginning only."""
    if len(data) > 4 and data[0] == 65 and data[1] == 86 and data[2] == 73 and data[3] == 83 and data[4] == 73:
        raise AssertionError("the planted fault")
