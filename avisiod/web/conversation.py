"""One page's conversation: which message may come when, and what is answered. No socket here, no clock of its own."""

import logging
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Literal, Protocol, TypeVar

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from avisiod import ports
from avisiod.calls.admission import Limit
from avisiod.calls.ids import SessionId
from avisiod.calls.reasons import EndReason
from avisiod.web import messages
from avisiod.web.charter import Charters
from avisiod.web.endings import ADVICE, SHORTENED
from avisiod.web.limits import Bucket
from avisiod.web.texts import Languages, Texts

log = logging.getLogger(__name__)

MESSAGES_PER_S = 10.0
MESSAGES_AT_ONCE = 60.0
"""A page sends an offer and some dozens of candidates at once, then next to nothing."""

Result = TypeVar("Result")


class Line(Protocol):
    """The page's end of the conversation."""

    def send(self, frame: bytes) -> None:
        """Send one text frame; silently nothing when the page is gone."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye (RFC 6455 section 7.4)."""


class Step(Enum):
    """How far the page has come."""

    OUTSIDE = auto()
    """No code yet, or none that opened anything."""
    ASKING = auto()
    """The switchboard looks at a code or token."""
    INSIDE = auto()
    """In a call."""
    OVER = auto()
    """Nothing more is said."""


