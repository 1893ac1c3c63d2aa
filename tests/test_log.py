"""What reaches a log: the call's id, never a secret."""

import asyncio
import contextlib
import io
import logging
import os
import re
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod import log

CALL = "mfrggzdfmztwq2lkmnsgk3tu"


@contextlib.contextmanager
def logger_with(handler: logging.Handler, *, prefix: bool = True, worker: str = "") -> Iterator[logging.Logger]:
    """A logger that writes to this handler only."""
    handler.setFormatter(log._Redacting(prefix=prefix, worker=worker))
    logger = logging.getLogger("avisiod.test")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def line(message: str, *args: object, worker: str = "", **extra: str) -> str:
    """What the handler writes for this log call."""
    stream = io.StringIO()
    with logger_with(log._StderrHandler(stream), worker=worker) as logger:
        logger.warning(message, *args, extra=extra)
    return stream.getvalue()


def fail() -> None:
    """Raise an error with a cause, a secret in each."""
    try:
        int("code 123456")
    except ValueError as error:
        raise RuntimeError("number +33612345678") from error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("code 123456 sent", "code ****** sent"),
        ("code=123456&x=1", "code=******&x=1"),
        ("@visio.example #123456", "@visio.example #******"),
        ("123 456 or 123-456", "****** or ******"),
        ("code123456", "code******"),
        ("١٢٣٤٥٦ in Arabic digits", "****** in Arabic digits"),
        ("to +33612345678", "to …78"),
        ("to +33 6 12 34 56 78.", "to …78."),
        ("to +33 (0)6 12 34 56 78", "to …78"),
        ("?to=%2B33612345678&y", "?to=…78&y"),
        ("dialled 0612345678", "dialled …78"),
        ("dialled 06 12 34 56 78", "dialled …78"),
        ("dialled 0033612345678", "dialled …78"),
        ("sip:33612345678@edge", "sip:…78@edge"),
        ("GET /ws?token=abcDEF-1_2&v=1", "GET /ws?token=******&v=1"),
        ('{"token": "abc def", "v": 1}', '{"token": ******, "v": 1}'),
        ("resume token Zm9vYmFyYmF6cXV4MTIz", "resume token ******"),
        ("Authorization: Digest username=a, response=b", "Authorization: ******"),
        ("{'Authorization': 'Bearer x.y'}", "{'Authorization': ******"),
        ("a=ice-pwd:Zm9vYmFy", "a=ice-pwd:******"),
        ("pin=1234", "pin=******"),
        ("static-auth-secret = s3cr3t", "static-auth-secret = ******"),
        ("ha1: 0123456789abcdef0123456789abcdef", "ha1: ******"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert log.redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"call {CALL} connected",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "id mfrgg234567ztwq2lkmnsgk3tu",
        "SSRC 4294967295, port 30000, 192.168.100.200, status 487",
        "ping: no answer for 5.0 s",
        "wrong token, try again",
        "2026-11-23T16:57:31+00:00",
    ],
)
def test_what_an_operator_needs_stays_readable(text: str) -> None:
    assert log.redact(text) == text


AROUND = st.text(st.characters(exclude_categories=("Nd",)), max_size=15)


@given(before=AROUND, code=st.text(string.digits, min_size=6, max_size=6), after=AROUND)
def test_no_code_survives_between_words(before: str, code: str, after: str) -> None:
    assert code not in log.redact(f"{before} {code} {after}")


@given(
    before=AROUND,
    digits=st.text(string.digits, min_size=8, max_size=13).filter(lambda digits: digits[0] != "0"),
    gap=st.sampled_from(["", " ", ".", "-", "\u00a0"]),
    after=AROUND,
)
def test_no_international_number_survives_however_it_is_grouped(
    before: str, digits: str, gap: str, after: str
) -> None:
    grouped = gap.join(re.findall("..?", digits))
    shown = log.redact(f"{before} +{grouped} {after}")
    assert digits[:-2] not in re.sub(r"\D", "", shown)


