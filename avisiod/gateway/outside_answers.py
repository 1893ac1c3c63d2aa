"""What is agreed with one page of the relative, offer after offer."""

import secrets

from avisiod.gateway import sdp_browser
from avisiod.gateway.browser_leg import IceDtls
from avisiod.gateway.leg import Kind
from avisiod.gateway.passage import ssrcs
from avisiod.gateway.phone_leg import PhoneLeg
from avisiod.gateway.sdp_browser import BrowserAgreement, OwnBrowserSide
from avisiod.gateway.sdp_phone import VIDEO_KBPS
from avisiod.gateway.wire import OfferUnacceptable


class OutsideAnswers:
    """Our answers to one RTCPeerConnection: always the same SSRCs and session, one version more each time."""

    def __init__(self, *, convert: bool = False) -> None:
        """`convert`: a page without H.264 may have its VP8 converted."""
        self.ssrcs = ssrcs()
        self._convert = convert
        self._session_id = secrets.randbits(62)
        self._version = 0
        self._agreed: BrowserAgreement | None = None

    def answer(self, phone: PhoneLeg, offer: str, own: IceDtls) -> BrowserAgreement:
        """Answer the first offer; `own` is our transport. OfferUnacceptable where nothing can be agreed."""
        self._version += 1
        name, value = own.fingerprints[0]
        announced = OwnBrowserSide(
            session_id=self._session_id,
            version=self._version,
            ice_ufrag=own.username,
            ice_pwd=own.password,
            fingerprint=f"{name} {value}",
            candidates=[f"candidate:{each}" for each in own.candidates],
            ssrcs=self.ssrcs,
        )
        audio = phone.media.get(Kind.AUDIO)
        packet_time, kbps = audio.packet_time_ms if audio else 20, video_kbps(phone)
        self._agreed = sdp_browser.answer(offer, phone.lines, announced, packet_time, kbps, convert=self._convert)
        return self._agreed

    def restart(self, phone: PhoneLeg, offer: str, own: IceDtls) -> BrowserAgreement:
        """Answer an ICE restart. OfferUnacceptable where more is to change than the ICE transport: nothing does."""
        before = self._agreed
        agreed = self.answer(phone, offer, own)
        if before is None or not agreed.restarts(before):
            self._agreed = before
            raise OfferUnacceptable("the offer changes more than the ICE transport")
        return agreed


def video_kbps(phone: PhoneLeg) -> int:
    """What the phone takes at most; 0 where it has no video."""
    video = phone.media.get(Kind.VIDEO)
    return (video.bandwidth_kbps or VIDEO_KBPS) if video is not None else 0


def transport(agreement: BrowserAgreement) -> IceDtls:
    """The page's ICE and DTLS."""
    return IceDtls(
        username=agreement.ice_ufrag,
        password=agreement.ice_pwd,
        fingerprints=agreement.fingerprints,
        candidates=agreement.candidates,
    )
