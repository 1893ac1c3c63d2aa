"""Rules that span several rows: what would contradict itself is refused, and said at the row that is new."""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from avisiod.calls.ids import masked
from avisiod.calls.people import Scope
from avisiod.office.permissions import DESIGNATED
from avisiod.office.values import WEEKDAY, clock

Row = dict[str, Any]
_FIRST, _LAST = datetime.date.min, datetime.date.max


@dataclasses.dataclass(slots=True, kw_only=True)
class Sight:
    """The rows as they would be, and how to object to one of them."""

    rows: Mapping[tuple[Any, ...], Row]
    """Those that change and their siblings, after the change; removed ones are not in it."""
    touched: set[tuple[Any, ...]]
    """Keys of those that are added or changed."""
    today: datetime.date
    facts: Mapping[str, Mapping[str, Row]]
    """Rows of other kinds that were read along, by plural and id."""
    object: Callable[[tuple[Any, ...], str, str, str], None]
    """(key, field, reason, remedy)."""

    def new(self) -> Iterable[tuple[tuple[Any, ...], Row]]:
        """Each row that is added or changed."""
        return [(key, self.rows[key]) for key in self.touched if key in self.rows]


def nothing(sight: Sight) -> None:
    """No rule beyond each row's own."""


def _twins(sight: Sight, field: str, say: Callable[[Any], str], remedy: str) -> None:
    first: dict[Any, tuple[Any, ...]] = {}
    for key, row in sorted(sight.rows.items(), key=lambda item: item[0] in sight.touched):
        if row[field] is None or row.get("listed") is False:
            continue
        other = first.setdefault(row[field], key)
        if other != key and key in sight.touched:
            sight.object(key, field, f"{say(row[field])} belongs to `{other[0]}` already", remedy)


def people(sight: Sight) -> None:
    """One register number, one identifier, one person."""
    _twins(sight, "register_number", lambda _: "this register number", "correct it, or change that person")
    _twins(sight, "identifier", lambda _: "this identifier", "give another one")


def phones(sight: Sight) -> None:
    """A phone is shared or has an occupant; an occupant has one phone."""
    for key, row in sight.new():
        if row["shared"] and row["occupant"] is not None:
            sight.object(key, "occupant", "a shared phone has no occupant", "leave one of the two out")
    _twins(sight, "occupant", lambda value: f"a phone for `{value}`: it", "free that phone first")


def devices(sight: Sight) -> None:
    """One MAC, one phone."""
    _twins(sight, "mac", lambda _: "this MAC", "correct it, or remove that device")


def contacts(sight: Sight) -> None:
    """One number, one contact."""
    _twins(sight, "number", lambda value: f"number {masked(value)}", "make it one contact")


def _days(row: Row) -> tuple[datetime.date, datetime.date]:
    return row["valid_from"] or _FIRST, row["valid_to"] or _LAST


def _ordered(sight: Sight) -> None:
    for key, row in sight.new():
        if row["begins"] >= row["ends"]:
            remedy = "past midnight is two windows: one until 24:00, one from 00:00 on the next day"
            sight.object(key, "ends", f"ends at {clock(row['ends'])}, before it begins", remedy)
        first, last = _days(row)
        if first > last:
            sight.object(key, "valid_to", "the last day is before the first", "swap them")


def windows(sight: Sight) -> None:
    """A window ends after it begins, and overlaps no other of its scope and day."""
    _ordered(sight)
    by_day: dict[tuple[Scope, int], list[tuple[tuple[Any, ...], Row]]] = {}
    for key, row in sight.rows.items():
        by_day.setdefault((row["scope"], row["weekday"]), []).append((key, row))
    for same_day in by_day.values():
        for key, row in same_day:
            if key not in sight.touched:
                continue
            for other_key, other in same_day:
                later = other_key not in sight.touched or str(other_key) < str(key)
                if other_key != key and later and _overlap(row, other):
                    hours = f"{WEEKDAY.write(other['weekday'])} {clock(other['begins'])}-{clock(other['ends'])}"
                    sight.object(key, "begins", f"overlaps `{other_key[0]}` ({hours})", "join them, or move one")
                    break


