"""What the phone hears and sees, by name: the texts, and which of them ends a call.

One name stands for a prompt and for the picture that goes with it; warnings are spoken only. The texts lie in
prompt_texts/LANGUAGE.yaml: another file is another language.
"""

import datetime
import functools
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from avisiod.calls.admission import Limit
from avisiod.calls.reasons import EndReason

TEXTS = Path(__file__).parent / "prompt_texts"
DEFAULT_LANGUAGE = "fr"

WAITING = "waiting"
JOINING = "joining"
INTERRUPTED = "interrupted"
WARNING = "warning"
TECHNICAL_FAILURE = "technical_failure"

SHORTENED = "shortened"
IN_A_ROW = "+"
"""Between the names of two prompts that are said one after the other."""

MINUTES = range(1, 31)
"""Of the minutes that a shortened call may last, those that are said."""
WARNING_SECONDS = (10, 15, 20, 30, 45, 90, *(60 * minutes for minutes in MINUTES))
"""Warnings that are spoken with their very time; at any other time the phone hears that the call ends soon."""

_BY_REASON = {
    EndReason.LIMIT_REACHED: "limit_reached",
    EndReason.RELATIVE_HUNG_UP: "relative_hung_up",
    EndReason.STAFF_ENDED: "staff_ended",
    EndReason.RELATIVE_LOST: "relative_lost",
    EndReason.CODE_EXPIRED: "code_expired",
    EndReason.JOIN_FAILED: "join_failed",
    EndReason.UNKNOWN_PHONE: "unknown_phone",
    EndReason.UNKNOWN_NUMBER: "unknown_number",
    EndReason.NOT_A_NUMBER: "not_a_number",
    EndReason.PHONE_BUSY: "phone_busy",
    EndReason.CONTACT_BUSY: "contact_busy",
    EndReason.NO_CAPACITY: "no_capacity",
    EndReason.SMS_FAILED: "sms_failed",
    EndReason.RECORDER_FAILED: TECHNICAL_FAILURE,
    EndReason.DISK_FULL: TECHNICAL_FAILURE,
    EndReason.MEDIA_FAILED: TECHNICAL_FAILURE,
    EndReason.STORE_FAILED: TECHNICAL_FAILURE,
    EndReason.SERVICE_RESTARTED: TECHNICAL_FAILURE,
    EndReason.SERVICE_STOPPING: "service_stopping",
    EndReason.DETAINEE_UNKNOWN: "detainee_unknown",
    EndReason.DETAINEE_SUSPENDED: "detainee_suspended",
    EndReason.DETAINEE_BUSY: "detainee_busy",
    EndReason.NOT_IDENTIFIED: "not_identified",
    EndReason.PIN_REFUSED: "pin_refused",
    EndReason.PIN_LOCKED: "pin_locked",
    EndReason.NOT_AUTHORISED: "not_authorised",
    EndReason.AUTHORISATION_ENDED: "authorisation_ended",
    EndReason.OUTSIDE_HOURS: "outside_hours",
    EndReason.CLOSED: "closed",
    EndReason.HOURS_OVER: "hours_over",
    EndReason.QUOTA_REACHED: "quota_reached",
    EndReason.PAUSE_WANTED: "pause_wanted",
    EndReason.BALANCE_TOO_LOW: "balance_too_low",
    # Nobody is there to hear it, or nothing to hear it with.
    EndReason.DETAINEE_HUNG_UP: "",
    EndReason.DETAINEE_GAVE_UP: "",
    EndReason.PHONE_LOST: "",
    EndReason.OFFER_UNACCEPTABLE: "",
    EndReason.SIP_FAILED: "",
}


def for_end_reason(reason: EndReason) -> str:
    """Name of the prompt and picture that tell the phone why the call ended; empty where it is past telling."""
    return _BY_REASON[reason]


def for_warning(remaining_s: float) -> str:
    """Name of the prompt that says how much time is left."""
    seconds = round(remaining_s)
    return f"{WARNING}_{seconds}" if seconds in WARNING_SECONDS else WARNING


