"""Every part in turn: who is tried by which probe. A new part is a line of PARTS."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from avisiod import certificates
from avisiod.backups import outcome
from avisiod.config import check
from avisiod.config.settings import Config
from avisiod.doctor import probes, verdicts
from avisiod.doctor.verdicts import Finding, Verdict
from avisiod.gateway.manifest import write_durably
from avisiod.office import retention_record
from avisiod.office.box import Status
from avisiod.office.status_page import span

CREDENTIAL_S = 300
Do = Callable[..., Any]


class Patient(NamedTuple):
    """The box, and how it is reached."""

    config: Config
    config_file: Path
    now: datetime.datetime
    status: Status | None
    """None: the daemon is down."""
    do: Do
    """An operation of the daemon, by name and arguments."""


def _settings(patient: Patient) -> Iterable[Finding]:
    try:
        config = check.load(patient.config_file)
    except check.ConfigError as error:
        return verdicts.settings([str(problem) for problem in error.problems], [])
    return verdicts.settings([], check.cautions(config))


def _daemon(patient: Patient) -> Iterable[Finding]:
    return verdicts.daemon(patient.status is not None, patient.status.problems if patient.status else ())


def _edge(patient: Patient) -> Iterable[Finding]:
    local = patient.config_file.parent / "kamailio" / "kamailio-local.cfg"
    host, port = probes.edge_place(patient.config, local.read_text() if local.exists() else "")
    return [verdicts.edge(f"{host} port {port}", probes.options(host, port))]


def _sip_workers(patient: Patient) -> Iterable[Finding]:
    sip = patient.config.sip
    ports = [sip.port + n for n in range(patient.config.sip_workers)]
    return [verdicts.sip_workers([(port, probes.options(sip.address, port)) for port in ports])]


def _media(patient: Patient) -> Iterable[Finding]:
    if patient.status is None:
        return [verdicts.not_tried("media", "the daemon is down")]
    if patient.config.phones.encryption == "required":
        return [verdicts.not_tried("media", "phones.encryption is required, and the test call has no keys")]

    def probe(step: str, offer: str) -> str:
        return str(patient.do("box.probe", step=step, offer=offer))

    try:
        heard = probes.media_call(patient.config.media.phone_address, probe)
    except Exception as error:  # noqa: BLE001 - whatever the daemon says of it is the finding
        return [verdicts.media(0, f"a test call was not answered: {error}")]
    return [verdicts.media(*heard)]


def _sms(patient: Patient) -> Iterable[Finding]:
    if patient.status is None:
        return [verdicts.not_tried("sms", "the daemon is down, and nobody else may use the modem")]
    return verdicts.sms(patient.status.sms)


def _turn(patient: Patient) -> Iterable[Finding]:
    servers = patient.config.media.ice_servers
    if not servers:
        yield verdicts.not_tried("turn", "none is named (media.ice_servers)")
    expires = int(patient.now.timestamp()) + CREDENTIAL_S
    for server in servers:
        try:
            secret = Path(server.secret_file).read_bytes().strip() if server.secret_file else b""
        except OSError as error:
            yield verdicts.turn(server.urls[0], "", f"{server.secret_file}: {error.strerror}")
            continue
        for relayed in probes.ice(server, secret, expires):
            yield verdicts.turn(*relayed)


def _certificates(patient: Patient) -> Iterable[Finding]:
    found = certificates.look(patient.config)
    if not found:
        return [verdicts.not_tried("certificates", "none is named in the settings")]
    return [verdicts.certificate(each, patient.now) for each in found]


def _clock(_patient: Patient) -> Iterable[Finding]:
    return [verdicts.clock(*probes.clock())]


def _disk(patient: Patient) -> Iterable[Finding]:
    found = probes.disk(Path(patient.config.recordings.folder))
    keep = patient.config.recordings.keep_free_bytes
    return [verdicts.disk(found.free_bytes, keep, found.bytes_per_s, found.sync_s, found.problem)]


def _backup(patient: Patient) -> Iterable[Finding]:
    backup = patient.config.backup
    last = outcome.read(Path(backup.record_file))
    age = last.age_s(patient.now) if last.good_utc else None
    return [verdicts.backup(age, last.problem, len(backup.recipients))]


def _retention(patient: Patient) -> Iterable[Finding]:
    last = retention_record.read(Path(patient.config.recordings.record_file))
    return [verdicts.retention(last.age_s(patient.now) if last.run_utc else None, last.problem, last.held)]


def _phones(patient: Patient) -> Iterable[Finding]:
    if patient.status is None:
        return [verdicts.not_tried("phones", "the daemon is down")]
    return [verdicts.phones(patient.status.phones_registered, patient.status.phones_listed)]


PARTS: dict[str, Callable[[Patient], Iterable[Finding]]] = {
    "settings": _settings,
    "daemon": _daemon,
    "edge": _edge,
    "sip workers": _sip_workers,
    "media": _media,
    "phones": _phones,
    "sms": _sms,
    "turn": _turn,
    "certificates": _certificates,
    "clock": _clock,
    "disk": _disk,
    "backup": _backup,
    "retention": _retention,
}
"""In the order in which a technician would look."""


def examine(patient: Patient, parts: Sequence[str] = ()) -> Iterator[Finding]:
    """Try these parts, or all; each finding as soon as it is known. A probe that breaks is a finding, too."""
    for name, look in PARTS.items():
        if parts and name not in parts:
            continue
        try:
            yield from look(patient)
        except Exception as error:  # noqa: BLE001 - the other parts are still to be looked at
            yield Finding(
                part=name,
                verdict=Verdict.NOT_TRIED,
                found=f"the check itself failed: {type(error).__name__}: {error}",
                do="report this line",
            )


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The last examination, as it is kept."""

    at_utc: str
    findings: tuple[Finding, ...]

    def summary(self, now: datetime.datetime) -> str:
        """For avisioctl status: `2 failed, 1 warning, 3 h ago`."""
        age = span((now - datetime.datetime.fromisoformat(self.at_utc)).total_seconds())
        counted = {kind: sum(each.verdict is kind for each in self.findings) for kind in Verdict}
        told = [
            f"{counted[kind]} {kind.value}{'s' if kind is Verdict.WARNING and counted[kind] > 1 else ''}"
            for kind in (Verdict.FAILED, Verdict.WARNING)
            if counted[kind]
        ]
        return f"{', '.join(told) or 'found nothing wrong'}, {age} ago"


_records: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def record_file(config: Config) -> Path:
    """Beside the database: the daemon's own folder."""
    return Path(config.store.path).parent / "doctor.json"


def keep(config: Config, now: datetime.datetime, findings: Sequence[Finding]) -> None:
    """Write the examination down. OSError where that cannot be."""
    record = Record(at_utc=now.isoformat(), findings=tuple(findings))
    write_durably(record_file(config), msgspec.json.encode(record) + b"\n")


def last(config: Config) -> Record | None:
    """The one that was written down last; None where there is none that can be read."""
    try:
        return _records.decode(record_file(config).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
