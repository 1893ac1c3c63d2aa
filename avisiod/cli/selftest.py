"""avisioctl selftest: is this box whole? Settings, database, daemon, workers, edge, portal, disk; in a second or two.

It looks at this very machine and changes nothing. It says whether calls could be carried, not whether people can
reach the box: that a first configuration still binds loopback is no fault here (`avisiod --check-config` tells).
"""

import contextlib
import http.client
import shutil
import sqlite3
import ssl
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.text import Text

from avisiod.cli.reach import CannotReach, Reach
from avisiod.cli.session import Session, common
from avisiod.config import check
from avisiod.config.settings import Config
from avisiod.doctor import probes
from avisiod.office import box
from avisiod.office.plan import Refused
from avisiod.ports import StoreUnavailable
from avisiod.store import database, inventory

WITHIN_S = 3.0
"""What takes longer than this to answer does not."""

_HEALTH = msgspec.json.Decoder()


class Check(msgspec.Struct, frozen=True):
    """One part of the box."""

    part: str
    ok: bool
    says: str
    remedy: str = ""


class Wrong(Exception):
    """A part is not as it should be: what is the matter, and what to do."""

    def __init__(self, says: str, remedy: str) -> None:
        super().__init__(says)
        self.remedy = remedy


Part = Callable[[Config], str]
"""Looks at a part and says in what state it is. Wrong, or one of EXPECTED, where it is not good."""


def settings(path: str) -> Check:
    """The file itself, and the inventory that it names."""
    try:
        config = check.load(path)
        site = config.site
        listed = inventory.load(config.store.inventory_file, site.region, config.sip.realm, site.language)
    except (check.ConfigError, inventory.InventoryError) as error:
        return Check("settings", ok=False, says=str(error), remedy="correct the lines that are named")
    return Check("settings", ok=True, says=f"{path}, {len(listed.phones)} phones, {len(listed.contacts)} contacts")


def stored(config: Config) -> str:
    """The database can be read, is ours, and of this program's version."""
    if config.store.url:
        return "PostgreSQL: the daemon's own word counts"
    path = Path(config.store.path)
    if not path.exists():
        raise Wrong(f"there is no {path}", "start avisiod, which makes it")
    database.inspect(path)
    with contextlib.closing(sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True)) as opened:
        ((calls,),) = opened.execute("SELECT count(*) FROM calls")
    return f"{path}, {calls} calls"


def daemon(config: Config) -> str:
    """It answers, and has nothing to complain about."""
    status, body = _metrics(config, "/health")
    if status == http.HTTPStatus.UNAUTHORIZED:
        if problems := _own_word(config).problems:
            raise Wrong("; ".join(problems), "journalctl -u avisiod -p warning -b")
        return "healthy; /health and /metrics want the password of metrics.user"
    problems = _HEALTH.decode(body)["problems"]
    if problems or status != http.HTTPStatus.OK:
        raise Wrong("; ".join(problems) or f"it answers {status}", "journalctl -u avisiod -p warning -b")
    return "healthy"


def workers(config: Config) -> str:
    """SIP and media workers serve, as many as are set."""
    status, body = _metrics(config, "/metrics")
    if status == http.HTTPStatus.UNAUTHORIZED:
        up = {pool.kind: pool.up for pool in _own_word(config).workers}
    else:
        up = {
            sample.labels["kind"]: int(sample.value)
            for family in text_string_to_metric_families(body.decode())
            if family.name == "avisiod_workers_up"
            for sample in family.samples
        }
    says = ", ".join(f"{count} {kind}" for kind, count in sorted(up.items()))
    if up.get("sip", 0) < config.sip_workers or up.get("media", 0) < max(1, config.media.workers):
        raise Wrong(f"too few: {says or 'none'}", "journalctl -u avisiod -p warning -b")
    return says


def edge(config: Config, listens: str) -> str:
    """Kamailio answers an OPTIONS as a phone would send it, where it listens for phones."""
    host, port = probes.edge_place(config, listens)
    said = probes.options(host, port, WITHIN_S)
    if not said.startswith("SIP/2.0 200"):
        raise Wrong(f"{host} port {port}: {said or 'no answer'}", "journalctl -u avisiod-edge -b")
    return f"answers on {host} port {port}"


