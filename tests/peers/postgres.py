"""A PostgreSQL of Debian, on a Unix socket in a temporary folder, as a user without rights."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

BINARIES = Path("/usr/lib/postgresql/15/bin")


class Postgres:
    """A server of its own, gone with the test run."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="avisiod-pg-"))
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        if os.getuid() == 0:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._databases = 0
        self.data = self.folder / "data"
        try:
            self._run(
                "initdb", "-D", str(self.data), "-U", "avisiod", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
            )
            # A test's end is not a power cut: what is written need not reach the disk.
            settings = f"-h '' -k {self.folder} -F -c log_min_messages=fatal -c max_connections=50"
            how = ("-w", "-t", "60", "-l", str(self.folder / "log"), "-o", settings)
            self._run("pg_ctl", "-D", str(self.data), *how, "start")
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _run(self, program: str, *arguments: str) -> None:
        as_user = {} if os.getuid() else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [str(BINARIES / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            check=False,
            **as_user,  # type: ignore[call-overload]
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()}")

    def url(self, name: str) -> str:
        """Of a database on this server."""
        return f"postgresql://avisiod@/{name}?host={self.folder}"

    def new_database(self) -> str:
        """An empty one; its URL."""
        self._databases += 1
        name = f"t{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return self.url(name)

    def stop(self) -> None:
        """End it, however many are connected, and leave nothing behind."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