def _overlap(row: Row, other: Row) -> bool:
    (first, last), (other_first, other_last) = _days(row), _days(other)
    return (
        row["begins"] < other["ends"]
        and other["begins"] < row["ends"]
        and first <= other_last
        and other_first <= last
    )


def exceptions(sight: Sight) -> None:
    """An exception ends after it begins; an extra call is a detainee's."""
    for key, row in sight.new():
        if row["from_local"] >= row["to_local"]:
            sight.object(key, "to_local", "ends before it begins", "swap them")
        if row["kind"] == "extra" and row["scope"].kind != "detainee":
            sight.object(key, "scope", "an extra call is granted to one person", "write detainee:ID")


def allowances(sight: Sight) -> None:
    """A rolling period has a length and a number of calls."""
    for key, row in sight.new():
        if (row["rolling_days"] is None) != (row["rolling_calls"] is None):
            missing = "rolling_calls" if row["rolling_calls"] is None else "rolling_days"
            sight.object(key, missing, "missing", "give both rolling_days and rolling_calls, or neither")
        if row["rolling_days"] == 0:
            sight.object(key, "rolling_days", "a period of no days", "give 1 or more")
        if row["call_s"] == 0:
            sight.object(key, "call_s", "a call of no time", "give seconds above 0")


def authorisations(sight: Sight) -> None:
    """Granted by the authority that the detainee's status asks for, for a time that ends after it begins."""
    authorities = sight.facts["authorities"]
    people_ = sight.facts["people"]
    granted: dict[str, int] = {}
    for row in sight.rows.values():
        if row["state"] == "granted" and (row["ends_on"] is None or row["ends_on"] >= sight.today):
            granted[row["detainee"]] = granted.get(row["detainee"], 0) + 1
    for key, row in sight.new():
        if row["ends_on"] is not None and row["ends_on"] < row["decided_on"]:
            sight.object(key, "ends_on", "ends before it was decided", "correct one of the two days")
        person = people_.get(row["detainee"])
        if person is None or row["state"] != "granted":
            continue
        needed = authorities[person["status"]]["authority"]
        if row["authority"] != needed:
            reason = f"a detainee on {person['status']}" if person["status"] == "remand" else "a convicted detainee"
            sight.object(
                key, "authority", f"{reason} needs the {needed}'s word", f"write {needed}, or leave it requested"
            )
        most = _contacts_max(sight, row["detainee"], person)
        if most is not None and granted.get(row["detainee"], 0) > most:
            sight.object(key, "state", f"more than {most} contacts", "withdraw another one first")


def _contacts_max(sight: Sight, detainee: str, person: Row) -> int | None:
    scopes = (f"detainee:{detainee}", f"regime:{person['regime']}", f"building:{person['building']}", "site")
    for scope in scopes:
        row = sight.facts["allowances"].get(scope)
        if row is not None and row["contacts_max"] is not None:
            return int(row["contacts_max"])
    return None


def tariffs(sight: Sight) -> None:
    """At each moment one price, from a class's first day to its last."""
    _ordered(sight)
    for key, row in sight.new():
        if (row["unit"] == "free") != (row["price"] == 0):
            reason = "a free call has no price" if row["unit"] == "free" else "no price"
            sight.object(key, "price", reason, "write unit free and price 0, or a unit and its price")
    by_class: dict[str | None, list[tuple[tuple[Any, ...], Row]]] = {}
    for key, row in sight.rows.items():
        by_class.setdefault(row["class"], []).append((key, row))
    for cls, listed in by_class.items():
        new = [key for key, _ in listed if key in sight.touched]
        blamed = max(new, key=str) if new else (next(iter(sight.touched)) if sight.touched else ("",))
        if not _overlaps(sight, listed):
            _gaps(sight, cls, listed, by_class.get(None, []) if cls is not None else [], blamed)


