"""Copies of a PostgreSQL database by PostgreSQL's own programs, made while calls run, and their way back."""

import contextlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy import make_url

from avisiod.ports import StoreUnavailable
from avisiod.store.database import refuse_newer
from avisiod.store.opening import open_database
from avisiod.store.trail_check import Verdict, verify

SCHEMA = "public"
"""Where our tables are; whatever else the database holds is neither copied nor replaced."""
KEPT = "before_restore_"
"""What was there stays in a schema of this name and a number."""
_VERSION = re.compile(r"^COPY [^\n]*alembic_version[^\n]*\n(\w+)\n", re.MULTILINE)


def dump(url: str, partial: Path) -> None:
    """One state of the database throughout, into a file. StoreUnavailable where that fails."""
    run(["pg_dump", f"--schema={SCHEMA}", "--format=custom", "--no-owner", "--file", str(partial)], url)


def undump(url: str, source: Path) -> tuple[Verdict, str]:
    """Put a dump in the place of what is there; the verdict on it, and the schema in which that is kept, if any.

    StoreUnavailable, and nothing changed, where the dump is damaged, newer than this program, or its trail broken,
    and where a daemon is still connected.
    """
    if not source.is_file():
        raise StoreUnavailable(f"there is no backup {source}; nothing was changed")
    refuse_newer(str(source), _revisions_of(url, source))
    _refuse_while_open(url)
    kept = _free_name(url)
    _replace(url, source, kept)
    try:
        verdict = _checked(url, source)
    except BaseException:
        asked(url, f"BEGIN; DROP SCHEMA {SCHEMA} CASCADE; ALTER SCHEMA {kept} RENAME TO {SCHEMA}; COMMIT")
        raise
    return verdict, kept if _holds_anything(url, kept) else ""


def run(command: list[str], url: str) -> str:
    """Run one of PostgreSQL's programs; what it wrote. StoreUnavailable where it fails."""
    try:
        done = subprocess.run(command, env=_environment(url), capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise _missing(command) from None
    if done.returncode:
        raise _failed(command, done.stderr)
    return done.stdout.strip()


def asked(url: str, query: str) -> str:
    """What psql answers: a line for each row."""
    return run(["psql", "-XAtqc", query], url)


def _environment(url: str) -> dict[str, str]:
    """The address goes by the environment, which others do not see."""
    parsed = make_url(url)
    host = parsed.host or parsed.query.get("host", "")
    values = {
        "PGDATABASE": parsed.database,
        "PGUSER": parsed.username,
        "PGPASSWORD": parsed.password,
        "PGHOST": host if isinstance(host, str) else host[0],
        "PGPORT": str(parsed.port) if parsed.port else None,
    }
    return {**os.environ, **{name: str(value) for name, value in values.items() if value}}


def _missing(command: list[str]) -> StoreUnavailable:
    return StoreUnavailable(f"{command[0]} is missing: install postgresql-client")


def _failed(command: list[str], said: str) -> StoreUnavailable:
    return StoreUnavailable(f"{command[0]} failed: {said.strip().rpartition(chr(10))[2]}; nothing was changed")


def _revisions_of(url: str, source: Path) -> set[str]:
    """The schema's revision as the dump has it; this also finds out whether it can be read."""
    only = ["--data-only", "--table=alembic_version", "--file=-"]
    found = set(_VERSION.findall(run(["pg_restore", *only, str(source)], url)))
    if not found:
        raise StoreUnavailable(f"{source} is the dump of another program; nothing was changed")
    return found


def _refuse_while_open(url: str) -> None:
    others = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'avisiod'"
    )
    if asked(url, others) != "0":
        remedy = "stop avisiod on every box that uses it first"
        raise StoreUnavailable(f"another program has the database open: {remedy}; nothing was changed")


def _free_name(url: str) -> str:
    taken = asked(url, "SELECT nspname FROM pg_namespace").split()
    return next(name for number in range(1, len(taken) + 2) if (name := f"{KEPT}{number}") not in taken)


def _replace(url: str, source: Path, kept: str) -> None:
    """In one transaction: what is there steps aside, what was comes."""
    begin = (
        f"BEGIN; ALTER SCHEMA {SCHEMA} RENAME TO {kept}; CREATE SCHEMA {SCHEMA};"
        f" GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC;\n"
    )
    psql, restore = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1"], ["pg_restore", "--no-owner", f"--schema={SCHEMA}"]
    environment = _environment(url)
    with tempfile.TemporaryFile("w+") as said, contextlib.ExitStack() as left:
        how = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": said, "text": True}
        try:
            taking = left.enter_context(subprocess.Popen(psql, stdin=subprocess.PIPE, **how))  # type: ignore[call-overload] # noqa: S603
        except FileNotFoundError:
            raise _missing(psql) from None
        assert taking.stdin is not None  # noqa: S101 - asked for
        with contextlib.suppress(BrokenPipeError):  # its status tells
            taking.stdin.write(begin)
            taking.stdin.flush()
        giving = subprocess.run(  # noqa: S603
            [*restore, "--file=-", str(source)], env=environment, stdout=taking.stdin, stderr=said, check=False
        )
        with contextlib.suppress(BrokenPipeError):
            if giving.returncode == 0:
                taking.stdin.write("COMMIT;\n")
            taking.stdin.close()  # without COMMIT all of it is as if it had not been
        taking.wait()
        if giving.returncode or taking.returncode:
            said.seek(0)
            raise _failed(psql if taking.returncode else restore, said.read())


def _checked(url: str, source: Path) -> Verdict:
    """Open it as the daemon would, which brings it up to date, and walk its trail."""
    opened = open_database(url)
    try:
        with opened.reading() as connection:
            verdict = verify(connection)
    finally:
        opened.close()
    if verdict.problem:
        raise StoreUnavailable(f"the trail in {source} is broken ({verdict.problem}); nothing was changed")
    return verdict


def _holds_anything(url: str, kept: str) -> bool:
    """Whether something had been there; else nothing of it is kept."""
    if asked(url, f"SELECT count(*) FROM pg_class WHERE relnamespace = '{kept}'::regnamespace") != "0":  # noqa: S608
        return True
    asked(url, f"DROP SCHEMA {kept} CASCADE")
    return False
