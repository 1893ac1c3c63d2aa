"""The daemon's counter: staff's requests over a Unix socket. The kernel tells who asks; a thread of its own does it.

A line each way is a JSON object: `{"operation", "why", "arguments"}` in; out come any number of `{"progress"}` and
then `{"result"}`, `{"refused"}` or `{"failed"}`.
"""

import errno
import functools
import grp
import inspect
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from twisted.internet import defer, threads
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from avisiod.clock import Clock
from avisiod.office import accounts, box, devices, explain, firmware, lists, recordings, records, roles, sms
from avisiod.office.desk import Desk, Site, perform
from avisiod.office.plan import Problem, Progress, Refused, Who, quietly
from avisiod.office.roles import Denied, admit
from avisiod.ports import StoreUnavailable
from avisiod.store.database import Database

T = TypeVar("T")

logger = logging.getLogger(__name__)

ROOMS = (accounts, box, devices, explain, firmware, lists, recordings, records, roles, sms)
"""The modules with operations; to import them is to know all of them."""
LONGEST_LINE = 64 * 1024 * 1024
"""Bytes: a file of a hundred thousand lines, and more."""
_NOBODY = 0xFFFFFFFF
"""The login uid of a process that nobody logged in for."""


class CounterClosed(OSError):
    """The socket cannot be made; the text says what to do."""


class ServiceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked."""

    operation: str
    why: str = ""
    arguments: Mapping[str, Any] = {}


_REQUEST = msgspec.json.Decoder(ServiceRequest)


class Counter:
    """Serves staff while the daemon runs."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        path: Path,
        group: str,
        site: Site,
        database: Callable[[], Database | None],
        cut: Callable[[str], bool],
    ) -> None:
        """`cut` ends a call, False where it is not under way; it is called in the reactor's thread."""
        self.reactor = reactor
        self.clock = clock
        self.path = path
        self.group = group
        self.site = site
        self.served: dict[str, int] = {"done": 0, "refused": 0, "failed": 0, "denied": 0}
        """Requests by what became of them."""
        self.live: dict[str, Callable[..., Any]] = {}
        """What the daemon's rooms answer by themselves, by name: called in the reactor's thread, may be awaited. A
        KeyError of theirs is somebody's mistake."""
        self._database = database
        self._cut = cut
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name="office")
        self._port: Any = None

    def start(self) -> None:
        """Listen. CounterClosed where that is not possible; `at_desk` works all the same."""
        self._pool.start()
        try:
            _clear(self.path)
            # no moment at which others may connect: the mode is there before the name is
            before = os.umask(0o177)
            try:
                self._port = self.reactor.listenUNIX(str(self.path), _Factory(self), backlog=20, mode=0o600)
            finally:
                os.umask(before)
            if self.group:
                os.chown(self.path, -1, grp.getgrnam(self.group).gr_gid)
                self.path.chmod(0o660)
        except KeyError:
            raise CounterClosed(f"there is no group `{self.group}`: add it, or correct admin.group") from None
        except (OSError, CannotListenError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            why = getattr(cause, "strerror", None) or str(cause)
            raise CounterClosed(f"{self.path} cannot be made ({why}): correct admin.socket_file") from None

    def stop(self) -> defer.Deferred[None]:
        """Take no more requests; fires once the last one is done."""
        if not self._pool.started:
            return defer.succeed(None)
        port, self._port = self._port, None

        def closed(_: object) -> Any:
            return threads.deferToThread(self._pool.stop)

        stopped: defer.Deferred[None] = defer.maybeDeferred(port.stopListening if port is not None else _nothing)
        return stopped.addCallback(closed)

    def serve(
        self, request: ServiceRequest, actor: str, progress: Progress, user: str | None = None
    ) -> defer.Deferred[Any]:
        """Do what is asked, in the office's thread; a Deferred of the result.

        `user` may do what their roles let them; None: everything.
        """

        def asked(desk: Desk) -> Any:
            if user is not None:
                admit(desk, user, request.operation, request.arguments)
            return perform(desk, request.operation, request.arguments)

        return self.at_desk(asked, actor, request.why, progress)

    def at_desk(
        self, work: Callable[[Desk], T], actor: str, why: str, progress: Progress = quietly
    ) -> defer.Deferred[T]:
        """Let `work` do something in the office's thread, for somebody; a Deferred of the result."""

        def done() -> T:
            database = self._database()
            if database is None:
                raise StoreUnavailable("the store is closed")
            who = Who(actor=actor, why=why, at_utc=self.clock.utc())

            def cut(call: str) -> bool:
                ended: bool = threads.blockingCallFromThread(self.reactor, self._cut, call)
                return ended

            def live(what: str, arguments: Mapping[str, Any]) -> Any:
                answer = functools.partial(defer.maybeDeferred, self._answered, what, arguments)
                try:
                    return threads.blockingCallFromThread(self.reactor, answer)
                except KeyError as error:
                    raise Refused(Problem(reason=f"there is no {error}", remedy="correct the name")) from None

            return work(Desk(database, self.site, who, progress, cut, live))

        return threads.deferToThreadPool(self.reactor, self._pool, done)

    def _answered(self, what: str, arguments: Mapping[str, Any]) -> Any:
        answer = self.live[what](**arguments)
        return defer.ensureDeferred(answer) if inspect.iscoroutine(answer) else answer

    def may(self, uid: int, gid: int) -> bool:
        """Whether somebody is let in: root, our own user, and the group that the settings name."""
        if uid in (0, os.getuid()):
            return True
        if not self.group:
            return False
        try:
            wanted = grp.getgrnam(self.group).gr_gid
            return wanted == gid or wanted in os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            return False


def _nothing() -> None:
    """There was no socket to close."""


def _clear(path: Path) -> None:
    """Remove the socket that a daemon which is gone left behind; OSError where one answers, or it is no socket."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "something that is no socket is there")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another daemon listens there")


def actor_of(uid: int, pid: int = 0) -> str:
    """Who a process acts for: its user, and who had logged in, where they differ (sudo)."""
    user = _user(uid)
    try:
        login = int(Path(f"/proc/{pid or 'self'}/loginuid").read_text())
    except (OSError, ValueError):
        login = _NOBODY
    return f"unix:{user}" if login in (_NOBODY, uid) else f"unix:{user}:{_user(login)}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class _Factory(Factory):
    noisy = False

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def buildProtocol(self, addr: Any) -> "_Visitor":  # noqa: ARG002, N802 - Twisted's
        return _Visitor(self.counter)


class _Visitor(LineOnlyReceiver):
    """One connection; its requests are done one after the other."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._actor = ""
        self._user: str | None = None
        self._gone = False

    def connectionMade(self) -> None:  # noqa: N802
        """Ask the kernel who it is."""
        size = struct.calcsize("3i")
        raw = self.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)  # type: ignore[union-attr]
        pid, uid, gid = struct.unpack("3i", raw)
        if self._counter.may(uid, gid):
            self._actor = actor_of(uid, pid)
            self._user = None if uid in (0, os.getuid()) else _user(uid)
            return
        self._counter.served["denied"] += 1
        logger.warning("user %s was not let in at the counter", _user(uid))
        self._say(failed=f"you are not in the group `{self._counter.group or 'that may'}`: ask root (admin.group)")
        self._leave()

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        """One request."""
        if not self._actor:
            return
        try:
            request = _REQUEST.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._counter.served["refused"] += 1
            self._say(failed="this is no request: use an avisioctl of the daemon's version")
            return
        reactor = self._counter.reactor

        def progress(what: str, done: int, of: int) -> None:
            reactor.callFromThread(self._say, progress=[what, done, of])

        done = self._counter.serve(request, self._actor, progress, self._user)
        done.addCallbacks(self._done, self._failed)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802
        """A line that is longer than any file."""
        self._say(failed=f"more than {LONGEST_LINE // 2**20} MiB at once: split the file")
        self._leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802
        """What was asked is done all the same."""
        self._gone = True

    def _done(self, result: Any) -> None:
        self._counter.served["done"] += 1
        self._say(result=result)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Refused):
            self._counter.served["denied" if isinstance(error, Denied) else "refused"] += 1
            self._say(refused=list(error.problems))
            return
        self._counter.served["failed"] += 1
        if isinstance(error, StoreUnavailable):
            self._say(failed=str(error))
            return
        logger.error("a request of staff failed: %s", failure.getTraceback())
        self._say(failed="the daemon could not do it; its log says why; nothing was changed")

    def _say(self, **what: Any) -> None:
        if not self._gone and self.transport is not None:
            transport: Any = self.transport
            transport.write(msgspec.json.encode(what) + b"\n")

    def _leave(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()
