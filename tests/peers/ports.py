"""Ports that nobody else has: parallel test runs on one machine never meet."""

import contextlib
import itertools
import random
import socket

from tests.peers.waiting import NotSeen

BLOCK = 100
_FIRST, _LAST = 10_000, 32_700
"""Below the kernel's ephemeral range, so that no outgoing connection takes a port between our look and our use."""

_claims: dict[int, list[socket.socket]] = {}
"""By the first port of the range."""
_singles: "itertools.chain[int] | None" = None


def free_range(count: int = BLOCK) -> tuple[int, int]:
    """First and last of `count` ports, UDP and TCP, free on every address, ours until `give_back` or our end.

    The first is even, as RTP wants it (RFC 3550 section 11). A claim is an abstract socket's name: taken by one
    process at a time, and given back by the kernel however that process ends.
    """
    blocks = -(-count // BLOCK)
    starts = list(range(_FIRST, _LAST - blocks * BLOCK, BLOCK))
    random.shuffle(starts)
    for start in starts:
        claims = _claim([start + BLOCK * n for n in range(blocks)])
        if claims and all(_is_free(port) for port in range(start, start + count)):
            _claims[start] = claims
            return start, start + count - 1
        for claim in claims:
            claim.close()
    raise NotSeen(f"no {count} free ports between {_FIRST} and {_LAST}")


def give_back(first: int) -> None:
    """A range that begins here, of `free_range`, is needed no more: others, and later tests, may have it."""
    for claim in _claims.pop(first, []):
        claim.close()


def free_port() -> int:
    """One port, free for UDP and TCP, ours until this process ends."""
    global _singles
    if _singles is None:
        _singles = itertools.chain.from_iterable(range(first, last + 1) for first, last in iter(free_range, None))
    return next(port for port in _singles if _is_free(port))


def _claim(starts: list[int]) -> list[socket.socket]:
    claims: list[socket.socket] = []
    for start in starts:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0avisiod-ports-{start}")
        except OSError:
            for other in (claim, *claims):
                other.close()
            return []
        claims.append(claim)
    return claims


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("", port))
        return True
    return False
