"""How each provider is asked, and what its answers mean. Pure: see docs/sms.md for where the facts are from."""

import base64
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Protocol

import msgspec

from avisiod.config.sms import SmsRequest, SmsRoute
from avisiod.devices.gsm_text import is_gsm
from avisiod.devices.sms.exchange import Answer, Outgoing, Question, nonsense, refusal
from avisiod.devices.sms_failure import FailureKind, RouteFailure

_NO_NUMBER = RouteFailure(FailureKind.REFUSED, "it says that the number is wrong")


class Provider(Protocol):
    """A kind of provider."""

    def question(self, out: Outgoing) -> Question:
        """What to send. RouteFailure where a credential is missing."""

    def accepted(self, answer: Answer, out: Outgoing) -> str:
        """The provider's name for the message, or empty. RouteFailure where it was not accepted for certain."""


def provider(route: SmsRoute) -> Provider:
    """Of a route that is no modem."""
    kinds: Mapping[str, type[Ovh | SmsFactor | Twilio | Teltonika | Described]] = {
        "ovh": Ovh,
        "smsfactor": SmsFactor,
        "twilio": Twilio,
        "teltonika": Teltonika,
        "http": Described,
    }
    return kinds[route.kind](route)


class Ovh:
    """OVHcloud, POST /sms/{service}/jobs, signed as its API wants it."""

    URL = "https://eu.api.ovh.com/1.0"

    def __init__(self, route: SmsRoute) -> None:
        self._url = f"{(route.url or self.URL).rstrip('/')}/sms/{urllib.parse.quote(route.account, safe='')}/jobs"

    def question(self, out: Outgoing) -> Question:
        """`noStopClause`: else messages are held back at night and at weekends, and grow a line that says STOP."""
        body = msgspec.json.encode(
            {
                "message": out.sms.text,
                "receivers": [out.sms.number],
                "sender": out.sender,
                "noStopClause": True,
                "priority": "high",
                "coding": "7bit" if is_gsm(out.sms.text) else "8bit",
                "charset": "UTF-8",
                "validityPeriod": max(1, int(out.sms.valid_s // 60)),
            }
        )
        at = str(int(out.at_utc.timestamp()))
        application, consumer = out.secret("application_key"), out.secret("consumer_key")
        signed = "+".join([out.secret("application_secret"), consumer, "POST", self._url, body.decode(), at])
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-Ovh-Application": application,
            "X-Ovh-Consumer": consumer,
            "X-Ovh-Timestamp": at,
            "X-Ovh-Signature": "$1$" + hashlib.sha1(signed.encode()).hexdigest(),  # noqa: S324 - what OVHcloud checks
        }
        return Question("POST", self._url, headers, body)

    def accepted(self, answer: Answer, out: Outgoing) -> str:
        """`ids` names the message; `invalidReceivers` a number that it does not take."""
        if answer.status != 200:
            raise refusal(answer, out.at_utc)
        if answer.field("invalidReceivers.0"):
            raise _NO_NUMBER
        return _named(answer.field("ids.0"))


class SmsFactor:
    """SMSFactor, POST /send."""

    URL = "https://api.smsfactor.com"

    def __init__(self, route: SmsRoute) -> None:
        self._url = f"{(route.url or self.URL).rstrip('/')}/send"

    def question(self, out: Outgoing) -> Question:
        """`alert`: a message that is no advertising, delivered at any hour."""
        message = {"text": out.sms.text, "pushtype": "alert", "sender": out.sender}
        recipients = {"gsm": [{"gsmsmsid": out.sms.id, "value": out.sms.number[1:]}]}
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "application/json",
            "Authorization": f"Bearer {out.secret('token')}",
        }
        return Question(
            "POST", self._url, headers, msgspec.json.encode({"sms": {"message": message, "recipients": recipients}})
        )

    def accepted(self, answer: Answer, out: Outgoing) -> str:
        """`status` 1 is good, below 0 an error; `ticket` names the job. Reports name the message as we do."""
        if answer.status not in (200, 201):
            raise refusal(answer, out.at_utc)
        status = answer.field("status")
        if status == "1":
            if answer.field("sent") == "0":
                raise _NO_NUMBER
            return out.sms.id
        if not re.fullmatch(r"-?\d{1,4}", status):
            raise nonsense()
        raise RouteFailure(FailureKind.UNKNOWN, f"it refuses with its status {status}")


