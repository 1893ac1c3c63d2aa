"""A provider's question and answer, and what the answer means where providers agree. Pure."""

import dataclasses
import datetime
import email.utils
from collections.abc import Mapping
from typing import Any

import msgspec

from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.ports import Sms

_JSON = msgspec.json.Decoder()


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is sent over HTTP. It holds credentials, number and code, so its repr shows none of it."""

    method: str
    url: str = dataclasses.field(repr=False)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: bytes = dataclasses.field(default=b"", repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes = dataclasses.field(default=b"", repr=False)
    retry_after: str = ""

    def json(self) -> Any:
        """The body; RouteFailure where it is no JSON: nobody knows what became of the message."""
        try:
            return _JSON.decode(self.body)
        except msgspec.DecodeError:
            raise nonsense() from None

    def field(self, path: str) -> str:
        """A field of a JSON body by its path, `messages.0.id`, as text; empty where it is not there."""
        return field_of(self.json(), path)


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """A message with what a provider needs beside it."""

    sms: Sms = dataclasses.field(repr=False)
    sender: str
    secrets: Mapping[str, str] = dataclasses.field(repr=False)
    at_utc: datetime.datetime
    callback: str = ""
    """Where its delivery report goes; empty: nowhere."""

    def secret(self, name: str) -> str:
        """A credential; RouteFailure where the file has none of that name."""
        if name not in self.secrets:
            raise RouteFailure(FailureKind.CREDENTIALS, f"its secret_file has no line `{name}:`")
        return self.secrets[name]


def field_of(data: Any, path: str) -> str:
    """See Answer.field."""
    for part in path.split("."):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return ""
    if isinstance(data, bool):
        return "true" if data else "false"
    return "" if data is None or isinstance(data, dict | list) else str(data)


def nonsense() -> RouteFailure:
    """An answer that is none: a captive portal, a proxy's page, half of something."""
    return RouteFailure(
        FailureKind.NONSENSE, "it answered something that is no answer: it is not known whether it went"
    )


def refusal(answer: Answer, now_utc: datetime.datetime) -> RouteFailure:
    """What a status other than success means (RFC 9110 section 15), where a provider says nothing finer."""
    status = answer.status
    if status in (401, 403):
        return RouteFailure(FailureKind.CREDENTIALS, f"it does not take our credentials ({status})")
    if status == 402:
        return RouteFailure(FailureKind.CREDIT, "the account has no credit left (402)")
    if status == 429:
        wait_s = retry_after_s(answer.retry_after, now_utc)
        return RouteFailure(FailureKind.BUSY, "it wants to be asked less often (429)", wait_s)
    if status == 503 and answer.retry_after:
        return RouteFailure(FailureKind.BUSY, "it is busy (503)", retry_after_s(answer.retry_after, now_utc))
    if status in (400, 404, 410, 422):
        return RouteFailure(FailureKind.REFUSED, f"it refuses the message or the number ({status})")
    if status >= 500 or status == 408:
        return RouteFailure(FailureKind.SERVER, f"it failed ({status})")
    return RouteFailure(FailureKind.NONSENSE, f"it answered with status {status}, which means nothing here")


def retry_after_s(text: str, now_utc: datetime.datetime) -> float:
    """Seconds of Retry-After (RFC 9110 section 10.2.3), a number or a date; 0 where it says nothing."""
    text = text.strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - now_utc).total_seconds())
