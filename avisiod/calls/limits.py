"""Time as arithmetic: what is left, when to warn, what counts as connected. All in seconds."""

from collections.abc import Sequence


def remaining(deadline: float, now: float) -> float:
    """Time left, never below zero."""
    return max(0.0, deadline - now)


def warnings_within(warnings_s: Sequence[float], limit_s: float) -> tuple[float, ...]:
    """The warnings that make sense in a call of this limit, longest first, each once.

    A warning as long as the call itself, or longer, would come with its first word.
    """
    return tuple(sorted({w for w in warnings_s if 0 < w < limit_s}, reverse=True))


def next_warning(warnings_s: Sequence[float], given: int, deadline: float) -> tuple[float, float] | None:
    """When the next warning is due and how much it announces, after `given` have been given; None for no more."""
    if given >= len(warnings_s):
        return None
    return deadline - warnings_s[given], warnings_s[given]


def connected_time(
    before_s: float, since: float | None, until: float, deadline: float | None, limit_s: float
) -> float:
    """Time in which both could see and hear each other: what was summed before, plus the running stretch.

    The stretch never counts beyond the deadline, however late somebody looks at the clock; all of it never more than
    the limit, however the sums are rounded.
    """
    if since is None:
        return before_s
    end = until if deadline is None else min(until, deadline)
    return min(limit_s, before_s + max(0.0, end - since))
