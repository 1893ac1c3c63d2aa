"""Logging to the journal with the call's id as a field, and to standard error where there is no journal.

Modules log through `logging.getLogger(__name__)` with `extra={"call": …, "phone": …, "reason": …}` where they apply.
Whatever is written passes `redact` first: the last line of defence, behind callers who keep secrets out themselves.
"""

import collections
import contextlib
import contextvars
import datetime
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from avisiod.calls.ids import masked
from avisiod.clock import wall_utc

FIELDS = {"call": "CALL_ID", "phone": "PHONE", "reason": "REASON"}
"""Names in `extra` and the journal's fields made of them (`journalctl CALL_ID=…`)."""

HIDDEN = "******"
"""Stands where a secret stood."""

_CODE_DIGITS = 6
_OPAQUE_LENGTH = 16
"""An alphanumeric word with letters of at least this length is an id or a digest: digits in it are no code."""

_HEADER = re.compile(r"(?i)((?:authorization|cookie)[\"']?\s*[:=]\s*)[^\r\n]+")
_SECRET = re.compile(
    r"""(?ix)
    ( (?: token | secret | passw(?:or)?d | pwd | (?<![a-z])pin(?![a-z]) | ha1b? | credential | signature | inline
        | api[-_]?key ) [\w-]{0,32} ["']? \s* [:=] \s* )
    (?: b?"[^"]*"? | b?'[^']*'? | [^\s&;,)\]}]+ )
    """
)
_BARE_TOKEN = re.compile(r"(?i)\b(token|bearer|basic)(\s+)[\w.~+/=-]{16,}")
_INTERNATIONAL = re.compile(r"(?i)(?:\+|%2b|(?<!\d)00)(?=[1-9])(?:[ .()\u00a0\u202f-]{0,2}\d){7,15}(?!\d)")
_NATIONAL = re.compile(r"(?<!\d)0[1-9](?:[ .\u00a0\u202f-]\d\d){4}(?!\d)")
_PAIRED_CODE = re.compile(r"(?<!\d)\d{3}[ \u00a0\u202f-]\d{3}(?!\d)")
_WORD = re.compile(r"[^\W_]+")
_RUN = re.compile(r"\d+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def redact(text: str) -> str:
    """Mask what must never be read in a log: codes, telephone numbers, tokens, passwords, Authorization headers.

    Runs of exactly six digits go, whatever they are; a telephone number keeps its last two digits. Ids and digests
    stay readable.
    """
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _SECRET.sub(rf"\1{HIDDEN}", text)
    text = _BARE_TOKEN.sub(rf"\1\2{HIDDEN}", text)
    text = _INTERNATIONAL.sub(lambda found: masked(found[0]), text)
    text = _NATIONAL.sub(lambda found: masked(found[0]), text)
    text = _PAIRED_CODE.sub(HIDDEN, text)
    return _WORD.sub(_word, text)


def _word(found: re.Match[str]) -> str:
    word = found[0]
    if len(word) >= _OPAQUE_LENGTH and not word.isdecimal():
        return word
    return _RUN.sub(_run, word)


def _run(found: re.Match[str]) -> str:
    digits = found[0]
    if len(digits) == _CODE_DIGITS:
        return HIDDEN
    national = len(digits) in range(9, 16) and digits.startswith("0")
    international_without_plus = len(digits) in range(11, 16)
    return masked(digits) if national or international_without_plus else digits


class _Redacting(logging.Formatter):
    """One line for the message, control characters escaped so that nobody forges lines; then the traceback."""

    def __init__(self, prefix: bool, worker: str) -> None:
        super().__init__()
        self._prefix = prefix
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), redact(record.getMessage()))
        if self._prefix:
            text = f"{self._head(record)}: {text}"
        if record.exc_info:
            text += "\n" + redact(self.formatException(record.exc_info))
        if record.stack_info:
            text += "\n" + redact(self.formatStack(record.stack_info))
        return text

    def _head(self, record: logging.LogRecord) -> str:
        parts = [record.levelname]
        if self._worker:
            parts.append(f"worker={self._worker}")
        parts.extend(f"{name}={value}" for name, value in _fields(record).items())
        parts.append(record.name)
        return " ".join(parts)


KNOWN_AT_MOST = 1000
"""Calls of which more than the id is kept: of older ones the lines have what they bring themselves."""

_known: dict[str, dict[str, str]] = {}
_about: contextvars.ContextVar[str] = contextvars.ContextVar("call", default="")


def remember(key: str, *, call: str = "", phone: str = "", reason: str = "") -> None:
    """What every further line of a call has beside `key`, its id, in this process.

    `call` is the id where `key` is another name of it: that of a dialogue or a page, which lines may be logged with
    as `extra={"call": key}`. Empty values change nothing.
    """
    fields = _known.pop(key, {})
    fields.update({name: value for name, value in (("call", call), ("phone", phone), ("reason", reason)) if value})
    _known[key] = fields
    if len(_known) > KNOWN_AT_MOST:
        del _known[next(iter(_known))]


def phone_of(key: str) -> str:
    """The phone that was remembered; empty where none was."""
    return _known.get(key, {}).get("phone", "")


@contextlib.contextmanager
def about(call: str) -> Iterator[None]:
    """Lines without a call of their own are about this one: within, and in tasks and timers that begin within."""
    token = _about.set(call)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a coroutine that is ended from outside ends in another context
            _about.reset(token)


