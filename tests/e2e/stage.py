"""The whole scene on one machine: modem, daemon, edge, and as many phones and relatives as a test asks for.

Everything listens on loopback, on ports that nobody else has, and keeps its files in one folder, so that scenes never
meet. Methods block and are safe from any thread; on a reactor use `tests.peers.offreactor.aside`.
"""

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.notify import NotifySocket
from tests.e2e.story import Story
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium, Relative
from tests.peers.kamailio import Kamailio
from tests.peers.modem import Received, SoftModem
from tests.peers.ports import free_port, free_range, give_back
from tests.peers.processes import Process
from tests.peers.waiting import Feed, NotSeen

Part = TypeVar("Part")

ROOT = Path(__file__).resolve().parents[2]
REALM = "avisio"
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 15.0


class PhoneEntry(NamedTuple):
    """A phone of the inventory, and the password that only the phone knows."""

    user: str = "cell1"
    password: str = "not-a-secret"
    cell: str = "A 101"
    language: str = "fr"

    @property
    def ha1(self) -> str:
        return hashlib.md5(f"{self.user}:{REALM}:{self.password}".encode()).hexdigest()


class ContactEntry(NamedTuple):
    """A contact of the inventory. The default number is one of those that are kept for fiction."""

    id: str = "contact-1"
    number: str = "+33639980001"
    confidential: bool = False

    @property
    def dialled(self) -> str:
        """As a person dials it in France."""
        return "0" + self.number.removeprefix("+33")


