"""The edge: a real Kamailio with our configuration, in a folder and on ports of its own."""

import hashlib
import re
import socket
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.peers.ports import free_port
from tests.peers.processes import Process
from tests.peers.waiting import wait_until

CONFIGURATION = Path(__file__).resolve().parents[2] / "etc" / "kamailio"
REALM = "avisio"


def ha1(user: str, password: str, realm: str = REALM) -> str:
    """MD5 of user:realm:password (RFC 7616 section 3.4.2): what a phone's row keeps."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode()).hexdigest()


class Kamailio:
    """Runs in the foreground until `stop`. Phones come from `phones` (user → password), or from `phones_db`.

    `workers` is where avisiod's SIP workers listen; phones reach us at `address` over UDP and TCP on `port`, and with
    `tls` on `tls_port`. `settings` replaces values of kamailio-local.cfg, such as EDGE_FLOOD.
    """

    def __init__(
        self,
        folder: Path,
        workers: Sequence[tuple[str, int]],
        *,
        phones: Mapping[str, str] | None = None,
        phones_db: Path | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        inner_port: int = 0,
        settings: Mapping[str, str] | None = None,
        realm: str = REALM,
        phones_url: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`phones_url`: as Kamailio's db_postgres writes a database, in place of an SQLite file."""
        self.folder = folder
        self._environment = environment
        self.address = address
        self.port = port or free_port()
        self.inner_port, self.metrics_port = inner_port or free_port(), free_port()
        self.tls_port = free_port() if tls else 0
        self.edge_db = folder / "edge.db"
        self._process: Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if phones_db is None:
            phones_db = folder / "phones.db"
            _make_phones(phones_db, phones or {}, realm)
        with sqlite3.connect(self.edge_db) as database:
            database.executescript((CONFIGURATION / "edge.sql").read_text())
        database.close()
        values = {
            "EDGE_INNER_HOST": "127.0.0.1",
            "EDGE_INNER_PORT": str(self.inner_port),
            "EDGE_METRICS_PORT": str(self.metrics_port),
            "EDGE_WORKERS": str(folder / "workers.list"),
            "EDGE_PHONES_DB": str(phones_db),
            "EDGE_DB": str(self.edge_db),
            "EDGE_RUN": str(folder),
            "EDGE_CHILDREN": "2",
            "EDGE_FLOOD": "500",
            **(settings or {}),
        }
        local = (CONFIGURATION / "kamailio-local.cfg").read_text()
        for name, value in values.items():
            local, found = re.subn(rf'(?m)^(#!substdef "!{name}!)[^!]*', rf"\g<1>{value}", local)
            assert found == 1, name
        if phones_url:
            local = local.replace("##!define WITH_POSTGRES", "#!define WITH_POSTGRES")
            local = re.sub(r'(?m)^##(!substdef "!EDGE_PHONES_URL!)[^!]*', rf"#\g<1>{phones_url}", local)
        if realm != REALM:
            local = local.replace('##!substdef "!EDGE_REALM!avisio!g"', f'#!substdef "!EDGE_REALM!{realm}!g"')
        listeners = [
            f"listen=udp:{self.edge}",
            f"listen=tcp:{self.edge}",
            f"listen=udp:127.0.0.1:{self.inner_port}",
            f"listen=tcp:127.0.0.1:{self.metrics_port}",
        ]
        if tls:
            _make_certificate(folder)
            local = re.sub(r'(?m)^(#!substdef "!EDGE_TLS!)[^!]*', rf"\g<1>{folder / 'tls.cfg'}", local)
            tls_file = (CONFIGURATION / "tls.cfg").read_text().replace("/etc/avisiod/kamailio/", f"{folder}/")
            (folder / "tls.cfg").write_text(tls_file)
            listeners += ["#!define WITH_TLS", f"listen=tls:{self._host}:{self.tls_port}", "enable_tls=yes"]
        local = re.sub(r"(?m)^listen=.*\n", "", local)
        (folder / "kamailio-local.cfg").write_text("\n".join(listeners) + "\n" + local)
        (folder / "workers.list").write_text("".join(f"1 sip:{host}:{port}\n" for host, port in workers))
        (folder / "kamailio.cfg").write_text((CONFIGURATION / "kamailio.cfg").read_text())

    @property
    def edge(self) -> str:
        """Where phones register, for BaresipPhone's `edge`."""
        return f"{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError("Kamailio has not been started")
        return self._process

    def start(self) -> Self:
        """Run it; returns when it answers OPTIONS."""
        argv: list[str | Path] = ["kamailio", "-f", self.folder / "kamailio.cfg", "-DD", "-E", "-e"]
        argv += ["-P", self.folder / "kamailio.pid", "-Y", self.folder, "-m", "64", "-M", "8"]
        self._process = Process(argv, name="kamailio", log=self.folder / "kamailio.log", env=self._environment)
        wait_until(self.answers, 15, "Kamailio answers OPTIONS")
        return self

    def answers(self) -> bool:
        """Whether it answers OPTIONS now."""
        if self.process.returncode is not None:
            self.process.wait_for_line("(?!)", 0)
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.3)
            probe.connect((self.address, self.port))
            host, port = probe.getsockname()[:2]
            here = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
            try:
                probe.send(_options(here, self.edge))
                return probe.recv(4096).startswith(b"SIP/2.0 200")
            except OSError:
                return False

    def stop(self) -> None:
        if self._process:
            self._process.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _options(here: str, edge: str) -> bytes:
    lines = [
        f"OPTIONS sip:{edge} SIP/2.0",
        f"Via: SIP/2.0/UDP {here};branch=z9hG4bKprobe;rport",
        "Max-Forwards: 70",
        f"From: <sip:probe@{here}>;tag=1",
        f"To: <sip:{edge}>",
        f"Call-ID: probe@{here}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _make_phones(path: Path, phones: Mapping[str, str], realm: str) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL;"
            "CREATE TABLE phones (id TEXT PRIMARY KEY, ha1 TEXT NOT NULL, enabled INTEGER NOT NULL DEFAULT 1);"
            "CREATE VIEW subscriber AS SELECT rowid AS id, phones.id AS username, 'avisio' AS domain,"
            " '' AS password, ha1, '' AS ha1b FROM phones WHERE enabled;"
        )
        database.executemany(
            "INSERT INTO phones (id, ha1) VALUES (?, ?)",
            [(user, ha1(user, secret, realm)) for user, secret in phones.items()],
        )
    database.close()


def _make_certificate(folder: Path) -> None:
    names = ["-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", folder / "edge.key", "-out", folder / "edge.pem"]
    argv: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *names,
        *files,
    ]
    with Process(argv, name="openssl") as process:
        assert process.wait(30) == 0
