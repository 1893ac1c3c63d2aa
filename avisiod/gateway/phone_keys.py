"""Which keys of SRTP are agreed with a phone, m-line by m-line, as the site and the phone want it. Pure."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from avisiod.gateway import sdes
from avisiod.gateway.leg import Kind
from avisiod.gateway.sdes import Crypto, Keys
from avisiod.gateway.sdp import Media
from avisiod.gateway.wire import OfferUnacceptable

PLAIN = ("RTP/AVP", "RTP/AVPF")
SECURE = ("RTP/SAVP", "RTP/SAVPF")

NEEDS_TLS = "keys in a session description protect nobody without TLS, let the phone use SIP over TLS"


class Encryption(enum.StrEnum):
    """What the site wants of SRTP towards phones."""

    NEVER = "never"
    OPTIONAL = "optional"
    """As the phone offers: RTP/SAVP, or keys in RTP/AVP, which phones without SRTP pass over."""
    REQUIRED = "required"


class KeyRules(msgspec.Struct, frozen=True, kw_only=True):
    """What decides on keys in one exchange of offer and answer."""

    encryption: Encryption = Encryption.OPTIONAL
    safe: bool = False
    """Nobody reads the session descriptions on their way, or the site does not mind."""
    running: Mapping[Kind, Keys] = MappingProxyType({})
    """In use. A key of ours is kept for as long as the phone keeps its own."""
    new: Mapping[Kind, tuple[Crypto, ...]] = MappingProxyType({})
    """Keys of ours that were never used; those of our last offer where we wait for its answer."""

    def for_answer(self, media: Media, kind: Kind) -> Keys | None:
        """The phone's first usable key and one of ours for its suite under its tag (RFC 4568 section 5.1.2).

        None for clear text; OfferUnacceptable where that is not what site or phone want.
        """
        theirs = self._theirs(media)
        if theirs is None:
            return None
        running = self.running.get(kind)
        if running is not None and running.theirs.is_same(theirs):
            return Keys(running.ours.tagged(theirs.tag), theirs)
        ours = next(key for key in self.new[kind] if key.suite == theirs.suite)
        return Keys(ours.tagged(theirs.tag), theirs)

    def of_answer(self, media: Media, kind: Kind) -> Keys | None:
        """The phone's key in its answer, and the key of our offer that has its tag (RFC 4568 section 5.1.3)."""
        theirs = self._theirs(media)
        if theirs is None:
            return None
        for ours in self._ours(kind):
            if (ours.tag, ours.suite) == (theirs.tag, theirs.suite):
                return Keys(ours, theirs)
        raise OfferUnacceptable(f"{media}: its a=crypto answers none of ours")

    def for_offer(self, kind: Kind) -> tuple[str, tuple[Crypto, ...]]:
        """Protocol and keys of an offer of ours. OfferUnacceptable where it must have some and may not."""
        if self.encryption is Encryption.NEVER:
            return PLAIN[0], ()
        must = self.encryption is Encryption.REQUIRED
        if not self.safe:
            if must:
                raise OfferUnacceptable(f"no offer can be made: {NEEDS_TLS}")
            return PLAIN[0], ()
        return (SECURE if must or kind in self.running else PLAIN)[0], self._ours(kind)

    def _ours(self, kind: Kind) -> tuple[Crypto, ...]:
        """The keys of an offer of ours: the one in use, or else one for each suite."""
        running = self.running.get(kind)
        return (running.ours,) if running is not None else self.new[kind]

    def _theirs(self, media: Media) -> Crypto | None:
        must = media.protocol in SECURE or self.encryption is Encryption.REQUIRED
        if self.encryption is Encryption.NEVER:
            if must:
                raise OfferUnacceptable(f"{media}: phones.encryption is `never` here, let the phone offer RTP/AVP")
            return None
        if not self.safe:
            if must:
                raise OfferUnacceptable(f"{media}: {NEEDS_TLS}")
            return None
        usable, faults = sdes.read(media.attributes.get("crypto", ()))
        if not usable and must:
            why = "; ".join(faults) or "there is none"
            raise OfferUnacceptable(f"{media}: no a=crypto can be taken, and clear text is not wanted: {why}")
        return usable[0] if usable else None
