"""Values as people write them: read from text, or refused with what is wrong; written back as they are read."""

import dataclasses
import datetime
import decimal
import re
from collections.abc import Callable
from typing import Any

from avisiod.calls import mac
from avisiod.calls.mac import mac_of
from avisiod.calls.people import Scope
from avisiod.numbers import dialled_number

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_USER = re.compile(r"[^\s:/,;]{1,32}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_CLOCK = re.compile(r"(\d{1,2})(?:[:hH](\d{2})?)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TRUE, _FALSE = ("true", "yes", "oui", "vrai", "1"), ("false", "no", "non", "faux", "0")
_DAYS = (
    ("mon", "monday", "lun", "lundi"),
    ("tue", "tuesday", "mar", "mardi"),
    ("wed", "wednesday", "mer", "mercredi"),
    ("thu", "thursday", "jeu", "jeudi"),
    ("fri", "friday", "ven", "vendredi"),
    ("sat", "saturday", "sam", "samedi"),
    ("sun", "sunday", "dim", "dimanche"),
)
LONGEST_TEXT = 200
MOST_CENTS = 100_000_000
"""A million: what is larger is a slip of the hand."""


class Wrong(ValueError):
    """The text cannot be read: what is wrong, and what to write. Neither quotes numbers of telephones."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """How a kind of value is read and written."""

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    hint: str = "TEXT"
    """As help and man page name it."""


def _text(text: str) -> str:
    text = " ".join(text.split())
    if _CONTROL.search(text):
        raise Wrong("control characters", "write plain text")
    if len(text) > LONGEST_TEXT:
        raise Wrong(f"{len(text)} characters", f"{LONGEST_TEXT} at most")
    return text


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise Wrong("not an id", "take letters, digits, `.`, `_`, `-`, 64 at most, a letter or digit first")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise Wrong("not a language", "write a code such as fr")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise Wrong("neither true nor false", "write true or false")
    return text.lower() in _TRUE


def _day(text: str) -> datetime.date:
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    raise Wrong("not a day", "write it as 2026-12-31")


def _local(text: str) -> datetime.datetime:
    for form in ("%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M"):
        try:
            return datetime.datetime.strptime(text, form)  # noqa: DTZ007 - the site's own time
        except ValueError:
            continue
    raise Wrong("not a day and time", "write it as 2026-12-24T18:00, in the site's time")


def _minute(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    hour, minute = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    if minute > 59 or hour * 60 + minute > 1440:
        raise Wrong("not a time of the day", "write it as 18:00, the day's end as 24:00")
    return hour * 60 + minute


def clock(minute: int) -> str:
    """A minute of the day as people write it; the day's end is 24:00."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _weekday(text: str) -> int:
    for number, names in enumerate(_DAYS):
        if text.lower() in names:
            return number
    raise Wrong("not a day of the week", "write mon, tue, wed, thu, fri, sat or sun")


def _weekdays(text: str) -> str:
    """The digits of the days; `mon-fri sun`, or `all`."""
    if text.lower() in ("all", "tous"):
        return "0123456"
    days: set[int] = set()
    for part in re.split(r"[\s,]+", text.strip()):
        first, dash, last = part.partition("-")
        begin = _weekday(first)
        end = _weekday(last) if dash else begin
        if end < begin:
            raise Wrong(f"{last} comes before {first}", "write the earlier day first")
        days |= set(range(begin, end + 1))
    return "".join(str(day) for day in sorted(days))


def _weekdays_text(digits: str) -> str:
    return "all" if digits == "0123456" else " ".join(_DAYS[int(digit)][0] for digit in digits)


def _decimal(text: str, places: int, what: str) -> int:
    clean = text.replace("\u00a0", "").replace("\u202f", "").replace(" ", "").replace("€", "").replace(",", ".")
    try:
        number = decimal.Decimal(clean)
    except decimal.InvalidOperation:
        raise Wrong(f"not {what}", "write it as 12.50") from None
    if not number.is_finite():
        raise Wrong(f"not {what}", "write it as 12.50")
    scaled = number.scaleb(places)
    if scaled != scaled.to_integral_value():
        raise Wrong(f"more than {places} decimals", f"{places} at most")
    if not 0 <= scaled <= MOST_CENTS:
        raise Wrong("below zero, or more than a million", f"write {what}")
    return int(scaled)


def _money(text: str) -> int:
    return _decimal(text, 2, "an amount")


def _price(text: str) -> int:
    return _decimal(text, 4, "a price")


def money_text(cents: int) -> str:
    """An amount as people write it: 12.50, -0.05."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"


def price_text(price: int) -> str:
    """A price in hundredths of a cent as people write it: 0.15, 0.0025."""
    whole = f"{price // 10_000}.{price % 10_000:04}"
    return whole.removesuffix("00")


def _mac(text: str) -> str:
    read = mac_of(text)
    if read is None:
        raise Wrong("not the MAC of a device", "write twelve hexadecimal digits as on its label: 00:15:65:A1:B2:C3")
    return read


def _scope(text: str) -> Scope:
    kind, _, name = text.partition(":")
    if text == "site":
        return Scope("site")
    if kind not in ("building", "regime", "detainee") or not name:
        raise Wrong("not a scope", "write site, building:ID, regime:ID or detainee:ID")
    return Scope(kind, _id(name))  # type: ignore[arg-type]


def _scope_text(scope: Scope) -> str:
    return f"{scope.kind}:{scope.id}" if scope.id else scope.kind


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise Wrong("not the name of an account", "write the name that the person logs in with, 32 letters at most")
    return text


def _digits(text: str) -> str:
    if not (text.isascii() and text.isdecimal()) or not 1 <= len(text) <= 16:
        raise Wrong("not digits", "write 1 to 16 digits: it is typed on a phone")
    return text


def whole(least: int = 0, most: int = 1_000_000) -> Value:
    """A whole number within bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,9}", text) or not least <= int(text) <= most:
            raise Wrong("not a number that fits", f"write a whole number from {least} to {most}")
        return int(text)

    return Value(read, hint="NUMBER")


