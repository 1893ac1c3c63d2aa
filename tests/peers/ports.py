"""Ports that nobody else has: parallel test runs on one machine never meet."""

import contextlib
import itertools
import random
import socket

from tests.peers.waiting import NotSeen

BLOCK = 100
GRAIN = 20
"""What is claimed at once: a scene that asks for two ports takes no hundred from the others."""
_FIRST, _LARGE, _LAST = 10_000, 26_000, 32_700
"""Below the kernel's ephemeral range, so that no outgoing connection takes a port between our look and our use. What
fits into one grain lies above _LARGE and breaks up no room for the others."""

_claims: dict[int, list[socket.socket]] = {}
"""By the first port of the range."""
_singles: "itertools.chain[int] | None" = None
_of_singles: set[int] = set()
"""First ports of the ranges that single ports come from: theirs until this process ends."""


def free_range(count: int = BLOCK) -> tuple[int, int]:
    """First and last of `count` ports, UDP and TCP, free on every address, ours until `give_back` or our end.

    The first is even, as RTP wants it (RFC 3550 section 11). A claim is an abstract socket's name: taken by one
    process at a time, and given back by the kernel however that process ends.
    """
    grains = -(-count // GRAIN)
    first, last = (_LARGE, _LAST) if grains == 1 else (_FIRST, _LARGE)
    starts = list(range(first, last - grains * GRAIN, max(BLOCK, grains * GRAIN) if grains > 1 else GRAIN))
    random.shuffle(starts)
    for start in starts:
        claims = _claim([start + GRAIN * n for n in range(grains)])
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


def give_all_back() -> None:
    """The scenes of a test file are over: what they did not give back themselves."""
    for first in list(_claims):
        if first not in _of_singles:
            give_back(first)


def free_port() -> int:
    """One port, free for UDP and TCP, ours until this process ends."""
    global _singles
    if _singles is None:
        _singles = itertools.chain.from_iterable(
            range(first, last + 1) for first, last in iter(_range_of_singles, None)
        )
    return next(port for port in _singles if _is_free(port))


def _range_of_singles() -> tuple[int, int]:
    first, last = free_range(GRAIN)
    _of_singles.add(first)
    return first, last


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
