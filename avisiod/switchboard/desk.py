"""The switchboard's side of the portal: codes, coming back, offers."""

import base64
import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from avisiod.calls import events as ev
from avisiod.calls.call import State
from avisiod.calls.ids import ID_BYTES, CallId, SessionId, id_from
from avisiod.calls.invitation import Answer, Result
from avisiod.config.settings import IceServer
from avisiod.gateway import wire
from avisiod.gateway.sdp import writer
from avisiod.log import remember
from avisiod.ports import (
    Acceptance,
    AcceptanceRecord,
    InvitationSpent,
    Joined,
    Page,
    Rejected,
    RestartRefused,
    StoreUnavailable,
)
from avisiod.switchboard.actions import token_digest
from avisiod.switchboard.entry import Entry
from avisiod.switchboard.switchboard import Switchboard, run

logger = logging.getLogger(__name__)

ICE_CREDENTIAL_S = 3600
"""Life of a TURN credential: longer than any call with its reconnects."""

_MAY_COME_BACK = (State.WAITING, State.JOINING, State.CONNECTED, State.INTERRUPTED)


class FrontDesk:
    """Implements ports.Desk."""

    def __init__(
        self,
        board: Switchboard,
        ice_servers: Sequence[tuple[IceServer, bytes]],
        elsewhere: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:
        """`ice_servers`: each with the secret of its secret_file, empty for STUN.

        `elsewhere` says which portal has the call of a code that no call of ours has, empty for none.
        """
        self._elsewhere = elsewhere
        self._board = board
        self._ice_servers = ice_servers

    def adopt(self, ice_servers: Sequence[tuple[IceServer, bytes]]) -> None:
        """Servers for pages that join from now on."""
        self._ice_servers = ice_servers

    async def redeem(
        self, code: str, link: str, address: str, acceptance: Acceptance, page: Page
    ) -> Joined | Rejected:
        """Spend a code."""
        board = self._board
        now = board.clock.now()
        open_codes = board.invitations.open_codes(now)
        result = board.invitations.redeem(code, link, address, now)
        # Counted as wrong first, so that no number of tries at once gets more answers than one after the other.
        if result.answer is Answer.WRONG and result.tries_left is None and (url := await self._holder_of(code)):
            board.invitations.was_right_elsewhere(address, now, open_codes)
            board.observer.code_tried("elsewhere")
            return Rejected(why="elsewhere", url=url)
        board.observer.code_tried(result.answer.value)
        if result.answer is not Answer.RIGHT or result.call is None:
            return self._rejected(result)
        entry = board.entries.get(result.call)
        if entry is None or entry.call.state is State.ENDED:
            return Rejected(why="over")
        session, token = _new_session(), secrets.token_urlsafe(32)
        utc = board.clock.utc()
        await board.post(
            entry,
            ev.CodeAccepted(board.clock.now(), session),
            InvitationSpent(call=entry.call.id, at_utc=utc),
            AcceptanceRecord(call=entry.call.id, at_utc=utc, acceptance=acceptance),
        )
        return self._welcome(entry, session, token, page)

    async def _holder_of(self, code: str) -> str:
        if self._elsewhere is None:
            return ""
        try:
            return await self._elsewhere(code)
        except StoreUnavailable as error:
            logger.warning("other boxes could not be asked for a code: %s", error)
            return ""

    async def resume(self, token: str, address: str, page: Page) -> Joined | Rejected:
        """Come back without a code."""
        del address
        board = self._board
        digest = token_digest(token)
        entry = next((e for e in board.entries.values() if e.token and hmac.compare_digest(e.token, digest)), None)
        if entry is None or entry.call.state not in _MAY_COME_BACK:
            return Rejected(why="over")
        session, older = _new_session(), entry.page
        entry.page = None
        if older is not None and older is not page:
            older.replaced()
        await board.post(entry, ev.CameBack(board.clock.now(), session))
        return self._welcome(entry, session, token, page)

    async def offer(self, session: SessionId, sdp: str) -> str:
        """Answer the page's offer. ValueError where it cannot be answered."""
        board, entry = self._board, self._entry(session)
        offerer = writer(sdp)
        if entry is not None and entry.offered == session:
            if offerer and offerer == entry.offerer:
                return await self._restart(entry, session, sdp)
            # The worker drops the leg that it has; the call must know, for only the new one's flowing bridges again.
            await board.post(entry, ev.CameBack(board.clock.now(), session))
            entry = self._entry(session)
        if entry is None or board.actions is None:
            raise ValueError("this page no longer has a call")
        entry.offered, entry.offerer = session, offerer
        servers = msgspec.json.encode(self._servers(session))
        return await self._answered(board.actions.media.open_browser_leg(entry.call.id, session, sdp, servers), entry)

    async def _restart(self, entry: Entry, session: SessionId, sdp: str) -> str:
        """The page's connection goes on over another network path, or not at all."""
        if self._board.actions is None:
            raise ValueError("this page no longer has a call")
        servers = msgspec.json.encode(self._servers(session))
        asked = self._board.actions.media.restart_browser_leg(entry.call.id, session, sdp, servers)
        try:
            return await self._answered(asked, entry)
        except ValueError as error:
            logger.info("a page's ICE restart was refused: %s", error, extra={"call": entry.call.id})
            raise RestartRefused(str(error)) from None

    @staticmethod
    async def _answered(asked: Awaitable[str], entry: Entry) -> str:
        try:
            return await asked
        except wire.OfferUnacceptable as error:
            raise ValueError(str(error)) from None
        except wire.WorkerError as error:
            logger.warning("the page's offer was not answered: %s", error, extra={"call": entry.call.id})
            raise ValueError("the service cannot take the connection now") from None

    def candidate(self, session: SessionId, candidate: str) -> None:
        """A trickled candidate."""
        entry = self._entry(session)
        if entry is not None:
            run(self._add_candidate(entry, session, candidate))

    async def _add_candidate(self, entry: Entry, session: SessionId, candidate: str) -> None:
        if self._board.actions is None:
            return
        try:
            await self._board.actions.media.add_candidate(entry.call.id, session, candidate)
        except wire.WorkerError as error:
            logger.debug("a candidate was not taken: %s", error, extra={"call": entry.call.id})

    def converts(self) -> bool:
        """Whether a picture could be converted now."""
        actions = self._board.actions
        return actions is not None and actions.media.converts

    def hang_up(self, session: SessionId) -> None:
        """The relative ends the call."""
        entry = self._entry(session)
        if entry is not None:
            self._board.post(entry, ev.RelativeHungUp(self._board.clock.now(), session))

    def gone(self, session: SessionId) -> None:
        """The page's connection closed; media tells whether the relative is gone too."""
        entry = self._entry(session)
        if entry is not None:
            entry.page = None

    def _entry(self, session: SessionId) -> Entry | None:
        there = self._board.entries.values()
        return next((e for e in there if e.call.session == session and e.call.state is not State.ENDED), None)

    def _welcome(self, entry: Entry, session: SessionId, token: str, page: Page) -> Joined | Rejected:
        """The event was taken: whether it let this page in, the call itself tells."""
        if entry.call.session != session or entry.call.state is State.ENDED:
            return Rejected(why="over")
        if entry.page is not None and entry.page is not page:
            entry.page.replaced()  # it came back at the same time
        entry.page, entry.token = page, token_digest(token)
        remember(session, call=entry.call.id, phone=entry.call.phone)
        return Joined(
            session=session,
            token=token,
            limit_s=entry.call.limit_s,
            recorded=not entry.call.confidential,
            ice_servers=tuple(self._servers(session)),
        )

    def _rejected(self, result: Result) -> Rejected:
        if result.answer is Answer.VOIDED:
            entry = self._board.entries.get(result.call or CallId(""))
            if entry is not None:
                self._board.post(entry, ev.CodeVoided(self._board.clock.now()))
            return Rejected(why="over")
        if result.answer is Answer.THROTTLED:
            return Rejected(why="throttled", retry_after_s=result.wait_s)
        if result.answer is Answer.EXPIRED:
            return Rejected(why="expired")
        if result.answer is Answer.USED:
            return Rejected(why="used")
        return Rejected(why="wrong", tries_left=result.tries_left)

    def _servers(self, session: SessionId) -> list[dict[str, str | list[str]]]:
        expires = int(self._board.clock.utc().timestamp()) + ICE_CREDENTIAL_S
        return [ice_server(server, secret, session, expires) for server, secret in self._ice_servers]


def ice_server(server: IceServer, secret: bytes, name: str, expires: int) -> dict[str, str | list[str]]:
    """An RTCIceServer; with a secret, coturn's time-limited credential (use-auth-secret): base64 HMAC-SHA-1.

    `expires` is a Unix time in seconds: coturn compares it with its own wall clock.
    """
    if not secret:
        return {"urls": list(server.urls)}
    username = f"{expires}:{name}"
    digest = hmac.new(secret, username.encode(), hashlib.sha1).digest()
    return {"urls": list(server.urls), "username": username, "credential": base64.b64encode(digest).decode()}


def _new_session() -> SessionId:
    return SessionId(id_from(secrets.token_bytes(ID_BYTES)))
