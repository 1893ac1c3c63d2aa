"""Offer and answer (RFC 3264) with a SIP phone: RTP or SRTP with keys in SDP (RFC 4568), one codec of each kind."""

import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from avisiod.config.settings import AUDIO_CODECS
from avisiod.gateway import h264
from avisiod.gateway.leg import Codec, Direction, Kind, MediaLine
from avisiod.gateway.phone_keys import PLAIN, SECURE, KeyRules
from avisiod.gateway.sdes import Keys
from avisiod.gateway.sdp import (
    Format,
    Media,
    common_direction,
    event_format,
    fmtp_line,
    joined,
    parse,
    rejected,
    reversed_direction,
    rtpmap,
)
from avisiod.gateway.wire import OfferUnacceptable

VIDEO_KBPS = 1500
"""What we ask phones not to exceed (b=AS): a relative's telephone on a mobile network has to take it."""
PACKET_TIME_MS = 20

_FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr")
_CLASH = range(64, 96)
"""Payload types that look like RTCP where both share a port (RFC 5761 section 4)."""

_OWN_AUDIO = {
    codec.name: codec
    for codec in (
        Codec(name="OPUS", payload_type=96, clock_rate=48000, channels=2, fmtp={"useinbandfec": "1"}),
        Codec(name="G722", payload_type=9, clock_rate=8000),
        Codec(name="PCMA", payload_type=8, clock_rate=8000),
        Codec(name="PCMU", payload_type=0, clock_rate=8000),
    )
}
_OWN_EVENT = 101
_OWN_VIDEO = tuple(
    Codec(
        name="H264",
        payload_type=payload_type,
        clock_rate=90000,
        fmtp={"profile-level-id": "42e01f", "packetization-mode": mode},
    )
    for payload_type, mode in ((99, "1"), (98, "0"))
)


Kept = Mapping[Kind, MediaLine]
"""Lines whose codecs have to stay as they are, because a browser speaks them too; empty where anything goes."""
NOTHING_KEPT: Kept = MappingProxyType({})


class Ports(msgspec.Struct, frozen=True):
    """Our two ports of one kind."""

    rtp: int
    rtcp: int


class OwnSide(msgspec.Struct, frozen=True, kw_only=True):
    """What we announce: the address on the phones' network and our ports."""

    address: str
    ports: dict[Kind, Ports]
    session_id: int
    """Stays the same for the life of the dialogue (RFC 8866 section 5.2)."""
    audio: tuple[str, ...] = AUDIO_CODECS
    """Codecs of sound that are taken, the best first; every browser speaks each of them."""
    keys: KeyRules = KeyRules()
    """Of SRTP."""


class PhoneMedia(msgspec.Struct, frozen=True, kw_only=True):
    """One kind as agreed with the phone, and where the phone wants it."""

    line: MediaLine
    address: str
    """Empty where the phone holds in the old way, with c=0.0.0.0: nothing may be sent."""
    rtp_port: int
    rtcp_address: str
    rtcp_port: int
    """Equal to `rtp_port` where both are multiplexed."""
    rtcp_mux: bool
    packet_time_ms: int
    bandwidth_kbps: int | None
    """What the phone wants to receive at most."""
    keys: Keys | None = None
    """None where packets go in clear text."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed; `text` is the answer to send, empty where the phone's answer ended the exchange."""

    text: str
    media: dict[Kind, PhoneMedia]
    refused: tuple[str, ...]
    """One sentence for every m-line that was refused, for the log."""

    @property
    def lines(self) -> dict[Kind, MediaLine]:
        """The agreed line of each kind."""
        return {kind: media.line for kind, media in self.media.items()}