@given(st.text())
def test_redaction_takes_any_text_and_settles_at_once(text: str) -> None:
    shown = log.redact(text)
    assert log.redact(shown) == shown


def test_a_line_names_level_call_and_logger() -> None:
    assert line("answered", call=CALL) == f"WARNING call={CALL} avisiod.test: answered\n"


def test_a_worker_is_named() -> None:
    assert line("up", worker="media-1") == "WARNING worker=media-1 avisiod.test: up\n"


def test_arguments_are_redacted() -> None:
    assert line("sent %s to %s", "123456", "+33612345678") == "WARNING avisiod.test: sent ****** to …78\n"


def test_exception_texts_are_redacted_with_their_causes() -> None:
    stream = io.StringIO()
    with logger_with(log._StderrHandler(stream)) as logger:
        try:
            fail()
        except RuntimeError:
            logger.exception("failed", stack_info=True)
    assert "RuntimeError: number …78" in stream.getvalue()
    assert "'code ******'" in stream.getvalue()
    assert "612345678" not in stream.getvalue()


def test_text_from_outside_cannot_forge_a_line() -> None:
    written = line("from %s", "phone\nERROR avisiod: all doors open\x1b[2J")
    assert written.count("\n") == 1
    assert "\x1b" not in written


def test_a_broken_log_call_is_told_without_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    written = line("%d codes", "123456x")
    assert re.fullmatch(r"ERROR avisiod\.test: log line \S+test_log\.py:\d+ lost: TypeError\n", written)
    assert "123456" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_levels_map_to_syslog_priorities(level: int, priority: int) -> None:
    assert log.priority(level) == priority


