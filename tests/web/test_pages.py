"""What is served over HTTP: headers, languages, files, and nothing that a stranger can wear down."""

import gzip
import json
import re
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import capturedLogs

from avisiod.calls.invitation import LINK_ALPHABET
from avisiod.web.charter import load
from avisiod.web.pages import DOCUMENTS, LINK
from tests.web.conftest import Served

CHARTER = load("", "fr").shown_in("fr")


class Answer:
    """A raw HTTP answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1]) if status else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.headers.get("content-encoding") == "gzip":
            self.body = gzip.decompress(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class _Reader(Protocol):
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.raw = b""
        self.done: Deferred[Answer] = Deferred()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.transport.write(self.request)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.raw += data

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        self.done.callback(Answer(self.raw))


async def raw(served: Served, request: bytes) -> Answer:
    reader = _Reader(request)
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", served.portal.port), reader)
    return await reader.done


async def get(served: Served, path: str, method: str = "GET", **headers: str) -> Answer:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return await raw(served, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode())


def page_data(answer: Answer) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', answer.text, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


@pytest_twisted.ensureDeferred
async def test_each_answer_carries_the_security_headers_errors_too(served: Served) -> None:
    for path in ("/", "/fr/", "/fr/charte", "/sw.js", "/nothing-here", "/static/0/none.js", "/%ff", "/ws"):
        headers = (await get(served, path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=(self)" in headers["permissions-policy"]
        assert headers["cache-control"] in ("no-store", "no-cache")
        assert "twisted" not in headers.get("server", "").lower()


def test_strict_transport_security_is_sent_where_the_portal_is_https() -> None:
    from avisiod.web.headers import security_headers

    assert "Strict-Transport-Security" in security_headers("https://visio.example.org")
    assert "wss://visio.example.org" in security_headers("https://visio.example.org")["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in security_headers("http://localhost:1")


@pytest_twisted.ensureDeferred
async def test_no_page_holds_anything_inline_or_from_elsewhere(served: Served) -> None:
    for language in ("fr", "en"):
        for path in DOCUMENTS:
            html = (await get(served, f"/{language}/{path}")).text
            assert re.findall(r"<script(?! type=\"(?:module|application/json)\")", html) == []
            assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html) == []
            assert re.findall(r"(?:src|href)=\"(?:https?:)?//", html) == []
            assert f'<html lang="{language}" dir="ltr">' in html


@pytest_twisted.ensureDeferred
async def test_the_language_follows_the_browser_unless_the_address_names_one(served: Served) -> None:
    assert (await get(served, "/", Accept_Language="en")).headers["content-language"] == "en"
    assert (await get(served, "/accessibilite", Accept_Language="en")).headers["content-language"] == "en"
    assert (await get(served, "/", Accept_Language="xx")).headers["content-language"] == "fr"
    assert (await get(served, "/fr/", Accept_Language="en")).headers["content-language"] == "fr"
    assert "Accept-Language" in (await get(served, "/")).headers["vary"]


@pytest_twisted.ensureDeferred
async def test_each_page_states_accessibility_and_links_the_notices(served: Served) -> None:
    for path in DOCUMENTS:
        html = (await get(served, f"/fr/{path}")).text
        assert "Accessibilité\u00a0: non conforme" in html
        for notice in ("accessibilite", "confidentialite", "charte", "mentions-legales"):
            assert f'href="/fr/{notice}"' in html


@pytest_twisted.ensureDeferred
async def test_what_the_establishment_did_not_fill_in_is_said(served: Served) -> None:
    html = (await get(served, "/fr/confidentialite")).text
    assert html.count("Pas encore indiqué par l’établissement.") == 3


@pytest_twisted.ensureDeferred
async def test_the_link_of_the_sms_opens_the_portal_and_is_not_repeated(served: Served) -> None:
    for path in ("/k3x7p", "/fr/k3x7p", "/K3X7P"):
        answer = await get(served, path)
        assert answer.status == 200
        assert 'id="step-welcome"' in answer.text
        assert "k3x7p" not in answer.text.lower()


def test_no_page_of_ours_could_be_taken_for_a_link() -> None:
    assert set("fr") <= set(LINK_ALPHABET)
    assert [path for path in (*DOCUMENTS, "fr", "en", "ws", "sw.js", "static") if LINK.fullmatch(path)] == []


@pytest_twisted.ensureDeferred
async def test_the_charter_shown_is_the_charter_named(served: Served) -> None:
    answer = await get(served, "/fr/")
    told = page_data(answer)["charter"]
    assert told == {"language": "fr", "version": CHARTER.version, "digest": CHARTER.digest}
    assert CHARTER.html(4) in answer.text
    assert CHARTER.digest in (await get(served, "/fr/charte")).text


@pytest_twisted.ensureDeferred
async def test_scripts_and_style_are_kept_forever_below_their_version(served: Served) -> None:
    html = (await get(served, "/")).text
    for path in set(re.findall(r"\"(/static/[^\"]+)\"", html)):
        answer = await get(served, path, Accept_Encoding="gzip")
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"] != "application/octet-stream"


@pytest_twisted.ensureDeferred
async def test_the_app_can_be_installed(served: Served) -> None:
    manifest = json.loads((await get(served, "/fr/manifest.webmanifest")).text)
    assert manifest["display"] == "standalone"
    assert manifest["start_url"] == "/fr/"
    assert {icon["sizes"] for icon in manifest["icons"]} == {"192x192", "512x512"}
    assert [icon for icon in manifest["icons"] if icon.get("purpose") == "maskable"]
    for icon in manifest["icons"]:
        assert (await get(served, icon["src"])).body.startswith(b"\x89PNG")


@pytest_twisted.ensureDeferred
async def test_the_service_worker_keeps_the_shell_and_no_page_of_a_call(served: Served) -> None:
    source = (await get(served, "/sw.js")).text
    facts = json.loads(source.split("const facts = ", 1)[1].split(";\n", 1)[0])
    assert all(path.startswith("/static/") for path in facts["shell"])
    assert facts["offline"] == ["/fr/hors-ligne", "/en/hors-ligne"]
    for path in (*facts["shell"], *facts["offline"]):
        assert (await get(served, path)).status == 200


@pytest_twisted.ensureDeferred
async def test_a_head_tells_the_same_without_the_body(served: Served) -> None:
    answer = await get(served, "/fr/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest_twisted.ensureDeferred
async def test_a_body_is_refused_before_it_is_read(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    for length in (b"Content-Length: 1000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
        assert (await raw(served, head + length)).status == 413


@pytest_twisted.ensureDeferred
async def test_a_header_that_never_ends_is_cut_off(served: Served) -> None:
    answer = await raw(served, b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
    assert answer.status in (0, 400, 431)


@pytest_twisted.ensureDeferred
async def test_a_path_outside_of_the_portal_is_not_there(served: Served) -> None:
    for path in ("/static/../pages.py", "/static/x/..%2fpages.py", "/xx/", "/fr/nothing", "/fr/charte/more"):
        assert (await get(served, path)).status == 404


@pytest_twisted.ensureDeferred
async def test_a_plain_request_to_the_websocket_is_told_to_upgrade(served: Served) -> None:
    assert (await get(served, "/ws")).status == 426


@pytest_twisted.ensureDeferred
async def test_many_requests_at_once_are_all_answered(served: Served) -> None:
    answers = await gatherResults([Deferred.fromCoroutine(get(served, "/fr/")) for _ in range(30)])
    assert {answer.status for answer in answers} == {200}


@pytest_twisted.ensureDeferred
async def test_no_request_line_or_host_makes_a_traceback_in_the_log(served: Served) -> None:
    """As often as a stranger likes: Klein and werkzeug raise on what is no UTF-8, and on names that are none."""
    with capturedLogs() as logged:
        for start in (b"GET /%ff", b"GET /\xa5", b"G\xe9T /"):
            answer = await raw(served, start + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert answer.status in {400, 405}
        for host in (b"\xe9", b"a..b", b". x", b"a" * 70, b"[", b"x:99999"):
            answer = await raw(served, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            assert answer.status == 200
            assert "content-security-policy" in answer.headers
    assert [event for event in logged if event.get("isError") or "log_failure" in event] == []
