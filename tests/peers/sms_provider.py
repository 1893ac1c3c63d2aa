"""A provider of SMS on loopback, over HTTP or HTTPS, that speaks as each of ours does and fails on command.

It checks what the real one checks (signature, credentials, form of number and sender), keeps what it took, and can
report deliveries by itself. Threads of its own: safe for tests on a reactor and for whole daemons.
"""

import base64
import contextlib
import dataclasses
import hashlib
import hmac
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.peers.waiting import Feed

SECRETS: Mapping[str, Mapping[str, str]] = {
    "ovh": {"application_key": "ak-73519264", "application_secret": "as-73519264", "consumer_key": "ck-73519264"},
    "smsfactor": {"token": "token-73519264", "reports_token": "report-73519264"},
    "twilio": {"token": "token-73519264"},
    "teltonika": {"username": "user1", "password": "pass word-73519264"},
    "http": {"key": "key-73519264", "reports_token": "report-73519264"},
}
"""As in each kind's secret_file. All hold the digits of the tests' PIN, which no log may show."""
HOLD_S = 60.0


@dataclasses.dataclass(frozen=True)
class Taken:
    """A message that it accepted."""

    id: str
    number: str
    text: str
    sender: str
    callback: str
    asked: dict[str, Any]
    at: float = dataclasses.field(default_factory=time.monotonic)
    """On the monotonic clock."""


class SmsProvider:
    """Start it, set `fault`, look at `taken`."""

    def __init__(self, kind: str, certificate: tuple[Path, Path] | None = None) -> None:
        """`certificate`: chain and key; without it, plain HTTP."""
        self.kind = kind
        self.fault = ""
        """One of: hold, cut, garbage, huge, 401, 402, 429, 500, 503, 302, wrong_number; empty: none."""
        self.retry_after = "7"
        self.taken: Feed[Taken] = Feed(f"the provider {kind}")
        self.asked = 0
        self.released = threading.Event()
        self.on_taken: Callable[[Any], None] = lambda _taken: None
        """Told of each message, in a thread of ours."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                provider._serve(self)

            def do_GET(self) -> None:
                provider._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that hangs up, or does not like our certificate, is nothing of note."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Connections are refused from now on."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def report(self, url: str, fields: Mapping[str, str], token: str | None = None) -> int:
        """Tell a delivery as Twilio does, signed with `token`, or with ours; the status that came back."""
        signed = url + "".join(name + fields[name] for name in sorted(fields))
        key = SECRETS["twilio"]["token"] if token is None else token
        signature = base64.b64encode(hmac.digest(key.encode(), signed.encode(), hashlib.sha1)).decode()
        return post(url, urllib.parse.urlencode(fields).encode(), {"X-Twilio-Signature": signature})

    def _serve(self, http: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        body = http.rfile.read(int(http.headers.get("Content-Length") or 0))
        if self.fault == "hold":
            self.released.wait(HOLD_S)
            http.close_connection = True
            return
        if self.fault == "cut":
            http.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            http.close_connection = True
            return
        if self.fault == "garbage":
            self._answer(http, 200, b"<html><h1>Please log in</h1></html>", {"Content-Type": "text/html"})
        elif self.fault == "huge":
            self._answer(http, 200, b" " * 1_000_000)
        elif self.fault == "302":
            self._answer(http, 302, b"", {"Location": f"{self.url}/elsewhere"})
        elif self.fault in ("401", "402", "500"):
            self._answer(http, int(self.fault), b'{"message": "no"}')
        elif self.fault in ("429", "503"):
            self._answer(http, int(self.fault), b"{}", {"Retry-After": self.retry_after})
        else:
            status, answer = _KINDS[self.kind](self, http, body)
            self._answer(http, status, answer)

    @staticmethod
    def _answer(
        http: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            http.send_response(status)
            for name, value in (headers or {}).items():
                http.send_header(name, value)
            http.send_header("Content-Length", str(len(body)))
            http.end_headers()
            http.wfile.write(body)

    def take(self, number: str, text: str, sender: str, asked: dict[str, Any], callback: str = "") -> str:
        """Accept; its name."""
        taken = Taken(f"SM{len(self.taken.items()) + 1:04d}", number, text, sender, callback, asked)
        self.taken.add(taken)
        self.on_taken(taken)
        return taken.id


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
    """POST from outside of the reactor; the status."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


Served = tuple[int, bytes]


def _ovh(provider: SmsProvider, http: BaseHTTPRequestHandler, body: bytes) -> Served:
    known = SECRETS["ovh"]
    at = http.headers["X-Ovh-Timestamp"]
    url = provider.url + http.path
    said = [known["application_secret"], known["consumer_key"], "POST", url, body.decode(), at]
    signature = "$1$" + hashlib.sha1("+".join(said).encode()).hexdigest()
    if (http.headers["X-Ovh-Application"], http.headers["X-Ovh-Consumer"]) != (
        known["application_key"],
        known["consumer_key"],
    ) or http.headers["X-Ovh-Signature"] != signature:
        return 403, b'{"message": "Invalid signature"}'
    asked = json.loads(body)
    (number,) = asked["receivers"]
    if provider.fault == "wrong_number":
        answer = {"totalCreditsRemoved": 0, "invalidReceivers": [number], "ids": [], "validReceivers": []}
    else:
        name = provider.take(number, asked["message"], asked["sender"], asked | {"path": http.path})
        answer = {
            "totalCreditsRemoved": 1,
            "invalidReceivers": [],
            "ids": [int(name[2:])],
            "validReceivers": [number],
        }
    return 200, json.dumps(answer).encode()


