"""RTCP: what this gateway reads and writes (RFC 3550 section 6, RFC 4585, RFC 5104, REMB).

`parse` takes a compound packet, also a reduced-size one (RFC 5506), and returns the packets it knows; kinds that it
does not know are skipped. It is strict about framing: ValueError with an exact sentence where the lengths do not fit,
because nothing behind such a place can be trusted.
"""

import struct
from collections.abc import Iterator, Sequence

import msgspec

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
NACK_FORMAT, TMMBR_FORMAT, TMMBN_FORMAT = 1, 3, 4
PLI_FORMAT, FIR_FORMAT, AFB_FORMAT = 1, 4, 15

_HEAD = struct.Struct("!BBH")
_WORD = struct.Struct("!I")
_TWO_WORDS = struct.Struct("!II")
_BLOCK = struct.Struct("!IIIIII")
_SENDER = struct.Struct("!IQIII")
_PID_BLP = struct.Struct("!HH")
_CNAME = 1
_MAX_COUNT = 31


class ReportBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What one receiver tells of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the last report."""
    lost: int
    """Since the beginning; signed 24 bits, negative with duplicates."""
    highest_sequence: int
    """Extended: cycles in the upper 16 bits."""
    jitter: int
    """In units of the codec's clock."""
    last_sr: int
    """Middle 32 bits of the NTP time of the last SR; 0 where none came."""
    delay_since_last_sr: int
    """In units of 1/65536 s."""

    def to_bytes(self) -> bytes:
        """24 octets."""
        lost = min(max(self.lost, -(1 << 23)), (1 << 23) - 1) & 0xFFFFFF
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        )


class SenderReport(msgspec.Struct, frozen=True, kw_only=True):
    """SR (RFC 3550 section 6.4.1)."""

    ssrc: int
    ntp: int
    """64 bits, seconds since 1900 in units of 2^-32 s."""
    rtp: int
    packets: int
    octets: int
    """Payload only."""
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        sender = _SENDER.pack(self.ssrc, self.ntp, self.rtp, self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF)
        return _packet(SR, len(self.blocks), sender + b"".join(block.to_bytes() for block in self.blocks))


class ReceiverReport(msgspec.Struct, frozen=True, kw_only=True):
    """RR (RFC 3550 section 6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        body = _WORD.pack(self.ssrc) + b"".join(block.to_bytes() for block in self.blocks)
        return _packet(RR, len(self.blocks), body)


class SourceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """SDES with the CNAME of each source (RFC 3550 section 6.5); other items are not kept."""

    cnames: tuple[tuple[int, str], ...]

    def to_bytes(self) -> bytes:
        """One RTCP packet. ValueError where a CNAME has more than 255 octets."""
        body = b""
        for ssrc, cname in self.cnames:
            text = cname.encode()
            if len(text) > 255:
                raise ValueError(f"a CNAME of {len(text)} octets is longer than 255")
            chunk = _WORD.pack(ssrc) + bytes((_CNAME, len(text))) + text
            body += chunk + bytes(4 - len(chunk) % 4)  # at least one null ends the items
        return _packet(SDES, len(self.cnames), body)


class Goodbye(msgspec.Struct, frozen=True, kw_only=True):
    """BYE (RFC 3550 section 6.6)."""

    ssrcs: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        return _packet(BYE, len(self.ssrcs), b"".join(_WORD.pack(ssrc) for ssrc in self.ssrcs))


class Nack(msgspec.Struct, frozen=True, kw_only=True):
    """Generic NACK (RFC 4585 section 6.2.1)."""

    sender: int
    media: int
    lost: tuple[int, ...]
    """Sequence numbers."""

    def to_bytes(self) -> bytes:
        """One RTCP packet; sequence numbers close to each other share a word."""
        return _feedback(RTPFB, NACK_FORMAT, self.sender, self.media, b"".join(_nack_words(self.lost)))


class Tmmbr(msgspec.Struct, frozen=True, kw_only=True):
    """Temporary Maximum Media Stream Bit Rate Request (RFC 5104 section 4.2.1), with one entry."""

    sender: int
    media: int
    """Who is asked to send less."""
    bitrate: int
    """Bit/s, rounded down to 17 bits of mantissa."""
    overhead: int = 40
    """Octets of IP, UDP and RTP header that the rate counts."""

    def to_bytes(self, fmt: int = TMMBR_FORMAT) -> bytes:
        """One RTCP packet."""
        exponent = max(0, self.bitrate.bit_length() - 17)
        word = exponent << 26 | self.bitrate >> exponent << 9 | self.overhead
        return _feedback(RTPFB, fmt, self.sender, 0, _TWO_WORDS.pack(self.media, word))


class Tmmbn(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a TMMBR (RFC 5104 section 4.2.2): its limit is taken. Only written, never read."""

    sender: int
    asker: int
    """Who asked for the limit."""
    bitrate: int
    overhead: int

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        limit = Tmmbr(sender=self.sender, media=self.asker, bitrate=self.bitrate, overhead=self.overhead)
        return limit.to_bytes(TMMBN_FORMAT)


