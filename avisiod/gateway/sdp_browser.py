"""Answer a browser's offer (RFC 8829, BUNDLE) with the codecs that the phone speaks, and no others.

H.264 is chosen by meaning. A browser may send what the phone's decoder takes: the phone's profile or one below it.
What the phone sends, browsers decode in practice whatever profile they declare. packetization-mode is different:
a receiver of mode 1 must take what a sender of mode 0 sends (single NAL units, RFC 6184 section 6.3), but a receiver
of mode 0 need not take FU-A, and a relay cannot make one packet out of a NAL unit that is larger than the network
allows. So the same mode is chosen where it is offered; else only the legal direction is opened.

A browser without H.264 offers VP8 (RFC 7742 section 5 asks for both): its picture is converted where that can be had.
"""

import re
from collections.abc import Sequence

import msgspec

from avisiod.gateway import h264
from avisiod.gateway.leg import Direction, Kind, MediaLine
from avisiod.gateway.retransmission import rtx_ssrc
from avisiod.gateway.sdp import (
    Format,
    Media,
    Session,
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

MAX_CANDIDATES = 64

_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")
_UFRAG = re.compile(r"[A-Za-z0-9+/=_-]{4,256}", re.ASCII)
_PASSWORD = re.compile(r"[A-Za-z0-9+/=_-]{22,256}", re.ASCII)
_FINGERPRINT = re.compile(r"([a-z0-9-]{3,20}) +((?:[0-9A-F]{2}:){15,63}[0-9A-F]{2})", re.ASCII | re.IGNORECASE)
_MID = re.compile(r"[!-~]{1,64}", re.ASCII)
_SSRC = re.compile(r"([0-9]{1,10})(?: |$)", re.ASCII)
_FID = re.compile(r"FID +([0-9]{1,10}) +([0-9]{1,10})", re.ASCII)
_OPUS_RECEIVER = ("maxplaybackrate", "maxaveragebitrate", "stereo", "useinbandfec", "usedtx", "cbr")
"""What an Opus receiver wishes (RFC 7587 section 6.1)."""


_VP8_RECEIVER = {"max-fs": "1200", "max-fr": "30"}
"""Macroblocks of a picture of 640 x 480, which larger ones would be made into (RFC 7741 section 6.1)."""


class OwnBrowserSide(msgspec.Struct, frozen=True, kw_only=True):
    """What we announce to the browser."""

    session_id: int
    version: int = 1
    """Of this answer: one more than of the last one to the same offerer."""
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    """`sha-256 AA:BB:…` of our DTLS certificate."""
    candidates: Sequence[str]
    """`candidate:…`, complete: none is trickled by us."""
    ssrcs: dict[Kind, int]
    cname: str = "avisiod"


class BrowserAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed with the browser, whose payload types these are."""

    answer: str
    lines: dict[Kind, MediaLine]
    mids: dict[Kind, str]
    ssrcs: dict[Kind, tuple[int, ...]]
    """The SSRCs that the browser declares; empty where it declares none (Firefox may)."""
    repairs: dict[int, int]
    """For each SSRC of the browser's retransmissions, the SSRC of what it retransmits (RFC 4588 section 8.1)."""
    ice_ufrag: str
    ice_pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    """Algorithm in lower case, value in upper case."""
    candidates: tuple[str, ...]
    """`candidate:…` of the browser's first bundled m-line; more may be trickled."""
    end_of_candidates: bool
    refused: tuple[str, ...]
    """One sentence for every m-line that was refused, for the log."""

    def restarts(self, before: "BrowserAgreement") -> bool:
        """Whether this is `before` with another ICE transport, and nothing else (RFC 8839 section 4.4.1.1.1)."""
        same = all(
            getattr(self, name) == getattr(before, name) for name in ("lines", "mids", "repairs", "fingerprints")
        )
        return same and self.ice_ufrag != before.ice_ufrag and self.ice_pwd != before.ice_pwd


class _Choice(msgspec.Struct, frozen=True):
    media: Media
    line: MediaLine
    fmtp: dict[str, str]


def needs_conversion(offer: str, phone: dict[Kind, MediaLine]) -> bool:
    """Whether the page's picture can be had by converting VP8 only. OfferUnacceptable where the SDP is none."""
    if Kind.VIDEO not in phone:
        return False
    for media in parse(offer).of(Kind.VIDEO):
        try:
            _video(media, phone[Kind.VIDEO])
        except OfferUnacceptable:
            return any(each.name == "VP8" for each in media.formats) and media.direction is not Direction.INACTIVE
        return False
    return False


def answer(
    offer: str,
    phone: dict[Kind, MediaLine],
    own: OwnBrowserSide,
    packet_time_ms: int = 20,
    bandwidth_kbps: int = 0,
    *,
    convert: bool = False,
) -> BrowserAgreement:
    """Answer the offer of a page. `phone` is what was agreed with the phone; its packet time and bandwidth apply too.

    Audio must have the phone's codec in common; video is left out where it has not, or is VP8 where we `convert` it.
    OfferUnacceptable says why.
    """
    session = parse(offer)
    bundled = _bundle(session)
    choices: dict[Kind, _Choice] = {}
    refused: list[str] = []
    for media in session.media:
        try:
            choice = _choose(media, phone, bundled, choices, convert=convert)
        except OfferUnacceptable as why:
            refused.append(str(why))
            continue
        choices[choice.line.kind] = choice
    if Kind.AUDIO not in choices:
        raise OfferUnacceptable("; ".join(refused) or "it has no m=audio")
    tagged = min((choice.media for choice in choices.values()), key=lambda media: bundled.index(_mid(media)))
    text = _text(session, choices, own, packet_time_ms, bandwidth_kbps)
    return BrowserAgreement(
        answer=text,
        lines={kind: choice.line for kind, choice in choices.items()},
        mids={kind: _mid(choice.media) for kind, choice in choices.items()},
        ssrcs={kind: _ssrcs(choice.media) for kind, choice in choices.items()},
        repairs={rtx: main for choice in choices.values() for rtx, main in _repairs(choice.media).items()},
        ice_ufrag=_checked(tagged, "ice-ufrag", _UFRAG),
        ice_pwd=_checked(tagged, "ice-pwd", _PASSWORD),
        fingerprints=_fingerprints(tagged),
        candidates=tuple(f"candidate:{value}" for value in tagged.values("candidate")[:MAX_CANDIDATES]),
        end_of_candidates=tagged.flag("end-of-candidates"),
        refused=tuple(refused),
    )


def _bundle(session: Session) -> list[str]:
    """The mids of the first BUNDLE group; OfferUnacceptable where there is none."""
    for group in session.attributes.get("group", ()):
        semantics, *mids = group.split() or [""]
        if semantics.upper() == "BUNDLE" and mids:
            return mids
    raise OfferUnacceptable("the browser offers no BUNDLE group: open the page in a current browser")


def _mid(media: Media) -> str:
    return media.attributes.get("mid", ("",))[0]


def _choose(
    media: Media, phone: dict[Kind, MediaLine], bundled: list[str], taken: dict[Kind, _Choice], *, convert: bool
) -> _Choice:
    """What to make of one m-line; OfferUnacceptable says why it is refused."""
    kind = next((kind for kind in Kind if kind == media.kind), None)
    if kind is None:
        raise OfferUnacceptable(f"{media}: this kind of media is not taken")
    if kind not in phone:
        raise OfferUnacceptable(f"{media}: the phone has no {kind}")
    if kind in taken:
        raise OfferUnacceptable(f"{media}: a second m-line of the same kind is not taken")
    if media.port == 0 and not media.flag("bundle-only"):
        raise OfferUnacceptable(f"{media}: the browser has switched it off with port 0")
    if media.protocol not in ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"):
        raise OfferUnacceptable(f"{media}: the protocol {media.protocol} is not DTLS-SRTP")
    if not _MID.fullmatch(_mid(media)) or _mid(media) not in bundled:
        raise OfferUnacceptable(f"{media}: it is not in the BUNDLE group")
    if not media.flag("rtcp-mux"):
        raise OfferUnacceptable(f"{media}: rtcp-mux is not offered")
    if media.value("setup") not in ("actpass", "active"):
        raise OfferUnacceptable(f"{media}: the browser does not offer to be the DTLS client")
    if kind is Kind.AUDIO:
        return _audio(media, phone[kind])
    try:
        return _video(media, phone[kind])
    except OfferUnacceptable:
        vp8 = next((each for each in media.formats if each.name == "VP8"), None)
        if vp8 is None or not convert:
            raise
    return _Choice(media, _line(media, vp8, Direction.SENDRECV, phone[kind]), _VP8_RECEIVER)


def _audio(media: Media, phone: MediaLine) -> _Choice:
    for each in media.formats:
        if each.name == phone.codec.name:
            wishes = phone.codec.fmtp if each.name == "OPUS" else {}
            fmtp = {key: wishes[key] for key in _OPUS_RECEIVER if key in wishes}
            return _Choice(media, _line(media, each, Direction.SENDRECV, phone), fmtp)
    raise OfferUnacceptable(f"{media}: the browser offers no {phone.codec.name}, which is what the phone speaks")


def _video(media: Media, phone: MediaLine) -> _Choice:
    """The browser's H264 nearest to the phone's: mode first, then profile, then the browser's preference."""
    wanted = h264.profile(phone.codec.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID))
    decodable = h264.sendable(wanted) if wanted else ()
    phone_mode = h264.packetization_mode(phone.codec.fmtp)
    best: tuple[tuple[bool, int], Format] | None = None
    for each in media.formats:
        profile = h264.profile(each.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID))
        mode = h264.packetization_mode(each.fmtp)
        if each.name != "H264" or profile not in decodable or mode == 2:
            continue
        rank = mode != phone_mode, decodable.index(profile)
        if best is None or rank < best[0]:
            best = rank, each
    if best is None:
        raise OfferUnacceptable(f"{media}: the browser offers no H264 that the phone can decode")
    chosen = best[1]
    line = _line(media, chosen, _legal_direction(phone_mode, h264.packetization_mode(chosen.fmtp)), phone)
    return _Choice(media, line, _video_fmtp(chosen, phone))


