"""The media of a phone by itself: exact in time, cheap enough for many, counting what it gets and decoding nothing.

It flashes and beeps at the beginning of every second of the machine's wall clock, so that several such parties (see
`Chromium.relative(sync=True)`) can be compared in one recording.
"""

import os
import re
import select
import socket
import struct
import threading
import time
from typing import Any, NamedTuple, Self

from tests.peers import assets
from tests.peers.ports import free_range
from tests.peers.waiting import wait_until

AUDIO_PT, EVENT_PT, VIDEO_PT = 8, 101, 99
AUDIO_TICK_S, VIDEO_TICK_S, REPORT_S = 0.02, 1 / assets.RATE, 1.0
NTP_EPOCH_S = 2_208_988_800


class Received(NamedTuple):
    """One stream as it arrived; moments on the monotonic clock, None before the first."""

    packets: int
    bytes: int
    lost: int
    sources: int
    first_at: float | None
    last_at: float | None
    first_keyframe_at: float | None


class Stream:
    """One direction pair of one medium: what is sent, what has come."""

    def __init__(self, address: str, port: int, payload_type: int, rate: int) -> None:
        self.port, self.payload_type, self.rate = port, payload_type, rate
        self.rtp = _bound(address, port)
        self.rtcp = _bound(address, port + 1)
        self.remote: tuple[str, int] | None = None
        self.ssrc = int.from_bytes(os.urandom(4))
        self.sequence = int.from_bytes(os.urandom(2))
        self.offset = int.from_bytes(os.urandom(4))
        self.sent = self.sent_bytes = 0
        self.got = self.got_bytes = self.lost = 0
        self.sources: set[int] = set()
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.first_keyframe_at: float | None = None
        self._highest: int | None = None

    def send(self, payload: bytes, media_s: float, *, marker: bool) -> None:
        if self.remote is None:
            return
        stamp = (self.offset + int(media_s * self.rate)) & 0xFFFFFFFF
        self.sequence = (self.sequence + 1) & 0xFFFF
        header = struct.pack(
            "!BBHII", 0x80, self.payload_type | (0x80 if marker else 0), self.sequence, stamp, self.ssrc
        )
        self.rtp.sendto(header + payload, self.remote)
        self.sent += 1
        self.sent_bytes += len(payload)

    def report(self, media_s: float) -> None:
        """A sender report with a CNAME (RFC 3550 section 6.4.1)."""
        if self.remote is None:
            return
        wall = time.clock_gettime(time.CLOCK_REALTIME) + NTP_EPOCH_S
        stamp = (self.offset + int(media_s * self.rate)) & 0xFFFFFFFF
        fraction = int(wall % 1 * 2**32)
        sender = struct.pack(
            "!BBHIIIIII", 0x80, 200, 6, self.ssrc, int(wall), fraction, stamp, self.sent, self.sent_bytes & 0xFFFFFFFF
        )
        name = struct.pack("!BBHIBB", 0x81, 202, 3, self.ssrc, 1, 5) + b"phone" + b"\0"
        self.rtcp.sendto(sender + name, (self.remote[0], self.remote[1] + 1))

    def take(self, packet: bytes, now: float) -> None:
        sequence = int.from_bytes(packet[2:4])
        self.got += 1
        self.got_bytes += len(packet)
        self.sources.add(int.from_bytes(packet[8:12]))
        self.first_at = self.first_at or now
        self.last_at = now
        if self._highest is not None:
            step = (sequence - self._highest) & 0xFFFF
            if 1 < step < 0x8000:
                self.lost += step - 1
            if step >= 0x8000:
                return
        self._highest = sequence
        if self.first_keyframe_at is None and self.payload_type == VIDEO_PT and _is_keyframe(packet[12:]):
            self.first_keyframe_at = now

    def received(self) -> Received:
        return Received(
            self.got,
            self.got_bytes,
            self.lost,
            len(self.sources),
            self.first_at,
            self.last_at,
            self.first_keyframe_at,
        )