class Twilio:
    """Twilio, POST /2010-04-01/Accounts/{SID}/Messages.json, with a status callback."""

    URL = "https://api.twilio.com"
    _CODES = {  # noqa: RUF012 - of the provider's list of errors
        "20003": FailureKind.CREDENTIALS,
        "20429": FailureKind.BUSY,
        "21211": FailureKind.REFUSED,
        "21408": FailureKind.REFUSED,
        "21610": FailureKind.REFUSED,
        "21614": FailureKind.REFUSED,
    }

    def __init__(self, route: SmsRoute) -> None:
        base = (route.url or self.URL).rstrip("/")
        self._account = route.account
        self._url = f"{base}/2010-04-01/Accounts/{urllib.parse.quote(route.account, safe='')}/Messages.json"

    def question(self, out: Outgoing) -> Question:
        """Basic authentication with the Account SID and its token."""
        fields = {
            "To": out.sms.number,
            "From": out.sender,
            "Body": out.sms.text,
            "ValidityPeriod": str(min(36000, max(1, int(out.sms.valid_s)))),
        }
        if out.callback:
            fields["StatusCallback"] = out.callback
        login = base64.b64encode(f"{self._account}:{out.secret('token')}".encode()).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {login}"}
        return Question("POST", self._url, headers, urllib.parse.urlencode(fields).encode())

    def accepted(self, answer: Answer, out: Outgoing) -> str:
        """201 with `sid`; an error has a `code` of its own."""
        if answer.status == 201:
            if answer.field("status") in ("failed", "undelivered"):
                raise RouteFailure(FailureKind.UNKNOWN, "it took the message and failed at once")
            return _named(answer.field("sid"))
        try:
            code = answer.field("code")
        except RouteFailure:
            code = ""
        if code in self._CODES and answer.status != 429:
            raise RouteFailure(self._CODES[code], f"it refuses with its error {code}")
        raise refusal(answer, out.at_utc)


class Teltonika:
    """A Teltonika router's "SMS Post/Get": the credentials stand in the address, which is never told."""

    def __init__(self, route: SmsRoute) -> None:
        self._url = f"{route.url.rstrip('/')}/cgi-bin/sms_send"

    def question(self, out: Outgoing) -> Question:
        """The number with 00 and the country's code."""
        fields = {
            "username": out.secret("username"),
            "password": out.secret("password"),
            "number": "00" + out.sms.number[1:],
            "text": out.sms.text,
        }
        return Question("GET", f"{self._url}?{urllib.parse.urlencode(fields, quote_via=urllib.parse.quote)}")

    def accepted(self, answer: Answer, out: Outgoing) -> str:
        """A word: OK, ERROR, TIMEOUT, WRONG_NUMBER."""
        if answer.status != 200:
            raise refusal(answer, out.at_utc)
        word = answer.body[:64].decode("ascii", "replace").strip().upper()
        if word == "OK":
            return ""
        if word.startswith("WRONG"):
            raise _NO_NUMBER
        if word.startswith("TIMEOUT"):
            raise RouteFailure(FailureKind.NO_ANSWER, "its modem did not answer: it is not known whether it went")
        if word.startswith("ERROR"):
            raise RouteFailure(FailureKind.NETWORK, "its modem did not send")
        raise nonsense()


class Described:
    """A provider that the settings describe."""

    def __init__(self, route: SmsRoute) -> None:
        self._asked: SmsRequest = route.request
        self._url = route.url

    def question(self, out: Outgoing) -> Question:
        """The settings' own words, each value escaped for its place."""
        asked = self._asked
        kind = {"json": "application/json; charset=utf-8", "form": "application/x-www-form-urlencoded"}
        headers = {"Content-Type": kind.get(asked.format, "text/plain; charset=utf-8")} if asked.body else {}
        for name, value in asked.headers.items():
            headers[name] = _filled(value, out, "header")
        body = _filled(asked.body, out, asked.format).encode()
        return Question(asked.method, _filled(self._url, out, "form"), headers, body)

    def accepted(self, answer: Answer, out: Outgoing) -> str:
        """By its status, and by a field where the settings name one."""
        asked = self._asked
        if answer.status not in asked.accepted_status:
            raise refusal(answer, out.at_utc)
        if asked.accepted_field and answer.field(asked.accepted_field) not in asked.accepted_values:
            raise RouteFailure(FailureKind.UNKNOWN, f"its `{asked.accepted_field}` says that it was not accepted")
        return answer.field(asked.id_field) if asked.id_field else ""


PLACE = re.compile(r"\{(number|digits|text|sender|id|callback|secret\.[a-z0-9_]+)\}")
"""What the settings of a described provider may hold; other braces are its own."""


def _filled(template: str, out: Outgoing, place: str) -> str:
    def value(match: re.Match[str]) -> str:
        return _ESCAPES[place](_value(match[1], out))

    return PLACE.sub(value, template)


def _value(name: str, out: Outgoing) -> str:
    if name.startswith("secret."):
        return out.secret(name.removeprefix("secret."))
    sms = out.sms
    return {
        "number": sms.number,
        "digits": sms.number[1:],
        "text": sms.text,
        "sender": out.sender,
        "id": sms.id,
        "callback": out.callback,
    }[name]


def _json(value: str) -> str:
    return msgspec.json.encode(value).decode()[1:-1]


def _form(value: str) -> str:
    return urllib.parse.quote(value, safe="")


def _text(value: str) -> str:
    return value


def _header(value: str) -> str:
    return re.sub(r"[\r\n\0]", " ", value)


_ESCAPES = {"json": _json, "form": _form, "text": _text, "header": _header}


def _named(name: str) -> str:
    """An acceptance without a name is none that could be believed."""
    if not name:
        raise nonsense()
    return name
