"""The converted picture of one call's page, as the call uses it: nothing happens here while it is relayed."""

import socket
from collections.abc import Callable

from avisiod.gateway import h264, vp8
from avisiod.gateway.detour import Detour, Outlet, Taker
from avisiod.gateway.leg import Kind, MediaLine
from avisiod.gateway.passage import Passage
from avisiod.gateway.sdp_phone import VIDEO_KBPS
from avisiod.gateway.transcode_link import Way

Lines = dict[Kind, MediaLine]

_WAY_OF = {"phone": Way.TO_PAGE, "outside": Way.TO_PHONE}
"""Which way a leg's picture goes."""


class CallConversion:
    """One detour after the other, as pages come and go; see the module."""

    def __init__(
        self, outward: Passage, inward: Passage, ask_sender: Callable[[str], None], extra: dict[str, str]
    ) -> None:
        """`ask_sender`: the sender of this leg, `phone` or `outside`, must send a keyframe."""
        self._outward = outward
        self._inward = inward
        self._ask_sender = ask_sender
        self._extra = extra
        self._detour: Detour | None = None
        self._dropped_before = 0

    @property
    def runs(self) -> bool:
        """Whether a picture is converted."""
        return self._detour is not None

    @property
    def dropped(self) -> int:
        """See Detour, over the whole call."""
        return self._dropped_before + (self._detour.dropped if self._detour is not None else 0)

    def open(self, link: socket.socket, phone: Lines, page: Lines, to_phone_bitrate: int) -> None:
        """From now on the picture of this page is converted. The link stays the caller's to close."""
        to_page = Outlet(self._outward.streams[Kind.VIDEO], vp8.starts_keyframe)
        to_phone = Outlet(self._inward.streams[Kind.VIDEO], h264.starts_keyframe)
        self._outward.convert(to_page, records_converted=False)
        self._inward.convert(to_phone, records_converted=True)
        self._detour = detour = Detour(
            link,
            {Way.TO_PAGE: to_page, Way.TO_PHONE: to_phone},
            lambda way: self._ask_sender("phone" if way is Way.TO_PAGE else "outside"),
            {Way.TO_PAGE: VIDEO_KBPS * 1000, Way.TO_PHONE: to_phone_bitrate},
            self._extra,
        )
        self.settle(phone, page)
        self._outward.converts_by(detour.taker(Way.TO_PAGE))
        self._inward.converts_by(detour.taker(Way.TO_PHONE))

    def settle(self, phone: Lines, page: Lines) -> None:
        """What was agreed with both; again when it changed."""
        if self._detour is not None and Kind.VIDEO in phone:
            codec = phone[Kind.VIDEO].codec
            self._detour.settle(codec.payload_type, codec.fmtp, page[Kind.VIDEO].codec.payload_type)

    def relink(self, link: socket.socket) -> None:
        """Another transcoder takes over; harmless where nothing is converted any more."""
        if self._detour is not None:
            self._detour.relink(link)

    def refresh(self, leg: str) -> bool:
        """Whoever sees the picture of this leg needs a keyframe; False where it is not converted."""
        if self._detour is None:
            return False
        self._detour.refresh(_WAY_OF[leg])
        return True

    def recorded(self, page: Lines, phone: Lines) -> Lines:
        """What the page's recording holds: a picture that is converted, as the phone gets it."""
        return {**page, Kind.VIDEO: phone[Kind.VIDEO]} if self.runs and Kind.VIDEO in phone else page

    def look(self, now: float, page: Taker | None, phone: Taker) -> None:
        """Time has passed."""
        if self._detour is not None:
            self._detour.look(now, {Way.TO_PAGE: page, Way.TO_PHONE: phone})

    def close(self) -> None:
        """The page is gone; harmless where nothing is converted."""
        if self._detour is not None:
            self._dropped_before += self._detour.dropped
            self._detour.close()
            self._detour = None
