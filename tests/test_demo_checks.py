"""The demo passes only if every step was seen: take one away, and exactly its check fails."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest

from avisiod.calls.tariff import Tariff
from demo.checks import checks
from demo.money import Money, charged, money_lines
from demo.recording_report import Report, Track
from tests.e2e.one_call import Call
from tests.peers.baresip import Video
from tests.peers.browser import Heard, Seen, Told
from tests.peers.media import Found

LIMIT_S, WARNINGS_S = 30.0, (15.0, 5.0)
STEPS = ("Granted", "PhoneAnswered", "SmsAccepted", "CodeAccepted", "WarningDue", "DeadlineReached")

WHOLE = Call(
    registered=True,
    answered_at=1.0,
    sms_text="Code 123456",
    code="123456",
    connected_at=10.0,
    page_ended_at=40.1,
    phone_closed_at=44.0,
    phone_video=Video(700, 5, 640, 480),
    phone_level_dbfs=-20.0,
    page_seen=Seen(700, 5, 640, 480, 5000, 0, 0.01, 3_000_000, 0, 0.0, "video/H264"),
    page_heard=Heard(0.1, 30.0, 1500, 0, 0.01, 0, "audio/PCMA"),
    page_level_dbfs=-20.0,
    page_warnings=[Told(25.0, "L’appel se termine dans 15 secondes"), Told(35.0, "… 5 secondes")],
    phone_warnings=[Found(15.0, 0.95), Found(25.0, 0.9)],
    page_ending="Le temps de l’appel est écoulé",
    pictures=[Path("waiting.png"), Path("talking.png")],
    recording=Path("call.mkv"),
    metrics={'avisiod_calls_ended_total{reason="limit_reached"}': 1.0},
    journal=[{"call": "c", "event": event} for event in STEPS],
)


def recorded(tracks: int = 4, length_s: float = 30.0, frames: int = 700, loudness_dbfs: float = -22.0) -> Report:
    names = ["phone audio", "phone video", "outside audio", "outside video"][:tracks]
    return Report(
        Path("call.mkv"),
        1_000_000,
        length_s,
        [
            Track(n, name, name.split()[1], "codec", 0.0, length_s, frames, "", loudness_dbfs)
            for n, name in enumerate(names)
        ],
    )


def failing(call: Call, recording: Report | None) -> list[str]:
    return [check.name for check in checks(call, LIMIT_S, WARNINGS_S, recording) if not check.seen]


TARIFF = Tariff(id="t", unit="minute", price=1500, valid_from=datetime.date(2026, 1, 1))


@pytest.mark.parametrize(
    ("charge", "after", "seen"),
    [(15, 985, True), (15, 970, False), (30, 970, False), (0, 1000, False), (None, None, False)],
)
def test_the_charge_is_that_of_the_connected_time_and_the_account_s(
    charge: int | None, after: int | None, seen: bool
) -> None:
    call = dataclasses.replace(WHOLE, charge_cents=charge)
    assert charged(call, Money(TARIFF, 1000, after)).seen is seen


def test_what_was_charged_is_told() -> None:
    call = dataclasses.replace(WHOLE, charge_cents=15)
    assert money_lines(call, Money(TARIFF, 1000, 985)) == [
        "  tariff: 15 cents a begun minute",
        "  charged: 0.15 €; account 10.00 € → 9.85 €, 30.1 s connected",
    ]


def test_a_whole_call_passes() -> None:
    assert failing(WHOLE, recorded()) == []


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ({"registered": False}, "the phone is registered with the edge"),
        ({"answered_at": None}, "the phone's call is answered while it waits"),
        ({"code": ""}, "the SMS with the code reached the modem"),
        ({"phone_video": Video(10, 1, 640, 480)}, "both see each other"),
        ({"page_seen": None}, "both see each other"),
        ({"phone_level_dbfs": -70.0}, "both hear each other"),
        ({"page_level_dbfs": -70.0}, "both hear each other"),
        ({"page_warnings": WHOLE.page_warnings[:1]}, "the page warned before the end"),
        ({"phone_warnings": []}, "the phone heard the warnings"),
        ({"page_ended_at": 38.0}, "the call ended by itself at its limit of 30 s"),
        ({"page_ended_at": 41.5}, "the call ended by itself at its limit of 30 s"),
        ({"phone_closed_at": None}, "the call ended by itself at its limit of 30 s"),
        ({"metrics": {'ended{reason="relative_lost"}': 1.0}}, "the metrics count the ended call and its reason"),
        ({"journal": WHOLE.journal[:-1]}, "the journal tells the story"),
    ],
)
def test_a_step_that_was_not_seen_fails(missing: dict[str, Any], name: str) -> None:
    assert failing(dataclasses.replace(WHOLE, **missing), recorded()) == [name]


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        (None, "the call was recorded"),
        (recorded(tracks=3), "the recording has the four tracks"),
        (recorded(length_s=20.0), "each lasts about 30 s"),
        (recorded(frames=20), "with pictures and sound in them"),
        (recorded(loudness_dbfs=-80.0), "with pictures and sound in them"),
    ],
)
def test_a_poor_recording_fails(recording: Report | None, name: str) -> None:
    assert failing(WHOLE, recording) == [name]
