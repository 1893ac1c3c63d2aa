"""A converted call inside a transcoder: one thread for each way, and the link to the media worker between them.

The codecs give the interpreter back while they work, so both ways run side by side and the loop answers control.
"""

import asyncio
import collections
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable

import msgspec

from avisiod.gateway import h264
from avisiod.gateway.converter import LATE_S, Converter
from avisiod.gateway.picture_codecs import Limits
from avisiod.gateway.transcode_link import MAX_MESSAGE, Way, Word, conversion_settings, head, read_head

log = logging.getLogger(__name__)

TICK_S = 0.05
"""How often a way looks after what waits for missing packets when nothing comes."""
MAX_QUEUED = 1000
"""Messages that may wait for one way: some seconds of it."""
READ_AT_ONCE = 64
LEAST_BITRATE = 30_000

Send = Callable[[bytes], bool]
"""Hands a message to the media worker; False where it takes none now."""


class Lane(threading.Thread):
    """One way. Everything but `put` and the counters is for its own thread."""

    def __init__(self, way: Way, send: Send, extra: dict[str, str]) -> None:
        super().__init__(name=way.name.lower(), daemon=True)
        self.way = way
        self.dropped: collections.Counter[str] = collections.Counter()
        """Packets: `overrun` came faster than they were taken, `link_full` were not taken by the media worker."""
        self.converter: Converter | None = None
        self._send = send
        self._extra = extra
        self._queue: queue.SimpleQueue[tuple[Word, bytes, float] | None] = queue.SimpleQueue()
        self._over = False
        self._agreed: tuple[int, int, dict[str, str]] | None = None
        self._former_pictures = 0
        self._former_dropped: collections.Counter[str] = collections.Counter()
        self._keyframe = head(Word.KEYFRAME, way)
        self._head = head(Word.PACKET, way)

    def put(self, word: Word, body: bytes) -> None:
        """A message of the media worker; a packet too many is dropped."""
        if word is Word.PACKET and self._queue.qsize() > MAX_QUEUED:
            self.dropped["overrun"] += 1
        else:
            self._queue.put((word, body, time.monotonic()))

    def end(self) -> None:
        """The last message."""
        self._queue.put(None)

    def run(self) -> None:
        """Until `end`. What goes wrong with one frame costs the picture until the next keyframe."""
        while True:
            try:
                if not self._turn():
                    return
            except Exception:
                log.exception("a converter broke; it begins anew with a keyframe", extra=self._extra)
                if self.converter is not None:
                    self.converter.skip()

    def _turn(self) -> bool:
        """Take what waits, send what became of it; False at the end."""
        late = False
        for word, body, at in self._waiting():
            if word is not Word.PACKET:
                self._obey(word, body)
            elif self.converter is None:
                self.dropped["overrun"] += 1
            elif time.monotonic() - at <= LATE_S:
                self.converter.push(body, at)
            elif not late:
                late = True
                self.converter.skip()
        if self.converter is not None and not self._over:
            self._deliver(self.converter, time.monotonic())
        return not self._over

    def _obey(self, word: Word, body: bytes) -> None:
        if word is Word.SETTINGS:
            self._settle(body)
        elif self.converter is not None and word is Word.KEYFRAME:
            self.converter.refresh()
        elif self.converter is not None:
            self.converter.encoder.bitrate = max(int.from_bytes(body[:4], "big"), LEAST_BITRATE)

    def _deliver(self, converter: Converter, now: float) -> None:
        for packet in converter.work(now):
            if not self._send(self._head + packet):
                self.dropped["link_full"] += 1
        if converter.asks(now):
            self._send(self._keyframe)

    def _waiting(self) -> list[tuple[Word, bytes, float]]:
        found = []
        try:
            message = self._queue.get(timeout=TICK_S)
            while message is not None:
                found.append(message)
                message = self._queue.get_nowait()
            self._over = True
        except queue.Empty:
            pass
        return found

    def _settle(self, body: bytes) -> None:
        """Begin, or begin anew with what changed."""
        try:
            settings = conversion_settings.decode(body)
        except msgspec.DecodeError as error:
            log.error("settings that cannot be read change nothing: %s", error, extra=self._extra)
            return
        to_phone = self.way is Way.TO_PHONE
        bitrate = settings.to_phone_bitrate if to_phone else settings.to_page_bitrate
        agreed = settings.phone_payload_type, settings.page_payload_type, settings.phone_fmtp
        if self.converter is not None and agreed == self._agreed:
            self.converter.encoder.bitrate = max(bitrate, LEAST_BITRATE)
            return
        self._former_pictures, self._former_dropped = self.counted()
        self.dropped.clear()
        self._agreed = agreed
        phone, page, fmtp = agreed
        sequence = settings.to_phone_sequence if to_phone else settings.to_page_sequence
        if self.converter is not None:
            sequence = self.converter.sequence
        if to_phone:
            self.converter = Converter(page, phone, Limits(fmtp), bitrate, sequence)
        else:
            self.converter = Converter(phone, page, None, bitrate, sequence)
            self.converter.learn(h264.parameter_sets(fmtp))

    def counted(self) -> tuple[int, "collections.Counter[str]"]:
        """Pictures made, and what was dropped, by why: see Converter and `dropped`."""
        converter = self.converter
        if converter is None:
            return self._former_pictures, self._former_dropped + self.dropped
        return self._former_pictures + converter.pictures, self._former_dropped + self.dropped + converter.dropped


class Conversion:
    """Both ways of one call, from `link` and back to it; `closed` is called once the media worker is gone."""

    def __init__(self, call: str, link: socket.socket, closed: Callable[[], None]) -> None:
        self._link = link
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self.lanes = tuple(Lane(way, self._send, {"call": call}) for way in Way)
        for lane in self.lanes:
            lane.start()
        self._loop.add_reader(link, self._read)

    def _send(self, message: bytes) -> bool:
        try:
            self._link.send(message)
        except OSError:
            return False
        return True

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                message = self._link.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self.close()
                self._closed()
                return
            known = read_head(message)
            if known is None:
                continue
            word, way = known
            for lane in self.lanes:
                if word is Word.SETTINGS or lane.way is way:
                    lane.put(word, message[1:])

    def close(self) -> None:
        """End both ways; harmless when closed. A thread that is encoding ends after that."""
        if self._link.fileno() < 0:
            return
        self._loop.remove_reader(self._link)
        for lane in self.lanes:
            lane.end()
        self._link.close()
