"""SRTP straight between the caller and libsrtp, in packets of up to 2,048 bytes: the hot path.

pylibsrtp's own calls end at 1,500 bytes, short of what phones send, and copy once more. Its session holds the keys;
tests/gateway/test_ortc_pins.py holds the members in place that are used here and begin with an underscore.
"""

from typing import Any

from pylibsrtp import Session
from pylibsrtp._binding import ffi, lib

from avisiod.gateway.datagram_socket import DATAGRAM_BYTES

SRTP_TRAILER_BYTES = 148
"""Most that SRTP or SRTCP adds to a packet: tag, key identifier, index."""


class _Srtp:
    """One libsrtp session with a buffer of its own."""

    __slots__ = ("_buffer", "_context", "_copy", "_length", "_rtcp", "_rtp", "_session", "_view")

    def __init__(self, session: Session, rtp: Any, rtcp: Any) -> None:
        self._session = session  # keeps the keys alive
        self._context: Any = session._srtp[0]
        self._buffer: Any = ffi.new("char[]", DATAGRAM_BYTES + SRTP_TRAILER_BYTES)
        self._view = memoryview(ffi.buffer(self._buffer)).cast("B")
        self._length: Any = ffi.new("int *")
        self._copy: Any = ffi.memmove
        self._rtp: Any = rtp
        self._rtcp: Any = rtcp

    def _done(self, function: Any, data: Any) -> memoryview | None:
        length = self._length
        length[0] = size = len(data)
        if size > DATAGRAM_BYTES:
            return None
        self._copy(self._buffer, data, size)
        if function(self._context, self._buffer, length):
            return None
        return self._view[: length[0]]


class SrtpReceiver(_Srtp):
    """Decrypts; None for what is not authentic or was seen before (RFC 3711 section 3.3)."""

    __slots__ = ()

    def __init__(self, session: Session) -> None:
        super().__init__(session, lib.srtp_unprotect, lib.srtp_unprotect_rtcp)

    def rtp(self, data: bytes) -> bytes | None:
        """One RTP packet."""
        found = self._done(self._rtp, data)
        return None if found is None else found.tobytes()

    def rtcp(self, data: bytes) -> bytes | None:
        """One compound RTCP packet."""
        found = self._done(self._rtcp, data)
        return None if found is None else found.tobytes()


class SrtpSender(_Srtp):
    """Encrypts; the result is valid until the next call. None for what cannot be sent."""

    __slots__ = ()

    def __init__(self, session: Session) -> None:
        super().__init__(session, lib.srtp_protect, lib.srtp_protect_rtcp)

    def rtp(self, packet: bytes | bytearray | memoryview) -> memoryview | None:
        """One RTP packet."""
        return self._done(self._rtp, packet)

    def rtcp(self, packet: bytes) -> memoryview | None:
        """One compound RTCP packet."""
        return self._done(self._rtcp, packet)
