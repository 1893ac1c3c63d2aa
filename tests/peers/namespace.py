"""Which network a thread is in: a child process, a socket or a thread that it makes is in the same one."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def network_of_this_thread() -> int:
    """A descriptor of the network namespace that the calling thread is in; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def inside(network: int) -> Iterator[None]:
    """The calling thread is in this network, and afterwards where it was. OSError where it may not go there."""
    before = network_of_this_thread()
    try:
        away = os.fstat(before).st_ino != os.fstat(network).st_ino
        if away:
            _enter(network)
        try:
            yield
        finally:
            if away:
                _enter(before)
    finally:
        os.close(before)


def _enter(network: int) -> None:
    if _libc.setns(network, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "this thread may not change its network")