class Conversation:
    """What the portal says to one page, and believes of it. It is the `ports.Page` that the switchboard sees."""

    def __init__(
        self,
        *,
        desk: ports.Desk,
        charters: Charters,
        languages: Languages,
        address: str,
        line: Line,
        now: Callable[[], float],
        refused: Callable[[messages.What], None] = lambda _what: None,
    ) -> None:
        """`refused` is told of every message that had no effect."""
        self._desk = desk
        self._charters = charters
        self._languages = languages
        self._texts: Texts = languages.get("")
        self._address = address
        self._line = line
        self._now = now
        self._refused = refused
        self._bucket = Bucket(MESSAGES_PER_S, MESSAGES_AT_ONCE, now())
        self._session: SessionId | None = None
        self._answering: SessionId | None = None
        self._left = False
        self.step = Step.OUTSIDE

    # What the connection tells.

    def opened(self) -> None:
        """The page is there."""
        known = [self._charters.shown_in(code) for code in sorted(self._charters.languages)]
        self._say(
            messages.Welcome(
                charters=tuple(
                    messages.Charter(language=each.language, version=each.version, digest=each.digest)
                    for each in known
                ),
                converts=self._desk.converts(),
            )
        )

    def received(self, frame: bytes) -> None:
        """A message came. Never raises; what is wrong with it is answered with `error`."""
        if self.step is Step.OVER or self._left:
            return
        if not self._bucket.take(self._now()):
            self._error("too_fast", "more messages than a page ever sends")
            self._leave()
            self._line.close(messages.CLOSE_TOO_FAST, "too fast")
            return
        try:
            message = messages.from_page(frame)
        except messages.Malformed as error:
            self._error("malformed", str(error))
            return
        self._handle(message)

    def lost(self) -> None:
        """The connection closed, by whomever."""
        self._leave()
        self.step = Step.OVER

    def _leave(self) -> None:
        self._left = True
        if self.step is Step.INSIDE and self._session is not None:
            self._told("gone", self._desk.gone, self._session)
            self._session = None

    # What the page asks.

    def _handle(self, message: messages.FromPage) -> None:
        match message:
            case messages.Hello():
                self._texts = self._languages.get(message.language)
            case messages.Join() if self.step is Step.OUTSIDE:
                self._join(message)
            case messages.Resume() if self.step is Step.OUTSIDE:
                self._enter(lambda: self._desk.resume(message.token, self._address, self))
            case messages.Offer() if self._session is not None and self._answering != self._session:
                self._run(self._answer(self._session, message.sdp))
            case messages.Candidate() if self._session is not None:
                self._told("candidate", self._desk.candidate, self._session, message.candidate)
            case messages.HangUp() if self._session is not None:
                self._told("hang_up", self._desk.hang_up, self._session)
            case _:
                self._error("out_of_order", f"{message.__struct_config__.tag} cannot come {self._where()}")

    def _where(self) -> str:
        if self._session is not None and self._answering == self._session:
            return "before the answer to the last offer"
        return {
            Step.OUTSIDE: "before joined",
            Step.ASKING: "while a code or token is looked at",
            Step.INSIDE: "after joined",
            Step.OVER: "after the end",
        }[self.step]

    def _join(self, message: messages.Join) -> None:
        acceptance = ports.Acceptance(
            language=message.charter.language, version=message.charter.version, digest=message.charter.digest
        )
        if not self._charters.know(acceptance):
            self._error("charter_changed", "the charter named is not one of `welcome`; the code was not spent")
            return
        self._enter(lambda: self._desk.redeem(message.code, message.link, self._address, acceptance, self))

    def _enter(self, ask: Callable[[], Awaitable[ports.Joined | ports.Rejected]]) -> None:
        self.step = Step.ASKING
        self._run(self._entering(ask))

    async def _entering(self, ask: Callable[[], Awaitable[ports.Joined | ports.Rejected]]) -> None:
        try:
            verdict = await ask()
        except Exception:  # noqa: BLE001 - the switchboard's failure must not take other pages along; it is logged
            self._failed("code or token")
            if self.step is Step.ASKING:
                self.step = Step.OUTSIDE
            return
        if isinstance(verdict, ports.Rejected):
            if self.step is Step.ASKING:
                self.step = Step.OUTSIDE
            self._say(
                messages.Rejected(
                    why=verdict.why,
                    url=verdict.url,
                    retry_after_s=verdict.retry_after_s,
                    tries_left=verdict.tries_left,
                )
            )
            return
        if self._left or self.step is Step.OVER:
            # The page went, or the call ended, while the code was looked at.
            if self._left:
                self._told("gone", self._desk.gone, verdict.session)
            return
        self._session = verdict.session
        self.step = Step.INSIDE
        self._say(
            messages.Joined(
                token=verdict.token,
                limit_s=verdict.limit_s,
                recorded=verdict.recorded,
                ice_servers=verdict.ice_servers,
            )
        )

    async def _answer(self, session: SessionId, sdp: str) -> None:
        self._answering = session
        try:
            answer = await self._desk.offer(session, sdp)
        except ports.RestartRefused as error:
            why = str(error)[:300]
            self._answered(session, lambda: self._error("restart_refused", why))
        except ValueError as error:
            why = str(error)[:300]
            self._answered(session, lambda: self._error("offer_refused", why))
        except Exception:  # noqa: BLE001 - as above
            self._answered(session, lambda: self._failed("offer"))
        else:
            self._answered(session, lambda: self._say(messages.Answer(sdp=answer)))

    def _answered(self, session: SessionId, say: Callable[[], None]) -> None:
        """Say it, unless the page went on to another session meanwhile."""
        if self._answering == session:
            self._answering = None
        if self._session == session:
            say()

    def _run(self, work: Awaitable[None]) -> None:
        ensureDeferred(_awaiting(work)).addErrback(
            lambda failure: log.error(
                "a page's request failed: %s", failure.getTraceback(), extra={"call": self._session}
            )
        )

    def _failed(self, what: str) -> None:
        log.error(
            "the switchboard failed on a page's %s: %s", what, Failure().getTraceback(), extra={"call": self._session}
        )
        self._error("internal", "")

    def _told(self, what: str, tell: Callable[..., None], *words: str) -> None:
        try:
            tell(*words)
        except Exception:
            log.exception("the switchboard failed on a page's %s", what, extra={"call": self._session})

    # What the switchboard says: ports.Page.

    def state(
        self, state: Literal["waiting", "joining", "connected", "interrupted"], remaining_s: float | None
    ) -> None:
        """See ports.Page."""
        if state == "waiting" and self.step is Step.INSIDE:
            # Media could not be had: that session is over, the token is not.
            self.step = Step.OUTSIDE
            self._session = None
        self._say(messages.State(state=state, remaining_s=remaining_s))

    def warning(self, remaining_s: float) -> None:
        """See ports.Page."""
        self._say(messages.Warning(remaining_s=remaining_s))

    def shortened(self, by: Limit, remaining_s: float) -> None:
        """See ports.Page. The page is not told of money, quotas or authorisations of the person in detention."""
        why: Literal["hours", "rules"] = "hours" if by is Limit.HOURS else "rules"
        self._say(messages.Shortened(by=why, remaining_s=remaining_s, text=self._texts.gettext(SHORTENED[why])))

    def ended(self, reason: EndReason, connected_s: float, *, charged: bool) -> None:
        """See ports.Page."""
        self._say(
            messages.Ended(reason=reason.value, cause=reason.cause.value, connected_s=connected_s, charged=charged)
        )
        self._finish(messages.CLOSE_ENDED, "call over")

    def replaced(self) -> None:
        """See ports.Page."""
        self._say(messages.Replaced())
        self._finish(messages.CLOSE_REPLACED, "replaced")

    def _finish(self, code: int, reason: str) -> None:
        if self.step is Step.OVER:
            return
        self.step = Step.OVER
        self._session = None
        self._line.close(code, reason)

    # Words.

    def _error(self, what: messages.What, detail: str) -> None:
        log.debug("a page was answered %s", what)
        self._refused(what)
        self._say(messages.Error(what=what, advice=self._texts.gettext(ADVICE[what]), detail=detail))

    def _say(self, message: messages.Message) -> None:
        if self.step is not Step.OVER and not self._left:
            self._line.send(messages.encode(message))


async def _awaiting(work: Awaitable[Result]) -> Result:
    return await work
