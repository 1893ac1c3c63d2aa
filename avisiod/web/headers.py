"""The headers of every answer: nothing from elsewhere, nothing inline, nothing kept that should not be."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from twisted.web.http import Request as HttpRequest
from twisted.web.server import Request

MAX_BODY_BYTES = 0
"""No page of the portal takes a body."""

PERMISSIONS = ", ".join(
    [f"{feature}=(self)" for feature in ("camera", "microphone", "screen-wake-lock", "otp-credentials", "autoplay")]
    + [
        f"{feature}=()"
        for feature in (
            "accelerometer", "bluetooth", "browsing-topics", "display-capture", "encrypted-media", "geolocation",
            "gyroscope", "hid", "idle-detection", "magnetometer", "midi", "payment", "publickey-credentials-get",
            "serial", "usb", "xr-spatial-tracking",
        )
    ]
)  # fmt: skip


def security_headers(public_url: str) -> dict[str, str]:
    """Headers for every answer. Strict-Transport-Security is among them where the public address is https."""
    parts = urlsplit(public_url)
    secure = parts.scheme == "https"
    socket = f"{'wss' if secure else 'ws'}://{parts.netloc}"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        # Older Safari does not count wss among 'self'.
        "connect-src": f"'self' {socket}",
        "manifest-src": "'self'",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": PERMISSIONS,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "X-Robots-Tag": "noindex, nofollow",
        "Cache-Control": "no-store",
    }
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


class PortalRequest(Request):
    """A request of the portal: it has no body, and its answer carries the security headers."""

    always: tuple[tuple[bytes, bytes], ...] = ()
    host_name = b"localhost"
    refused: Callable[[], None] = staticmethod(lambda: None)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Refuse a body before it is read."""
        if length is None or length > MAX_BODY_BYTES:
            self.refused()
            transport: Any = self.channel.transport
            transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n")
            self.channel.loseConnection()
            length = 0
        HttpRequest.gotLength(self, length)

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:  # noqa: N802 - Twisted's name
        """Set a header, but do not tell which software and version this is."""
        if name.lower() not in (b"server", "server"):
            Request.setHeader(self, name, value)

    def getRequestHostname(self) -> bytes:  # noqa: N802 - Twisted's name
        """Our own name, whatever the request says: routing looks at it, and fails on names that are none."""
        return self.host_name

    def process(self) -> None:
        """Set the headers before anything is rendered, so that errors carry them too.

        What is no UTF-8 is refused here: Klein would log a traceback of it, as often as a stranger likes.
        """
        for name, value in self.always:
            self.setHeader(name, value)
        try:
            self.method.decode()
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            self.refused()
            self.setResponseCode(400)
            self.finish()  # type: ignore[no-untyped-call]
            return
        Request.process(self)


def request_class(public_url: str, refused: Callable[[], None] = lambda: None) -> type[PortalRequest]:
    """The request class of a portal at this address; `refused` is told of each one that is turned away unread."""
    always = tuple((name.encode(), value.encode()) for name, value in security_headers(public_url).items())
    return type("PortalRequest", (PortalRequest,), {"always": always, "refused": staticmethod(refused)})
