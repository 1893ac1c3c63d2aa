"""What the settings of SMS routes must be together."""

import ipaddress
import re
import urllib.parse
from collections.abc import Iterator

from avisiod.config.sms import Sms, SmsRoute

Broken = tuple[tuple[str, ...], str, str]
"""Keys, reason, remedy: see rules.Finding."""

_SENDER = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 .-]{1,11}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9]{3,15}", re.ASCII)
_PLACE = re.compile(r"\{([a-z0-9_.]+)\}")
_PLACES = ("number", "digits", "text", "sender", "id", "callback")
_SECRETS = {"ovh": 3, "smsfactor": 1, "twilio": 1, "teltonika": 2}


def sender_fits(sender: str) -> bool:
    """Whether telephones can show it: 1 to 11 ASCII letters, digits, spaces, dots, hyphens, a letter among them."""
    return _SENDER.fullmatch(sender) is not None


def broken(sms: Sms, modem_device: str) -> Iterator[Broken]:
    """Contradictions of the section `sms`, and with `modem.device`."""
    if not sender_fits(sms.sender):
        remedy = "take 1 to 11 letters, digits, spaces, dots or hyphens, one letter at least, no accents"
        yield ("sms.sender",), f"`{sms.sender}` cannot be a sender", remedy
    if sms.routes and modem_device:
        remedy = (
            "list it in sms.routes with `kind: modem`, where it shall come in their order, and empty modem.device"
        )
        yield ("modem.device", "sms.routes"), "a modem beside a list of routes has no place in it", remedy
    names = [route.name for route in sms.routes]
    for place, route in enumerate(sms.routes):
        key = f"sms.routes[{place}]"
        if names.index(route.name) < place:
            yield (f"{key}.name",), f"another route is called `{route.name}` too", "give each a name of its own"
        yield from _modem(key, route) if route.kind == "modem" else _provider(key, route)
    yield from _reports(sms)


def _modem(key: str, route: SmsRoute) -> Iterator[Broken]:
    if not route.device:
        yield (f"{key}.device",), "no serial port", "name it, best below /dev/serial/by-id, or /dev/avisiod/modem-*"
    for name in ("url", "account", "secret_file", "sender", "ca_file"):
        if getattr(route, name):
            yield (f"{key}.{name}",), "a modem has none", "remove it"


def _provider(key: str, route: SmsRoute) -> Iterator[Broken]:
    if route.device or route.pin_file:
        yield (f"{key}.device",), "only a modem has a serial port", "remove it, or write kind: modem"
    if route.sender and not (sender_fits(route.sender) or (_NUMBER.fullmatch(route.sender))):
        remedy = "take 1 to 11 letters, digits, spaces, dots or hyphens, or a number"
        yield (f"{key}.sender",), f"`{route.sender}` cannot be a sender", remedy
    if route.kind in ("ovh", "twilio") and not route.account:
        what = "the SMS service, such as sms-ab12345-1" if route.kind == "ovh" else "the Account SID"
        yield (f"{key}.account",), "missing", f"write {what}"
    if route.kind in _SECRETS and not route.secret_file:
        yield (f"{key}.secret_file",), "missing", "name the file with the credentials, see docs/sms.md"
    yield from _url(key, route)
    if route.kind == "http":
        yield from _places(key, route)


def _url(key: str, route: SmsRoute) -> Iterator[Broken]:
    if not route.url:
        if route.kind in ("teltonika", "http"):
            yield (f"{key}.url",), "missing", "write where it is asked: https://…"
        return
    try:
        url = urllib.parse.urlsplit(_PLACE.sub("x", route.url))
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urllib.parse.urlsplit("")
    if not host or url.scheme not in ("http", "https") or url.username is not None:
        remedy = "write https://host/path; credentials go into secret_file"
        yield (f"{key}.url",), "no address that can be asked", remedy
    elif url.scheme == "http" and route.kind != "teltonika" and not _is_local(host):
        yield (f"{key}.url",), "codes and credentials would go out unencrypted", "write https://"


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _places(key: str, route: SmsRoute) -> Iterator[Broken]:
    asked = route.request
    texts = {f"{key}.url": route.url, f"{key}.request.body": asked.body}
    texts |= {f"{key}.request.headers": " ".join(asked.headers.values())}
    found: set[str] = set()
    for where, text in texts.items():
        names = set(_PLACE.findall(text))
        found |= names
        for name in sorted(names):
            if name not in _PLACES and not re.fullmatch(r"secret\.[a-z0-9_]+", name):
                yield (where,), f"nothing is called {{{name}}}", f"known: {', '.join(_PLACES)}, secret.NAME"
    if "text" not in found or not found & {"number", "digits"}:
        yield (f"{key}.request.body", f"{key}.url"), "a message needs {text}, and {number} or {digits}", "add them"
    if any(name.startswith("secret.") for name in found) and not route.secret_file:
        yield (f"{key}.secret_file",), "missing, and {secret.…} is used", "name the file with the credentials"


def _reports(sms: Sms) -> Iterator[Broken]:
    keys = ("sms.reports_url", "sms.reports_address")
    if bool(sms.reports_url) != bool(sms.reports_address):
        missing = keys[0] if sms.reports_address else keys[1]
        yield (missing, *keys), "missing", "name both, or neither"
    if sms.reports_address and not _is_local(sms.reports_address):
        remedy = "bind 127.0.0.1, and let the site's proxy bring reports there over HTTPS"
        yield (keys[1],), f"plain HTTP on {sms.reports_address} could be overheard", remedy
