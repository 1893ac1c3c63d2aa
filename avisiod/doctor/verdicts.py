"""What facts about a part of the box mean, and what to do. Pure: facts in, findings out."""

import datetime
import enum
import itertools
from collections.abc import Sequence

import msgspec

from avisiod.certificates import Found
from avisiod.office.box import Route
from avisiod.office.status_page import span

CERTIFICATE_SOON_S = 14 * 86400.0
BACKUP_OLD_S = 2 * 86400.0
RETENTION_OLD_S = 2 * 86400.0
CLOCK_OFF_S = 1.0
"""A clock that is further off than this puts wrong times into journals, and makes TURN credentials doubtful."""
DISK_SLOW = 20e6
"""Bytes a second: twenty recorded calls write 5 MB/s, and a backup wants to read meanwhile."""
SYNC_SLOW_S = 1.0
PACKETS_ENOUGH = 25
"""Half a second of sound."""
WEAK_DBM = -105


class Verdict(enum.StrEnum):
    """Of one part."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TRIED = "not tried"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one check."""

    part: str
    verdict: Verdict
    found: str
    """The fact."""
    means: str = ""
    """What it means for calls; empty where all is well."""
    do: str = ""


def ok(part: str, found: str) -> Finding:
    """All is well."""
    return Finding(part=part, verdict=Verdict.OK, found=found)


def warning(part: str, found: str, means: str, do: str) -> Finding:
    """Calls go on, for now."""
    return Finding(part=part, verdict=Verdict.WARNING, found=found, means=means, do=do)


def failed(part: str, found: str, means: str, do: str) -> Finding:
    """Calls fail, or something would be lost."""
    return Finding(part=part, verdict=Verdict.FAILED, found=found, means=means, do=do)


def not_tried(part: str, why: str) -> Finding:
    """Nothing is known."""
    return Finding(part=part, verdict=Verdict.NOT_TRIED, found=why)


def settings(problems: Sequence[str], cautions: Sequence[str]) -> list[Finding]:
    """The file, as --check-config reads it."""
    if problems:
        do = "correct it, then: avisiod --check-config; systemctl reload avisiod"
        return [failed("settings", each, "the next start or reload is refused", do) for each in problems]
    if cautions:
        return [warning("settings", each, "people may not reach the box", "see above") for each in cautions]
    return [ok("settings", "good")]


def daemon(runs: bool, problems: Sequence[str]) -> list[Finding]:
    """Whether it answers, and what it complains of itself."""
    if not runs:
        do = "systemctl status avisiod; journalctl -u avisiod -b -n 30; systemctl start avisiod"
        return [failed("daemon", "does not answer", "no call can be made", do)]
    do = "docs/troubleshooting.md; journalctl -u avisiod -p warning -b"
    found = [warning("daemon", each, "it says so of itself; the parts below say more", do) for each in problems]
    return found or [ok("daemon", "answers, and complains of nothing")]


def edge(place: str, status: str) -> Finding:
    """The first line that Kamailio answered to an OPTIONS; empty: nothing came."""
    if status.startswith("SIP/2.0 200"):
        return ok("edge", f"answers on {place}")
    do = "systemctl status avisiod-edge; journalctl -u avisiod-edge -b; its addresses: kamailio-local.cfg"
    means = "phones cannot register or dial; calls under way go on"
    return failed("edge", f"{place}: {status or 'no answer'}", means, do)


def sip_workers(answers: Sequence[tuple[int, str]]) -> Finding:
    """By port, the first line that each SIP worker answered to an OPTIONS; empty: nothing came."""
    silent = [str(port) for port, status in answers if not status.startswith("SIP/2.0")]
    if not silent:
        return ok("sip workers", f"all {len(answers)} answer")
    found = f"{len(silent)} of {len(answers)} do not answer (port {', '.join(silent)})"
    do = "journalctl -u avisiod -p warning -b says why they end; ss -ulpn shows who has the port"
    if len(silent) == len(answers):
        return failed("sip workers", found, "no phone can call", do)
    return warning("sip workers", found, "fewer calls at once; what they held is lost", do)


