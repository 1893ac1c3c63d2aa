"""Pairs of a phone and a relative who call each other again and again, as a dice wants it, until they are stopped.

For tests that end the service at any moment: nobody waits for what can no longer come.
"""

import contextlib
import random
import threading
import time
from typing import NamedTuple

from tests.e2e.stage import ContactEntry, Stage
from tests.peers.rtp_phone import RtpPhone
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Response
from tests.peers.waiting import NotSeen
from tests.soak.relative import SoakRelative

PORTS = 8
"""So many ports each pair needs, the first an even one."""
GIVES_UP = 0.15
"""So many hang up while they wait for the relative."""
HANGS_UP = 0.7
"""Of those who talk, so many end it themselves; the others wait for the limit."""
WITHIN_S = 60.0


class Meeting(NamedTuple):
    """What both parties can have had of one call: from the code that was typed to the end that they saw."""

    joined_at: float
    over_at: float


class Caller(threading.Thread):
    """Calls until `stop`. What goes wrong before that is kept in `broke` and ends it."""

    def __init__(self, stage: Stage, user: str, contact: ContactEntry, first_port: int, dice: random.Random) -> None:
        super().__init__(name=f"caller {user}", daemon=True)
        entry = stage.phones[user]
        self.user = user
        self.meetings: list[Meeting] = []
        self.broke: BaseException | None = None
        self._stage, self._contact, self._port, self._dice = stage, contact, first_port, dice
        self._client = SipClient(stage.edge.edge, entry.user, entry.password)
        self._phone = RtpPhone(first_port=first_port)
        self._relative: SoakRelative | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End at once whatever is being waited for."""
        self._stopping.set()
        self._client.received.close("it was stopped")
        relative = self._relative
        if relative is not None:
            relative.heard.close("it was stopped")

    def run(self) -> None:
        try:
            self._stopping.wait(self._dice.uniform(0.0, 2.0))
            while not self._stopping.is_set():
                self._call()
                self._stopping.wait(self._dice.uniform(0.0, 0.5))
        except BaseException as error:
            if not self._stopping.is_set():
                self.broke = error
        finally:
            self._client.leave()
            self._phone.close()
            self._client.close()

    def _dial(self) -> Response:
        assert self._client.register().status == 200
        self._client.new_dialogue()
        callee = f"sip:{self._contact.dialled}@avisio"
        return self._client.authenticated("INVITE", callee, self._phone.offer(), timeout=WITHIN_S)

    def _call(self) -> None:
        since = self._stage.sms.mark()
        client = self._client
        until = time.monotonic() + WITHIN_S
        # The edge asks its workers once a second: after a start it has not seen all of them yet.
        while (answer := self._dial()).status == 503 and time.monotonic() < until and not self._stopping.is_set():
            self._stopping.wait(0.3)
        if answer.status != 200:
            raise NotSeen(f"{self.user} was refused: {answer.status}")
        client.established(answer)
        client.send(client.within("ACK").encode())
        self._phone.connect(answer.body.decode())
        try:
            if self._dice.random() < GIVES_UP:
                self._stopping.wait(self._dice.uniform(0.0, 0.7))
            elif (code := self._code(since)) is not None:
                self._meet(code)
            self._hang_up()
        finally:
            self._phone.audio.remote = self._phone.video.remote = None

    def _code(self, since: int) -> str | None:
        """None where it was stopped meanwhile: the modem goes on whatever becomes of the daemon."""
        until = time.monotonic() + WITHIN_S
        while not self._stopping.is_set():
            with contextlib.suppress(NotSeen):
                return self._stage.wait_code(self._contact, since, 0.3)
            if time.monotonic() > until:
                raise NotSeen(f"{self.user}: no code")
        return None

    def _meet(self, code: str) -> None:
        with SoakRelative(self._stage.portal_url, self._port + PORTS // 2) as relative:
            self._relative = relative
            joined_at = time.monotonic()
            try:
                if not self._stopping.is_set():
                    self._talk(relative, code)
            finally:
                self._relative = None
                self.meetings.append(Meeting(joined_at, time.monotonic()))

    def _talk(self, relative: SoakRelative, code: str) -> None:
        relative.join(code)
        relative.hear_state("connected", WITHIN_S)
        if self._dice.random() < HANGS_UP:
            self._stopping.wait(self._dice.uniform(0.1, 1.5))
            if self._dice.random() < 0.5:
                self._hang_up()
            else:
                relative.hang_up()
        relative.hear("ended", WITHIN_S)
        self._stopping.wait(self._dice.uniform(0.0, 1.0))  # the phone is told why, and need not hear it to its end

    def _hang_up(self) -> None:
        """Once; that the dialogue is over already is as good."""
        if self._client.to_tag:
            bye = self._client.within("BYE")
            self._client.to_tag = ""
            assert self._client.ask(bye, WITHIN_S).status in (200, 481)
