"""The first workers of a start: forked from the process that becomes control, with their libraries loaded once.

Twelve interpreters that each load Twisted, aiortc and FFmpeg hold the same bytes twelve times, and take three seconds
of the processor to get there. Forked, they share what they do not write to (decision 27). They are forked before the
settings are read, so that none has a page of memory with something secret in it, and before there is a thread, a
reactor or an event loop. A worker that ends is replaced by a process of its own (supervisor.py): it gets addresses
of its own, so that nobody learns those of its sisters by making it crash, over and over.
"""

import gc
import importlib
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

import msgspec
import setproctitle
from twisted.internet import asyncioreactor, process  # noqa: F401 - asyncioreactor is for the workers
from twisted.internet.protocol import ProcessProtocol

from avisiod.config.settings import Config
from avisiod.gateway import wire

logger = logging.getLogger(__name__)

SIP, MEDIA, TRANSCODE = (f"avisiod.gateway.{kind}_worker" for kind in ("sip", "media", "transcode"))
LIBRARIES = ("avisiod.config.check", "uvloop", SIP, MEDIA, TRANSCODE)
"""What is loaded once. Their modules import no reactor."""

OFF = "AVISIOD_PREFORK"
"""Set to `off` it leaves all this aside: each worker is a Python of its own, as after a failure."""

_counts: msgspec.json.Decoder[dict[str, int]] = msgspec.json.Decoder(dict[str, int])


class Forked(NamedTuple):
    """A worker that waits for its settings."""

    pid: int
    link: int
    """Descriptor of control's end of its socket."""


_waiting: dict[str, list[Forked]] = {}


def prepare(read: Callable[[], Config]) -> None:
    """Fork as many workers as the settings ask for. To be called before the settings are read, and once.

    `read` reads the settings; it runs in a process that ends with it. Where it fails, or no process can be had,
    there are fewer workers to `take`, or none.
    """
    if os.environ.get(OFF) == "off":
        return
    for module in LIBRARIES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the collector writes to whatever it looks at, and would part what is shared
    try:
        for module, count in _asked_for(read).items():
            for _ in range(count):
                _waiting.setdefault(module, []).append(_fork(module))
    except OSError as error:
        logger.warning("not all workers were forked, the others are started by themselves: %s", error)


def take(module: str) -> Forked | None:
    """A worker of this kind that nobody has taken yet; None where there is none."""
    ready = _waiting.get(module)
    return ready.pop(0) if ready else None


class ForkedProcess(process._BaseProcess):
    """A child that Twisted did not spawn, for it to treat like one that it did: an IProcessTransport."""

    def __init__(self, pid: int, protocol: ProcessProtocol) -> None:
        super().__init__(protocol)  # type: ignore[arg-type] # zope interface
        self.pid = pid

    def watch(self) -> None:
        """Have the protocol told when it ends; told at once where it has ended already."""
        process.registerReapProcessHandler(self.pid, self)


def counts(config: Config) -> dict[str, int]:
    """How many of each kind these settings ask for."""
    return {SIP: config.sip_workers, MEDIA: config.media_workers, TRANSCODE: config.media.transcoded_calls}


def _asked_for(read: Callable[[], Config]) -> Mapping[str, int]:
    """The counts, from a process that has seen the settings in our place."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, msgspec.json.encode(counts(read())))
        except Exception as error:  # noqa: BLE001 - what is wrong with them is told by whoever reads them for use
            logger.debug("no worker is forked: %s", type(error).__name__)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return _counts.decode(said) if said else {}


def _fork(module: str) -> Forked:
    # Numbers, not socket objects: the worker closes by number what it does not need, and no object may do so later.
    ours, theirs = (end.detach() for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        pid = os.fork()
    except OSError:
        os.close(ours)
        os.close(theirs)
        raise
    if not pid:
        _become(module, theirs)
    os.close(theirs)
    return Forked(pid, ours)


def _become(module: str, link: int) -> NoReturn:
    """Be that worker until it ends, as if it had been started with `python -m`."""
    status = 1
    try:
        os.dup2(link, wire.WORKER_FD)
        os.closerange(wire.WORKER_FD + 1, os.sysconf("SC_OPEN_MAX"))
        setproctitle.setproctitle(f"{sys.executable} -m {module}")  # for ps, and for whoever counts them
        status = importlib.import_module(module).main() or 0
        logging.shutdown()
    except BaseException:  # noqa: BLE001 - nothing of it may reach the code of control
        traceback.print_exc()
    finally:
        os._exit(status)