def _legal_direction(phone_mode: int, browser_mode: int) -> Direction:
    """Which way packets may pass unchanged, seen from us towards the browser: never FU-A to a receiver of mode 0."""
    if phone_mode == browser_mode:
        return Direction.SENDRECV
    return Direction.SENDONLY if phone_mode < browser_mode else Direction.RECVONLY


def _video_fmtp(chosen: Format, phone: MediaLine) -> dict[str, str]:
    """The browser's own profile; the level is what the phone takes."""
    offered = chosen.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID)
    ceiling = h264.level(phone.codec.fmtp.get("profile-level-id", h264.DEFAULT_PROFILE_LEVEL_ID))
    fmtp = {
        "profile-level-id": h264.with_level(offered, ceiling),
        "packetization-mode": str(h264.packetization_mode(chosen.fmtp)),
    }
    if chosen.fmtp.get("level-asymmetry-allowed") == "1":
        fmtp["level-asymmetry-allowed"] = "1"
    return fmtp


def _line(media: Media, chosen: Format, allowed: Direction, phone: MediaLine) -> MediaLine:
    wants_event = phone.event_payload_type is not None
    event = event_format(media.formats, phone.event_clock_rate) if wants_event else None
    if event is not None and event.clock_rate != phone.event_clock_rate:
        event = None  # events pass unchanged: their clock must be the same on both sides
    return MediaLine(
        kind=phone.kind,
        codec=chosen.codec(),
        direction=common_direction(reversed_direction(media.direction), allowed),
        event_payload_type=event.payload_type if event else None,
        event_clock_rate=event.clock_rate if event else 8000,
        nack="nack" in chosen.feedback,
        pli="nack pli" in chosen.feedback,
        fir="ccm fir" in chosen.feedback,
        remb="goog-remb" in chosen.feedback,
        rtx_payload_type=_rtx(media, chosen) if phone.kind is Kind.VIDEO else None,
    )


