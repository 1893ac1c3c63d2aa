"""The box among those that share its database: says that it lives, ends the calls of one that is gone."""

import hashlib
import hmac
import logging

from avisiod.calls.invitation import Invitations
from avisiod.calls.reasons import EndReason
from avisiod.clock import Clock
from avisiod.config.settings import Config
from avisiod.log import FirstThenDebug
from avisiod.ports import StoreUnavailable
from avisiod.store.boxes import OwnBeat
from avisiod.store.store import Store

logger = logging.getLogger(__name__)


class OtherKey(OSError):
    """Boxes have different keys for the hashes of codes; the text says what to do."""


def mark_of(key: bytes) -> str:
    """A mark by which equal keys are known, and nothing else of them."""
    return hmac.new(key, b"avisiod: which key is this", hashlib.sha256).hexdigest()[:32]


class Fleet:
    """Does nothing where the database is this box's alone."""

    def __init__(self, config: Config, clock: Clock, store: Store, invitations: Invitations, key: bytes) -> None:
        self._config = config
        self._clock = clock
        self._store = store
        self._invitations = invitations
        self._mark = mark_of(key)
        self._beating_since: float | None = None
        self._trouble = FirstThenDebug(logger)
        self.ended = 0
        """Calls of boxes that were gone, which this one ended."""
        self.alive = 0
        """Other boxes that live."""
        self.gone = 0
        """Other boxes that said nothing for longer than the lease."""

    @property
    def shared(self) -> bool:
        """Whether others may share the database."""
        return bool(self._store.box)

    @property
    def lease_s(self) -> float:
        """A box that says nothing for so long is gone."""
        return self._config.store.lease_s

    async def enter(self) -> None:
        """Before the first call: OtherKey where a living box could not know our codes. StoreUnavailable."""
        if not self.shared:
            return
        fleet = await self._store.beat(self._own(0), self._clock.utc())
        for other in fleet.others:
            if other.age_s < self.lease_s and other.code_key != self._mark:
                path = self._config.store.code_key_file
                text = f"{path} is not the key that the box {other.name} has: copy its file here, owner and mode too"
                raise OtherKey(text)

    async def beat(self, calls: int) -> None:
        """Every few seconds; never raises."""
        if not self.shared:
            return
        try:
            fleet = await self._store.beat(self._own(calls), self._clock.utc())
        except StoreUnavailable as error:
            # The others may be as well as we are, and as unheard: nobody is judged for a while.
            self._beating_since = None
            self._trouble.failed("this box cannot say that it lives: %s", error)
            return
        self._trouble.recovered("this box can say that it lives again")
        now = self._clock.now()
        if self._beating_since is None:
            self._beating_since = now
        self._invitations.elsewhere = fleet.open_codes
        silent = [other for other in fleet.others if other.age_s >= self.lease_s]
        self.alive, self.gone = len(fleet.others) - len(silent), len(silent)
        if now - self._beating_since < self.lease_s:
            return
        for other in silent:
            await self._end_calls_of(other.name)

    async def _end_calls_of(self, name: str) -> None:
        try:
            ended = await self._store.end_calls_of(
                name, self.lease_s, EndReason.SERVICE_RESTARTED, self._clock.utc(), self._clock.now()
            )
        except StoreUnavailable as error:
            self._trouble.failed("the calls of the box %s, which is gone, cannot be ended: %s", name, error)
            return
        if ended:
            self.ended += len(ended)
            logger.warning(
                "the box %s says nothing for %.0f s: its %d calls ended as service_restarted",
                name, self.lease_s, len(ended),
            )  # fmt: skip

    async def holder_of(self, code: str) -> str:
        """Where relatives reach the box that has this code; empty where no other one has it. StoreUnavailable."""
        if not self.shared or not self.alive:
            return ""
        hashed = self._invitations.hash_of(code)
        return await self._store.holder_of(hashed, self.lease_s, self._clock.utc())

    async def leave(self) -> None:
        """A stop in good order: its calls are ended, nobody need wait for its lease."""
        if self.shared and self._store.database is not None:
            await self._store.leave()

    def _own(self, calls: int) -> OwnBeat:
        return OwnBeat(
            name=self._store.box,
            public_url=self._config.portal.public_url,
            code_key=self._mark,
            calls=calls,
            capacity=self._config.calls.capacity,
        )
