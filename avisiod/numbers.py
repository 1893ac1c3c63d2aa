"""Telephone numbers as people write and dial them, and as the daemon knows them: E.164."""

import phonenumbers

from avisiod.calls.ids import Number

_DIALLED = frozenset("0123456789+ .-/()\u00a0\u202f\t")
_LONGEST = 32
"""A number has at most 15 digits (ITU-T E.164); what is much longer is not worth a look."""


def dialled_number(text: str, region: str) -> Number | None:
    """Read what was dialled or written in `region` (ISO 3166): `0612345678`, `0033…`, `+33…`, spaces and dots.

    None for anything else: service codes with `*` or `#`, letters, short numbers, extensions, and lengths that
    no person's line has there. Whether the block is in use is not asked: numbering plans change more often than
    programs, and only listed contacts are called anyway.
    """
    if len(text) > _LONGEST or not _DIALLED.issuperset(text):
        return None
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not (phonenumbers.is_valid_number(parsed) or _may_exist(parsed)):
        return None
    return Number(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _may_exist(parsed: phonenumbers.PhoneNumber) -> bool:
    if parsed.italian_leading_zero:  # a trunk prefix that was kept because what follows it is no number
        return False
    line = phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE
    length = phonenumbers.is_possible_number_for_type_with_reason(parsed, line)
    return length == phonenumbers.ValidationResult.IS_POSSIBLE
