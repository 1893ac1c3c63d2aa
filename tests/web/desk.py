"""A switchboard's desk for tests: it knows some codes, remembers what it was asked, and speaks to the page."""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, succeed

from avisiod import ports
from avisiod.calls.ids import SessionId

RIGHT = "123456"
TOKEN = "token-of-this-relative"


def joined(session: str = "session-1", *, recorded: bool = True, limit_s: float = 1200.0) -> ports.Joined:
    return ports.Joined(session=SessionId(session), token=TOKEN, limit_s=limit_s, recorded=recorded)


class FakeDesk:
    """Implements ports.Desk."""

    def __init__(self) -> None:
        self.verdicts: dict[str, ports.Joined | ports.Rejected | Exception] = {RIGHT: joined()}
        self.resumed: ports.Joined | ports.Rejected = ports.Rejected(why="over")
        self.answer: Callable[[str], Awaitable[str]] = lambda sdp: succeed("v=0\r\n")
        self.asked: list[tuple[str, ...]] = []
        self.acceptances: list[ports.Acceptance] = []
        self.pages: list[ports.Page] = []
        self.converting = True
        self.held: Deferred[None] | None = None
        self.on_asked: Callable[[tuple[str, ...]], None] = lambda what: None

    @property
    def page(self) -> ports.Page:
        return self.pages[-1]

    def _note(self, *what: str) -> None:
        self.asked.append(what)
        self.on_asked(what)

    async def redeem(
        self, code: str, link: str, address: str, acceptance: ports.Acceptance, page: ports.Page
    ) -> ports.Joined | ports.Rejected:
        self._note("redeem", code, link, address)
        self.acceptances.append(acceptance)
        self.pages.append(page)
        if self.held is not None:
            await self.held
        verdict = self.verdicts.get(code, ports.Rejected(why="wrong", tries_left=3))
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def resume(self, token: str, address: str, page: ports.Page) -> ports.Joined | ports.Rejected:
        self._note("resume", token, address)
        self.pages.append(page)
        return self.resumed

    async def offer(self, session: SessionId, sdp: str) -> str:
        self._note("offer", session)
        return await self.answer(sdp)

    def candidate(self, session: SessionId, candidate: str) -> None:
        self._note("candidate", session, candidate)

    def converts(self) -> bool:
        return self.converting

    def hang_up(self, session: SessionId) -> None:
        self._note("hang_up", session)

    def gone(self, session: SessionId) -> None:
        self._note("gone", session)
