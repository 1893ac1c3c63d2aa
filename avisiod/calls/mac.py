"""MAC addresses (EUI-48), read strictly."""

import re

_WRITTEN = re.compile(r"[0-9A-Fa-f]{12}|[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}")
_GROUP_BIT = 0x01


def mac_of(text: str) -> str | None:
    """Twelve lower-case digits of `001565A1B2C3`, `00:15:65:a1:b2:c3` or `00-15-65-A1-B2-C3`; None for anything else.

    Addresses of groups, broadcast and the one of zeros belong to no device.
    """
    if not _WRITTEN.fullmatch(text):
        return None
    digits = re.sub("[:-]", "", text).lower()
    if int(digits[:2], 16) & _GROUP_BIT or digits == "000000000000":
        return None
    return digits


def shown(mac: str) -> str:
    """As people read it on a label: `00:15:65:A1:B2:C3`."""
    return ":".join(mac[place : place + 2] for place in range(0, len(mac), 2)).upper()
