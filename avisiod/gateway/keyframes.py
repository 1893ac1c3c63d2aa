"""Asking a sender for a keyframe: by PLI, FIR or SIP INFO, not too often, and again until one comes. Pure."""

from collections.abc import Callable

from avisiod.gateway import rtcp
from avisiod.gateway.leg import MediaLine

INTERVAL_S = 0.5
"""Requests are at least this far apart: one keyframe serves all who asked, and each costs a burst on the network.
An unanswered request is repeated after the same time."""
PATIENT_AFTER = 10
"""After so many requests without an answer they become rare."""
PATIENT_INTERVAL_S = 3.0
INFO_INTERVAL_S = 2.0
"""SIP INFO is a whole transaction each, so it is sent less often."""


class KeyframeRequests:
    """The requests to the video sender of one leg.

    Asked for with `want`, sent at once or as soon as the limit allows, repeated by `check` until `seen`. PLI first
    where it was agreed; FIR joins with the first repetition, since some phones ignore PLI; INFO (RFC 5168) is for
    phones that agreed to neither, and joins when the others stay without an answer. A phone that agreed to nothing
    gets PLI and FIR with the repetitions all the same: many obey, and the others skip what they do not know.
    """

    def __init__(
        self, line: MediaLine, own_ssrc: int, cname: str, send: Callable[[bytes], None],
        info: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """`send` takes a compound RTCP packet; `info` has control send an INFO, None where the leg has no SIP."""
        self.asked = 0
        """Requests sent."""
        self._line = line
        self._own_ssrc = own_ssrc
        self._cname = cname
        self._send = send
        self._info = info
        self._wanted = False
        self._tries = 0
        self._sent_at = float("-inf")
        self._info_at = float("-inf")
        self._fir_number = 0

    @property
    def wanted(self) -> bool:
        """Whether a keyframe is still waited for."""
        return self._wanted

    def agree(self, line: MediaLine) -> None:
        """What the leg takes from now on."""
        self._line = line

    def want(self, now: float, source: int | None) -> None:
        """A keyframe is needed. `source` is the sender's SSRC, None while it is unknown: only INFO can ask then."""
        if not self._wanted:
            self._wanted = True
            self._tries = 0
        self.check(now, source)

    def check(self, now: float, source: int | None) -> None:
        """Send or repeat what is due; to be called a few times a second."""
        interval = INTERVAL_S if self._tries < PATIENT_AFTER else PATIENT_INTERVAL_S
        if not self._wanted or now - self._sent_at < interval:
            return
        packet = self._packet(source)
        by_info = self._by_info(now)
        if packet:
            self._send(packet)
        if by_info and self._info is not None:
            self._info_at = now
            self._info()
        if packet or by_info:
            self.asked += 1
            self._tries += 1
            self._sent_at = now

    def seen(self) -> None:
        """A keyframe arrived; nothing is waited for any more."""
        self._wanted = False

    def _by_info(self, now: float) -> bool:
        if self._info is None or now - self._info_at < INFO_INTERVAL_S:
            return False
        return self._tries >= 2 or not (self._line.pli or self._line.fir)

    def _packet(self, source: int | None) -> bytes:
        if source is None:
            return b""
        again = self._tries > 0
        neither = not (self._line.pli or self._line.fir)
        requests: list[rtcp.Packet] = []
        if self._line.pli or (neither and (again or self._info is None)):
            requests.append(rtcp.PictureLoss(sender=self._own_ssrc, media=source))
        if again or (self._line.fir and not self._line.pli):
            # A new number each time: one that the sender has obeyed already it would ignore (RFC 5104 section
            # 4.3.1.2), and what it sent on that has been lost if we still wait.
            self._fir_number = (self._fir_number + 1) & 0xFF
            requests.append(rtcp.FullIntraRequest(sender=self._own_ssrc, entries=((source, self._fir_number),)))
        if not requests:
            return b""
        return rtcp.build(
            rtcp.ReceiverReport(ssrc=self._own_ssrc),
            rtcp.SourceDescription(cnames=((self._own_ssrc, self._cname),)),
            *requests,
        )