def answer(offer: str, own: OwnSide, version: int, kept: Kept = NOTHING_KEPT) -> Agreement:
    """Answer the phone's offer; `version` grows with every description of ours in this dialogue.

    One audio line must be acceptable; video is taken where it can be. OfferUnacceptable says what is missing.
    """
    session = parse(offer)
    chosen: dict[Kind, tuple[Media, PhoneMedia]] = {}
    refused = []
    lines = _head(own, version)
    for media in session.media:
        try:
            kind, agreed = _agree(media, own, chosen, kept, own.keys.for_answer)
        except OfferUnacceptable as why:
            refused.append(str(why))
            lines += rejected(media)
            continue
        chosen[kind] = media, agreed
        lines += _answer_lines(media, agreed, own.ports[kind])
    if Kind.AUDIO not in chosen:
        raise OfferUnacceptable("; ".join(refused) or "it has no m=audio")
    return Agreement(
        text=joined(lines), media={kind: agreed for kind, (_, agreed) in chosen.items()}, refused=tuple(refused)
    )


def offer(own: OwnSide, version: int, kept: Kept = NOTHING_KEPT) -> str:
    """An offer of ours, for an INVITE or re-INVITE that carried none. OfferUnacceptable: not without TLS."""
    lines = _head(own, version)
    for kind, all_codecs in (
        (Kind.AUDIO, tuple(_OWN_AUDIO[name] for name in own.audio)),
        (Kind.VIDEO, _OWN_VIDEO),
    ):
        if kind not in own.ports or (kept and kind not in kept):
            continue
        codecs = (_own_codec(kept[kind].codec),) if kept else all_codecs
        payload_types = [codec.payload_type for codec in codecs] + ([_OWN_EVENT] if kind is Kind.AUDIO else [])
        protocol, keys = own.keys.for_offer(kind)
        lines += [f"m={kind} {own.ports[kind].rtp} {protocol} {' '.join(map(str, payload_types))}"]
        lines += _bandwidth(kind)
        for codec in codecs:
            lines += [rtpmap(codec), *fmtp_line(codec.payload_type, codec.fmtp)]
        if kind is Kind.AUDIO:
            lines += [*_event_lines(_OWN_EVENT, 8000), f"a=ptime:{PACKET_TIME_MS}"]
        else:
            lines += [f"a=rtcp-fb:* {feedback}" for feedback in _FEEDBACK]
        lines += [key.line() for key in keys]
        lines += [f"a=rtcp:{own.ports[kind].rtcp}", "a=sendrecv"]
    return joined(lines)


def accept_answer(text: str, own: OwnSide, kept: Kept = NOTHING_KEPT) -> Agreement:
    """Read the phone's answer to an offer of ours. OfferUnacceptable where it leaves no audio."""
    chosen: dict[Kind, tuple[Media, PhoneMedia]] = {}
    refused = []
    for media in parse(text).media:
        try:
            kind, agreed = _agree(media, own, chosen, kept, own.keys.of_answer)
        except OfferUnacceptable as why:
            refused.append(str(why))
            continue
        chosen[kind] = media, agreed
    if Kind.AUDIO not in chosen:
        raise OfferUnacceptable("; ".join(refused) or "it has no m=audio")
    return Agreement(text="", media={kind: agreed for kind, (_, agreed) in chosen.items()}, refused=tuple(refused))


def _agree(
    media: Media,
    own: OwnSide,
    taken: dict[Kind, tuple[Media, PhoneMedia]],
    kept: Kept,
    keys: Callable[[Media, Kind], Keys | None],
) -> tuple[Kind, PhoneMedia]:
    """What to make of one m-line; OfferUnacceptable says why it is refused."""
    if media.kind not in tuple(Kind):
        raise OfferUnacceptable(f"{media}: this kind of media is not taken")
    kind = Kind(media.kind)
    if media.port == 0:
        raise OfferUnacceptable(f"{media}: the phone has switched it off with port 0")
    if media.protocol not in PLAIN + SECURE:
        raise OfferUnacceptable(
            f"{media}: the protocol {media.protocol} is not supported, let the phone offer RTP/AVP or RTP/SAVP"
        )
    if kind in taken:
        raise OfferUnacceptable(f"{media}: a second m-line of the same kind is not taken")
    if kind not in own.ports:
        raise OfferUnacceptable(f"{media}: no port of ours is set aside for it")
    if kept and kind not in kept:
        raise OfferUnacceptable(f"{media}: the call goes on without {kind}, as it was agreed with the browser")
    address = _usable_address(media, own)
    formats = _allowed(media, kept.get(kind))
    chosen = _audio_format(media, formats, own.audio) if kind is Kind.AUDIO else _video_format(media, formats)
    return kind, _phone_media(kind, media, chosen, address, keys(media, kind))


