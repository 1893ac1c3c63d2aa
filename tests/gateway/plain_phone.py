"""A phone of plain RTP in the test's own process: two sockets, an offer, and what came."""

import asyncio
import re
import socket
import time

from avisiod.gateway import rtp
from avisiod.gateway.leg import Kind

AUDIO_TYPE, EVENT_TYPE, VIDEO_TYPE = 8, 101, 99


class PlainPhone:
    """Used on an asyncio loop; `received` holds (arrival, packet) of each kind."""

    def __init__(self, *, video: bool = True, feedback: bool = True, mode: int | None = 1, sprop: str = "") -> None:
        """`mode` is the packetization-mode that its SDP states, None for none at all."""
        self._kinds = [Kind.AUDIO, Kind.VIDEO] if video else [Kind.AUDIO]
        self._feedback = feedback
        self._mode = mode
        self._sprop = sprop
        self._sockets = {kind: self._socket() for kind in self._kinds}
        self._rtcp = {kind: self._socket() for kind in self._kinds}
        self._to: dict[Kind, tuple[str, int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.received: dict[Kind, list[tuple[float, bytes]]] = {kind: [] for kind in self._kinds}
        self.reports: dict[Kind, list[bytes]] = {kind: [] for kind in self._kinds}
        self.sequence = dict.fromkeys(self._kinds, 100)
        self.ssrc = {kind: 0x1000 + list(Kind).index(kind) for kind in self._kinds}

    @staticmethod
    def _socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        return sock

    def offer(self, direction: str = "sendrecv") -> str:
        lines = ["v=0", "o=phone 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        for kind in self._kinds:
            port = self._sockets[kind].getsockname()[1]
            reports = f"a=rtcp:{self._rtcp[kind].getsockname()[1]}"
            if kind is Kind.AUDIO:
                lines += [f"m=audio {port} RTP/AVP {AUDIO_TYPE} {EVENT_TYPE}", "a=rtpmap:8 PCMA/8000"]
                lines += [f"a=rtpmap:{EVENT_TYPE} telephone-event/8000", reports, f"a={direction}"]
            else:
                stated = f";packetization-mode={self._mode}" if self._mode is not None else ""
                fmtp = f"profile-level-id=42e01f{stated}{self._sprop}"
                lines += [f"m=video {port} RTP/AVP {VIDEO_TYPE}", f"a=rtpmap:{VIDEO_TYPE} H264/90000"]
                lines += [f"a=fmtp:{VIDEO_TYPE} {fmtp}", reports, f"a={direction}"]
                lines += ["a=rtcp-fb:* nack pli"] if self._feedback else []
        return "\r\n".join(lines) + "\r\n"

    def answered(self, answer: str) -> None:
        """Read our ports off the answer, and listen."""
        for kind, port in re.findall(r"m=(audio|video) (\d+) ", answer):
            if int(port):
                self._to[Kind(kind)] = ("127.0.0.1", int(port))
        self._loop = asyncio.get_running_loop()
        for kind in self._kinds:
            self._loop.add_reader(self._sockets[kind], self._read, self._sockets[kind], kind)
            self._loop.add_reader(self._rtcp[kind], self._read_reports, kind)

    def _read(self, sock: socket.socket, kind: Kind) -> None:
        while True:
            try:
                packet = sock.recv(2048)
            except BlockingIOError:
                return
            self.received[kind].append((time.monotonic(), packet))

    def _read_reports(self, kind: Kind) -> None:
        while True:
            try:
                self.reports[kind].append(self._rtcp[kind].recv(2048))
            except BlockingIOError:
                return

    def send(self, kind: Kind, payload: bytes, timestamp: int, *, marker: bool = False, event: bool = False) -> None:
        payload_type = VIDEO_TYPE if kind is Kind.VIDEO else EVENT_TYPE if event else AUDIO_TYPE
        self.sequence[kind] = (self.sequence[kind] + 1) & 0xFFFF
        packet = rtp.packet(
            payload,
            payload_type=payload_type,
            sequence=self.sequence[kind],
            timestamp=timestamp & 0xFFFFFFFF,
            ssrc=self.ssrc[kind],
            marker=marker,
        )
        self._sockets[kind].sendto(packet, self._to[kind])

    def payloads(self, kind: Kind) -> list[bytes]:
        return [packet[12:] for _, packet in self.received[kind]]

    def close(self) -> None:
        for sock in (*self._sockets.values(), *self._rtcp.values()):
            if self._loop is not None:
                self._loop.remove_reader(sock)
            sock.close()