class PictureLoss(msgspec.Struct, frozen=True, kw_only=True):
    """PLI (RFC 4585 section 6.3.1)."""

    sender: int
    media: int

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        return _feedback(PSFB, PLI_FORMAT, self.sender, self.media, b"")


class FullIntraRequest(msgspec.Struct, frozen=True, kw_only=True):
    """FIR (RFC 5104 section 4.3.1)."""

    sender: int
    entries: tuple[tuple[int, int], ...]
    """SSRC that is asked, and the sequence number of the request, 8 bits."""

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        body = b"".join(_TWO_WORDS.pack(ssrc, number << 24) for ssrc, number in self.entries)
        return _feedback(PSFB, FIR_FORMAT, self.sender, 0, body)


class Remb(msgspec.Struct, frozen=True, kw_only=True):
    """Receiver Estimated Maximum Bitrate (draft-alvestrand-rmcat-remb-03)."""

    sender: int
    bitrate: int
    """Bit/s, rounded down to 18 bits of mantissa."""
    ssrcs: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """One RTCP packet."""
        exponent = max(0, self.bitrate.bit_length() - 18)
        word = len(self.ssrcs) << 24 | exponent << 18 | self.bitrate >> exponent
        body = b"REMB" + _WORD.pack(word) + b"".join(_WORD.pack(ssrc) for ssrc in self.ssrcs)
        return _feedback(PSFB, AFB_FORMAT, self.sender, 0, body)


Packet = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | Nack
    | Tmmbr
    | Tmmbn
    | PictureLoss
    | FullIntraRequest
    | Remb
)


def is_rtcp(packet: bytes) -> bool:
    """Whether a packet that shares a port with RTP is RTCP (RFC 5761 section 4)."""
    return len(packet) >= 8 and packet[0] & 0xC0 == 0x80 and 192 <= packet[1] <= 223


def build(*packets: Packet) -> bytes:
    """A compound packet of these, in this order; RFC 3550 wants a report first and SDES second."""
    return b"".join(packet.to_bytes() for packet in packets)


def parse(compound: bytes) -> list[Packet]:
    """Every packet of the compound that is known here. ValueError where its framing is wrong."""
    found: list[Packet] = []
    for kind, count, body in _split(compound):
        packet = _read(kind, count, body)
        if packet is not None:
            found.append(packet)
    return found


