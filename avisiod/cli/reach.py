"""How avisioctl reaches what it asks for: the running daemon, or the database itself where the daemon is down."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from avisiod.clock import wall_utc
from avisiod.config.settings import Config
from avisiod.office import counter
from avisiod.office.counter import actor_of
from avisiod.office.desk import Desk, perform, site_of
from avisiod.office.plan import Problem, Refused, Who
from avisiod.ports import StoreUnavailable
from avisiod.store.database import Database
from avisiod.store.opening import is_url, open_database

Progress = Callable[[str, int, int], None]

_ANSWER = msgspec.json.Decoder()


class CannotReach(Exception):
    """Neither way leads there; the text says what to do."""


def where_of(config: Config) -> str | Path:
    """The database that the settings name."""
    return config.store.url or Path(config.store.path)


class Reach:
    """One run of avisioctl."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._socket: socket.socket | None = None
        self._database: Database | None = None

    @property
    def daemon_runs(self) -> bool:
        """Whether the daemon answers."""
        if self._socket is None and self._database is None:
            self._socket = _connected(Path(self.config.admin.socket_file))
        return self._socket is not None

    def do(self, operation: str, why: str, arguments: Mapping[str, Any], progress: Progress) -> Any:
        """Do one thing; the result. Refused, StoreUnavailable or CannotReach: nothing was changed."""
        if self.daemon_runs:
            return self._ask(operation, why, arguments, progress)
        who = Who(actor=actor_of(os.getuid()), why=why, at_utc=wall_utc())
        return perform(Desk(self.database(), site_of(self.config), who, progress), operation, arguments)

    def database(self) -> Database:
        """The database itself. It is never made here: it would belong to the wrong user."""
        if self._database is None:
            where = where_of(self.config)
            if isinstance(where, Path) and not is_url(where):
                if not where.exists():
                    raise CannotReach(f"there is no database {where} yet, and the daemon is down: start avisiod once")
                if not os.access(where, os.R_OK | os.W_OK):
                    raise CannotReach(f"the daemon is down, and you may not write to {where}: start it, or be root")
            self._database = open_database(where)
        return self._database

    def _ask(self, operation: str, why: str, arguments: Mapping[str, Any], progress: Progress) -> Any:
        assert self._socket is not None  # noqa: S101 - daemon_runs made it
        request = counter.ServiceRequest(operation=operation, why=why, arguments=arguments)
        try:
            with contextlib.suppress(BrokenPipeError):  # it said why before it closed: that is read below
                self._socket.sendall(msgspec.json.encode(request) + b"\n")
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    answer = _ANSWER.decode(line)
                    if "progress" not in answer:
                        return _result(answer)
                    progress(*answer["progress"])
        except OSError as error:
            lost = f"the daemon broke the connection off ({error.strerror}): look whether it was done"
            raise CannotReach(lost) from None
        raise CannotReach("the daemon was stopped meanwhile: look whether it was done")

    def close(self) -> None:
        """Leave nothing open."""
        if self._socket is not None:
            self._socket.close()
        if self._database is not None:
            self._database.close()


def _connected(path: Path) -> socket.socket | None:
    found = socket.socket(socket.AF_UNIX)
    try:
        found.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        found.close()
        return None
    except PermissionError:
        found.close()
        raise CannotReach(f"the daemon runs, but {path} is closed to you: ask root (admin.group)") from None
    except OSError as error:
        found.close()
        raise CannotReach(f"{path}: {error.strerror}: correct admin.socket_file") from None
    return found


def _result(answer: Mapping[str, Any]) -> Any:
    if "refused" in answer:
        raise Refused(*(msgspec.convert(problem, Problem) for problem in answer["refused"]))
    if "failed" in answer:
        raise StoreUnavailable(answer["failed"])
    return answer["result"]