def _checked(media: Media, name: str, form: re.Pattern[str]) -> str:
    value = media.value(name)
    if not form.fullmatch(value):
        raise OfferUnacceptable(f"{media}: a={name} is missing or malformed")
    return value


def _fingerprints(media: Media) -> tuple[tuple[str, str], ...]:
    matches = [_FINGERPRINT.fullmatch(value) for value in media.values("fingerprint")]
    found = tuple((match[1].lower(), match[2].upper()) for match in matches if match)
    if not found:
        raise OfferUnacceptable(f"{media}: a=fingerprint is missing or malformed")
    return found


def _ssrcs(media: Media) -> tuple[int, ...]:
    """The declared SSRCs without those of retransmission."""
    repeats = _repairs(media)
    declared = [int(match[1]) for value in media.attributes.get("ssrc", ()) if (match := _SSRC.match(value))]
    return tuple(dict.fromkeys(number for number in declared if number not in repeats and number < 2**32))


def _repairs(media: Media) -> dict[int, int]:
    """The FID groups: first the SSRC of the media, then that of its retransmissions."""
    groups = (_FID.fullmatch(value) for value in media.attributes.get("ssrc-group", ()))
    return {int(group[2]): int(group[1]) for group in groups if group and max(int(group[1]), int(group[2])) < 2**32}