def _split(compound: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, count and body of each packet."""
    size = len(compound)
    if size < 4:
        raise ValueError(f"RTCP of {size} octets is shorter than a header")
    at = 0
    while at < size:
        if size - at < 4:
            raise ValueError(f"RTCP ends with {size - at} octets, which is no header")
        first, kind, words = _HEAD.unpack_from(compound, at)
        if first >> 6 != 2:
            raise ValueError(f"RTCP version is {first >> 6} and not 2 at octet {at}")
        end = at + 4 + 4 * words
        if end > size:
            raise ValueError(f"RTCP packet of type {kind} at octet {at} ends {end - size} octets behind the end")
        body_end = end
        if first & 0x20:
            if end != size or not words or not 0 < compound[-1] <= 4 * words:
                raise ValueError(f"RTCP padding at octet {at} is not at the end or does not fit")
            body_end -= compound[-1]
        yield kind, first & 0x1F, compound[at + 4 : body_end]
        at = end


def _read(kind: int, count: int, body: bytes) -> Packet | None:
    match kind:
        case 200:
            _need(body, 24 + 24 * count, "SR")
            ssrc, ntp, rtp, packets, octets = _SENDER.unpack_from(body)
            return SenderReport(
                ssrc=ssrc, ntp=ntp, rtp=rtp, packets=packets, octets=octets, blocks=_blocks(body, 24, count)
            )
        case 201:
            _need(body, 4 + 24 * count, "RR")
            return ReceiverReport(ssrc=_WORD.unpack_from(body)[0], blocks=_blocks(body, 4, count))
        case 202:
            return SourceDescription(cnames=tuple(_cnames(body, count)))
        case 203:
            _need(body, 4 * count, "BYE")
            return Goodbye(ssrcs=_words(body, 0, count))
        case 205 | 206:
            return _read_feedback(kind, count, body)
    return None


def _read_feedback(kind: int, fmt: int, body: bytes) -> Packet | None:
    _need(body, 8, "feedback")
    sender, media = _TWO_WORDS.unpack_from(body)
    if kind == RTPFB and fmt == NACK_FORMAT:
        return Nack(sender=sender, media=media, lost=tuple(_lost(body)))
    if kind == RTPFB and fmt == TMMBR_FORMAT:
        _need(body, 16, "TMMBR")
        asked, word = _TWO_WORDS.unpack_from(body, 8)
        return Tmmbr(sender=sender, media=asked, bitrate=(word >> 9 & 0x1FFFF) << (word >> 26), overhead=word & 0x1FF)
    if kind == PSFB and fmt == PLI_FORMAT:
        return PictureLoss(sender=sender, media=media)
    if kind == PSFB and fmt == FIR_FORMAT:
        words = _words(body, 8, (len(body) - 8) // 8 * 2)
        return FullIntraRequest(
            sender=sender, entries=tuple((words[i], words[i + 1] >> 24) for i in range(0, len(words), 2))
        )
    if kind == PSFB and fmt == AFB_FORMAT and body[8:12] == b"REMB":
        _need(body, 16, "REMB")
        word = _WORD.unpack_from(body, 12)[0]
        _need(body, 16 + 4 * (word >> 24), "REMB")
        bitrate = (word & 0x3FFFF) << (word >> 18 & 0x3F)
        return Remb(sender=sender, bitrate=bitrate, ssrcs=_words(body, 16, word >> 24))
    return None


def _need(body: bytes, size: int, name: str) -> None:
    if len(body) < size:
        raise ValueError(f"RTCP {name} has {len(body)} octets after its header and needs {size}")


def _words(body: bytes, offset: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"!{count}I", body, offset)


def _blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    return tuple(
        ReportBlock(
            ssrc=ssrc,
            fraction_lost=loss >> 24,
            lost=(loss & 0xFFFFFF) - ((loss & 0x800000) << 1),
            highest_sequence=highest,
            jitter=jitter,
            last_sr=last_sr,
            delay_since_last_sr=delay,
        )
        for ssrc, loss, highest, jitter, last_sr, delay in _BLOCK.iter_unpack(body[offset : offset + 24 * count])
    )


def _cnames(body: bytes, count: int) -> Iterator[tuple[int, str]]:
    at = 0
    for _ in range(count):
        _need(body, at + 5, "SDES")
        ssrc = _WORD.unpack_from(body, at)[0]
        at += 4
        while at < len(body) and body[at]:
            _need(body, at + 2, "SDES")
            kind, size = body[at], body[at + 1]
            _need(body, at + 2 + size, "SDES")
            if kind == _CNAME:
                yield ssrc, body[at + 2 : at + 2 + size].decode("utf-8", "replace")
            at += 2 + size
        at += 4 - at % 4


def _lost(body: bytes) -> Iterator[int]:
    for pid, bitmask in _PID_BLP.iter_unpack(body[8 : len(body) - len(body) % 4]):
        yield pid
        for bit in range(16):
            if bitmask >> bit & 1:
                yield (pid + bit + 1) & 0xFFFF


def _nack_words(lost: Sequence[int]) -> Iterator[bytes]:
    """PID and BLP words for these sequence numbers, in their order."""
    pid: int | None = None
    bitmask = 0
    for number in lost:
        if pid is not None and 1 <= (number - pid) & 0xFFFF <= 16:
            bitmask |= 1 << ((number - pid - 1) & 0xFFFF)
            continue
        if pid is not None:
            yield _PID_BLP.pack(pid, bitmask)
        pid, bitmask = number, 0
    if pid is not None:
        yield _PID_BLP.pack(pid, bitmask)


def _feedback(kind: int, fmt: int, sender: int, media: int, body: bytes) -> bytes:
    return _packet(kind, fmt, _TWO_WORDS.pack(sender, media) + body)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    if count > _MAX_COUNT:
        raise ValueError(f"an RTCP packet of type {kind} holds at most {_MAX_COUNT} entries, not {count}")
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body
