"""Keys of SRTP as session descriptions carry them (RFC 4568): a=crypto read, chosen and written. Pure.

Keys stand in clear text in SDP, so they are worth something only where the signalling is encrypted. Nothing here
puts one into a sentence or a repr.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence

import msgspec

KEY_OCTETS: Mapping[str, int] = {
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""The suites that libsrtp has, and the length of master key and salt together (RFC 4568 section 6.2, RFC 7714
section 14.2); the best first, as we offer them."""

_LINE = re.compile(r"([0-9]{1,9})[ \t]+([!-~]+)[ \t]+([!-~]+)((?:[ \t]+[!-~]+)*)[ \t]*", re.ASCII)
_INLINE = re.compile(r"inline:([A-Za-z0-9+/]+={0,2})(?:\|(?:2\^)?[0-9]+)?", re.ASCII | re.IGNORECASE)
_HARMLESS = re.compile(r"WSH=[0-9]+|KDR=0|-[!-~]+", re.ASCII | re.IGNORECASE)
"""Session parameters that change nothing here: the replay window's size is a hint, and what begins with - may be
passed over (RFC 4568 section 6.3). Others weaken or change SRTP."""


class Crypto(msgspec.Struct, frozen=True):
    """One a=crypto line."""

    tag: int
    suite: str
    key: bytes
    """Master key, then master salt."""

    def __repr__(self) -> str:
        return f"Crypto({self.tag}, {self.suite})"

    def line(self) -> str:
        """Without line end."""
        return f"a=crypto:{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"

    def tagged(self, tag: int) -> "Crypto":
        """The same key under another tag."""
        return msgspec.structs.replace(self, tag=tag)

    def is_same(self, other: "Crypto") -> bool:
        """Whether both are the same key, whatever their tags."""
        return (self.suite, self.key) == (other.suite, other.key)


class Keys(msgspec.Struct, frozen=True):
    """What was agreed for one m-line."""

    ours: Crypto
    """Of what we send."""
    theirs: Crypto
    """Of what the phone sends."""


def fresh() -> tuple[Crypto, ...]:
    """Keys that nobody has seen yet, one for each suite, as an offer of ours numbers them."""
    return tuple(
        Crypto(tag, suite, secrets.token_bytes(size)) for tag, (suite, size) in enumerate(KEY_OCTETS.items(), start=1)
    )


def read(values: Sequence[str]) -> tuple[list[Crypto], list[str]]:
    """The usable lines of an m-line in the phone's order, and for each other one what is wrong with it.

    How many packets a key may live is not kept: 2^20 packets, the least that phones write, are hours of sound.
    """
    usable: list[Crypto] = []
    faults: list[str] = []
    for value in values:
        try:
            usable.append(_read(value))
        except ValueError as fault:
            faults.append(str(fault))
    return usable, faults


def _read(value: str) -> Crypto:
    found = _LINE.fullmatch(value)
    if not found:
        raise ValueError("a=crypto is not of the form tag suite key")
    tag, suite, key, parameters = int(found[1]), found[2].upper(), found[3], found[4].split()
    if suite not in KEY_OCTETS:
        raise ValueError(f"the suite {suite[:40]} is not known")
    for parameter in parameters:
        if not _HARMLESS.fullmatch(parameter):
            raise ValueError(f"the session parameter {parameter.partition('=')[0][:40]} is not taken")
    inline = _INLINE.fullmatch(key)
    if not inline:
        raise ValueError("the key is not one inline key without MKI")
    try:
        octets = base64.b64decode(inline[1], validate=True)
    except binascii.Error:
        raise ValueError("the key is not base64") from None
    if len(octets) != KEY_OCTETS[suite]:
        raise ValueError(f"the key has {len(octets)} octets, {suite} takes {KEY_OCTETS[suite]}")
    return Crypto(tag, suite, octets)
