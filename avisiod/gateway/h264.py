"""H.264 as SDP and RTP carry it (RFC 6184): profiles compared by meaning, and what a packet holds."""

import base64
import binascii
import enum
from collections.abc import Iterator

SLICE_IDR = 5
SEI = 6
SPS = 7
PPS = 8
STAP_A = 24
FU_A = 28

DEFAULT_PROFILE_LEVEL_ID = "42000a"
"""What an absent profile-level-id means: baseline, level 1 (RFC 6184 section 8.1)."""
DEFAULT_LEVEL = 31
"""Level 3.1, 1280x720 at 30 frames a second: what browsers offer."""


class Profile(enum.Enum):
    """Profiles that phones and browsers use."""

    CONSTRAINED_BASELINE = "constrained baseline"
    BASELINE = "baseline"
    EXTENDED = "extended"
    MAIN = "main"
    CONSTRAINED_HIGH = "constrained high"
    HIGH = "high"


_PATTERNS = (
    # profile_idc, mask and value of profile_iop (RFC 6184 table 5; constrained high: H.264 section A.2.4.2)
    (0x42, 0x4F, 0x40, Profile.CONSTRAINED_BASELINE),
    (0x4D, 0x8F, 0x80, Profile.CONSTRAINED_BASELINE),
    (0x58, 0xCF, 0xC0, Profile.CONSTRAINED_BASELINE),
    (0x42, 0x4F, 0x00, Profile.BASELINE),
    (0x58, 0xCF, 0x80, Profile.BASELINE),
    (0x58, 0xCF, 0x00, Profile.EXTENDED),
    (0x4D, 0x8F, 0x00, Profile.MAIN),
    (0x64, 0x0F, 0x0C, Profile.CONSTRAINED_HIGH),
    (0x64, 0x0F, 0x00, Profile.HIGH),
)

# Real encoders leave out what sets baseline apart from its constrained form (FMO, ASO, redundant slices), and real
# decoders of one take the other: for us they are the same.
_DECODES = {
    Profile.CONSTRAINED_BASELINE: (Profile.CONSTRAINED_BASELINE, Profile.BASELINE),
    Profile.BASELINE: (Profile.CONSTRAINED_BASELINE, Profile.BASELINE),
    Profile.EXTENDED: (Profile.CONSTRAINED_BASELINE, Profile.BASELINE),
    Profile.MAIN: (Profile.MAIN, Profile.CONSTRAINED_BASELINE, Profile.BASELINE),
    Profile.CONSTRAINED_HIGH: (Profile.CONSTRAINED_HIGH, Profile.CONSTRAINED_BASELINE, Profile.BASELINE),
    Profile.HIGH: (
        Profile.HIGH,
        Profile.CONSTRAINED_HIGH,
        Profile.MAIN,
        Profile.CONSTRAINED_BASELINE,
        Profile.BASELINE,
    ),
}


def profile(profile_level_id: str) -> Profile | None:
    """The profile that six hexadecimal digits stand for; None where they are none or an unknown one."""
    octets = _octets(profile_level_id)
    if octets is None:
        return None
    for idc, mask, value, meaning in _PATTERNS:
        if octets[0] == idc and octets[1] & mask == value:
            return meaning
    return None


def level(profile_level_id: str) -> int:
    """Level times ten, 9 for level 1b; 10 where it cannot be read."""
    octets = _octets(profile_level_id)
    if octets is None:
        return 10
    if octets[2] == 11 and octets[1] & 0x10 and octets[0] in (0x42, 0x4D, 0x58):
        return 9
    return octets[2]


def with_level(profile_level_id: str, ceiling: int) -> str:
    """The same profile with its level lowered to `ceiling` (times ten) where it is higher."""
    if level(profile_level_id) <= ceiling:
        return profile_level_id.lower()
    octets = bytearray(_octets(profile_level_id) or bytes.fromhex(DEFAULT_PROFILE_LEVEL_ID))
    octets[1] &= 0xEF  # constraint_set3 would make level 1.1 to 1b
    octets[2] = ceiling
    if ceiling == 9:
        octets[1] |= 0x10
        octets[2] = 11
    return octets.hex()


def sendable(receiver: Profile) -> tuple[Profile, ...]:
    """Profiles that a decoder of this profile takes, the best first; of the two baselines the constrained."""
    return _DECODES[receiver]


def packetization_mode(fmtp: dict[str, str]) -> int:
    """0, 1 or 2; absent or unreadable means 0 (RFC 6184 section 8.1)."""
    return {"1": 1, "2": 2}.get(fmtp.get("packetization-mode", "0"), 0)


def parameter_sets(fmtp: dict[str, str]) -> tuple[bytes, ...]:
    """SPS and PPS of sprop-parameter-sets, as NAL units; what cannot be read is left out."""
    found = []
    for part in fmtp.get("sprop-parameter-sets", "").split(","):
        try:
            unit = base64.b64decode(part, validate=True)
        except (binascii.Error, ValueError):
            continue
        if unit and unit[0] & 0x1F in (SPS, PPS):
            found.append(unit)
    return tuple(found)


def starts_keyframe(packet: bytes, offset: int) -> bool:
    """Whether this RTP packet, its payload at `offset`, carries the beginning of an IDR slice or an SPS.

    Encoders put SPS, PPS and IDR in one access unit, so several packets of one keyframe may say yes: count by
    timestamp.
    """
    if len(packet) <= offset:
        return False
    kind = packet[offset] & 0x1F
    if kind in (SLICE_IDR, SPS):
        return True
    if kind == FU_A:
        return len(packet) > offset + 1 and packet[offset + 1] & 0x9F in (0x80 | SLICE_IDR, 0x80 | SPS)
    if kind == STAP_A:
        return any(packet[start] & 0x1F in (SLICE_IDR, SPS) for start, _ in _aggregated(packet, offset))
    return False


def is_keyframe(packet: bytes, offset: int) -> bool:
    """Whether this RTP packet, its payload at `offset`, carries the beginning of an IDR slice itself."""
    if len(packet) <= offset:
        return False
    kind = packet[offset] & 0x1F
    if kind == FU_A:
        return len(packet) > offset + 1 and packet[offset + 1] & 0x9F == 0x80 | SLICE_IDR
    if kind == STAP_A:
        return any(packet[start] & 0x1F == SLICE_IDR for start, _ in _aggregated(packet, offset))
    return kind == SLICE_IDR


def parameter_sets_of(packet: bytes, offset: int) -> tuple[bytes, ...]:
    """SPS and PPS that this RTP packet carries whole, as NAL units."""
    if len(packet) <= offset:
        return ()
    kind = packet[offset] & 0x1F
    if kind in (SPS, PPS):
        return (packet[offset:],)
    if kind == STAP_A:
        return tuple(
            packet[start:end] for start, end in _aggregated(packet, offset) if packet[start] & 0x1F in (SPS, PPS)
        )
    return ()


def _aggregated(packet: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """Start and end of each NAL unit of a STAP-A; a truncated one ends the walk."""
    at = offset + 1
    while at + 2 < len(packet):
        size = packet[at] << 8 | packet[at + 1]
        at += 2
        if size == 0 or at + size > len(packet):
            return
        yield at, at + size
        at += size


def _octets(profile_level_id: str) -> bytes | None:
    try:
        octets = bytes.fromhex(profile_level_id)
    except ValueError:
        return None
    return octets if len(octets) == 3 and len(profile_level_id) == 6 else None
