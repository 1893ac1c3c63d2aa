"""One phone and one relative who call each other again and again, each call ending as a dice wants it."""

import contextlib
import random
import re
import threading
import time

from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers.ports import free_range
from tests.peers.rtp_phone import RtpPhone
from tests.peers.sip_client import SipClient
from tests.peers.sip_message import Request
from tests.peers.waiting import NotSeen, wait_until
from tests.peers.workers import holder_of, workers
from tests.soak.relative import SoakRelative
from tests.soak.story import Call, Plan

PLANS = {
    Plan.DETAINEE: 28,
    Plan.RELATIVE: 28,
    Plan.LIMIT: 18,
    Plan.RELATIVE_GOES: 7,
    Plan.PHONE_GOES: 5,
    Plan.GIVES_UP: 7,
    Plan.NOBODY_COMES: 7,
}
COMES_BACK = 0.2
"""So many of the relatives refresh their page in mid-call."""
TALK_S = (3.0, 25.0)
ANSWERED_WITHIN_S = 30.0
CODE_WITHIN_S = 70.0
ENDED_WITHIN_S = 60.0
TOLD_WITHIN_S = 10.0
PAUSE_S = (0.5, 3.0)
HANGING_UP_S = 12.0


class Lane(threading.Thread):
    """Calls until `stop`; `calls` grows. An exception of ours ends the lane and is kept in `broke`."""

    def __init__(
        self, number: int, stage: Stage, phone: PhoneEntry, contact: ContactEntry, dice: random.Random, limit_s: float
    ) -> None:
        super().__init__(name=f"lane {number}", daemon=True)
        self.number = number
        self.calls: list[Call] = []
        self.now: Call | None = None
        self.broke: BaseException | None = None
        self._stage = stage
        self._phone = phone
        self._contact = contact
        self._dice = dice
        self._limit_s = limit_s
        self._ports = free_range(4)[0], free_range(4)[0]
        self._known: set[str] = set()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the call under way."""
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._call_once()
                self._stopping.wait(self._dice.uniform(*PAUSE_S))
        except BaseException as error:
            self.broke = error

    def _call_once(self) -> None:
        plan = self._dice.choices(list(PLANS), list(PLANS.values()))[0]
        call = Call(
            lane=self.number,
            plan=plan,
            comes_back=self._dice.random() < COMES_BACK,
            confidential=self._contact.confidential,
            dialled_at=time.monotonic(),
        )
        self.now = call
        try:
            with contextlib.ExitStack() as parties:
                _Talk(
                    self._stage, self._phone, self._contact, call, self._dice, self._limit_s, parties, self._ports
                ).play()
        except (NotSeen, OSError, RuntimeError, ValueError, TimeoutError) as error:
            call.trouble = call.trouble or _short(error)
        finally:
            call.over_at = time.monotonic()
            self.now = None
            self._find_row(call)
            self.calls.append(call)

    def _find_row(self, call: Call) -> None:
        """Which row of the store is this call."""
        rows = self._stage.rows(
            "select call, min(at_monotonic) as at from events where call in (select id from calls where phone = ?) "
            "group by call order by at",
            self._phone.user,
        )
        new = [row for row in rows if row["call"] not in self._known]
        self._known |= {str(row["call"]) for row in new}
        mine = [str(row["call"]) for row in new if float(row["at"]) >= call.dialled_at]
        late = [str(row["call"]) for row in new if float(row["at"]) < call.dialled_at]
        if len(mine) == 1:
            (call.id,) = mine
        elif mine:
            call.trouble = f"{len(mine)} calls in the store for one INVITE"
        if late and self.calls and not self.calls[-1].id:
            self.calls[-1].id = late[-1]  # it was taken after its phone had given up


class _Talk:
    """One call, step by step."""

    def __init__(
        self,
        stage: Stage,
        entry: PhoneEntry,
        contact: ContactEntry,
        call: Call,
        dice: random.Random,
        limit_s: float,
        parties: contextlib.ExitStack,
        ports: tuple[int, int],
    ) -> None:
        self.stage, self.contact, self.call, self.dice, self.limit_s = stage, contact, call, dice, limit_s
        self.parties = parties
        self.client = parties.enter_context(SipClient(stage.edge.edge, entry.user, entry.password))
        self.phone = RtpPhone(first_port=ports[0])
        self.phone_open = True
        parties.callback(self._close_phone)
        self.relative_port = ports[1]
        self.relative: SoakRelative | None = None

    def play(self) -> None:
        since = self.stage.sms.mark()
        if not self._dial():
            return
        call = self.call
        if call.plan is Plan.GIVES_UP:
            self._wait(self.dice.uniform(0.2, 3.0))
            self._hang_up()
            return
        code = self._code(since)
        if code is None:
            return
        if call.plan is Plan.NOBODY_COMES:
            self._wait_hung_up(ENDED_WITHIN_S)
            return
        relative = self.parties.enter_context(SoakRelative(self.stage.portal_url, self.relative_port))
        self.relative = relative
        try:
            relative.join(code)
            relative.wait_connected(40.0)
        except (NotSeen, OSError, ValueError, TimeoutError) as error:
            call.trouble = f"joining: {_short(error)}"
            self._wait_hung_up(ENDED_WITHIN_S)
            return
        if "connected" in relative.states():
            call.connected_at = time.monotonic()
            self._talk(relative)

    def _dial(self) -> bool:
        call, client = self.call, self.client
        client.register()
        client.new_dialogue()
        callee = f"sip:{self.contact.dialled}@avisio"
        try:
            answer = client.authenticated("INVITE", callee, self.phone.offer(), timeout=ANSWERED_WITHIN_S)
        except NotSeen as error:
            call.trouble = f"dialling: {_short(error)}"
            client.give_up()
            return False
        call.status = answer.status
        if answer.status != 200:
            return False
        call.answered_at = time.monotonic()
        client.established(answer)
        client.send(client.within("ACK").encode())
        sdp = answer.body.decode()
        self.phone.connect(sdp)
        of_daemon = workers(self.stage.daemon.pid)
        if port := re.search(r"^m=audio (\d+)", sdp, re.MULTILINE):
            call.media_pid = holder_of(int(port[1]), of_daemon)
        if port := re.search(r":(\d+)", client.target.partition("@")[2] or client.target.partition(":")[2]):
            call.sip_pid = holder_of(int(port[1]), of_daemon)
        return True

    def _code(self, since: int) -> str | None:
        """None where the call ends before one comes."""
        found: list[str] = []

        def come() -> bool:
            if not found:
                with contextlib.suppress(NotSeen):
                    found.append(self.stage.wait_code(self.contact, since, 0.2))
            return bool(found) or self._was_hung_up()

        wait_until(come, CODE_WITHIN_S, "a code, or the end")
        return found[0] if found else None

    def _talk(self, relative: SoakRelative) -> None:
        call, plan = self.call, self.call.plan
        before = self.phone.audio.got + self.phone.video.got, relative.media.audio.got + relative.media.video.got
        talk_s = self.dice.uniform(*TALK_S)
        if call.comes_back:
            self._wait(talk_s / 2)
            try:
                relative.come_back()
            except (NotSeen, OSError, ValueError, TimeoutError, AttributeError) as error:
                call.trouble = f"coming back: {_short(error)}"
            talk_s /= 2
        if plan is not Plan.LIMIT:
            self._wait(talk_s)
        if not self._is_over():
            call.end_asked_at = time.monotonic()
            if plan is Plan.DETAINEE:
                self._hang_up()
            elif plan is Plan.RELATIVE:
                relative.hang_up()
            elif plan is Plan.RELATIVE_GOES:
                relative.vanish()
            elif plan is Plan.PHONE_GOES:
                self._close_phone()
            else:
                call.end_asked_at = None
        self._wait_over(self.limit_s + ENDED_WITHIN_S)
        after = self.phone.audio.got + self.phone.video.got, relative.media.audio.got + relative.media.video.got
        call.phone_heard, call.relative_heard = after[0] - before[0], after[1] - before[1]
        told = relative.ended()
        call.page_told = str(told["reason"]) if told else ""

    def _hang_up(self) -> None:
        """BYE until somebody answers, as a phone does; then it sends no more media."""
        self.call.end_asked_at = self.call.end_asked_at or time.monotonic()
        until = time.monotonic() + HANGING_UP_S
        bye = self.client.within("BYE")
        self.call.bye = "unanswered"
        while time.monotonic() < until and self.call.bye == "unanswered":
            with contextlib.suppress(NotSeen):
                status = self.client.ask(bye, 1.0).status
                self.call.bye = "ok" if status == 200 else "unknown" if status == 481 else str(status)
        self._close_phone()

    def _was_hung_up(self) -> bool:
        self.call.hung_up = any(isinstance(m, Request) and m.method == "BYE" for m in self.client.received.items())
        return self.call.hung_up

    def _is_over(self) -> bool:
        return self._was_hung_up() or (self.relative is not None and self.relative.ended() is not None)

    def _wait_hung_up(self, timeout: float) -> None:
        with contextlib.suppress(NotSeen):
            wait_until(self._was_hung_up, timeout, "the phone is hung up")
        self._close_phone()

    def _wait_over(self, timeout: float) -> None:
        """Both parties are told, or one is and the other had its time for it."""
        phone_waits = self.call.bye == ""  # it takes a BYE, be its media gone or not
        with contextlib.suppress(NotSeen):
            wait_until(lambda: self._is_over() or (self.call.bye != "" and self._row_ended()), timeout, "the end")
        relative = self.relative
        if relative is not None and self._row_ended() and self.call.plan is not Plan.RELATIVE_GOES:
            with contextlib.suppress(NotSeen):
                wait_until(lambda: relative.ended() is not None, TOLD_WITHIN_S, "the page is told")
        if phone_waits and self._is_over():
            with contextlib.suppress(NotSeen):
                wait_until(self._was_hung_up, 20.0, "the phone is hung up")
        self._close_phone()

    def _row_ended(self) -> bool:
        rows = self.stage.rows(
            "select count(*) as n from calls where phone = ? and state != 'ended'", self.client.user
        )
        return rows[0]["n"] == 0

    def _close_phone(self) -> None:
        if self.phone_open:
            self.phone_open = False
            self.phone.close()

    def _wait(self, seconds: float) -> None:
        """Let the call go on, unless it ends."""
        with contextlib.suppress(NotSeen):
            wait_until(self._is_over, seconds, "the end")


def _short(error: BaseException) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:200]
