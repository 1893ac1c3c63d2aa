"""The two PDUs a sender of codes needs (3GPP TS 23.040): SMS-SUBMIT out, SMS-STATUS-REPORT in.

PDU mode, not text mode: there validity, report request and alphabet stand in the message itself, the same on every
modem, instead of in AT+CSMP and AT+CSCS, whose support and defaults differ.
"""

import dataclasses
import re

from avisiod.devices import gsm_text
from avisiod.devices.gsm_text import Coding

_SUBMIT = 0x01
_RELATIVE_VALIDITY = 0x10
_REPORT_REQUEST = 0x20
_STATUS_REPORT = 0x02
_TYPE_MASK = 0x03
_INTERNATIONAL = 0x91
_TIMESTAMP_OCTETS = 7
_E164 = re.compile(r"\+[1-9][0-9]{3,14}", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Submit:
    """A message ready for AT+CMGS. It holds number and code, so its repr shows neither."""

    hex: str = dataclasses.field(repr=False)
    """The SMSC's length octet (0: the SIM's own SMSC) and the TPDU."""
    length: int
    """Octets of the TPDU, as AT+CMGS wants them: without the SMSC."""


@dataclasses.dataclass(frozen=True, slots=True)
class StatusReport:
    """What became of a message (TP-ST, TS 23.040 section 9.2.3.15)."""

    reference: int
    status: int

    @property
    def final(self) -> bool:
        """False while the network goes on trying."""
        return not 0x20 <= self.status < 0x40

    @property
    def delivered(self) -> bool:
        """The telephone has it (or it replaced an older one, or was handed to a network that tells no more)."""
        return self.status < 0x20


def submit(number: str, text: str, *, valid_s: float, report: bool) -> Submit:
    """Code a message of one part. `number` is E.164; ValueError, quoting neither, where it or the text cannot go."""
    if not _E164.fullmatch(number):
        raise ValueError("the number is not E.164: + and 4 to 15 digits")
    fit = gsm_text.fit(text)
    if not fit.one_part:
        raise ValueError(f"the text takes {fit.units} {fit.coding.name} units: more than one part")
    if fit.coding is Coding.GSM7:
        user_data = gsm_text.packed(gsm_text.septets(text))
        user_data_length = fit.units
    else:
        user_data = gsm_text.ucs2(text)
        user_data_length = len(user_data)
    digits = number[1:]
    tpdu = bytes(
        [
            _SUBMIT | _RELATIVE_VALIDITY | (_REPORT_REQUEST if report else 0),
            0,  # TP-MR: the modem numbers the message itself
            len(digits),
            _INTERNATIONAL,
            *semi_octets(digits),
            0,  # TP-PID: a plain message
            fit.coding,
            relative_validity(valid_s),
            user_data_length,
            *user_data,
        ]
    )
    return Submit(hex="00" + tpdu.hex().upper(), length=len(tpdu))


def relative_validity(valid_s: float) -> int:
    """TP-VP, relative (TS 23.040 section 9.2.3.12.1): the longest step that is not above `valid_s`.

    The shortest that exists is 5 minutes.
    """
    minutes = valid_s / 60
    if minutes < 12 * 60 + 30:
        return min(143, max(0, int(minutes / 5) - 1))  # 143 is 12 hours, 144 half an hour more
    if minutes < 2 * 24 * 60:
        return min(167, 143 + int((minutes - 12 * 60) / 30))
    days = minutes / (24 * 60)
    return min(196, 166 + int(days)) if days < 35 else min(255, 192 + int(days / 7))


def semi_octets(digits: str) -> bytes:
    """Digits, two an octet with the first one low, filled with F."""
    padded = digits + "F" * (len(digits) % 2)
    return bytes(int(padded[i + 1] + padded[i], 16) for i in range(0, len(padded), 2))


def status_report_from(text: str) -> StatusReport:
    """Decode the PDU of a +CDS, SMSC in front; ValueError, without the number that it holds, when it is none."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise ValueError("the PDU is not hexadecimal") from None
    if not octets:
        raise ValueError("the PDU is empty")
    tpdu = octets[1 + octets[0] :]
    if len(tpdu) < 3:
        raise ValueError("the PDU is cut short")
    if tpdu[0] & _TYPE_MASK != _STATUS_REPORT:
        raise ValueError("the PDU is not an SMS-STATUS-REPORT")
    status_at = 4 + (tpdu[2] + 1) // 2 + 2 * _TIMESTAMP_OCTETS
    if len(tpdu) <= status_at:
        raise ValueError("the PDU is cut short")
    return StatusReport(reference=tpdu[1], status=tpdu[status_at])