def _fields(record: logging.LogRecord) -> dict[str, str]:
    key = str(getattr(record, "call", None) or _about.get())
    known = _known.get(key, {}) if key else {}
    found = {"call": known.get("call", key), "phone": known.get("phone"), "reason": known.get("reason")}
    values = ((name, getattr(record, name, None) if name != "call" else None) for name in FIELDS)
    values = ((name, value or found[name]) for name, value in values)
    return {name: _CONTROL.sub("?", str(value)) for name, value in values if value is not None and value != ""}


def _say_broken(record: logging.LogRecord, stream: TextIO) -> None:
    """Tell of a log call that could not be written. logging's own report prints the arguments: ours does not."""
    error = sys.exc_info()[1]
    stream.write(f"ERROR {record.name}: log line {record.pathname}:{record.lineno} lost: {type(error).__name__}\n")


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Lines `LEVEL call=… name: text`."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        try:
            _say_broken(record, self.stream)
        except (OSError, ValueError):
            return  # standard error is gone: there is nobody left to tell


_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def priority(level: int) -> int:
    """Syslog priority (RFC 5424 section 6.2.1) of a logging level."""
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


class _JournalHandler(logging.Handler):
    """Structured entries over the journal's own socket."""

    def __init__(self, identifier: str) -> None:
        super().__init__()
        from systemd import journal  # only where a journal is

        self._send = journal.send
        self._identifier = identifier

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {FIELDS[name]: value for name, value in _fields(record).items()}
            self._send(
                self.format(record),
                PRIORITY=str(priority(record.levelno)),
                LOGGER=record.name,
                SYSLOG_IDENTIFIER=self._identifier,
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName or "",
                **fields,
            )
        except Exception:  # noqa: BLE001 - a log line never stops the work it tells of
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        try:
            _say_broken(record, sys.stderr)
        except (OSError, ValueError):
            return  # as in _StderrHandler


class Told(NamedTuple):
    """A warning or an error that was logged."""

    at_utc: datetime.datetime
    level: str
    text: str
    """Redacted, one line."""
    call: str


RECENT = 20
"""So many warnings and errors of this process are kept for whoever asks how it is."""


class _RecentHandler(logging.Handler):
    """Keeps the latest warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: collections.deque[Told] = collections.deque(maxlen=RECENT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record).partition("\n")[0]
            self.kept.append(Told(wall_utc(), record.levelname, text, _fields(record).get("call", "")))
        except Exception:  # noqa: BLE001 - as in _JournalHandler
            _say_broken(record, sys.stderr)


_recent = _RecentHandler()
_recent.setFormatter(_Redacting(prefix=False, worker=""))


def recent() -> tuple[Told, ...]:
    """The latest warnings and errors of this process since `setup`, oldest first."""
    return tuple(_recent.kept)


def under_journal() -> bool:
    """Whether standard error is the journal's own stream (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        error = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{error.st_dev}:{error.st_ino}"


def setup(level: str) -> None:
    """Log everything of the control process from `level` on, Twisted's own log and Python's warnings included.

    ValueError on a level that logging does not know.
    """
    _install(level, worker="")


def setup_worker(level: str, name: str) -> None:
    """Like `setup`, for a worker such as `media-1`: the same lines, with `worker=` its name."""
    _install(level, worker=name)


def _install(level: str, worker: str) -> None:
    root = logging.getLogger()
    root.setLevel(level)
    journal = under_journal()
    identifier = f"avisiod-{worker}" if worker else "avisiod"
    handler: logging.Handler = _JournalHandler(identifier) if journal else _StderrHandler(sys.stderr)
    handler.setFormatter(_Redacting(prefix=not journal, worker=worker))
    root.handlers[:] = [handler, _recent]
    # Libraries tell of every factory, datagram and candidate at INFO; that is our DEBUG. Before the bridge,
    # which brings what Twisted has said already.
    chatty = logging.NOTSET if root.level <= logging.DEBUG else logging.WARNING
    for library in ("twisted", "asyncio", "aioice", "aiortc", "alembic", "sqlalchemy", "libav"):
        logging.getLogger(library).setLevel(chatty)
    # At DEBUG it would write every row it reads: the HA1 of each phone, the number of each contact.
    logging.getLogger("sqlalchemy").setLevel(max(chatty, logging.INFO))
    _bridge_twisted()
    logging.captureWarnings(capture=True)  # after Twisted, which would take them itself


_twisted_bridged = False


def _bridge_twisted() -> None:
    global _twisted_bridged  # noqa: PLW0603 - Twisted's log can begin only once in a process
    if _twisted_bridged:
        return
    from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner

    observer: ILogObserver = STDLibLogObserver(name="twisted")  # type: ignore[assignment] # zope interface
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    _twisted_bridged = True


class FirstThenDebug:
    """Tells of a failure that may repeat for hours: first WARNING, repeats DEBUG, recovery INFO.

    One for each thing that can fail: a link, a disk, a worker.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._failures = 0

    @property
    def failing(self) -> bool:
        """Whether the last report was a failure."""
        return self._failures > 0

    def failed(self, message: str, *args: object) -> None:
        """It failed, again or for the first time."""
        level = logging.DEBUG if self._failures else logging.WARNING
        self._failures += 1
        self._logger.log(level, message, *args, stacklevel=2)

    def recovered(self, message: str, *args: object) -> None:
        """It works; silent unless it had failed."""
        if self._failures:
            told = message % args if args else message
            self._logger.info("%s (after %d failed attempts)", told, self._failures, stacklevel=2)
        self._failures = 0
