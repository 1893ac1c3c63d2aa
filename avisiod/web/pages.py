"""The pages: rendered once for each language when the portal starts, served from memory."""

import functools
import gzip
import hashlib
import json
import mimetypes
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jinja2
import msgspec
from klein import Klein
from twisted.web.resource import IResource
from twisted.web.server import Request

from avisiod.calls.invitation import LINK_ALPHABET, LINK_LENGTH
from avisiod.config.settings import Config
from avisiod.web import messages, texts
from avisiod.web.charter import Charters
from avisiod.web.endings import ENDINGS, REJECTIONS, Words
from avisiod.web.texts import Languages, Texts

HERE = pathlib.Path(__file__).parent
STATIC = HERE / "static"
DOCUMENTS = {
    "": "portal.html",
    "charte": "charter.html",
    "confidentialite": "privacy.html",
    "accessibilite": "accessibility.html",
    "mentions-legales": "legal.html",
    "hors-ligne": "offline.html",
}
"""Path below the language, and its template."""

VIDEO_BITS_PER_S = 900_000
"""What the page sends at most, and about what it receives."""

LINK = re.compile(f"[{LINK_ALPHABET}]{{{LINK_LENGTH}}}", re.IGNORECASE)

TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
WORTH_COMPRESSING = 1000


class Body(msgspec.Struct, frozen=True):
    """An answer, ready to be sent."""

    content_type: str
    plain: bytes
    gzipped: bytes

    @classmethod
    def of(cls, content_type: str, content: bytes) -> "Body":
        """Compress what is worth it; there is nothing secret in any page (BREACH)."""
        squeezed = gzip.compress(content, mtime=0) if len(content) > WORTH_COMPRESSING else b""
        return cls(content_type, content, squeezed if len(squeezed) < len(content) else b"")