def media(packets: int, problem: str) -> Finding:
    """A call of nobody through a media worker: packets of its prompt that came back."""
    do = "journalctl -u avisiod -p warning -b; media.phone_address and media.phone_ports; a firewall on this box"
    if problem:
        return failed("media", problem, "calls end as media_failed, or no offer is answered", do)
    if packets < PACKETS_ENOUGH:
        found = f"a test call was answered, but {packets} packets of its prompt came back"
        return failed("media", found, "phones hear and see nothing", do)
    return ok("media", f"a test call was answered and heard ({packets} packets)")


def sms(routes: Sequence[Route]) -> list[Finding]:
    """The routes as the daemon has them; a modem was asked by AT within the last seconds. Nothing is sent."""
    if not routes:
        do = "name a modem or a route in the settings: docs/modems.md"
        return [failed("sms", "no route is named", "every call is refused: nobody gets a code", do)]
    works = [route for route in routes if route.state in ("up", "to be tried")]
    return [_route(route, alone=not works) for route in routes]


def _route(route: Route, *, alone: bool) -> Finding:
    part, said = f"sms {route.route}", "; ".join(each for each in (route.state, route.trouble, route.detail) if each)
    do = "docs/modems.md explains each state; avisioctl sms routes shows them; a wrong PIN is never sent twice"
    if route.state not in ("up", "to be tried"):
        if alone:
            return failed(part, said, "no route works: calls end for want of an SMS", do)
        return warning(part, said, "another route takes the codes", do)
    signal = _signal(route.detail)
    if signal is not None and signal < WEAK_DBM:
        return warning(part, said, "messages get lost or late", "move the antenna to a window, away from the rack")
    if route.trouble:
        return warning(part, said, "the last message failed", do)
    return ok(part, said)


def _signal(detail: str) -> int | None:
    words = detail.replace(";", " ").split()
    for word, unit in itertools.pairwise(words):
        if unit.startswith("dBm") and word.lstrip("-").isdecimal():
            return int(word)
    return None


def turn(url: str, relayed: str, problem: str) -> Finding:
    """`relayed`: the address that the server gave us, or saw us at; else why not."""
    part = f"turn {url}" if url.startswith("turn") else f"stun {url}"
    if not problem:
        return ok(part, f"gave {relayed}" if url.startswith("turn") else f"sees us at {relayed}")
    do = (
        "systemctl status coturn; its static-auth-secret must be that of secret_file; its clock must be right; "
        "the firewall must let its port through"
    )
    means = "relatives behind a strict firewall have no picture and no sound" if url.startswith("turn") else (
        "addresses are found more slowly, or not at all behind a NAT"
    )  # fmt: skip
    return failed(part, problem, means, do) if url.startswith("turn") else warning(part, problem, means, do)


def certificate(found: Found, now: datetime.datetime) -> Finding:
    """One that the settings name."""
    part = f"certificate {found.of}"
    do = "renew it: the files are taken up without a restart; with ACME look why its timer did not"
    means = "phones refuse to connect" if found.of == "provisioning" else "browsers refuse to connect"
    if found.ends_utc is None:
        return failed(part, f"{found.path}: {found.problem}", f"{means} at the next start", do)
    left = (found.ends_utc - now).total_seconds()
    if left <= 0:
        return failed(part, f"{found.path} ended on {found.ends_utc:%Y-%m-%d}", means, do)
    said = f"ends in {span(left)}, on {found.ends_utc:%Y-%m-%d}"
    return warning(part, said, f"{means} from then on", do) if left < CERTIFICATE_SOON_S else ok(part, said)


