"""Identifiers: globally unique, sortable by nothing, revealing nothing."""

import base64
from typing import NewType

CallId = NewType("CallId", str)
"""One call, from dialling to its end; also the field CALL_ID of the journal."""

SessionId = NewType("SessionId", str)
"""One page of a relative that has joined a call; changes at every reconnect."""

Number = NewType("Number", str)
"""A telephone number in E.164, `+` and digits. Never written to a log: use `masked`."""

PhoneId = NewType("PhoneId", str)
"""The SIP user name of a phone, which is also its name in the inventory."""

ContactId = NewType("ContactId", str)
"""Pseudonymous id of an authorised outside person."""

DetaineeId = NewType("DetaineeId", str)
"""Pseudonymous id of a person in detention; never the register number."""

ClassId = NewType("ClassId", str)
"""Name of a class of contacts, such as `ordinary`."""

ID_BYTES = 15
"""Entropy of an id: 120 bits, 24 characters of base32."""


def id_from(entropy: bytes) -> str:
    """Render exactly ID_BYTES random bytes as a lower-case id; ValueError on another length."""
    if len(entropy) != ID_BYTES:
        raise ValueError(f"an id takes {ID_BYTES} random bytes, got {len(entropy)}")
    return base64.b32encode(entropy).decode("ascii").lower()


def masked(number: str) -> str:
    """Show a telephone number as a log may: its last two digits only, `…78`."""
    return "…" + number[-2:]