def _usable_address(media: Media, own: OwnSide) -> str:
    if not media.address:
        raise OfferUnacceptable(f"{media}: no c= line says where it is")
    address = ipaddress.ip_address(media.address)
    if address.version != ipaddress.ip_address(own.address).version:
        raise OfferUnacceptable(f"{media}: its address is of IP version {address.version}, ours is not")
    return "" if address.is_unspecified else str(address)


def _allowed(media: Media, kept: MediaLine | None) -> list[Format]:
    """The formats that may be chosen; where a codec is kept, those that mean the same."""
    formats = [each for each in media.formats if each.payload_type not in _CLASH]
    if kept is None:
        return formats
    formats = [each for each in formats if _meaning(each.codec()) == _meaning(kept.codec)]
    if not formats:
        raise OfferUnacceptable(f"{media}: {kept.codec.name} as the browser speaks it is not offered any more")
    return formats


def _meaning(codec: Codec) -> tuple[object, ...]:
    """What has to be the same for packets to pass from one leg to the other."""
    if codec.name != "H264":
        return (codec.name,)
    profile = h264.profile(codec.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID))
    return codec.name, profile, h264.packetization_mode(codec.fmtp)


def _audio_format(media: Media, formats: list[Format], preferred: tuple[str, ...]) -> Format:
    """Nothing is transcoded, so the site's preference counts, not the phone's: browsers speak each of them."""
    for name in preferred:
        for each in formats:
            if each.name == name:
                return each
    raise OfferUnacceptable(f"{media}: none of {', '.join(preferred)} is offered")


def _video_format(media: Media, formats: list[Format]) -> Format:
    """The H264 that most browsers take: constrained baseline before other profiles, mode 1 before mode 0."""
    best: tuple[tuple[int, int], Format] | None = None
    for each in formats:
        if each.name != "H264":
            continue
        profile = h264.profile(each.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID))
        mode = h264.packetization_mode(each.fmtp)
        if profile is None or mode == 2:  # mode 2 interleaves, which no browser takes
            continue
        rank = list(h264.Profile).index(profile), -mode
        if best is None or rank < best[0]:
            best = rank, each
    if best is None:
        raise OfferUnacceptable(f"{media}: no H264 of a known profile in packetization-mode 0 or 1 is offered")
    return best[1]


def _phone_media(kind: Kind, media: Media, chosen: Format, address: str, keys: Keys | None) -> PhoneMedia:
    event = event_format(media.formats, chosen.clock_rate) if kind is Kind.AUDIO else None
    rtcp_mux = media.flag("rtcp-mux")
    rtcp_port, rtcp_address = (media.port, address) if rtcp_mux else _rtcp_of(media, address)
    return PhoneMedia(
        line=MediaLine(
            kind=kind,
            codec=chosen.codec(),
            direction=_own_direction(media, address),
            event_payload_type=event.payload_type if event else None,
            event_clock_rate=event.clock_rate if event else 8000,
            nack="nack" in chosen.feedback,
            pli="nack pli" in chosen.feedback,
            fir="ccm fir" in chosen.feedback,
            tmmbr=kind is Kind.VIDEO and any(each.startswith("ccm tmmbr") for each in chosen.feedback),
        ),
        address=address,
        rtp_port=media.port,
        rtcp_address=rtcp_address,
        rtcp_port=rtcp_port,
        rtcp_mux=rtcp_mux,
        packet_time_ms=min(max(media.number("ptime") or PACKET_TIME_MS, 10), 60),
        bandwidth_kbps=media.bandwidth_kbps,
        keys=keys,
    )


