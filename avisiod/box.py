"""The running box as staff ask about it: what `avisioctl status` shows, and the call of `avisioctl doctor`."""

import socket
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from avisiod import certificates, log
from avisiod.backups import outcome
from avisiod.calls.call import State
from avisiod.clock import Clock, Timer
from avisiod.gateway import wire
from avisiod.gateway.media_gateway import MediaGateway
from avisiod.gateway.worker_pool import WorkerPool
from avisiod.office import box
from avisiod.recordings_disk import RecordingsDisk
from avisiod.switchboard.switchboard import Switchboard
from avisiod.telemetry import Telemetry

PROBE = "doctor"
"""Id of the doctor's call at the media worker: no call of a phone has one like it."""
PROBE_WITHIN_S = 30.0
"""Whoever opened it and went away leaves nothing open for longer."""


class Box:
    """Answers in the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        board: Switchboard,
        media: MediaGateway,
        pools: Mapping[str, WorkerPool],
        disk: RecordingsDisk,
        telemetry: Telemetry,
        routes: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self.began = clock.now()
        """When the daemon was ready; set by the daemon."""
        self.phones_listed = 0
        self.phones_registered: int | None = None
        self._clock = clock
        self._board = board
        self._media = media
        self._pools = pools
        self._disk = disk
        self._telemetry = telemetry
        self._routes = routes
        self._closing: Timer | None = None

    def facts(self) -> Any:
        """`status` in JSON's types."""
        return msgspec.to_builtins(self.status())

    def status(self) -> box.Status:
        """As of the last look around, at most seconds ago. Reads two small files."""
        config, board, now = self._board.config, self._board, self._clock.utc()
        calls = {state.value: 0 for state in State if state is not State.ENDED}
        for entry in board.entries.values():
            if entry.call.state is not State.ENDED:
                calls[entry.call.state.value] += 1
        last = outcome.read(Path(config.backup.record_file))
        return box.Status(
            version=version("avisiod"),
            host=socket.gethostname(),
            at_utc=now.isoformat(),
            up_s=self._clock.now() - self.began,
            state="stopping" if board.draining else "serving",
            calls=calls,
            capacity=config.calls.capacity,
            workers=tuple(
                box.Pool(kind=kind, up=sum(each.up for each in pool.workers), wanted=len(pool.workers))
                for kind, pool in self._pools.items()
            ),
            phones_registered=self.phones_registered,
            phones_listed=self.phones_listed,
            sms=tuple(msgspec.convert(row, box.Route) for row in self._routes()),
            disk_free_bytes=self._disk.free_bytes,
            disk_keep_free_bytes=config.recordings.keep_free_bytes,
            disk_trouble=self._disk.trouble,
            store_up=board.store.healthy,
            certificates=tuple(_certificate(each) for each in certificates.look(config)),
            backup_age_s=last.age_s(now) if last.good_utc else None,
            backup_problem=last.problem,
            problems=tuple(self._telemetry.problems),
            lines=tuple(
                box.Line(at_utc=each.at_utc.isoformat(), level=each.level, text=each.text, call=each.call)
                for each in log.recent()
            ),
        )

    async def probe(self, step: str, offer: str) -> str:
        """A call of nobody through a media worker: confidential, so that nothing of it is ever recorded."""
        if step == "open":
            await self._close()
            answer = await self._media.open_call(
                PROBE, offer, confidential=True, language=self._board.config.site.language, secure=False
            )
            self._closing = self._clock.call_at(self._clock.now() + PROBE_WITHIN_S, self._close_alone)
            return answer
        if step == "speak":
            await self._media.present(PROBE, "waiting", "waiting")
        else:
            await self._close()
        return ""

    def _close_alone(self) -> None:
        Deferred.fromCoroutine(self._close()).addErrback(lambda _: None)

    async def _close(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
            try:
                await self._media.close_call(PROBE, "")
            except wire.WorkerError:
                return  # its worker is gone, and the call with it


def _certificate(found: certificates.Found) -> box.Certificate:
    ends = found.ends_utc.isoformat() if found.ends_utc else ""
    return box.Certificate(of=found.of, ends_utc=ends, problem=found.problem)