def test_the_journal_gets_fields(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr("systemd.journal.sendv", lambda *fields: sent.append(fields))
    handler = log._JournalHandler("avisiod")
    extra = {"call": CALL, "phone": "cell1", "reason": "limit_reached"}
    with logger_with(handler, prefix=False) as logger:
        logger.info("ended, code %s", "123456", extra=extra)
    assert capsys.readouterr().err == ""
    fields = dict(field.split("=", 1) for field in sent[0])
    assert fields.pop("CODE_FILE").endswith("test_log.py")
    assert int(fields.pop("CODE_LINE")) > 0
    assert fields == {
        "MESSAGE": "ended, code ******",
        "CALL_ID": CALL,
        "PHONE": "cell1",
        "REASON": "limit_reached",
        "PRIORITY": "6",
        "LOGGER": "avisiod.test",
        "SYSLOG_IDENTIFIER": "avisiod",
        "CODE_FUNC": "test_the_journal_gets_fields",
    }


def test_the_journal_is_used_only_where_standard_error_is_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    error = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{error.st_dev}:{error.st_ino}")
    assert log.under_journal()
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    assert not log.under_journal()


PROGRAM = """
import logging, warnings
from avisiod import log
log.setup("INFO")
from twisted.internet import defer
from twisted.python.failure import Failure
logging.getLogger("avisiod.x").info("hello", extra={"call": "c1"})
logging.getLogger("avisiod.x").debug("unseen")
warnings.warn("careful")
def lose():
    defer.fail(ValueError("code 123456"))
lose()
import gc; gc.collect()
"""


def test_twisted_and_warnings_end_in_the_same_log_redacted() -> None:
    environment = {**os.environ, "JOURNAL_STREAM": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "INFO call=c1 avisiod.x: hello\n" in done.stderr
    assert "unseen" not in done.stderr
    assert "WARNING py.warnings: " in done.stderr
    assert "CRITICAL twisted: " in done.stderr
    assert "ValueError: code ******" in done.stderr
    assert "123456" not in done.stderr


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        log._install("LOUD", worker="")


def test_a_failure_warns_once_and_its_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link = log.FirstThenDebug(logging.getLogger("avisiod.link"))
    link.recovered("link up")
    link.failed("no answer from %s", "modem")
    link.failed("no answer from %s", "modem")
    assert link.failing
    link.recovered("%s answers", "modem")
    link.failed("again")
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("WARNING", "no answer from modem"),
        ("DEBUG", "no answer from modem"),
        ("INFO", "modem answers (after 2 failed attempts)"),
        ("WARNING", "again"),
    ]


def about_call(monkeypatch: pytest.MonkeyPatch, tell: Callable[[logging.Logger], None]) -> list[dict[str, str]]:
    """The fields CALL_ID, PHONE and REASON of each line that `tell` tells, as the journal gets them."""
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr("systemd.journal.sendv", lambda *fields: sent.append(fields))
    with logger_with(log._JournalHandler("avisiod"), prefix=False) as logger:
        tell(logger)
    lines = [dict(field.split("=", 1) for field in fields) for fields in sent]
    return [{name: value for name, value in line.items() if name in log.FIELDS.values()} for line in lines]


def test_what_is_known_of_a_call_is_in_its_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(logger: logging.Logger) -> None:
        log.remember("c1", phone="cell1")
        logger.info("begins", extra={"call": "c1"})
        log.remember("c1", reason="limit_reached")
        log.remember("c1", phone="")
        logger.info("ends", extra={"call": "c1"})
        logger.info("of another", extra={"call": "c2"})
        logger.info("of none")

    begins, ends, other, none = about_call(monkeypatch, tell)
    assert begins == {"CALL_ID": "c1", "PHONE": "cell1"}
    assert ends == {"CALL_ID": "c1", "PHONE": "cell1", "REASON": "limit_reached"}
    assert other == {"CALL_ID": "c2"}
    assert none == {}
    assert log.phone_of("c1") == "cell1"
    assert log.phone_of("c2") == ""


def test_a_dialogue_and_a_page_are_lines_of_their_call(monkeypatch: pytest.MonkeyPatch) -> None:
    log.remember("dialogue", phone="cell1")
    log.remember("dialogue", call="c1")
    told = about_call(monkeypatch, lambda logger: logger.info("rings", extra={"call": "dialogue"}))
    assert told == [{"CALL_ID": "c1", "PHONE": "cell1"}]


def test_what_begins_within_a_call_is_about_it_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(logger: logging.Logger) -> None:
        loop, fired = asyncio.get_running_loop(), asyncio.Event()

        async def task() -> None:
            await asyncio.sleep(0)
            logger.info("task")

        with log.about("c1"):
            logger.info("within")
            logger.info("of its own", extra={"call": "c2"})
            begun = asyncio.ensure_future(task())
            loop.call_soon(lambda: (logger.info("timer"), fired.set()))
        logger.info("after")
        await begun
        await fired.wait()

    def tell(logger: logging.Logger) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, scene(logger)).result()

    told = about_call(monkeypatch, tell)
    assert sorted(line.get("CALL_ID", "") for line in told) == ["", "c1", "c1", "c1", "c2"]


def test_no_number_of_calls_fills_the_memory() -> None:
    for number in range(2 * log.KNOWN_AT_MOST):
        log.remember(f"call-{number}", phone="cell1")
    assert len(log._known) <= log.KNOWN_AT_MOST
    assert log.phone_of(f"call-{2 * log.KNOWN_AT_MOST - 1}") == "cell1"
    assert log.phone_of("call-0") == ""


def test_the_latest_warnings_are_kept_for_whoever_asks_and_hold_no_secret() -> None:
    handler = log._RecentHandler()
    with logger_with(handler, prefix=False) as logger:
        logger.info("not this")
        for number in range(log.RECENT + 5):
            logger.warning("number %d, code %s", number, "123456", extra={"call": "c9"})
    kept = handler.kept
    assert len(kept) == log.RECENT
    assert (kept[-1].text, kept[-1].level, kept[-1].call) == (
        f"number {log.RECENT + 4}, code ******",
        "WARNING",
        "c9",
    )