def _smsfactor(provider: SmsProvider, http: BaseHTTPRequestHandler, body: bytes) -> Served:
    if http.headers["Authorization"] != f"Bearer {SECRETS['smsfactor']['token']}":
        return 401, b'{"status": -1}'
    sms = json.loads(body)["sms"]
    (recipient,) = sms["recipients"]["gsm"]
    message = sms["message"]
    if provider.fault == "wrong_number":
        return 200, b'{"status": 1, "message": "OK", "ticket": "1", "cost": 0, "total": 1, "sent": 0, "invalid": 1}'
    provider.take(
        "+" + recipient["value"], message["text"], message["sender"], message | {"id": recipient["gsmsmsid"]}
    )
    return 200, b'{"status": 1, "message": "OK", "ticket": "14672468", "cost": 1, "total": 1, "sent": 1}'


def _twilio(provider: SmsProvider, http: BaseHTTPRequestHandler, body: bytes) -> Served:
    login = base64.b64encode(f"AC0001:{SECRETS['twilio']['token']}".encode()).decode()
    if http.headers["Authorization"] != f"Basic {login}" or "/Accounts/AC0001/" not in http.path:
        return 401, b'{"code": 20003, "status": 401}'
    asked = {name: values[-1] for name, values in urllib.parse.parse_qs(body.decode()).items()}
    if provider.fault == "wrong_number":
        return 400, b'{"code": 21211, "status": 400, "message": "Invalid \'To\' Phone Number"}'
    name = provider.take(asked["To"], asked["Body"], asked["From"], asked, asked.get("StatusCallback", ""))
    return 201, json.dumps({"sid": name, "status": "queued"}).encode()


def _teltonika(provider: SmsProvider, http: BaseHTTPRequestHandler, _body: bytes) -> Served:
    split = urllib.parse.urlsplit(http.path)
    asked = {name: values[-1] for name, values in urllib.parse.parse_qs(split.query).items()}
    known = SECRETS["teltonika"]
    if (asked["username"], asked["password"]) != (known["username"], known["password"]):
        return 401, b"Unauthorized"
    if provider.fault == "wrong_number":
        return 200, b"WRONG_NUMBER\n"
    if provider.fault in ("TIMEOUT", "ERROR"):
        return 200, provider.fault.encode() + b"\n"
    provider.take("+" + asked["number"].removeprefix("00"), asked["text"], "", {"path": split.path})
    return 200, b"OK\n"


def _http(provider: SmsProvider, http: BaseHTTPRequestHandler, body: bytes) -> Served:
    if http.headers["X-Key"] != SECRETS["http"]["key"]:
        return 401, b"{}"
    asked = json.loads(body)
    if provider.fault == "wrong_number":
        return 422, b'{"error": "number"}'
    if provider.fault == "not_accepted":
        return 200, b'{"result": {"state": "rejected"}}'
    name = provider.take(asked["to"], asked["say"], asked["as"], asked, asked["tell"])
    return 200, json.dumps({"result": {"state": "queued"}, "messages": [{"id": name}]}).encode()


_KINDS: Mapping[str, Callable[[SmsProvider, BaseHTTPRequestHandler, bytes], Served]] = {
    "ovh": _ovh,
    "smsfactor": _smsfactor,
    "twilio": _twilio,
    "teltonika": _teltonika,
    "http": _http,
}

REQUEST: Mapping[str, Any] = {
    "method": "POST",
    "headers": {"X-Key": "{secret.key}"},
    "body": '{"to": "{number}", "say": "{text}", "as": "{sender}", "tell": "{callback}"}',
    "accepted_status": [200],
    "accepted_field": "result.state",
    "accepted_values": ["queued"],
    "id_field": "messages.0.id",
}
"""What the settings say of the kind http."""
REPORTS: Mapping[str, Any] = {
    "id_field": "id",
    "status_field": "state",
    "delivered": ["delivered"],
    "failed": ["failed", "expired"],
}


def settings(provider: SmsProvider, folder: Path, **changes: Any) -> dict[str, Any]:
    """An entry of sms.routes for it, with its secret_file in `folder`."""
    kind = provider.kind
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / f"{kind}.secret"
    secret.write_text("".join(f"{name}: {value}\n" for name, value in SECRETS[kind].items()))
    secret.chmod(0o600)
    entry: dict[str, Any] = {"name": kind, "kind": kind, "url": provider.url, "secret_file": str(secret)}
    if kind == "ovh":
        entry["account"] = "sms-ab12345-1"
    elif kind == "twilio":
        entry["account"] = "AC0001"
    elif kind == "http":
        entry |= {"url": f"{provider.url}/send", "request": dict(REQUEST), "reports": dict(REPORTS)}
    return entry | changes