def _rtx(media: Media, chosen: Format) -> int | None:
    """The payload type of the browser's retransmissions, where we would know what they belong to."""
    known = _repairs(media) or media.direction is Direction.RECVONLY
    apt = str(chosen.payload_type)
    types = (each.payload_type for each in media.formats if each.name == "RTX" and each.fmtp.get("apt") == apt)
    return next(types, None) if known and "nack" in chosen.feedback else None


def _text(
    session: Session, choices: dict[Kind, _Choice], own: OwnBrowserSide, packet_time_ms: int, bandwidth_kbps: int
) -> str:
    accepted = {choice.media.line: choice for choice in choices.values()}
    mids = [_mid(media) for media in session.media if media.line in accepted]
    lines = [
        "v=0",
        f"o=avisiod {own.session_id} {own.version} IN IP4 127.0.0.1",  # RFC 8829 section 5.2.1: tells no address
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        "a=msid-semantic: WMS *",
    ]
    for media in session.media:
        choice = accepted.get(media.line)
        lines += _media_lines(choice, own, packet_time_ms, bandwidth_kbps) if choice else rejected(media)
    return joined(lines)


def _media_lines(choice: _Choice, own: OwnBrowserSide, packet_time_ms: int, bandwidth_kbps: int) -> list[str]:
    line, codec = choice.line, choice.line.codec
    payload_types = [codec.payload_type]
    if line.event_payload_type is not None:
        payload_types.append(line.event_payload_type)
    if line.rtx_payload_type is not None:
        payload_types.append(line.rtx_payload_type)
    lines = [f"m={line.kind} 9 {choice.media.protocol} {' '.join(map(str, payload_types))}", "c=IN IP4 0.0.0.0"]
    if line.kind is Kind.VIDEO and bandwidth_kbps:
        lines += [f"b=AS:{bandwidth_kbps}", f"b=TIAS:{bandwidth_kbps * 1000}"]  # Chromium and Safari; Firefox
    lines += [f"a=mid:{_mid(choice.media)}", f"a={line.direction}", "a=rtcp-mux"]
    lines += [f"a=ice-ufrag:{own.ice_ufrag}", f"a=ice-pwd:{own.ice_pwd}"]
    lines += [f"a=fingerprint:{own.fingerprint}", "a=setup:passive"]
    lines += [rtpmap(codec), *fmtp_line(codec.payload_type, choice.fmtp)]
    if line.event_payload_type is not None:
        lines.append(f"a=rtpmap:{line.event_payload_type} telephone-event/{line.event_clock_rate}")
    if line.rtx_payload_type is not None:
        lines += [f"a=rtpmap:{line.rtx_payload_type} rtx/{codec.clock_rate}"]
        lines += [f"a=fmtp:{line.rtx_payload_type} apt={codec.payload_type}"]
    if line.kind is Kind.AUDIO:
        lines.append(f"a=ptime:{packet_time_ms}")
    taken = dict(zip(_FEEDBACK, (line.nack, line.pli, line.fir, line.remb), strict=True))
    lines += [f"a=rtcp-fb:{codec.payload_type} {name}" for name in _FEEDBACK if taken[name]]
    if line.direction in (Direction.SENDRECV, Direction.SENDONLY):
        ssrc = own.ssrcs[line.kind]
        lines += [f"a=msid:{own.cname} {line.kind}", f"a=ssrc:{ssrc} cname:{own.cname}"]
        if line.rtx_payload_type is not None:
            lines += [f"a=ssrc:{rtx_ssrc(ssrc)} cname:{own.cname}", f"a=ssrc-group:FID {ssrc} {rtx_ssrc(ssrc)}"]
    lines += [f"a={candidate}" for candidate in own.candidates]
    return [*lines, "a=end-of-candidates"]
