"""Ports come from the configured range, bound, in turn, and never from under another program."""

import socket
from contextlib import ExitStack

import pytest

from avisiod.gateway.udp_ports import UdpPorts
from avisiod.gateway.wire import NoPorts


def free_range(count: int) -> tuple[int, int]:
    """First and last of so many neighbouring ports that were free a moment ago, the first even."""
    while True:
        with ExitStack() as held:
            first = _bound(held, 0) + 1 & ~1
            try:
                for port in range(first + 2, first + 2 + count):
                    _bound(held, port)
            except (OSError, OverflowError):
                continue
            return first + 2, first + 1 + count


def _bound(held: ExitStack, port: int) -> int:
    one = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    one.bind(("127.0.0.1", port))
    return one.getsockname()[1]


def numbers(sockets: tuple[socket.socket, ...]) -> list[int]:
    return [each.getsockname()[1] for each in sockets]


def test_pairs_are_even_and_odd_and_the_range_includes_both_ends() -> None:
    first, last = free_range(4)
    pool = UdpPorts("127.0.0.1", (first, last), width=2)
    with ExitStack() as held:
        taken = [pool.take(0.0), pool.take(0.0)]
        for pair in taken:
            for each in pair:
                held.enter_context(each)
        assert [numbers(pair) for pair in taken] == [[first, first + 1], [first + 2, last]]
        with pytest.raises(NoPorts, match=r"no UDP port on 127.0.0.1 is free"):
            pool.take(0.0)


@pytest.mark.parametrize(("width", "count"), [(1, 3), (2, 1)])
def test_an_odd_range_yields_whole_groups_only(width: int, count: int) -> None:
    first, _ = free_range(4)
    pool = UdpPorts("127.0.0.1", (first, first + 2), width=width)
    with ExitStack() as held:
        for _ in range(count):
            for each in pool.take(0.0):
                held.enter_context(each)
        with pytest.raises(NoPorts):
            pool.take(0.0)


def test_a_port_of_another_program_is_passed_over_and_tried_again_later() -> None:
    first, last = free_range(4)
    pool = UdpPorts("127.0.0.1", (first, last), width=2)
    with ExitStack() as held:
        other = held.enter_context(ExitStack())
        _bound(other, first + 1)
        pair = pool.take(0.0)
        assert numbers(pair) == [first + 2, last]
        for each in pair:
            held.enter_context(each)
        with pytest.raises(NoPorts):
            pool.take(0.0)
        other.close()
        again = pool.take(0.0)
        assert numbers(again) == [first, first + 1]
        for each in again:
            each.close()


def test_a_released_port_rests_unless_no_peer_was_told_of_it() -> None:
    first, last = free_range(2)
    pool = UdpPorts("127.0.0.1", (first, last), width=2, rest_s=10.0)
    for announced, earliest in ((True, 10.0), (False, 0.0)):
        for each in pool.take(100.0):
            each.close()
        pool.give_back(first, 0.0, announced=announced)
        if announced:
            with pytest.raises(NoPorts):
                pool.take(9.9)
        for each in pool.take(earliest):
            each.close()
        pool.give_back(first, 0.0, announced=False)