def clock(synchronised: bool | None, error_s: float) -> Finding:
    """The kernel's own word (adjtimex(2)); None: it does not tell."""
    if synchronised is None:
        return not_tried("clock", "the kernel does not tell whether the clock is synchronised")
    do = "timedatectl; systemctl status systemd-timesyncd, or chrony; name a time server that can be reached"
    means = "times in journals and recordings are wrong, hours are, and TURN credentials may be refused"
    if not synchronised:
        return failed("clock", "is not synchronised", means, do)
    if error_s > CLOCK_OFF_S:
        return warning("clock", f"may be off by {error_s:.1f} s", means, do)
    return ok("clock", f"synchronised, off by {error_s * 1000:.0f} ms at most")


def disk(free: int, keep_free: int, written_per_s: float, sync_s: float, problem: str) -> Finding:
    """The recordings' disk; a file of some megabytes was written to it."""
    if problem:
        do = "journalctl -k; check the file system and mount it again; chown avisiod the folder"
        return failed("disk", problem, "recorded calls are refused", do)
    said = f"{free / 1e9:.1f} GB free, writes {written_per_s / 1e6:.0f} MB/s, settles in {sync_s * 1000:.0f} ms"
    if free <= keep_free:
        do = "make room; or lower recordings.keep_free_bytes; never delete a recording that is under hold"
        return failed("disk", said, "recorded calls are refused", do)
    if written_per_s < DISK_SLOW or sync_s > SYNC_SLOW_S:
        do = "see what else writes (iotop); a disk of its own for recordings; not over the network"
        return warning("disk", said, "recordings get gaps when many calls are recorded", do)
    if free < 5 * keep_free:
        return warning("disk", said, "it is full before long", "look at retention; a larger disk")
    return ok("disk", said)


def backup(age_s: float | None, problem: str, recipients: int) -> Finding:
    """The last one."""
    means = "what is lost with the disk is everything since then"
    if not recipients:
        do = "make a key (age-keygen), put its public half into backup.recipients: docs/backup.md"
        return warning("backup", "no backup is made: backup.recipients is empty", means, do)
    do = "systemctl list-timers avisiod-backup.timer; journalctl -u avisiod-backup; docs/backup.md"
    if age_s is None:
        return failed("backup", f"none was ever made{f': {problem}' if problem else ''}", means, do)
    said = f"the last good one is {span(age_s)} old"
    if age_s > BACKUP_OLD_S:
        return failed("backup", said, means, do)
    if problem:
        return warning("backup", f"{said}; the last try failed: {problem}", means, do)
    return ok("backup", said)


def retention(age_s: float | None, problem: str, held: int) -> Finding:
    """The last run that looked for recordings that are too old."""
    means = "recordings are kept longer than the law allows"
    do = "systemctl list-timers avisiod-retention.timer; journalctl -u avisiod-retention; docs/recordings.md"
    if age_s is None:
        return failed("retention", f"it never ran{f': {problem}' if problem else ''}", means, do)
    said = f"it ran {span(age_s)} ago, {held} recordings are kept for a hold only"
    if age_s > RETENTION_OLD_S:
        return failed("retention", f"{said}{f': {problem}' if problem else ''}", means, do)
    if problem:
        return warning("retention", f"{said}: {problem}", means, "avisioctl recordings due; docs/recordings.md")
    return ok("retention", said)


def phones(registered: int | None, listed: int) -> Finding:
    """How many of the listed phones are at the edge."""
    if registered is None:
        do = "is avisiod-edge running, and sip.edge_database its file?"
        return failed("phones", "the edge's registrations cannot be read", "nobody knows which phones are there", do)
    said = f"{registered} of {listed} are registered"
    if not listed:
        return warning("phones", "none is listed", "nobody can call", "avisioctl phones add, or the inventory")
    if registered < 0.8 * listed:
        return warning(
            "phones", said, "the others cannot call", "avisioctl phones names them; a switch, the edge, TLS"
        )
    return ok("phones", said)
