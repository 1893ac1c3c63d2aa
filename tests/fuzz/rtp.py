"""Authentic packets of a hostile sender, through the relay to the other party."""

from collections.abc import Iterator

from avisiod.gateway import retransmission, rtp
from avisiod.gateway.leg import Codec, Kind, MediaLine
from avisiod.gateway.losses import Losses
from avisiod.gateway.reception import Reception
from avisiod.gateway.relay import OutStream, Path
from tests.fuzz.common import packed, pieces
from tests.gateway.rtp_source import pictures, video_packets

MAX_OCTETS = 20_000
AUDIO = MediaLine(kind=Kind.AUDIO, codec=Codec(name="PCMA", payload_type=8, clock_rate=8000), event_payload_type=101)
VIDEO = MediaLine(kind=Kind.VIDEO, codec=Codec(name="H264", payload_type=99, clock_rate=90000))
STEPS_S = (0.0, 0.001, 0.02, 0.5, 2.0, 11.0, 100.0, 4000.0)


def seeds() -> Iterator[bytes]:
    """A second of pictures; sound with an event, a CSRC list and an extension."""
    video = [packet for frame in video_packets(list(pictures(6))) for packet in frame]
    yield b"\x01" + packed(b"\x01" + packet for packet in video)
    yield b"\x00" + packed(
        b"\x02" + rtp.packet(b"x" * 40, payload_type=kind, sequence=65533 + n & 0xFFFF, timestamp=160 * n, ssrc=7)
        for n, kind in enumerate((8, 8, 101, 101, 8, 13, 8))
    )
    yield b"\x00" + packed(
        [b"\x00" + bytes.fromhex("92080102 00000a00 11223344 0000000a 0000000b bede0001 10ff0000") + b"payload"]
    )


def one(data: bytes) -> None:
    """What leaves is well-formed RTP of our one stream, whatever came."""
    line = VIDEO if data[:1] > b"\x7f" or data[:1] == b"\x01" else AUDIO
    kind, rate = line.kind, line.codec.clock_rate
    stream, reception = OutStream(kind, rate, 7, 65530, 0), Reception(kind, rate)
    stream.translate(line, line)
    kept = stream.keep()
    reception.losses = Losses(asks=True)
    path = Path(kind, stream, reception.count)
    path.repair = reception.repaired
    sent: list[bytes] = []
    path.open(1e9, lambda _kind, packet: sent.append(bytes(packet)), lambda _packet, _at: None)
    now = 100.0
    for piece in pieces(data[1:]):
        now += STEPS_S[piece[0] & 7] if piece else 0.0
        packet = piece[1:]
        if not rtp.is_valid(packet):
            continue
        if piece[0] & 8:
            packet = retransmission.original(packet, line.codec.payload_type, 7)
            if packet is not None:
                path.repaired(packet, now)
            continue
        path.packet(packet, now)
        reception.block(now)
        if reception.ssrc is not None:
            reception.losses.look(reception.extended, now, 0.1)
    _well_formed(sent, line)
    assert sum(map(len, kept)) <= 256 * 3000


def _well_formed(sent: list[bytes], line: MediaLine) -> None:
    for packet in sent:
        assert rtp.ssrc(packet) == 7
        assert rtp.payload_type(packet) in (line.codec.payload_type, line.event_payload_type)
        assert rtp.header_length(packet) == 12
        assert rtp.is_valid(packet), "a receiver would refuse it"
