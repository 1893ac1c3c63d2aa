"""SRTP and SRTCP with a phone (RFC 3711), one m-line's worth, with the keys that its session descriptions carried."""

from collections.abc import Callable

from pylibsrtp import Policy, Session

from avisiod.gateway.sdes import Crypto, Keys
from avisiod.gateway.srtp import SrtpReceiver, SrtpSender

_PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


class PhoneSrtp:
    """Opens what comes and seals what goes. `follow` takes new keys; those that stay the same keep their counters.

    A key that is not new keeps its rollover counter (RFC 3711 section 3.3.1), or a phone that comes back from hold
    would not understand us; a new key begins anew, as every phone does.
    """

    __slots__ = ("_former", "_keys", "_receiver", "_sender")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._receiver = _receiver(keys.theirs)
        self._former: SrtpReceiver | None = None
        self._sender = _sender(keys.ours)

    def follow(self, keys: Keys) -> None:
        """The keys from now on.

        The phone's new key is used by it once our answer has arrived: until its first packet with that one, the key
        before is good as well.
        """
        if not keys.theirs.is_same(self._keys.theirs):
            self._former, self._receiver = self._receiver, _receiver(keys.theirs)
        if not keys.ours.is_same(self._keys.ours):
            self._sender = _sender(keys.ours)
        self._keys = keys

    def opened(self, packet: bytes) -> bytes | None:
        """The RTP packet within; None where it is not authentic, or was seen before."""
        return self._opened(packet, SrtpReceiver.rtp)

    def opened_rtcp(self, packet: bytes) -> bytes | None:
        """The same for a compound RTCP packet."""
        return self._opened(packet, SrtpReceiver.rtcp)

    def _opened(self, packet: bytes, how: Callable[[SrtpReceiver, bytes], bytes | None]) -> bytes | None:
        plain = how(self._receiver, packet)
        if self._former is None:
            return plain
        if plain is None:
            return how(self._former, packet)
        self._former = None
        return plain

    def sealed(self, packet: bytes | bytearray | memoryview) -> memoryview | None:
        """The packet as SRTP, valid until the next call; None where it cannot be sent."""
        return self._sender.rtp(packet)

    def sealed_rtcp(self, packet: bytes) -> memoryview | None:
        """The same for a compound RTCP packet."""
        return self._sender.rtcp(packet)


def _policy(crypto: Crypto, ssrcs: int) -> Policy:
    return Policy(key=crypto.key, ssrc_type=ssrcs, srtp_profile=_PROFILES[crypto.suite])


def _receiver(crypto: Crypto) -> SrtpReceiver:
    return SrtpReceiver(Session(_policy(crypto, Policy.SSRC_ANY_INBOUND)))


def _sender(crypto: Crypto) -> SrtpSender:
    policy = _policy(crypto, Policy.SSRC_ANY_OUTBOUND)
    policy.allow_repeat_tx = True  # what the phone missed and asks for is sent again as it was
    return SrtpSender(Session(policy))
