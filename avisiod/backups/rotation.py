"""Which backups are kept: the newest of each of the last days, and of each of the last weeks. Pure."""

import datetime
from collections.abc import Iterable

_FORM = "avisiod-%Y%m%dT%H%M%SZ.age"


def name_of(made: datetime.datetime) -> str:
    """The name of the backup that is made at this time (UTC)."""
    return made.strftime(_FORM)


def made_at(name: str) -> datetime.datetime | None:
    """When the backup of this name was made; None where it is not ours to judge."""
    try:
        return datetime.datetime.strptime(name, _FORM).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def superfluous(names: Iterable[str], daily: int, weekly: int) -> set[str]:
    """Which of these may go: all but the newest of `daily` days and of `weekly` weeks (Monday to Sunday, UTC).

    Days and weeks without a backup do not count, so that a box that stood still loses nothing. The newest of all
    stays, whatever is asked for. Files with other names are never named.
    """
    dated = sorted(((at, name) for name in names if (at := made_at(name)) is not None), reverse=True)
    days: dict[datetime.date, str] = {}
    weeks: dict[tuple[int, int], str] = {}
    for at, name in dated:
        days.setdefault(at.date(), name)
        year, week, _ = at.isocalendar()
        weeks.setdefault((year, week), name)
    keep = {*list(days.values())[: max(1, daily)], *list(weeks.values())[:weekly]}
    return {name for _, name in dated} - keep
