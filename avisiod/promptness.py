"""What keeps control from being held up by itself: quick turns of threads, memory that is not walked again."""

import gc
import sys

SWITCH_INTERVAL_S = 0.0005
"""A thread that computes gives the interpreter to one that waits for it after this long, not after 5 ms: the thread
of a serial board waits for it several times in each look at its keys."""


def share() -> None:
    """To be called before the first thread starts."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def settle() -> None:
    """To be called once all is loaded: the collector walks only what comes later.

    A walk over all that control holds takes some 50 ms of the processor, and more of the clock on a machine that has
    other things to do. Whatever is to be cut at once would wait for it.
    """
    gc.collect()
    gc.freeze()
