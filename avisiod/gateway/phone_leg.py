"""The phone's side of a call: its sockets, its address lock, its offers and answers.

Sound and picture have a port pair each; RTCP comes on the odd ports, or on the even ones where the phone multiplexes.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

import msgspec

from avisiod.config.settings import AUDIO_CODECS
from avisiod.gateway import sdes, sdp_phone
from avisiod.gateway.leg import Direction, Kind, LegListener, MediaLine
from avisiod.gateway.phone_keys import Encryption, KeyRules
from avisiod.gateway.phone_stream import Packet, PhoneStream, PhoneStreams
from avisiod.gateway.sdes import Crypto
from avisiod.gateway.sdp_phone import Agreement, OwnSide, PhoneMedia
from avisiod.gateway.udp_ports import UdpPorts

_SENT = {Kind.AUDIO: "sound", Kind.VIDEO: "picture"}
_SENDING = (Direction.SENDRECV, Direction.SENDONLY)
_RECEIVING = (Direction.SENDRECV, Direction.RECVONLY)

WATCH_INTERVAL_S = 0.5
"""How often silence is looked for."""
QUIET_S = 8.0
"""A phone that sends nothing for so long, longer than between two reports, may have gone (RFC 3550 section 6.2)."""

log = logging.getLogger(__name__)


class PhoneRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the site says of phones."""

    behind_nat: bool = False
    """Lock to the first valid source in place of the address in the SDP."""
    silent_s: float = 30.0
    """A phone that sends nothing for so long is lost, where it has sent RTCP before."""
    muted_s: float = 120.0
    """The same for one that never sent RTCP: it may merely be muted."""
    audio_codecs: tuple[str, ...] = AUDIO_CODECS
    """The best first."""
    encryption: Encryption = Encryption.OPTIONAL
    keys_need_tls: bool = True
    """No keys are taken from, or told to, a phone whose signalling is not encrypted."""


