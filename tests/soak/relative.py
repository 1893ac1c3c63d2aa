"""The relative of a soak's call: an exact one that counts instead of keeping, comes back, or goes without a word."""

import json
import time
from typing import Any

from tests.bench.exact_relative import STEP_TIMEOUT_S, ExactRelative
from tests.gateway.webrtc_peer import sdp_offer, transport_of
from tests.peers.rtp_phone import RtpPhone
from tests.peers.waiting import Feed, NotSeen, wait_until


class SoakRelative(ExactRelative):
    """Joins with a code; `come_back` is what a refreshed page does."""

    def __init__(self, portal_url: str, first_port: int) -> None:
        super().__init__(portal_url, RtpPhone(first_port=first_port))

    def come_back(self) -> None:
        """The page goes without goodbye and a new one resumes with the token of the old; NotSeen where it may not."""
        said = self.resume()
        if said["type"] != "joined":
            raise NotSeen(f"the portal let nobody back in: {said}")
        self._join_media()

    def resume(self) -> dict[str, Any]:
        """What the portal says, `joined` or `rejected`, to a new page that shows the token of the old."""
        token = self.hear("joined")["token"]
        self.vanish()
        self.heard = Feed("the portal, again")
        self._run(self._connect())
        self.hear("welcome")
        self._say(type="resume", token=token)
        wanted = ("joined", "rejected")
        return self.heard.wait(lambda each: each[1]["type"] in wanted, STEP_TIMEOUT_S, "joined or rejected")[1]

    def _join_media(self) -> None:
        page = self._run(self._new_page())
        offer = self._run(page.offer())
        self._say(type="offer", sdp=sdp_offer(offer))
        answer = transport_of(self.hear("answer", STEP_TIMEOUT_S)["sdp"])
        self._run(page.ice_to(answer))
        self._run(page.dtls_to(answer))

    def hang_up(self) -> None:
        self._say(type="hang_up")

    def vanish(self) -> None:
        """The connection is cut and nothing comes any more: not a word, not a packet."""
        self._run(self._vanish())

    async def _vanish(self) -> None:
        page, self._page = self._page, None
        if self._socket is not None:
            self._socket.abort()
            self._socket = None
        if page is not None:
            await page.ice._connection.close()

    def ended(self) -> dict[str, Any] | None:
        """What the portal said of the end, if it did."""
        said = [message for _, message in self.heard.items() if message["type"] == "ended"]
        return said[0] if said else None

    def states(self) -> list[str]:
        return [message["state"] for _, message in self.heard.items() if message["type"] == "state"]

    def wait_connected(self, timeout: float) -> float:
        """When the page was told that both see each other; NotSeen."""
        wait_until(lambda: "connected" in self.states() or self.ended() is not None, timeout, "connected, or the end")
        return time.monotonic()

    def said(self) -> str:
        """For a report: the last of what was heard."""
        return json.dumps([message for _, message in self.heard.items()][-2:])
