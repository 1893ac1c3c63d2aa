"""Blocking peers under a reactor: every call runs in a thread and answers with a Deferred."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

P = ParamSpec("P")
R = TypeVar("R")


def aside(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Deferred[R]":
    """`await aside(phone.wait_frames, 30)`: the reactor goes on while the thread waits."""
    return deferToThread(function, *args, **kwargs)
