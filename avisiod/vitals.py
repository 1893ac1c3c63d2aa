"""Whether this daemon still does its work, and what it says of itself in one line. No I/O, no clock.

The watchdog is fed only while each part has answered within the patience. A restart ends every call, so that a worker
that died and is being started again, or a disk that spins up, must not bring one about: a part has to be away for
longer than that.
"""

from collections.abc import Mapping, Sequence

PARTS = {
    "sip": "no SIP worker serves",
    "media": "no media worker serves",
    "disk": "the disk of the recordings does not answer",
}
"""What has to answer beside the loop itself, and what is said of one that does not."""


class Vitals:
    """When each of PARTS was last seen to answer. All of them count as seen at the start."""

    def __init__(self, patience_s: float, now: float) -> None:
        self.patience_s = patience_s
        self._answered = dict.fromkeys(PARTS, now)

    def saw(self, answers: Mapping[str, bool], now: float) -> None:
        """Who answers at this moment; KeyError on what is not one of PARTS."""
        for part, does in answers.items():
            if does or part not in self._answered:
                self._answered[part] = max(now, self._answered[part])

    def silent(self, now: float) -> list[str]:
        """A sentence for each part that has been away for longer than the patience; empty: feed the watchdog."""
        return [
            f"{PARTS[part]}, for {now - answered:.0f} s"
            for part, answered in self._answered.items()
            if now - answered > self.patience_s
        ]


def status_line(
    calls: int, capacity: int, up: Mapping[str, int], of: Mapping[str, int], problems: Sequence[str]
) -> str:
    """For `systemctl status`: `3 of 20 calls; workers: 6 of 6 SIP, 2 of 2 media; well`, or the first problem."""
    workers = ", ".join(
        f"{up.get(kind, 0)} of {count} {_NAMES.get(kind, kind)}" for kind, count in of.items() if count
    )
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    told = f"{problems[0]}{more}" if problems else "well"
    return f"{calls} of {capacity} calls; workers: {workers or 'none'}; {told}"


_NAMES = {"sip": "SIP"}
