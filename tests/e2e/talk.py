"""A call between an exact phone and an exact relative, brought to the point where media flows.

Cheap enough for several at a time; every process behind it is known, so that a test can do something to it.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

from tests.e2e.stage import ContactEntry, Stage
from tests.peers.ports import free_range
from tests.peers.rtp_phone import RtpPhone
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request, Response
from tests.peers.waiting import NotSeen, wait_until
from tests.peers.workers import holder_of, workers
from tests.soak.relative import SoakRelative

CONNECTED_WITHIN_S = 40.0
FLOWS_WITHIN_S = 20.0
PACKETS = 60
"""More than a second of sound or picture."""


class Line:
    """A phone of the inventory that an exact party holds: it dials, hangs up, and knows who serves it."""

    def __init__(self, stage: Stage, user: str, contact: ContactEntry) -> None:
        entry = stage.phones[user]
        self.stage, self.contact = stage, contact
        self.client = SipClient(stage.edge.edge, entry.user, entry.password)
        self.media = RtpPhone(first_port=free_range(4)[0])
        self.known = {str(row["id"]) for row in stage.calls()}
        self.answer: Response | None = None

    def register(self) -> None:
        assert self.client.register().status == 200

    def dial(self, timeout: float = 15.0) -> int:
        """The status that the INVITE got; after 200 the phone sends."""
        self.register()
        self.client.new_dialogue()
        callee = f"sip:{self.contact.dialled}@avisio"
        answer = self.client.authenticated("INVITE", callee, self.media.offer(), timeout=timeout)
        self.answer = answer
        if answer.status == 200:
            self.client.established(answer)
            self.client.send(self.client.within("ACK").encode())
            self.media.connect(answer.body.decode())
        return answer.status

    @property
    def call(self) -> str:
        """The id of its call."""
        (found,) = [
            str(row["id"])
            for row in self.stage.calls()
            if row["phone"] == self.client.user and str(row["id"]) not in self.known
        ]
        return found

    def row(self) -> dict[str, Any]:
        return next(row for row in self.stage.calls() if row["id"] == self.call)

    def wait_ended(self, timeout: float = 30.0) -> tuple[str, int]:
        """Reason, and whether it is charged."""
        wait_until(lambda: self.row()["state"] == "ended", timeout, "the call has ended")
        row = self.row()
        return str(row["end_reason"]), int(row["charged"])

    def bye(self) -> int:
        """Hang up; the answer's status."""
        return self.client.ask(self.client.within("BYE"), 10.0).status

    def wait_hung_up(self, timeout: float = 30.0) -> None:
        """Until the phone was sent a BYE, now or before."""
        self.client.received.wait(lambda m: isinstance(m, Request) and m.method == "BYE", timeout, "BYE")

    @property
    def media_worker(self) -> int:
        """The process that has its media."""
        assert self.answer is not None
        port = re.search(r"^m=audio (\d+)", self.answer.body.decode(), re.MULTILINE)
        assert port
        return self._holder(int(port[1]))

    @property
    def sip_worker(self) -> int:
        """The process that has its dialogue."""
        return self._holder(int(self.client.target.rpartition(":")[2].partition(";")[0]))

    def _holder(self, port: int) -> int:
        pid = holder_of(port, workers(self.stage.daemon.pid))
        assert pid is not None, port
        return pid

    def close(self) -> None:
        self.media.close()
        self.client.close()


@contextlib.contextmanager
def line(stage: Stage, user: str, contact: ContactEntry) -> Iterator[Line]:
    """A phone; whatever call it has is hung up at the end, and ended."""
    phone = Line(stage, user, contact)
    try:
        yield phone
    finally:
        phone.client.leave()
        phone.close()


class Talk:
    """Both parties, connected."""

    def __init__(self, phone: Line, relative: SoakRelative) -> None:
        self.phone = phone
        self.relative = relative

    def wait_flowing(self, timeout: float = FLOWS_WITHIN_S) -> None:
        """Until each of the four streams has brought PACKETS more of the other party."""
        streams = [
            stream for party in (self.phone.media, self.relative.media) for stream in (party.audio, party.video)
        ]
        due = [stream.got + PACKETS for stream in streams]

        def come() -> bool:
            return all(stream.got >= wanted for stream, wanted in zip(streams, due, strict=True))

        wait_until(come, timeout, f"media both ways ({[s.got for s in streams]})")

    def wait_told(self, reason: str, timeout: float = 20.0) -> None:
        """Until the page has heard of the end."""
        told = self.relative.heard.wait(lambda each: each[1]["type"] == "ended", timeout, "ended")
        assert told[1]["reason"] == reason, told


@contextlib.contextmanager
def talking(stage: Stage, user: str, contact: ContactEntry) -> Iterator[Talk]:
    """Dial, join, wait until media flows both ways."""
    with line(stage, user, contact) as phone:
        since = stage.sms.mark()
        assert phone.dial() == 200
        code = stage.wait_code(contact, since, 30)
        with SoakRelative(stage.portal_url, free_range(4)[0]) as relative:
            try:
                relative.join(code)
                relative.wait_connected(CONNECTED_WITHIN_S)
            except (NotSeen, TimeoutError) as error:
                raise NotSeen(f"{error}; the call: {phone.row()}, {stage.journal(phone.call)}") from None
            assert "connected" in relative.states(), (relative.said(), phone.row())
            talk = Talk(phone, relative)
            talk.wait_flowing()
            yield talk


def pause(seconds: float) -> None:
    """For a fault that has to last: nothing announces that it has lasted long enough."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, seconds + 10, "time passes")