def _own_direction(media: Media, address: str) -> Direction:
    """Ours is the phone's reversed; a phone at 0.0.0.0 wants nothing sent (RFC 3264 section 8.4)."""
    direction = reversed_direction(media.direction)
    return direction if address else common_direction(direction, Direction.RECVONLY)


def _rtcp_of(media: Media, address: str) -> tuple[int, str]:
    """Port and address of a=rtcp (RFC 3605); else the next port."""
    port = media.number("rtcp")
    if port is None or not 0 < port < 65536:
        return min(media.port + 1, 65535), address
    parts = media.value("rtcp").split()
    if len(parts) == 4 and address:
        try:
            return port, str(ipaddress.ip_address(parts[3]))
        except ValueError:
            pass  # a name: the address of RTP is the better guess
    return port, address


def _head(own: OwnSide, version: int) -> list[str]:
    family = ipaddress.ip_address(own.address).version
    return [
        "v=0",
        f"o=avisiod {own.session_id} {version} IN IP{family} {own.address}",
        "s=-",
        f"c=IN IP{family} {own.address}",
        "t=0 0",
    ]


def _answer_lines(media: Media, agreed: PhoneMedia, ports: Ports) -> list[str]:
    line = agreed.line
    codec = line.codec
    payload_types = [codec.payload_type]
    if line.event_payload_type is not None:
        payload_types.append(line.event_payload_type)
    lines = [f"m={line.kind} {ports.rtp} {media.protocol} {' '.join(map(str, payload_types))}"]
    lines += _bandwidth(line.kind)
    lines += [rtpmap(codec), *fmtp_line(codec.payload_type, _own_fmtp(codec))]
    if line.event_payload_type is not None:
        lines += _event_lines(line.event_payload_type, line.event_clock_rate)
    if line.kind is Kind.AUDIO:
        lines.append(f"a=ptime:{PACKET_TIME_MS}")
    taken = dict(zip(_FEEDBACK, (line.nack, line.pli, line.fir, line.tmmbr), strict=True))
    lines += [f"a=rtcp-fb:{codec.payload_type} {name}" for name in _FEEDBACK if taken[name]]
    lines += ["a=rtcp-mux", f"a=rtcp:{ports.rtp}"] if agreed.rtcp_mux else [f"a=rtcp:{ports.rtcp}"]
    if agreed.keys is not None:
        lines.append(agreed.keys.ours.line())
    if media.flag("mid"):
        lines.append(f"a=mid:{media.value('mid')}")
    return [*lines, f"a={line.direction}"]


def _own_codec(codec: Codec) -> Codec:
    """The codec with what we say of it."""
    return msgspec.structs.replace(codec, fmtp=_own_fmtp(codec))


def _own_fmtp(codec: Codec) -> dict[str, str]:
    """What we say of the codec: for H264 the phone's profile, with a level that browsers take, and its mode."""
    if codec.name == "OPUS":
        return {"useinbandfec": "1"}
    if codec.name != "H264":
        return {}
    fmtp = {
        "profile-level-id": h264.with_level(
            codec.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID), h264.DEFAULT_LEVEL
        ),
        "packetization-mode": str(h264.packetization_mode(codec.fmtp)),
    }
    if codec.fmtp.get("level-asymmetry-allowed") == "1":
        fmtp["level-asymmetry-allowed"] = "1"
    return fmtp


def _event_lines(payload_type: int, clock_rate: int) -> list[str]:
    return [f"a=rtpmap:{payload_type} telephone-event/{clock_rate}", f"a=fmtp:{payload_type} 0-15"]


def _bandwidth(kind: Kind) -> list[str]:
    return [f"b=AS:{VIDEO_KBPS}"] if kind is Kind.VIDEO else []
