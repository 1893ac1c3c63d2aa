"""Port 80: leads whoever typed no https to the portal, and answers a certificate authority (ACME, RFC 8555).

Nothing else is served here: no page, no code, no cookie.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.web.resource import Resource

CHALLENGES = b"/.well-known/acme-challenge/"
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{1,128}")
"""RFC 8555 section 8.3: base64url, so no path can hide in it."""
_LONGEST = 1024


class PlainHttp(Resource):
    """Answers every path by itself."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, public_url: str, acme_folder: str) -> None:
        """`acme_folder`: where the ACME client puts its challenges, `webroot` to certbot; empty: there is none."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._there = public_url.rstrip("/").encode()
        self._challenges = Path(acme_folder) / ".well-known" / "acme-challenge" if acme_folder else None

    def render_GET(self, request: Any) -> bytes:  # noqa: N802 - Twisted's name
        """A challenge's answer, else the way to the portal."""
        path: bytes = request.path
        if path.startswith(CHALLENGES):
            answer = self._challenge(path.removeprefix(CHALLENGES))
            request.setHeader(b"Content-Type", b"application/octet-stream")
            if answer is None:
                request.setResponseCode(404)
            return answer or b""
        # Only the link of an SMS is worth keeping: letters, digits and slashes.
        kept = path if re.fullmatch(rb"(/[A-Za-z0-9_-]*)*", path) and not path.startswith(b"//") else b"/"
        request.setResponseCode(308)
        request.setHeader(b"Location", self._there + kept)
        request.setHeader(b"Content-Type", b"text/plain")
        return b""

    def _challenge(self, token: bytes) -> bytes | None:
        if self._challenges is None or not _TOKEN.fullmatch(token):
            return None
        try:
            with (self._challenges / token.decode()).open("rb") as file:
                return file.read(_LONGEST)
        except OSError:
            return None


def host_of(public_url: str) -> str:
    """The name or address that visitors type."""
    return urlsplit(public_url).hostname or ""