def _overlaps(sight: Sight, listed: list[tuple[tuple[Any, ...], Row]]) -> bool:
    found = False
    for place, (key, row) in enumerate(listed):
        for other_key, other in listed[:place]:
            if set(row["weekdays"]) & set(other["weekdays"]) and _overlap(row, other):
                found = True
                new, old = (key, other_key) if key in sight.touched else (other_key, key)
                remedy = "end the older one the day before (valid_to), or keep the hours apart"
                sight.object(new, "valid_from", f"two prices at one time: overlaps `{old[0]}`", remedy)
    return found


def _gaps(
    sight: Sight,
    cls: str | None,
    listed: list[tuple[tuple[Any, ...], Row]],
    base: list[tuple[tuple[Any, ...], Row]],
    blamed: tuple[Any, ...],
) -> None:
    own = [row for _, row in listed]
    begin, end = min(_days(row)[0] for row in own), max(_days(row)[1] for row in own)
    rows = own + [row for _, row in base]
    edges = {begin}
    for row in rows:
        first, last = _days(row)
        edges |= {first, last + datetime.timedelta(days=1) if last < _LAST else _LAST}
    for edge in sorted(edge for edge in edges if begin <= edge <= end and edge != _LAST):
        valid = [row for row in rows if _days(row)[0] <= edge <= _days(row)[1]]
        for step in range(7):
            day = edge + datetime.timedelta(days=step)
            if day > end or any(edge < other <= day for other in edges):
                break
            minute = _uncovered([row for row in valid if str(day.weekday()) in row["weekdays"]])
            if minute is not None:
                who = f"class {cls}" if cls else "every class"
                reason = f"no price for {who} on {day.isoformat()} at {clock(minute)}"
                sight.object(blamed, "valid_from", reason, "close the gap, with a free tariff if need be")
                return


def _uncovered(rows: list[Row]) -> int | None:
    """The first minute of a day without a price; None where there is none."""
    minute = 0
    for row in sorted(rows, key=lambda row: row["begins"]):
        if row["begins"] > minute:
            return minute
        minute = max(minute, row["ends"])
    return minute if minute < 1440 else None


def staff(sight: Sight, *, longest_days: int) -> None:
    """A designation ends after it begins; one to watch or to interrupt ends in time."""
    for key, row in sight.new():
        first, last = row["valid_from"], row["valid_to"]
        if last is not None and last < first - datetime.timedelta(days=1):  # the day before: it is never in force
            sight.object(key, "valid_to", "ends before it begins", "swap them")
        role = sight.facts["roles"].get(row["role"])
        if role is not None and _too_long(role, row, longest_days):
            latest = first + datetime.timedelta(days=longest_days - 1)
            reason = f"the role {row['role']} is given for {longest_days} days at most"
            sight.object(key, "valid_to", reason, f"give a last day, {latest} or before; it can be renewed then")


def roles(sight: Sight, *, longest_days: int) -> None:
    """A role that comes to watch or to interrupt is held by nobody for longer than that may be."""
    for key, row in sight.new():
        for held in sight.facts["staff"].values():
            over = held["valid_to"] is not None and held["valid_to"] < sight.today
            if held["role"] == row["id"] and not over and _too_long(row, held, longest_days):
                reason = f"{held['user']} holds it for more than {longest_days} days"
                sight.object(
                    key, "may", reason, f"set the end of that first (staff change {held['user']} {row['id']})"
                )


def _too_long(role: Row, held: Row, longest_days: int) -> bool:
    """Whether a designation lasts longer than one of this role may."""
    if longest_days == 0 or DESIGNATED.isdisjoint(role["may"].split(",")):
        return False
    return held["valid_to"] is None or (held["valid_to"] - held["valid_from"]).days >= longest_days