class RtpPhone:
    """Sound in PCMA and picture in H.264, sent on time from `connect` until `close`.

    `video_late_s` and `audio_late_s` send late on purpose. One thread, which ends with `close`.
    """

    STREAM: type[Stream] = Stream
    """For phones that note more than this one."""

    def __init__(
        self, address: str = "127.0.0.1", *, packetization_mode: int = 1, audio_late_s: float = 0.0,
        video_late_s: float = 0.0, first_port: int = 0,
    ) -> None:  # fmt: skip
        """`first_port`: of four that the caller claimed, for whoever makes many phones; 0: our own."""
        first = first_port or free_range(4)[0]
        self.address = address
        self.packetization_mode = packetization_mode
        self.audio = self.STREAM(address, first, AUDIO_PT, 8000)
        self.video = self.STREAM(address, first + 2, VIDEO_PT, 90000)
        self.keyframe_requests = 0
        self._late = (audio_late_s, video_late_s)
        self._beeps = assets.beeps_alaw().read_bytes()
        self._pictures = _pictures(assets.flashes_stream().read_bytes())
        self._wake_read, self._wake_write = os.pipe()
        self._thread: threading.Thread | None = None
        self._closed = False

    def offer(self, direction: str = "sendrecv") -> str:
        """Its SDP, as an offer or an answer."""
        return "\r\n".join(
            [
                "v=0",
                f"o=phone {self.audio.port} 1 IN IP4 {self.address}",
                "s=phone",
                f"c=IN IP4 {self.address}",
                "t=0 0",
                f"m=audio {self.audio.port} RTP/AVP {AUDIO_PT} {EVENT_PT}",
                f"a=rtpmap:{AUDIO_PT} PCMA/8000",
                f"a=rtpmap:{EVENT_PT} telephone-event/8000",
                "a=ptime:20",
                f"a={direction}",
                f"m=video {self.video.port} RTP/AVP {VIDEO_PT}",
                f"a=rtpmap:{VIDEO_PT} H264/90000",
                f"a=fmtp:{VIDEO_PT} profile-level-id=42e01f;packetization-mode={self.packetization_mode}",
                "a=rtcp-fb:* nack pli",
                "a=rtcp-fb:* ccm fir",
                f"a={direction}",
                "",
            ]
        )

    def connect(self, answer: str) -> None:
        """Send to where the answer says, from now on."""
        session = re.search(r"^c=IN IP4 (\S+)", answer, re.MULTILINE)
        for section in re.split(r"^(?=m=)", answer, flags=re.MULTILINE)[1:]:
            kind, port = section[2:].split()[:2]
            host = re.search(r"^c=IN IP4 (\S+)", section, re.MULTILINE) or session
            if host and kind in ("audio", "video") and int(port):
                (self.audio if kind == "audio" else self.video).remote = (host[1], int(port))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rtp phone", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End its thread and give everything back; harmless when it is closed."""
        if self._closed:
            return
        self._closed = True
        os.write(self._wake_write, b"x")
        if self._thread:
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)
        for stream in (self.audio, self.video):
            stream.rtp.close()
            stream.rtcp.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_received(self, kind: str, packets: int, timeout: float = 10.0) -> Received:
        """Until so many packets of `audio` or `video` have come."""
        stream = self.audio if kind == "audio" else self.video
        wait_until(lambda: stream.got >= packets, timeout, f"the phone: {packets} packets of {kind}")
        return stream.received()

    def _run(self) -> None:
        # Media time 0 is a full second of the wall clock, just past; ticks are counted from there without drift.
        began = time.monotonic() - time.clock_gettime(time.CLOCK_REALTIME) % 1
        late_audio, late_video = self._late
        sockets: list[Any] = [stream_socket for s in (self.audio, self.video) for stream_socket in (s.rtp, s.rtcp)]
        ticks = {"audio": 1, "video": 1, "report": 1}
        due = {
            "audio": lambda: began + ticks["audio"] * AUDIO_TICK_S + late_audio,
            "video": lambda: began + ticks["video"] * VIDEO_TICK_S + late_video,
            "report": lambda: began + ticks["report"] * REPORT_S + 0.5,
        }
        skip = time.monotonic()
        while True:
            name = min(due, key=lambda each: due[each]())
            wait = due[name]() - time.monotonic()
            ready, _, _ = select.select([*sockets, self._wake_read], [], [], max(wait, 0))
            if self._wake_read in ready:
                return
            self._take(ready)
            if time.monotonic() < due[name]():
                continue
            number = ticks[name]
            ticks[name] += 1
            if due[name]() < skip:
                continue  # before we began
            if name == "audio":
                start = number % 50 * 160
                self.audio.send(self._beeps[start : start + 160], number * AUDIO_TICK_S, marker=number == 1)
            elif name == "video":
                units = self._pictures[number % len(self._pictures)]
                for unit in units:
                    self.video.send(unit, number * VIDEO_TICK_S, marker=unit is units[-1])
            else:
                now = time.monotonic() - began
                self.audio.report(now - late_audio)
                self.video.report(now - late_video)

    def _take(self, ready: list[Any]) -> None:
        now = time.monotonic()
        for stream in (self.audio, self.video):
            if stream.rtp in ready:
                packet = stream.rtp.recv(2048)
                if len(packet) > 12:
                    stream.take(packet, now)
            if stream.rtcp in ready:
                self._take_rtcp(stream.rtcp.recv(2048))

    def _take_rtcp(self, data: bytes) -> None:
        position = 0
        while position + 4 <= len(data):
            count, kind, length = struct.unpack_from("!BBH", data, position)
            self.keyframe_requests += kind == 206 and count & 31 in (1, 4)
            position += 4 + 4 * length


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((address, port))
    return found


def _pictures(stream: bytes) -> list[list[bytes]]:
    """NAL units without their start codes, picture by picture; a delimiter (type 9) begins each."""
    pictures: list[list[bytes]] = []
    for unit in re.split(rb"\x00?\x00\x00\x01", stream)[1:]:
        if unit[0] & 31 == 9:
            pictures.append([])
        else:
            pictures[-1].append(unit)
    return pictures


def _is_keyframe(payload: bytes) -> bool:
    """Whether a packet begins an IDR picture (RFC 6184): alone, in a STAP-A behind parameter sets, or in FU-A."""
    kind = payload[0] & 31
    if kind == 28:
        return payload[1] & 0x9F == 0x85
    return kind in (5, 7) or (kind == 24 and payload[3] & 31 in (5, 7))
