"""What settings must be together, beyond the type of each: rules in plain Python, one function a subject."""

import difflib
import ipaddress
import re
import urllib.parse
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import phonenumbers

from avisiod import certificate_pair
from avisiod.calls.reasons import EndReason
from avisiod.clock import wall_utc
from avisiod.config import board_rules, paths, sms_rules
from avisiod.config.finding import Finding
from avisiod.config.settings import AUDIO_CODECS, Config, Portal

PHONE_PORTS_PER_CALL = 4
"""RTP and RTCP of sound and picture."""
OUTSIDE_PORTS_PER_CALL = 1
"""Everything is bundled (RFC 8843) and multiplexed (RFC 5761)."""
LEAST_MEMORY_MIB = 256
"""A media worker with its libraries and prompts has half of that before its first call."""
LANGUAGES = ("fr", "en")
"""Languages that ship with prompts and pages."""
ENCRYPTION = ("never", "optional", "required")
_RECIPIENT = re.compile(r"age1[0-9a-z]{58}$|ssh-(ed25519|rsa) [A-Za-z0-9+/]+={0,2}( |$)")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def consistent(config: Config) -> Iterator[Finding]:
    """Find contradictions inside the settings; touches nothing outside of them."""
    for rule in (
        _site,
        _calls,
        _addresses,
        _versions,
        _ports,
        _phones,
        _memory,
        _ice,
        _portal,
        _metrics,
        _provisioning,
        _sms,
        _boards,
        _store,
        _backup,
        _log,
        paths.absolute,
    ):
        yield from rule(config)


def cautions(config: Config) -> Iterator[Finding]:
    """Find what is still missing though the daemon runs, as in a first configuration."""
    media, portal = config.media, config.portal
    if not config.modem.device and not config.sms.routes:
        remedy = "list routes in sms.routes, or name a modem's serial port"
        yield Finding(("modem.device",), "no way to send codes, so every call will be refused", remedy)
    if _local(media.phone_address):
        remedy = "give this machine's address on the prison LAN"
        yield Finding(("media.phone_address",), f"phones cannot reach {media.phone_address}", remedy)
    if _local(address := media.outside_announced or media.outside_address):
        key = "media.outside_announced" if media.outside_announced else "media.outside_address"
        yield Finding((key,), f"browsers cannot reach {address}", "give the address towards the outside")
    if not portal.certificate_file and not portal.trusted_proxies:
        remedy = "name certificate_file and key_file, or list the proxy in portal.trusted_proxies"
        yield Finding(("portal.certificate_file",), "pages go out over plain HTTP", remedy)
    yield from _certificate(portal)
    if (host := urllib.parse.urlsplit(portal.public_url).hostname) and (host == "localhost" or _local(host)):
        remedy = "write the portal's address as relatives type it"
        yield Finding(("portal.public_url",), f"{host} leads relatives to their own machine", remedy)
    if not config.backup.recipients:
        remedy = "list a public key of age, whose secret key is kept elsewhere"
        yield Finding(("backup.recipients",), "no backup is made", remedy)


def _certificate(portal: Portal) -> Iterator[Finding]:
    """What browsers would turn away for. A file that is missing is told by the rules of files."""
    if not portal.certificate_file or not Path(portal.certificate_file).exists():
        return
    keys = ("portal.certificate_file", "portal.key_file", "portal.public_url")
    try:
        facts = certificate_pair.read(portal.certificate_file, portal.key_file)
    except certificate_pair.CertificateUnusable as error:
        yield Finding(keys, str(error), "correct the paths, or have the certificate made anew")
        return
    host = urllib.parse.urlsplit(portal.public_url).hostname or ""
    for doubt in certificate_pair.doubts(facts, wall_utc(), host):
        yield Finding(keys, doubt, "have it renewed, for the name in portal.public_url")


def _local(address: str) -> bool:
    ip = _ip(address)
    return ip is not None and ip.is_loopback