def for_shortened(by: Limit, remaining_s: float) -> str:
    """Name of the prompts that say why a call is shorter, and how many whole minutes it may last."""
    minutes = int(remaining_s // 60)
    why = f"{SHORTENED}_{by.value}"
    return f"{why}{IN_A_ROW}{WARNING}_{60 * minutes}" if minutes in MINUTES else why


_WITH_TIME = ("outside_hours", "closed", "quota_reached", "pause_wanted", "pin_locked", "hours_over")
"""Refusals that are told with the time at which the call may be made, where that is known: `NAME_now` comes first."""
_NOW = "_now"
AGAIN, AT_HOUR, AT_MINUTE = "again", "hour", "minute"
DAYS = ("today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEK = 7


def for_refusal(reason: EndReason, now: datetime.datetime, again: datetime.datetime | None) -> str:
    """Names of the prompts that tell why a call is refused, and when it may be made; both times are local ones.

    Where the time is not known, or a week away, the sentence of the reason alone says what can be done.
    """
    name = for_end_reason(reason)
    if again is None or name not in _WITH_TIME:
        return name
    if again.second or again.microsecond:  # said in whole minutes, never too early
        again = again.replace(second=0, microsecond=0, fold=again.fold) + datetime.timedelta(minutes=1)
    ahead = (again.date() - now.date()).days
    if not 0 <= ahead < _WEEK:
        return name
    day = DAYS[ahead] if ahead < 2 else DAYS[2 + again.weekday()]
    said = [f"{name}{_NOW}", f"{AGAIN}_{day}", f"{AT_HOUR}_{again.hour}"]
    return IN_A_ROW.join([*said, *([f"{AT_MINUTE}_{again.minute}"] if again.minute else [])])


def picture_of(refusal: str) -> str:
    """Name of the picture that goes with what `for_refusal` says: it shows the same time."""
    return refusal.replace(f"{_NOW}{IN_A_ROW}", IN_A_ROW, 1)


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt in one language."""

    spoken: Annotated[str, Meta(min_length=1)]
    title: str = ""
    """Large in the picture; empty: no picture."""
    text: str = ""


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence with a number in it."""

    one: str
    many: str

    def spoken(self, count: int) -> str:
        """The sentence for that number."""
        return self.one if count == 1 else self.many.format(n=count)


class Again(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pieces that are said one after the other: when a call may be made."""

    days: dict[str, str]
    """A sentence for each of DAYS, without its end: «You can call again on Monday»."""
    hours: Count
    """What follows it: «at 14 hours»."""
    minutes: Count
    """And what follows that, unless the hour is full."""

    def spoken(self) -> dict[str, str]:
        """All of them, by name."""
        return {
            **{f"{AGAIN}_{day}": self.days[day] for day in DAYS},
            **{f"{AT_HOUR}_{hour}": self.hours.spoken(hour) for hour in range(24)},
            **{f"{AT_MINUTE}_{minute}": self.minutes.spoken(minute) for minute in range(1, 60)},
        }


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The texts of one language."""

    language_name: str
    warning_minutes: Count
    warning_seconds: Count
    again: Again
    prompts: dict[str, Text]

    def shown(self, name: str) -> Text | None:
        """What stands in a picture; None where there is none. Of a refusal with a time the title, and that time."""
        base, *pieces = name.split(IN_A_ROW)
        text = self.prompts.get(base)
        if text is None or not text.title:
            return None
        if not pieces:
            return text
        said = self.again.spoken()
        if not set(pieces) <= set(said):
            return None
        return Text(spoken=text.spoken, title=text.title, text=f"{' '.join(said[piece] for piece in pieces)}.")

    def spoken(self) -> dict[str, str]:
        """Everything that is said, warnings with their time and the pieces of a time included, by name."""
        said = {name: text.spoken for name, text in self.prompts.items()}
        for seconds in WARNING_SECONDS:
            minutes, odd = divmod(seconds, 60)
            sentence = self.warning_seconds.spoken(seconds) if odd else self.warning_minutes.spoken(minutes)
            said[f"{WARNING}_{seconds}"] = sentence
        return said | self.again.spoken()


_made: msgspec.json.Decoder[Language] = msgspec.json.Decoder(Language)
"""msgspec learns a type when it is first used, and crashes where two threads do that at once: so here, at import."""


@functools.cache
def languages() -> tuple[str, ...]:
    """Codes of the languages that have texts."""
    return tuple(sorted(path.stem for path in TEXTS.glob("*.yaml")))


@functools.cache
def language(code: str) -> Language:
    """The texts of a language, French where there are none."""
    path = TEXTS / f"{code}.yaml"
    if code not in languages():
        path = TEXTS / f"{DEFAULT_LANGUAGE}.yaml"
    return msgspec.yaml.decode(path.read_bytes(), type=Language)  # noqa: TID251 - see `_made`