class Pages:
    """Everything that is served over HTTP, and the WebSocket's door."""

    def __init__(self, config: Config, charters: Charters, languages: Languages, socket: IResource) -> None:
        self._config = config
        self._charters = charters
        self._languages = languages
        self._socket = socket
        self._static = {file.name: _static(file) for file in sorted(STATIC.iterdir()) if file.is_file()}
        self.version = _version(self._static)
        self._documents = self._render_all()
        self._manifests = {each.language: self._manifest(each) for each in languages.all()}
        self._worker = self._service_worker()
        self.app = self._routes()

    def show(self, config: Config, charters: Charters) -> None:
        """Show these from now on."""
        self._config = config
        self._charters = charters
        self._documents = self._render_all()
        self._manifests = {each.language: self._manifest(each) for each in self._languages.all()}

    def _routes(self) -> Any:
        app = Klein()
        routes: list[tuple[str, Callable[..., object]]] = [
            (messages.PATH, self.socket),
            ("/sw.js", self.worker),
            ("/robots.txt", self.robots),
            ("/favicon.ico", self.favicon),
            ("/static/<version>/<name>", self.static),
            ("/<language>/manifest.webmanifest", self.manifest),
            ("/", self.negotiated),
            ("/<path>", self.negotiated),
            ("/<language>/", self.document),
            ("/<language>/<path>", self.document),
        ]
        for rule, handler in routes:
            app.route(rule, methods=["GET"], strict_slashes=False)(handler)
        return app

    # Routes.

    def socket(self, request: Request) -> IResource | bytes:
        """Hand over to the WebSocket."""
        if (request.getHeader(b"Upgrade") or b"").lower() == b"websocket":
            return self._socket
        request.setResponseCode(426)
        request.setHeader(b"Upgrade", b"websocket")
        return _send(request, Body.of("text/plain; charset=utf-8", b"A WebSocket is spoken here.\n"))

    def negotiated(self, request: Request, path: str = "") -> bytes:
        """A page in the language that the browser asks for."""
        if path in self._languages.codes:
            return self.document(request, path)
        asked = request.getHeader(b"Accept-Language") or b""
        return self.document(request, self._languages.preferred(asked.decode("latin-1")).language, path)

    def document(self, request: Request, language: str, path: str = "") -> bytes:
        """A page in a language."""
        # The link of the SMS opens the portal; the page's script reads it from the address, nothing here keeps it.
        body = self._documents.get((language, "" if LINK.fullmatch(path) else path))
        if body is None:
            return self._not_found(request)
        request.setHeader(b"Content-Language", language.encode())
        return _send(request, body)

    def manifest(self, request: Request, language: str) -> bytes:
        """The description of the installed app."""
        body = self._manifests.get(language)
        return _send(request, body, cache="no-cache") if body else self._not_found(request)

    def worker(self, request: Request) -> bytes:
        """The service worker; it must stand at the root, which is its scope."""
        return _send(request, self._worker, cache="no-cache")

    def static(self, request: Request, version: str, name: str) -> bytes:
        """A file that never changes below its version."""
        body = self._static.get(name)
        if body is None or version != self.version:
            return self._not_found(request)
        return _send(request, body, cache="public, max-age=31536000, immutable")

    def favicon(self, request: Request) -> bytes:
        """The icon where no page names it."""
        return _send(request, self._static["icon-192.png"], cache="public, max-age=86400")

    def robots(self, request: Request) -> bytes:
        """Nothing here is for search engines."""
        return _send(request, Body.of("text/plain; charset=utf-8", b"User-agent: *\nDisallow: /\n"))

    def _not_found(self, request: Request) -> bytes:
        request.setResponseCode(404)
        return _send(request, Body.of("text/plain; charset=utf-8", b"Page introuvable. Page not found.\n"))

    # Rendering.

    def _render_all(self) -> dict[tuple[str, str], Body]:
        every = self._languages.all()
        return {(each.language, path): self._render(each, path) for each in every for path in DOCUMENTS}

    def _render(self, said: Texts, path: str) -> Body:
        charter = self._charters.shown_in(said.language)
        calls = self._config.calls
        html = (
            _templates(said.language)
            .get_template(DOCUMENTS[path])
            .render(
                texts=said,
                languages=self._languages.all(),
                path=path,
                static=f"/static/{self.version}",
                site=self._config.site,
                portal=self._config.portal,
                charter=charter,
                code_minutes=round(calls.code_valid_s / 60),
                limit_minutes=round(calls.limit_s / 60),
                megabytes=max(10, round(calls.limit_s * 2 * VIDEO_BITS_PER_S / 8e6, -1)),
                page_data=self._page_data(said) if not path else {},
            )
        )
        return Body.of("text/html; charset=utf-8", html.encode())

    def _page_data(self, said: Texts) -> dict[str, object]:
        """What the page's scripts need to know."""

        def in_words(words: Words) -> dict[str, str]:
            return {"title": said.gettext(words.title), "advice": said.gettext(words.advice)}

        charter = self._charters.shown_in(said.language)
        return {
            "language": said.language,
            "socket": messages.PATH,
            "subprotocol": messages.SUBPROTOCOL,
            "link": f"^(?:/[a-z]+)?/({LINK.pattern})$",
            "grace_s": self._config.calls.grace_s,
            "converts": self._config.media.transcoded_calls > 0,
            "charter": {"language": charter.language, "version": charter.version, "digest": charter.digest},
            "endings": {reason.value: in_words(words) for reason, words in ENDINGS.items()},
            "rejections": {why: in_words(words) for why, words in REJECTIONS.items()},
            "texts": said.for_script,
        }

    def _manifest(self, said: Texts) -> Body:
        icons = [
            {"src": f"/static/{self.version}/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png"}
            for size in (192, 512)
        ]
        maskable = {
            "src": f"/static/{self.version}/icon-maskable-512.png",
            "sizes": "512x512",
            "type": "image/png",
            "purpose": "maskable",
        }
        manifest = {
            "id": "/",
            "name": self._config.portal.name,
            "short_name": self._config.portal.name,
            "description": said.gettext("Video calls with a person in detention"),
            "lang": said.language,
            "dir": "rtl" if said.right_to_left else "ltr",
            "start_url": f"/{said.language}/",
            "scope": "/",
            "display": "standalone",
            "orientation": "any",
            "background_color": "#f3f6f8",
            "theme_color": "#0b4a5a",
            "icons": [*icons, maskable],
        }
        return Body.of("application/manifest+json", json.dumps(manifest, ensure_ascii=False).encode())

    def _service_worker(self) -> Body:
        shell = [f"/static/{self.version}/{name}" for name in sorted(self._static) if name.endswith((".js", ".css"))]
        offline = [f"/{code}/hors-ligne" for code in self._languages.codes]
        facts = {"version": self.version, "shell": shell, "offline": offline}
        source = (HERE / "templates" / "sw.js").read_text("utf-8")
        return Body.of(TYPES[".js"], source.replace('"@FACTS@"', json.dumps(facts)).encode())


@functools.cache
def _templates(language: str) -> jinja2.Environment:
    """The templates, compiled once for each language: their texts are bound to it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    said = texts.read(language)
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # added by the extension
        said.gettext, lambda one, many, count: said.gettext(one if count == 1 else many), newstyle=True
    )
    return environment


def _static(file: pathlib.Path) -> Body:
    content_type = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Body.of(content_type, file.read_bytes())


def _version(static: dict[str, Body]) -> str:
    digest = hashlib.sha256()
    for name, body in sorted(static.items()):
        digest.update(name.encode() + b"\0" + body.plain)
    return digest.hexdigest()[:16]


def _send(request: Request, body: Body, cache: str = "no-store") -> bytes:
    request.setHeader(b"Content-Type", body.content_type.encode())
    request.setHeader(b"Cache-Control", cache.encode())
    request.setHeader(b"Vary", b"Accept-Language, Accept-Encoding")
    content = body.plain
    if body.gzipped and b"gzip" in (request.getHeader(b"Accept-Encoding") or b""):
        request.setHeader(b"Content-Encoding", b"gzip")
        content = body.gzipped
    request.setHeader(b"Content-Length", str(len(content)).encode())
    return content