class Stage:
    """Start it, ask for phones and relatives, stop it: nothing is left but the folder.

    `settings` are sections of avisiod.yaml that replace or add keys: `{"calls": {"limit_s": 30.0}}`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        phones: Sequence[PhoneEntry] = (PhoneEntry(),),
        contacts: Sequence[ContactEntry] = (ContactEntry(),),
        program: Sequence[str] = (sys.executable, "-m", "avisiod"),
        environment: Mapping[str, str] | None = None,
        tls: bool = False,
        story: Story | None = None,
        edge_address: str = "127.0.0.1",
        edge_port: int = 0,
    ) -> None:
        """`program` runs the daemon, ours or an installed one; `environment` is added to its own.

        Phones reach the edge at `edge_address`, on `edge_port` or any other, with `tls` over TLS as well.
        """
        self._tls = tls
        self.folder = folder.resolve()
        self.phones = {entry.user: entry for entry in phones}
        self.contacts = list(contacts)
        self.story = story or Story()
        self.sms: Feed[Received] = Feed("the modem")
        self.config_file = self.folder / "avisiod.yaml"
        self._edge_address, self._edge_port = edge_address, edge_port
        self._program = program
        self._environment = {"PYTHONPATH": str(ROOT), **(environment or {})}
        self._ranges: list[int] = []
        self._settings = self._config(settings or {})
        self._closing = contextlib.ExitStack()
        self._chromium: Chromium | None = None
        self._modem: SoftModem | None = None
        self._daemon: Process | None = None
        self._notify: NotifySocket | None = None
        self._edge: Kamailio | None = None

    # What is where.

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The file as it is given to the daemon, section by section."""
        return self._settings

    @property
    def portal_url(self) -> str:
        return str(self._settings["portal"]["public_url"])

    @property
    def recordings_folder(self) -> Path:
        return Path(self._settings["recordings"]["folder"])

    @property
    def database(self) -> Path:
        return Path(self._settings["store"]["path"])

    @property
    def modem_device(self) -> Path:
        """Where the software modem is plugged in; a list of routes may name it."""
        return Path(self._settings["modem"]["device"] or self.folder / "modem")

    @property
    def modem(self) -> SoftModem:
        return _started(self._modem)

    @property
    def daemon(self) -> Process:
        return _started(self._daemon)

    @property
    def notified(self) -> Feed[str]:
        """What the daemon that runs has told systemd."""
        return _started(self._notify).said

    @property
    def edge(self) -> Kamailio:
        return _started(self._edge)

    def _range(self, count: int = 100) -> tuple[int, int]:
        first, last = free_range(count)
        self._ranges.append(first)
        return first, last

    def _config(self, overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        state = self.folder / "state"
        portal = free_port()
        settings: dict[str, dict[str, Any]] = {
            "site": {"name": "Centre pénitentiaire de la démonstration", "admission": "listed"},
            "calls": {"drain_s": 0.0},
            "sip": {
                "port": self._range()[0],
                "workers": 2,
                "edge": [f"127.0.0.1:{free_port()}"],
                "edge_database": str(self.folder / "kamailio" / "edge.db"),
            },
            "media": {"workers": 1, "phone_ports": list(self._range(200)), "outside_ports": list(self._range())},
            "recordings": {"folder": str(state / "recordings"), "keep_free_bytes": 50_000_000},
            "portal": {
                "port": portal,
                "public_url": f"https://localhost:{portal}",
                "certificate_file": str(self.folder / "portal.crt"),
                "key_file": str(self.folder / "portal.key"),
            },
            "modem": {"device": str(self.folder / "modem")},
            "store": {
                "path": str(state / "avisiod.db"),
                "inventory_file": str(self.folder / "inventory.yaml"),
                "code_key_file": str(state / "code.key"),
            },
            "metrics": {"port": free_port()},
            "health": {"edge_control": str(self.folder / "kamailio" / "edge-rpc.sock")},
            "admin": {"socket_file": str(state / "control.sock")},
        }
        for section, keys in overrides.items():
            settings.setdefault(section, {}).update(keys)
        if settings.get("sms", {}).get("routes"):
            settings["modem"]["device"] = ""
        settings.setdefault("sms", {}).setdefault("tally_file", str(state / "sms-today"))
        return settings

    # Life.

    def start(self) -> Self:
        """Modem, daemon, edge, in this order; returns when the daemon says that it is ready."""
        try:
            self._prepare()
            self.start_modem()
            self.start_daemon()
            self.start_edge()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything that was started, the latest first."""
        self._closing.close()
        while self._ranges:
            give_back(self._ranges.pop())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(yaml.safe_dump(self._settings, allow_unicode=True))
        Path(self._settings["store"]["inventory_file"]).write_text(yaml.safe_dump(self._inventory()))
        if not (self.folder / "portal.key").exists():
            make_certificate(self.folder / "portal.crt", self.folder / "portal.key")

    def _inventory(self) -> dict[str, Any]:
        return {
            "phones": [
                {"id": phone.user, "cell": phone.cell, "ha1": phone.ha1, "language": phone.language}
                for phone in self.phones.values()
            ],
            "contacts": [
                {"id": contact.id, "number": contact.number, "confidential": contact.confidential}
                for contact in self.contacts
            ],
        }

    def start_modem(self) -> None:
        self._modem = self._closing.enter_context(SoftModem(self.modem_device, on_sms=self._took))

    def _took(self, sms: Received) -> None:
        self.story.add("modem", f"SMS to {sms.number}: {' ⏎ '.join(sms.text.splitlines())}")
        self.sms.add(sms)

    def start_daemon(self) -> None:
        """Run avisiod; also again, after `stop_daemon`."""
        self._notify = NotifySocket("avisiod")
        self._daemon = Process(
            [*self._program, "--config", self.config_file],
            name="avisiod",
            env={**self._notify.environment, **self._environment},
            log=self.folder / "avisiod.log",
        )
        self._closing.callback(self.stop_daemon)
        self._daemon.lines.on_close(self._notify.close)
        try:
            self._notify.said.wait(lambda word: word == "READY=1", READY_TIMEOUT_S, "READY=1")
        except NotSeen:
            lines = "\n    ".join(self._daemon.lines.items()[-30:])
            raise NotSeen(f"avisiod did not become ready; it said:\n    {lines}") from None
        self.story.add("avisiod", "is ready")

    def stop_daemon(self) -> None:
        """SIGTERM and wait: calls end as the service stops. Harmless when it is over."""
        if self._daemon:
            self._daemon.stop(STOP_TIMEOUT_S)

    def start_edge(self) -> None:
        sip = self._settings["sip"]
        workers = [("127.0.0.1", sip["port"] + n) for n in range(sip["workers"])]
        edge = Kamailio(
            self.folder / "kamailio",
            workers,
            phones_db=self.database,
            address=self._edge_address,
            port=self._edge_port,
            tls=self._tls,
            inner_port=int(sip["edge"][0].rpartition(":")[2]),
        )
        self._edge = self._closing.enter_context(edge)
        self.story.add("kamailio", f"is the edge, on port {self._edge.port}")

    # People.

    def phone(self, user: str = "cell1", **options: Any) -> BaresipPhone:
        """A phone of the inventory, switched on and registered; `options` are those of BaresipPhone."""
        entry = self.phones[user]
        secure = options.get("transport") == "tls"
        phone = BaresipPhone(
            self.folder / f"phone-{user}",
            user=user,
            password=entry.password,
            edge=f"{self.edge.address}:{self.edge.tls_port}" if secure else self.edge.edge,
            **options,
        )
        self._closing.enter_context(phone)
        phone.wait_registered()
        self.story.add(f"phone {user}", "is registered")
        return phone

    def relative(self, **options: Any) -> Relative:
        """A person with a browser of their own; `options` are those of Chromium.relative."""
        if self._chromium is None:
            self._chromium = self._closing.enter_context(Chromium())
        return self._chromium.relative(**options)

    def wait_code(self, contact: ContactEntry | None = None, since: int = 0, timeout: float = 15.0) -> str:
        """The code of the first SMS to that contact from mark `since` on (`sms.mark()`)."""
        number = (contact or self.contacts[0]).number
        sms = self.sms.wait(lambda sms: sms.number == number, timeout, "SMS with a code", since)
        return code_of(sms.text)

    # What can be seen of the daemon from outside.

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics: `name{label="value"}`, labels in alphabetical order."""
        found = {}
        for family in text_string_to_metric_families(self._get("/metrics")):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def health(self) -> str:
        """What /health says, well (200) or not (503)."""
        try:
            return self._get("/health")
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def _get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self._settings['metrics']['port']}{path}"
        with urllib.request.urlopen(url, timeout=5, context=ssl.create_default_context()) as answer:
            return str(answer.read().decode())

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Read the daemon's database, beside it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]

    def journal(self, call: str | None = None) -> list[dict[str, Any]]:
        """The journal of one call, or of all, oldest first: `call`, `at_monotonic`, `event`, `details`."""
        rows = self.rows("select * from events order by id")
        for row in rows:
            row["details"] = json.loads(row["details"])
        return [row for row in rows if call in (None, row["call"])]

    def calls(self) -> list[dict[str, Any]]:
        """Every call that the daemon has kept, oldest first."""
        return self.rows("select * from calls order by created_utc")

    def recordings(self) -> list[Path]:
        """Sealed recordings, by name."""
        return sorted(self.recordings_folder.rglob("*.mkv"))


def code_of(text: str) -> str:
    """The code in an SMS: its last line carries it for browsers, `@host #123456`."""
    match = re.search(r"^@\S+ #(\d{6})$", text.strip().splitlines()[-1]) or re.search(r"\b(\d{6})\b", text)
    if not match:
        raise AssertionError(f"no code in the SMS {text!r}")
    return match[1]


def make_certificate(certificate: Path, key: Path) -> None:
    """A self-signed one for localhost, as good for WebRTC as any."""
    openssl = shutil.which("openssl") or "openssl"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)


def _started(part: Part | None) -> Part:
    if part is None:
        raise RuntimeError("the stage has not been started")
    return part
