"""A hold comes before everything, and nothing is due before its day."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.calls.retention import Kept, Standing, standing

NOW = datetime.datetime(2026, 11, 24, 3, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def kept(age: datetime.timedelta, **how: bool) -> Kept:
    return Kept(call="c", ended_utc=NOW - age, **how)


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        (kept(DAY), Standing.KEPT),
        (kept(90 * DAY), Standing.KEPT),
        (kept(90 * DAY + DAY / 86400), Standing.DUE),
        (kept(-DAY), Standing.KEPT),
        (kept(1000 * DAY, held=True), Standing.HELD),
        (kept(1000 * DAY, held=True, there=False, younger=True), Standing.HELD),
        (kept(DAY, held=True), Standing.HELD),
        (kept(91 * DAY, there=False), Standing.MISSING),
        (kept(DAY, there=False), Standing.KEPT),
        (kept(9000 * DAY, younger=True), Standing.UNDATED),
    ],
)
def test_where_a_recording_stands(recording: Kept, expected: Standing) -> None:
    assert standing(recording, NOW, 90) is expected


@given(
    st.timedeltas(datetime.timedelta(days=-400), datetime.timedelta(days=4000)), st.booleans(), st.integers(1, 999)
)
def test_nothing_is_due_before_its_day_or_under_hold(age: datetime.timedelta, held: bool, days: int) -> None:
    due = standing(kept(age, held=held), NOW, days) is Standing.DUE
    assert due == (not held and age > days * DAY)