class PhoneLeg:
    """One phone of one call, implements `gateway.leg.Leg`.

    Made with the phone's offer, or with an empty one; `text` is then what to send back: our answer, or an offer of
    ours. OfferUnacceptable or NoPorts leave nothing behind. Packets are heard from the next turn of the loop on.
    """

    def __init__(
        self,
        call: str,
        offer: str,
        ports: UdpPorts,
        listener: LegListener,
        *,
        rules: PhoneRules,
        secure: bool = False,
        now: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`ports` gives pairs. `secure`: the phone's signalling came over TLS."""
        self.lines: dict[Kind, MediaLine] = {}
        self.media: dict[Kind, PhoneMedia] = {}
        """What was agreed, with the phone's addresses, packet time and bandwidth."""
        self._call = call
        self._ports = ports
        self._listener = listener
        self._rules = rules
        self._keys_safe = secure or not rules.keys_need_tls
        self._new_keys: dict[Kind, tuple[Crypto, ...]] = {}
        self._loop = loop
        self._session_id = secrets.randbits(31)
        self._version = 0
        self._ever_agreed: dict[Kind, MediaLine] = {}
        self._awaits_answer = False
        self._state = "new"
        self._watch: asyncio.TimerHandle | None = None
        self._streams: dict[Kind, PhoneStream] = {}
        try:
            for kind in Kind:
                self._streams[kind] = PhoneStream(self, kind, ports.take(now), listener, self._connected, now, loop)
            self.send_rtp: Callable[[Kind, Packet], None] = PhoneStreams(self._streams).send
            """Sends one RTP packet to the phone, where it wants any of that kind."""
            self.text = self.update(offer)
        except BaseException:
            self._release()
            raise

    @property
    def heard(self) -> float:
        """When the phone last sent RTP or RTCP; monotonic."""
        return max(stream.heard for stream in self._streams.values())

    @property
    def reports(self) -> bool:
        """Whether the phone has sent RTCP: as long as it is there, more will come, muted or not."""
        return any(stream.reports for stream in self._streams.values())

    @property
    def dropped_strangers(self) -> int:
        """Datagrams from an address that is not the phone's."""
        return sum(stream.rtp.strangers + stream.rtcp.strangers for stream in self._streams.values())

    @property
    def dropped_invalid(self) -> int:
        """Datagrams of the phone that are neither RTP of the agreed payload types nor RTCP."""
        return sum(stream.invalid + stream.rtp.invalid + stream.rtcp.invalid for stream in self._streams.values())

    def start(self) -> None:
        """Watch for silence, and tell `connected` once the phone's address is known; behind NAT a packet tells it."""
        self._state = "starting"
        if self.media and (not self._rules.behind_nat or any(stream.rtp.locked for stream in self._streams.values())):
            self._connected()
        self._look()

    def update(self, offer: str, *, keep_codecs: bool = False, answers: bool = False) -> str:
        """Take a new offer of the phone and return our answer; or its answer to an offer of ours, and return nothing.

        An empty offer asks for an offer of ours. `keep_codecs`: the codecs in use have to stay, because a browser
        speaks them too. `answers`: the phone answers a description that we sent before, whether or not an offer was
        asked for. OfferUnacceptable changes nothing: what was agreed goes on. Read `lines` again afterwards.
        """
        if not self._awaits_answer:
            self._new_keys = {kind: sdes.fresh() for kind in self._streams}
        own = OwnSide(
            address=self._ports.address,
            ports={kind: stream.numbers for kind, stream in self._streams.items()},
            session_id=self._session_id,
            audio=self._rules.audio_codecs,
            keys=KeyRules(
                encryption=self._rules.encryption,
                safe=self._keys_safe,
                running={kind: media.keys for kind, media in self.media.items() if media.keys is not None},
                new=self._new_keys,
            ),
        )
        kept = self._ever_agreed if keep_codecs else {}
        if not offer:
            text = sdp_phone.offer(own, self._version + 1, kept)
            self._awaits_answer = True
            self._version += 1
            return text
        if self._awaits_answer or answers:
            agreement = sdp_phone.accept_answer(offer, own, kept)
            self._awaits_answer = False
        else:
            agreement = sdp_phone.answer(offer, own, self._version + 1, kept)
            self._version += 1
        self._take(agreement)
        return agreement.text

    def check(self, now: float) -> None:
        """Tell the listener `quiet`, `silent` or `flowing` where that has changed."""
        may_send = any(line.direction in _RECEIVING for line in self.lines.values())
        idle_s = now - self.heard if may_send else 0.0
        limit_s = self._rules.silent_s if self.reports else max(self._rules.silent_s, self._rules.muted_s)
        state = "silent" if idle_s >= limit_s else "quiet" if idle_s >= QUIET_S else "connected"
        if self._state in ("connected", "quiet", "silent") and state != self._state:
            self._state = state
            self._listener.state(self, "flowing" if state == "connected" else state)

    def send_rtcp(self, kind: Kind, packet: bytes) -> None:
        """Send one compound RTCP packet to the phone."""
        self._streams[kind].send_rtcp(packet)

    async def close(self) -> None:
        """Release sockets and ports; harmless when closed."""
        self._release()

    def _take(self, agreement: Agreement) -> None:
        for sentence in agreement.refused:
            log.info("not taken of the phone's offer: %s", sentence, extra={"call": self._call})
        for kind, agreed in agreement.media.items():
            before = self.media.get(kind)
            if agreed.keys is not None and (before is None or before.keys is None):
                suite = agreed.keys.ours.suite
                log.info("the phone's %s is encrypted: %s", _SENT[kind], suite, extra={"call": self._call})
        self.media = agreement.media
        self.lines = agreement.lines
        self._ever_agreed.update(agreement.lines)
        for kind, stream in self._streams.items():
            media = agreement.media.get(kind)
            stream.follow(media, self._rules.behind_nat)
            stream.wanted = media is not None and media.address != "" and media.line.direction in _SENDING
        if self._state == "starting" and not self._rules.behind_nat:
            self._connected()

    def _connected(self) -> None:
        if self._state == "starting":
            self._state = "connected"
            self._listener.state(self, "connected")

    def _look(self) -> None:
        self.check(time.monotonic())
        if self._state != "closed":
            self._watch = self._loop.call_later(WATCH_INTERVAL_S, self._look)

    def _release(self) -> None:
        if self._state == "closed":
            return
        self._state = "closed"
        if self._watch is not None:
            self._watch.cancel()
        now = time.monotonic()
        for stream in self._streams.values():
            stream.wanted = False
            stream.rtp.close()
            stream.rtcp.close()
            self._ports.give_back(stream.numbers.rtp, now, announced=self._version > 0)
