"""The watchdog is starved by what a restart may cure and has lasted, never by what mends itself."""

import pytest

from avisiod.vitals import PARTS, Vitals, status_line

WELL = dict.fromkeys(PARTS, True)


def test_nobody_is_missed_who_answers() -> None:
    vitals = Vitals(30.0, 100.0)
    for now in range(100, 1000, 15):
        vitals.saw(WELL, float(now))
        assert vitals.silent(float(now)) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_away_is_missed_after_the_patience_only_and_forgiven_when_it_is_back(part: str) -> None:
    vitals = Vitals(30.0, 0.0)
    vitals.saw(WELL, 10.0)
    for now in (20.0, 30.0, 40.0):
        vitals.saw({**WELL, part: False}, now)
        assert vitals.silent(now) == []
    vitals.saw({**WELL, part: False}, 40.1)
    assert vitals.silent(40.1) == [f"{PARTS[part]}, for 30 s"]
    vitals.saw(WELL, 41.0)
    assert vitals.silent(41.0) == []


def test_a_start_that_is_slow_is_no_silence() -> None:
    vitals = Vitals(30.0, 1000.0)
    assert vitals.silent(1029.0) == []
    assert len(vitals.silent(1031.0)) == len(PARTS)


def test_a_part_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Vitals(30.0, 0.0).saw({"modem": False}, 1.0)


@pytest.mark.parametrize(
    ("problems", "line"),
    [
        ([], "3 of 20 calls; workers: 6 of 6 SIP, 1 of 2 media; well"),
        (["the disk is full"], "3 of 20 calls; workers: 6 of 6 SIP, 1 of 2 media; the disk is full"),
        (["no modem", "b", "c"], "3 of 20 calls; workers: 6 of 6 SIP, 1 of 2 media; no modem (and 2 more)"),
    ],
)
def test_the_status_tells_calls_capacity_and_workers(problems: list[str], line: str) -> None:
    up, of = {"sip": 6, "media": 1, "transcode": 0}, {"sip": 6, "media": 2, "transcode": 0}
    assert status_line(3, 20, up, of, problems) == line


def test_a_status_before_there_are_workers() -> None:
    assert status_line(0, 20, {}, {}, []) == "0 of 20 calls; workers: none; well"