def choice(*words: str) -> Value:
    """One of a few words."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise Wrong(f"not one of {', '.join(words)}", "write one of them")
        return text.lower()

    return Value(read, hint="|".join(words))


def words(*known: str) -> Value:
    """Some of a few words, kept with a comma between them."""

    def read(text: str) -> str:
        given = [word for word in re.split(r"[\s,;|]+", text.lower()) if word]
        for word in given:
            if word not in known:
                raise Wrong(f"`{word}` is not one of {', '.join(known)}", "write some of them, or nothing")
        return ",".join(word for word in known if word in given)

    return Value(read, hint="WORDS")


def telephone(region: str) -> Value:
    """A number of a telephone, as it is dialled in this region (ISO 3166); kept in E.164."""

    def read(text: str) -> str:
        number = dialled_number(text, region)
        if number is None:
            raise Wrong("not a telephone number", f"write it as dialled in {region}, or +…")
        return number

    return Value(read, hint="NUMBER")


def _ids(text: str) -> tuple[str, ...]:
    return tuple(sorted({_id(part) for part in re.split(r"[\s,;|]+", text) if part}))


TEXT = Value(_text)
USER = Value(_user, hint="USER")
MAC = Value(_mac, mac.shown, hint="MAC")
ID = Value(_id, hint="ID")
IDS = Value(_ids, " ".join, hint="IDS")
LANGUAGE = Value(_language, hint="LANGUAGE")
TRUTH = Value(_truth, lambda value: "true" if value else "false", hint="true|false")
DAY = Value(_day, lambda value: value.isoformat(), hint="DAY")
LOCAL = Value(_local, lambda value: value.isoformat(timespec="minutes"), hint="LOCAL-TIME")
MINUTE = Value(_minute, clock, hint="HH:MM")
WEEKDAY = Value(_weekday, lambda value: _DAYS[value][0], hint="WEEKDAY")
WEEKDAYS = Value(_weekdays, _weekdays_text, hint="WEEKDAYS")
MONEY = Value(_money, money_text, hint="AMOUNT")
PRICE = Value(_price, price_text, hint="PRICE")
SCOPE = Value(_scope, _scope_text, hint="SCOPE")
DIGITS = Value(_digits, hint="DIGITS")
