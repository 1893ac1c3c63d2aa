"""What a provider's delivery report says, and whether it is the provider who says it. Pure."""

import base64
import enum
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from avisiod.config.sms import SmsReports
from avisiod.devices.sms.exchange import field_of

TWILIO = SmsReports(
    id_field="MessageSid",
    status_field="MessageStatus",
    delivered=("delivered",),
    failed=("undelivered", "failed"),
)

_JSON = msgspec.json.Decoder()


class News(enum.Enum):
    """What became of a message."""

    DELIVERED = "delivered"
    FAILED = "failed"
    NONE = "none"


def genuine_token(token: str, expected: str) -> bool:
    """Whether the address that was called is the one that the provider was given; an empty one never is."""
    return bool(expected) and hmac.compare_digest(token.encode(), expected.encode())


def genuine_twilio(url: str, fields: Mapping[str, str], signature: str, token: str) -> bool:
    """X-Twilio-Signature: base64 of HMAC-SHA1 over the address and every field, sorted by name, name and value."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    expected = base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()
    return bool(token) and hmac.compare_digest(signature.encode(), expected.encode())


def fields_of(body: bytes, content_type: str) -> Any:
    """The JSON of a body; None where it is none."""
    if "json" not in content_type:
        return None
    try:
        return _JSON.decode(body)
    except msgspec.DecodeError:
        return None


def news_of(settings: SmsReports, data: Any) -> tuple[str, News]:
    """The message's name and what became of it; an empty name where the report has none."""
    name = field_of(data, settings.id_field) if settings.id_field else ""
    status = field_of(data, settings.status_field)
    if status in settings.delivered:
        return name, News.DELIVERED
    return name, News.FAILED if status in settings.failed else News.NONE
