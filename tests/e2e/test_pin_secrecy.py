"""A recorded call that began with a PIN: no digit is in a log, the journal, the database, or the recording.

The phone sends its keys as RFC 4733 events and as tones within the sound, both at once as some do, and presses keys
again in mid-call. In the file there are neither events nor, of the time before the call, any tone.
"""

import audioop
import collections
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from avisiod.calls.ids import DetaineeId
from tests.bench.exact_relative import ExactRelative
from tests.e2e.connected import wait_ended
from tests.e2e.people import Person, enter
from tests.e2e.stage import PhoneEntry, Stage
from tests.peers.rtp_phone import EVENT_PT, RtpPhone, Stream
from tests.peers.sip_client import SipClient
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

IDENTIFIER, PIN, LATER = "471155", "836492", "7094"
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
RATE, TICK = 8000, 160
EVENTS = "0123456789*#"


def tone(key: str, octets: int) -> bytes:
    """The key's two frequencies (ITU-T Q.23), in A-law."""
    row = next(place for place, keys in enumerate(KEYS) if key in keys)
    pair = LOW[row], HIGH[KEYS[row].index(key)]
    samples = [sum(9000 * math.sin(2 * math.pi * each * n / RATE) for each in pair) for n in range(octets)]
    return audioop.lin2alaw(struct.pack(f"<{octets}h", *(int(sample) for sample in samples)), 2)


def keys_in(sound: bytes) -> str:
    """Keys whose tones stand in 16-bit sound, one for each 40 ms that has one (Goertzel)."""
    found = []
    samples = memoryview(sound).cast("h")
    for start in range(0, len(samples) - 320, 320):
        piece = samples[start : start + 320]
        energy = sum(sample * sample for sample in piece) or 1
        low, high = (max((_power(piece, each), place) for place, each in enumerate(group)) for group in (LOW, HIGH))
        if (low[0] + high[0]) * 2 / len(piece) > 0.8 * energy and min(low[0], high[0]) > 0.1 * max(low[0], high[0]):
            found.append(KEYS[low[1]][high[1]])
    return "".join(found)


def _power(piece: memoryview, frequency: int) -> float:
    turn = 2 * math.cos(2 * math.pi * frequency / RATE)
    before = last = 0.0
    for sample in piece:
        before, last = last, sample + turn * last - before
    return before * before + last * last - turn * before * last