def portal(config: Config) -> str:
    """The relatives' first page comes."""
    served = config.portal
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(served.address, served.address)  # noqa: S104 - a comparison
    host = urllib.parse.urlsplit(served.public_url).netloc
    status, _ = _get(address, served.port, "/", tls=bool(served.certificate_file), host=host)
    if status not in (http.HTTPStatus.OK, http.HTTPStatus.FOUND, http.HTTPStatus.SEE_OTHER):
        raise Wrong(f"{address} port {served.port} answers {status}", "journalctl -u avisiod -b")
    return f"{served.public_url} is served on {address} port {served.port}"


def disk(config: Config) -> str:
    """Room for recordings."""
    folder = Path(config.recordings.folder)
    free, least = shutil.disk_usage(folder).free, config.recordings.keep_free_bytes
    says = f"{free / 1e9:.1f} GB free at {folder}"
    if free < least:
        raise Wrong(f"{says}, calls need {least / 1e9:.1f}", "free space, or lower recordings.keep_free_bytes")
    return says


EXPECTED = (OSError, http.client.HTTPException, StoreUnavailable, sqlite3.Error, msgspec.DecodeError, KeyError)


def look(path: str) -> Iterator[Check]:
    """Every part in turn. The others are looked at with what the file says even where part of it is wrong."""
    first = settings(path)
    yield first
    try:
        config = check.load(path, files=False)
    except check.ConfigError:
        return
    local = Path(path).parent / "kamailio" / "kamailio-local.cfg"

    def phones(config: Config) -> str:
        return edge(config, local.read_text() if local.exists() else "")

    parts: dict[str, Part] = {
        "database": stored,
        "daemon": daemon,
        "workers": workers,
        "edge": phones,
        "portal": portal,
        "disk": disk,
    }
    for name, part in parts.items():
        try:
            yield Check(name, ok=True, says=part(config))
        except Wrong as wrong:
            yield Check(name, ok=False, says=str(wrong), remedy=wrong.remedy)
        except EXPECTED as error:
            yield Check(name, ok=False, says=str(error) or type(error).__name__, remedy=_REMEDIES[name])


_REMEDIES = {
    "database": "systemctl status avisiod; nothing was changed",
    "daemon": "systemctl status avisiod",
    "workers": "systemctl status avisiod",
    "edge": "systemctl status avisiod-edge",
    "portal": "systemctl status avisiod",
    "disk": "correct recordings.folder",
}
"""Where the part itself knows no better."""


@click.command("selftest", help="Whether this box is whole, in a second: exit status 0 where every part is good.")
@common
def selftest(session: Session) -> None:
    """Look at every part, show each."""
    found = list(look(session.config_file))
    if session.as_json:
        session.give({"ok": all(check.ok for check in found), "parts": msgspec.to_builtins(found)})
    else:
        for check in found:
            mark = Text("good " if check.ok else "WRONG", style="green" if check.ok else "bold red")
            session.out.print(mark, Text(f" {check.part:<9} {check.says}"), soft_wrap=True)
            if check.remedy:
                session.out.print(Text(f"                {check.remedy}"), soft_wrap=True)
    if not all(check.ok for check in found):
        sys.exit(1)


def _metrics(config: Config, path: str) -> tuple[int, bytes]:
    metrics = config.metrics
    return _get(metrics.address, metrics.port, path, tls=bool(metrics.certificate_file))


def _own_word(config: Config) -> box.Status:
    """What the daemon tells over its socket: of the metrics' password there is only a hash here."""
    reach = Reach(config)
    try:
        if not reach.daemon_runs:
            raise Wrong(f"it does not answer on {config.admin.socket_file}", "systemctl status avisiod")
        return msgspec.convert(reach.do("box.status", "", {}, lambda *_: None), box.Status)
    except (CannotReach, Refused, msgspec.ValidationError) as error:
        raise Wrong(str(error), "run it as root") from None
    finally:
        reach.close()


def _get(address: str, port: int, path: str, *, tls: bool = False, host: str = "") -> tuple[int, bytes]:
    """Status and body. The certificate is not judged: it is for the name that relatives type."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, port, timeout=WITHIN_S, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=WITHIN_S)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise Wrong(f"{address} port {port}: {reason}", "systemctl status avisiod") from None
    finally:
        connection.close()
