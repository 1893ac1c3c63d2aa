"""Text as an SMS carries it: the GSM 7-bit default alphabet (3GPP TS 23.038 section 6.2.1) or UCS-2."""

import dataclasses
import enum

GSM_PART = 160
"""Septets in a message of one part."""
UCS2_PART = 70
"""UTF-16 code units in a message of one part."""

_ESCAPE = 0x1B
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_SEPTETS = {char: bytes([code]) for code, char in enumerate(_BASIC) if code != _ESCAPE} | {
    char: bytes([_ESCAPE, code]) for char, code in _EXTENSION.items()
}
_EXTENDED = {code: char for char, code in _EXTENSION.items()}


class Coding(enum.IntEnum):
    """How the text is coded; the value is TP-DCS (TS 23.038 section 4)."""

    GSM7 = 0x00
    UCS2 = 0x08


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """What a text costs: `units` septets (GSM7) or UTF-16 code units (UCS2)."""

    coding: Coding
    units: int

    @property
    def one_part(self) -> bool:
        """Whether it goes out as a single message."""
        return self.units <= (GSM_PART if self.coding is Coding.GSM7 else UCS2_PART)


def fit(text: str) -> Fit:
    """Choose GSM7 where every character allows it, else UCS2, and count."""
    if is_gsm(text):
        return Fit(Coding.GSM7, len(septets(text)))
    return Fit(Coding.UCS2, len(ucs2(text)) // 2)


def is_gsm(text: str) -> bool:
    """Whether every character is in the default alphabet or its extension table."""
    return all(char in _SEPTETS for char in text)


def septets(text: str) -> bytes:
    """Code a text, one septet a byte, extension characters as two; ValueError outside of the alphabet."""
    try:
        return b"".join(_SEPTETS[char] for char in text)
    except KeyError:
        raise ValueError("the text has a character outside of the GSM 7-bit alphabet") from None


def text_from_septets(data: bytes) -> str:
    """Decode; an unknown extension shows the character of the basic table, as TS 23.038 asks, and ESC a space."""
    chars: list[str] = []
    escaped = False
    for code in data:
        if escaped:
            chars.append(_EXTENDED.get(code, " " if code == _ESCAPE else _BASIC[code & 0x7F]))
            escaped = False
        elif code == _ESCAPE:
            escaped = True
        else:
            chars.append(_BASIC[code & 0x7F])
    return "".join(chars)


def packed(data: bytes) -> bytes:
    """Eight septets into seven octets, least significant bit first (TS 23.038 section 6.1.2.1.1)."""
    bits = sum(septet << (7 * index) for index, septet in enumerate(data))
    return bits.to_bytes((len(data) * 7 + 7) // 8, "little")


def unpacked(data: bytes, count: int) -> bytes:
    """`count` septets out of packed octets; ValueError where the octets are too few."""
    if count * 7 > len(data) * 8:
        raise ValueError(f"{count} septets do not fit in {len(data)} octets")
    bits = int.from_bytes(data, "little")
    return bytes(bits >> (7 * index) & 0x7F for index in range(count))


def ucs2(text: str) -> bytes:
    """Big-endian UTF-16, which every telephone reads in place of UCS-2; ValueError for a lone surrogate."""
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError:
        # The original error would carry the text, and with it the code.
        raise ValueError("the text has half a surrogate pair") from None
