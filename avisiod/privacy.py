"""What keeps other processes of the same user out of this one's memory, through which codes, keys and calls pass."""

import ctypes
import logging

log = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4
"""prctl(2)."""


def hide_memory() -> None:
    """Let no process of the same user read or trace this one (ptrace(2), PR_SET_DUMPABLE in prctl(2)), nor dump it.

    The edge runs as the same user and reads what strangers write: whoever takes it over must not find here what its
    unit hides from it. Each process calls this for itself; it does not outlive an exec.
    """
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        log.warning("other processes of this user can read our memory: prctl refused")
