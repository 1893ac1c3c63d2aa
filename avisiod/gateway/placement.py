"""Where a worker runs, and before whom: processors and niceness (sched(7)), for all of its threads."""

import logging
import os

from avisiod.gateway import wire

_log = logging.getLogger(__name__)


def settle(cpus: tuple[int, ...], nice: int) -> None:
    """Move this process. WorkerError where none of the processors is there; a niceness that is refused is told."""
    threads = [int(thread) for thread in os.listdir("/proc/self/task")]  # those that come later inherit it
    if cpus:
        try:
            for thread in threads:
                os.sched_setaffinity(thread, cpus)
        except (OSError, OverflowError):
            there = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
            raise wire.WorkerError(f"media.cpus: none of {list(cpus)} is there, but {there}: correct it") from None
    if nice:
        try:
            for thread in threads:
                os.setpriority(os.PRIO_PROCESS, thread, nice)
        except PermissionError:
            _log.warning("media.nice: %d is refused; LimitNICE of the unit lets down to -10", nice)