class KeyedStream(Stream):
    """Sound in whose place keys are sent, tick by tick."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.pending: collections.deque[tuple[int, bytes, bool, bool]] = collections.deque()
        self._began = 0.0

    def send(self, payload: bytes, media_s: float, *, marker: bool) -> None:
        if not self.pending:
            super().send(payload, media_s, marker=marker)
            return
        kind, content, first, event = self.pending.popleft()
        own, self.payload_type = self.payload_type, kind
        if first:
            self._began = media_s
        super().send(content, self._began if event else media_s, marker=first)
        self.payload_type = own

    def press(self, keys: str, *, tones: bool) -> None:
        """Each as an event of 80 ms with its end sent three times; with `tones` 80 ms of its tone follow."""
        for key in keys:
            for place in range(6):
                duration, end = min(place + 1, 4) * TICK, 0x80 if place >= 3 else 0
                content = struct.pack("!BBH", EVENTS.index(key), end | 10, duration)
                self.pending.append((EVENT_PT, content, place == 0, True))
            if tones:
                sound = tone(key, 4 * TICK)
                for place in range(4):
                    piece = sound[place * TICK : place * TICK + TICK]
                    self.pending.append((self.payload_type, piece, False, False))
            for _ in range(3):
                self.pending.append((self.payload_type, b"\xd5" * TICK, False, False))


class KeyedPhone(RtpPhone):
    STREAM = KeyedStream
    audio: Any

    def press(self, keys: str, *, tones: bool = True) -> None:
        self.audio.press(keys, tones=tones)
        wait_until(lambda: not self.audio.pending, 30, "the keys on their way")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    settings = {"site": {"admission": "full"}, "log": {"level": "DEBUG"}}
    phones = [PhoneEntry("yard")]
    with Stage(tmp_path_factory.mktemp("pin"), settings=settings, phones=phones) as stage:
        enter(stage, [Person(DetaineeId("d-bilal"), identifier=IDENTIFIER, pin=PIN)], shared=["yard"])
        yield stage


@pytest.fixture(scope="module")
def recording(stage: Stage) -> Path:
    """Of a call that began with a PIN and in which keys were pressed again."""
    entry, contact = stage.phones["yard"], stage.contacts[0]
    with KeyedPhone() as phone, SipClient(stage.edge.edge, entry.user, entry.password) as client:
        client.register()
        client.new_dialogue()
        answer = client.authenticated("INVITE", f"sip:{contact.dialled}@avisio", phone.offer())
        assert answer.status == 200
        client.established(answer)
        client.send(client.within("ACK").encode())
        phone.connect(answer.body.decode())
        call = str(stage.calls()[-1]["id"])
        for event in ("IdentityWanted", "PhoneAnswered", "LegFlowing"):
            _wait_event(stage, call, event)
        phone.press(f"{IDENTIFIER}#")
        _wait_event(stage, call, "PinWanted")
        phone.press(f"{PIN}#")
        code = stage.wait_code(contact)
        with ExactRelative(stage.portal_url) as relative:
            relative.join(code)
            wait_until(lambda: any(row["state"] == "connected" for row in stage.journal(call)), 20, "connected")
            relative.media.wait_received("audio", 50)
            phone.press(LATER, tones=False)
            relative.media.wait_received("audio", relative.media.audio.got + 50)
            assert client.ask(client.within("BYE")).status == 200
            wait_ended(stage, call)
    wait_until(lambda: bool(stage.recordings()), 20, "a sealed recording")  # its manifest was there before its name
    return stage.recordings()[0]


def _wait_event(stage: Stage, call: str, event: str) -> None:
    wait_until(lambda: any(row["event"] == event for row in stage.journal(call)), 20, event)


def test_the_recording_has_sound_and_neither_events_nor_tones(recording: Path) -> None:
    sizes: collections.Counter[int] = collections.Counter()
    sound = bytearray()
    with av.open(str(recording)) as container:
        track = next(each for each in container.streams.audio if each.metadata.get("title") == "phone-audio")
        for packet in container.demux(track):
            if packet.pts is None:
                continue
            sizes[packet.size] += 1
            sound += audioop.alaw2lin(bytes(packet), 2)
    assert set(sizes) == {TICK}, "an event has four octets"
    assert sizes[TICK] > 90
    assert audioop.max(bytes(sound), 2) > 1000, "the beeps are there"
    assert keys_in(bytes(sound)) == ""


def test_no_event_of_the_pin_stands_in_the_files_octets(recording: Path) -> None:
    data = recording.read_bytes() + recording.with_name(f"{recording.name}.json").read_bytes()
    for keys in (IDENTIFIER, PIN):
        events = [struct.pack("!BBH", EVENTS.index(key), 0x8A, 4 * TICK) for key in keys]
        assert not all(event in data for event in events)
        assert keys.encode() not in data


def test_no_digit_is_in_a_log_the_journal_or_the_database(stage: Stage, recording: Path) -> None:
    tables = stage.rows("select name from sqlite_master where type = 'table'")
    kept = {
        str(table["name"]): repr([{**row, "identifier": ""} for row in stage.rows(f"select * from {table['name']}")])
        for table in tables
    }
    assert {"events", "calls", "detainees"} <= kept.keys()
    logs = [path for path in stage.folder.rglob("*.log") if not path.parent.name.startswith("phone-")]
    kept |= {path.name: path.read_text(errors="replace") for path in logs}
    assert len(kept["avisiod.log"]) > 5000
    for place, text in kept.items():
        for keys in (IDENTIFIER, PIN):
            assert keys not in text, place
        for keys in (IDENTIFIER, PIN, LATER):
            assert not re.search(r"(?i)(digit|key|event|dtmf)\D{1,12}" + r"\D{1,40}".join(keys), text), place


def test_the_test_would_hear_a_tone() -> None:
    heard = keys_in(audioop.alaw2lin(b"".join(tone(key, 4 * TICK) for key in PIN), 2))
    assert re.sub(r"(.)\1+", r"\1", heard) == PIN
