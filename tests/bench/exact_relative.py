"""A relative without a browser: the portal's WebSocket, ICE and DTLS, and media that is numbered and exact in time.

The media is a NumberedPhone's; here it is carried between its plain RTP and the box's DTLS-SRTP.
"""

import asyncio
import functools
import threading
import time
from typing import Any, Self

import pytest

from tests.bench.numbered import NumberedPhone
from tests.gateway.webrtc_peer import Page, sdp_offer, transport_of
from tests.peers.rtp_phone import VIDEO_PT, RtpPhone
from tests.peers.waiting import Feed
from tests.peers.web_socket import WebSocket

PAGE_VIDEO_PT = 102
STEP_TIMEOUT_S = 15.0


class _Carrier(asyncio.DatagramProtocol):
    """One of the four local sockets that stand for the box as the NumberedPhone sees it."""

    def __init__(self, relative: "ExactRelative", payload_type: int | None) -> None:
        self._relative = relative
        self._payload_type = payload_type

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._payload_type is not None:
            data = data[:1] + bytes([data[1] & 0x80 | self._payload_type]) + data[2:]
        self._relative.outgoing(data)


class ExactRelative:
    """`join` blocks until media may flow; methods are for any thread but its own."""

    def __init__(self, portal_url: str, media: RtpPhone | None = None) -> None:
        """`media` is a NumberedPhone unless the caller wants another."""
        self.media: Any = media or NumberedPhone()
        self.heard: Feed[tuple[float, dict[str, Any]]] = Feed("the portal")
        """Messages of the portal, each with its moment on the monotonic clock."""
        self.joined_at = 0.0
        """When the code was sent."""
        self._url = portal_url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relative", daemon=True)
        self._patch = pytest.MonkeyPatch()
        self._page: Page | None = None
        self._socket: WebSocket | None = None
        self._inward: dict[bool, tuple[asyncio.DatagramTransport, tuple[str, int]]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._carriers: list[asyncio.DatagramTransport] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self.media.close()
            self._patch.undo()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STEP_TIMEOUT_S)

    def hear(self, kind: str, timeout: float = STEP_TIMEOUT_S) -> dict[str, Any]:
        """The first message of this type."""
        return self.heard.wait(lambda each: each[1]["type"] == kind, timeout, kind)[1]

    def hear_state(self, state: str, timeout: float = STEP_TIMEOUT_S) -> float:
        """When the portal said that the call is in this state."""
        return self.heard.wait(lambda each: each[1].get("state") == state, timeout, f"state {state}")[0]

    def join(self, code: str) -> None:
        """Connect, spend the code, offer, and send media."""
        self._run(self._connect())
        charter = self.hear("welcome")["charters"][0]
        self.joined_at = time.monotonic()
        self._say(type="join", code=code, charter=charter)
        self.hear("joined")
        page = self._run(self._new_page())
        offer = self._run(page.offer())
        self._say(type="offer", sdp=sdp_offer(offer))
        answer = transport_of(self.hear("answer")["sdp"])
        self._run(page.ice_to(answer))
        self._run(page.dtls_to(answer))
        self.media.connect(self._run(self._carry()))

    def _say(self, **message: Any) -> None:
        assert self._socket is not None
        self._loop.call_soon_threadsafe(functools.partial(self._socket.say, **message))

    async def _connect(self) -> None:
        heard = self.heard
        self._socket = WebSocket(
            lambda message: heard.add((time.monotonic(), message)),
            lambda why: heard.close(f"the portal closed: {why}"),
        )
        await self._socket.open(self._url, "/ws", "avisio.v1")

    async def _new_page(self) -> Page:
        page = self._page = Page(self._patch)
        page.dtls._handle_rtp_data = self._incoming
        return page

    async def _carry(self) -> str:
        """Sockets between the media and DTLS; the SDP that leads the media to them."""
        lines = ["c=IN IP4 127.0.0.1"]
        for kind, stream, outer in (
            ("audio", self.media.audio, None),
            ("video", self.media.video, PAGE_VIDEO_PT),
        ):
            rtp, port = await self._pair(outer)
            self._inward[stream.payload_type == VIDEO_PT] = (rtp, (self.media.address, stream.port))
            lines.append(f"m={kind} {port} RTP/AVP {stream.payload_type}")
        return "\r\n".join([*lines, ""])

    async def _pair(self, payload_type: int | None) -> tuple[asyncio.DatagramTransport, int]:
        """RTP and RTCP, on neighbouring ports."""
        while True:
            rtp, _ = await self._loop.create_datagram_endpoint(
                lambda: _Carrier(self, payload_type), local_addr=("127.0.0.1", 0)
            )
            port = rtp.get_extra_info("sockname")[1]
            try:
                rtcp, _ = await self._loop.create_datagram_endpoint(
                    lambda: _Carrier(self, None), local_addr=("127.0.0.1", port + 1)
                )
            except OSError:
                rtp.close()
            else:
                self._carriers += [rtp, rtcp]
                return rtp, port

    def outgoing(self, data: bytes) -> None:
        """One packet of the media to the box; none once DTLS is over."""
        if self._page is not None:
            task = self._loop.create_task(self._send(self._page, data))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    @staticmethod
    async def _send(page: Page, data: bytes) -> None:
        if page.dtls.state == "connected":
            await page.send(data)

    async def _incoming(self, data: bytes, arrival_time_ms: int) -> None:
        way = self._inward.get(data[1] & 0x7F == PAGE_VIDEO_PT)
        if way is not None:
            way[0].sendto(data, way[1])

    async def _close(self) -> None:
        page, self._page = self._page, None
        if self._socket is not None:
            self._socket.close()
        for carrier in self._carriers:
            carrier.close()
        if page is not None:
            await page.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