def _site(config: Config) -> Iterator[Finding]:
    site = config.site
    own = Path(config.media.prompts_folder, site.language) if config.media.prompts_folder else None
    if site.language not in LANGUAGES and not (own and own.is_dir()):
        yield Finding(
            ("site.language", "media.prompts_folder"),
            f"no prompts in `{site.language}`",
            f"take one of {', '.join(LANGUAGES)}, or put prompts into media.prompts_folder/{site.language}",
        )
    try:
        zoneinfo.ZoneInfo(site.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(site.time_zone, zoneinfo.available_timezones(), 1)
        remedy = f"did you mean {near[0]}?" if near else "take a name such as Europe/Paris"
        yield Finding(("site.time_zone",), f"unknown time zone `{site.time_zone}`", remedy)
    if site.region not in phonenumbers.SUPPORTED_REGIONS:
        yield Finding(("site.region",), f"unknown country `{site.region}`", "take two capital letters such as FR")


def _calls(config: Config) -> Iterator[Finding]:
    calls = config.calls
    keys = ("calls.warnings_s", "calls.limit_s")
    for left in calls.warnings_s:
        if left <= 0:
            yield Finding(keys[:1], f"a warning at {left:g} s before the end", "give seconds above 0")
        elif left >= calls.limit_s:
            remedy = "warn later, or raise calls.limit_s"
            yield Finding(keys, f"a warning {left:g} s before the end of a call of {calls.limit_s:g} s", remedy)
    if list(calls.warnings_s) != sorted(set(calls.warnings_s), reverse=True):
        yield Finding(keys[:1], "not from the longest to the shortest", "sort them, each once")
    paid = [reason.value for reason in EndReason if reason.charged]
    for place, name in enumerate(calls.unpaid_ends):
        if name not in paid:
            free = "costs nothing anyway" if name in {reason.value for reason in EndReason} else "no end of a call"
            yield Finding((f"calls.unpaid_ends[{place}]",), f"{name}: {free}", f"take some of {', '.join(paid)}")


def _host(address: str) -> str:
    """The address of `192.0.2.1:5059` or `[2001:db8::1]:5059`; anything else as it is."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        return address
    return host.removeprefix("[").removesuffix("]")


def _addresses(config: Config) -> Iterator[Finding]:
    single = {
        "sip.address": config.sip.address,
        "media.phone_address": config.media.phone_address,
        "media.outside_address": config.media.outside_address,
        "portal.address": config.portal.address,
        "metrics.address": config.metrics.address,
    }
    single.update(_besides(config))
    if config.media.outside_announced:
        single["media.outside_announced"] = config.media.outside_announced
    for place, address in enumerate(config.sip.edge):
        single[f"sip.edge[{place}]"] = _host(address)
    for place, address in enumerate(config.portal.trusted_proxies):
        single[f"portal.trusted_proxies[{place}]"] = address
    for key, address in single.items():
        if _ip(address) is None:
            yield Finding((key,), f"`{address}` is no IP address", "write it as 192.0.2.1 or 2001:db8::1")
    for place, each in enumerate(config.sip.beside):
        host, _, ports = each.rpartition(":")
        first, _, last = ports.partition("-")
        numbers = [int(one) for one in (first, last or first) if one.isdecimal()]
        good = len(numbers) == 2 and 0 < numbers[0] <= numbers[1] < 65536 and _ip(host.strip("[]")) is not None
        if not good:
            remedy = "write it as 192.0.2.12:5062-5067, or [2001:db8::2]:5062-5067"
            yield Finding((f"sip.beside[{place}]",), f"`{each}` names no workers", remedy)
    if not config.sip.edge:
        yield Finding(("sip.edge",), "no edge, so every call would be refused", "list the address of Kamailio")
    announced = {
        "media.phone_address": config.media.phone_address,
        "media.outside_announced": config.media.outside_announced or config.media.outside_address,
        "media.outside_address_ipv6": config.media.outside_address_ipv6,
    }
    for key, address in announced.items():
        ip = _ip(address)
        if ip is not None and ip.is_unspecified:
            yield Finding((key, "media.outside_address"), f"{address} cannot be announced", "give one real address")


def _versions(config: Config) -> Iterator[Finding]:
    single = {"media": config.media.outside_address, "portal": config.portal.address}
    for key, address in _besides(config).items():
        other = key.removesuffix("_ipv6")
        if (ip := _ip(address)) is not None and ip.version == 4:
            yield Finding((key,), f"`{address}` is an IPv4 address", f"write it into {other}")
        first = _ip(single[key.partition(".")[0]])
        if first is not None and first.version == 6:
            remedy = f"write the IPv4 address into {other}, or leave this one empty"
            yield Finding((key, other), f"{other} is an IPv6 address too: {first}", remedy)


def _besides(config: Config) -> dict[str, str]:
    """The IPv6 addresses that stand beside IPv4 ones, by their keys."""
    found = {
        "media.outside_address_ipv6": config.media.outside_address_ipv6,
        "portal.address_ipv6": config.portal.address_ipv6,
    }
    return {key: address for key, address in found.items() if address}


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _memory(config: Config) -> Iterator[Finding]:
    limit = config.media.worker_memory_mib
    if 0 < limit < LEAST_MEMORY_MIB:
        reason = f"{limit} MiB is less than a worker needs, which would be replaced again and again"
        yield Finding(("media.worker_memory_mib",), reason, f"give it {LEAST_MEMORY_MIB} or more, or 0 for no limit")


def _ports(config: Config) -> Iterator[Finding]:
    media, capacity = config.media, config.calls.capacity
    ranges = {"phone_ports": PHONE_PORTS_PER_CALL, "outside_ports": OUTSIDE_PORTS_PER_CALL}
    ordered = True
    for name, each in ranges.items():
        key = f"media.{name}"
        first, last = getattr(media, name)
        if first > last:
            ordered = False
            yield Finding((key,), f"first port {first} is above the last {last}", "swap them")
            continue
        if not (first >= 1024 and last <= 65535):
            yield Finding((key,), f"{first} to {last} is not within 1024 to 65535", "take a range above 1023")
        if name == "phone_ports" and first % 2:
            yield Finding((key,), f"first port {first} is odd, RTP takes even ones", f"begin at {first + 1}")
        if (have := last - first + 1) < capacity * each:
            remedy = f"widen the range to {capacity * each} ports, or lower calls.capacity to {have // each}"
            reason = f"{have} ports are too few for {capacity} calls of {each}"
            yield Finding((key, "calls.capacity"), reason, remedy)
    keys = ("media.outside_ports", "media.phone_ports", "media.phone_address", "media.outside_address")
    outside = [each for each in (media.outside_address, media.outside_address_ipv6) if each]
    if ordered and any(_same(media.phone_address, each) for each in outside):
        low, high = (
            max(media.phone_ports[0], media.outside_ports[0]),
            min(media.phone_ports[1], media.outside_ports[1]),
        )
        if low <= high:
            reason = f"shares the ports {low} to {high} with media.phone_ports on one address"
            yield Finding(keys, reason, "keep the ranges apart")
    ranges_on = [("media.phone_ports", media.phone_address), *(("media.outside_ports", each) for each in outside)]
    for key, address in ranges_on:
        first, last = getattr(media, key.removeprefix("media."))
        highest = config.sip.port + config.sip_workers - 1
        if first <= highest and config.sip.port <= last and _same(address, config.sip.address):
            reason = f"{config.sip.port} to {highest}, one a SIP worker, lie within {key}"
            yield Finding(("sip.port", key, "sip.address"), reason, "take another port")
    portal, metrics = config.portal, config.metrics
    if portal.http_port == portal.port != 0:
        yield Finding(("portal.http_port", "portal.port"), "is portal.port too", "take 80, or 0 for none")
    if portal.port == metrics.port != 0 and _same(portal.address, metrics.address):
        keys = ("metrics.port", "portal.port", "metrics.address", "portal.address")
        yield Finding(keys, f"{metrics.port} is the portal's port too", "take another port")


def _same(one: str, other: str) -> bool:
    """Whether sockets bound to both addresses could meet."""
    addresses = (_ip(one), _ip(other))
    return one == other or any(address is not None and address.is_unspecified for address in addresses)


def _phones(config: Config) -> Iterator[Finding]:
    codecs = config.phones.audio_codecs
    key = ("phones.audio_codecs",)
    known = ", ".join(AUDIO_CODECS)
    for name in codecs:
        if name not in AUDIO_CODECS:
            yield Finding(key, f"unknown codec `{name}`", f"take some of {known}")
    if len(set(codecs)) < len(codecs):
        yield Finding(key, "a codec stands there twice", "name each once")
    if config.phones.encryption not in ENCRYPTION:
        remedy = f"take one of {', '.join(ENCRYPTION)}"
        yield Finding(("phones.encryption",), f"unknown word `{config.phones.encryption}`", remedy)
    if not {"PCMA", "PCMU"} & set(codecs):
        yield Finding(key, "neither PCMA nor PCMU", "add one of them: many phones have nothing else")


def _ice(config: Config) -> Iterator[Finding]:
    for place, server in enumerate(config.media.ice_servers):
        key = f"media.ice_servers[{place}]"
        if not server.urls:
            yield Finding((f"{key}.urls",), "no address", "list one such as stun:stun.example.org:3478")
        for url in server.urls:
            scheme, _, host = url.partition(":")
            if scheme not in ("stun", "stuns", "turn", "turns") or not host or host.startswith("/"):
                remedy = "write stun:host:port, turn:host:port or turns:host:port"
                yield Finding((f"{key}.urls",), f"`{url}` is no STUN or TURN address", remedy)
            elif scheme.startswith("turn") and not server.secret_file:
                remedy = "name the file with coturn's static-auth-secret"
                yield Finding((f"{key}.secret_file",), f"`{url}` needs credentials", remedy)


def _portal(config: Config) -> Iterator[Finding]:
    portal = config.portal
    key = "portal.public_url"
    try:
        url = urllib.parse.urlsplit(portal.public_url)
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urllib.parse.urlsplit("")
    if not host or url.scheme not in ("http", "https") or url.query or url.fragment or url.username is not None:
        yield Finding((key,), f"`{portal.public_url}` is no address of a page", "write https://visio.example.org")
    elif url.scheme != "https" and host not in ("localhost", "127.0.0.1", "::1"):
        yield Finding((key,), "browsers open no camera over plain http", "write https://")
    keys = ("portal.key_file", "portal.certificate_file", "portal.address")
    if bool(portal.certificate_file) != bool(portal.key_file):
        missing = keys[0] if portal.certificate_file else keys[1]
        yield Finding((missing, *keys), "certificate and key go together", "name both, or neither")
    elif not portal.certificate_file:
        remedy = "name certificate_file and key_file, or bind a loopback address behind a proxy"
        for name in ("address", "address_ipv6"):
            address = getattr(portal, name)
            if (ip := _ip(address)) is not None and not ip.is_loopback:
                reason = f"plain HTTP on {address} could be overheard"
                yield Finding((f"portal.{name}", *keys), reason, remedy)


def _provisioning(config: Config) -> Iterator[Finding]:
    provisioning, health = config.provisioning, config.health
    key = "provisioning.address"
    if health.self_test_begins == health.self_test_ends:
        yield Finding(("health.self_test_ends",), "tests begin and end at the same time", "leave them an hour")
    if not provisioning.address:
        return
    ip = _ip(provisioning.address)
    if ip is None or ip.is_unspecified:
        remedy = "give this machine's address on the prison LAN"
        yield Finding((key,), f"`{provisioning.address}` is not one address: the outside could ask, too", remedy)
    elif not ip.is_loopback and any(
        _same(provisioning.address, each)
        for each in (config.media.outside_address, config.media.outside_address_ipv6)
        if each
    ):
        remedy = "give this machine's address on the prison LAN"
        yield Finding((key, "media.outside_address"), "the outside reaches this address", remedy)
    for name in ("certificate_file", "key_file"):
        if not getattr(provisioning, name):
            remedy = "name certificate_file and key_file: passwords go to phones over this server"
            yield Finding((f"provisioning.{name}", key), "missing", remedy)
    if provisioning.authentication != "token" and not provisioning.client_ca_file:
        remedy = "name the authorities that signed the phones' certificates"
        keys = ("provisioning.client_ca_file", "provisioning.authentication")
        yield Finding(keys, "no certificate of a phone could be checked", remedy)
    if provisioning.transport != "tls" and config.phones.encryption == "required" and config.phones.keys_need_tls:
        reason = "phones would be told to send keys that are refused"
        yield Finding(("provisioning.transport", "phones.encryption", "phones.keys_need_tls"), reason, "take tls")


def _metrics(config: Config) -> Iterator[Finding]:
    metrics = config.metrics
    pair = ("metrics.key_file", "metrics.certificate_file")
    if bool(metrics.certificate_file) != bool(metrics.key_file):
        missing = pair[0] if metrics.certificate_file else pair[1]
        yield Finding((missing, *pair), "certificate and key go together", "name both, or neither")
    login = ("metrics.user", "metrics.password_hash_file")
    if bool(metrics.user) != bool(metrics.password_hash_file):
        missing = login[1] if metrics.user else login[0]
        yield Finding((missing, *login), "user and password go together", "name both, or neither")
    elif ":" in metrics.user:
        yield Finding(login[:1], "a colon in the user's name", "take another name (RFC 7617)")
    elif metrics.user and not metrics.certificate_file and not _local(metrics.address):
        reason = f"the password could be overheard on {metrics.address}"
        remedy = "name metrics.certificate_file and metrics.key_file, or bind a loopback address"
        yield Finding(("metrics.address", *login, *pair), reason, remedy)


def _sms(config: Config) -> Iterator[Finding]:
    for found in sms_rules.broken(config.sms, config.modem.device):
        yield Finding(*found)


def _boards(config: Config) -> Iterator[Finding]:
    for found in board_rules.broken(config.boards.list):
        yield Finding(*found)


def _store(config: Config) -> Iterator[Finding]:
    url = config.store.url
    if url and not url.startswith("postgresql:"):
        yield Finding(("store.url",), "no address of a PostgreSQL database", "write postgresql:///name, or leave it")


def _backup(config: Config) -> Iterator[Finding]:
    for place, text in enumerate(config.backup.recipients):
        if not _RECIPIENT.match(text):
            key = f"backup.recipients[{place}]"
            if "SECRET" in text.upper():
                remedy = "write the public key, and take this one off the box: whoever has it reads every backup"
                yield Finding((key,), "a secret key", remedy)
            else:
                yield Finding((key,), "no public key of age or SSH", "write age1…, as age-keygen shows it")


def _log(config: Config) -> Iterator[Finding]:
    if config.log.level not in LEVELS:
        yield Finding(("log.level",), f"unknown level `{config.log.level}`", f"take one of {', '.join(LEVELS)}")
