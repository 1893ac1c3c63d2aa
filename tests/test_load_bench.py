"""The load benches' own arithmetic: a capacity is found, and what went wrong is told as such."""

import pytest

from tests.bench.load.capacity import FIRST, MOST, capacity, verdict


def result(p99_ms: float = 1.0, lost: int = 0, late_ms: float = 0.1) -> dict[str, object]:
    ways = {"phone>browser": {"p99": 200.0}, "browser>phone": {"p99": p99_ms * 1000}}
    return {"latency_us": ways, "lost": lost, "gen_lag_us": {"p99": late_ms * 1000}}


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (result(), "fits"),
        (result(p99_ms=20.0), "fits"),
        (result(p99_ms=21.0), "p99 21 ms"),
        (result(lost=1), "1 packets lost"),
        (result(late_ms=5.1, lost=7), "the generator is late"),
        (None, "could not be set up"),
    ],
)
def test_what_does_not_fit_says_why(measured, said):
    assert verdict(measured) == said


@pytest.mark.parametrize("most", [3, FIRST, 57, 111, MOST - 1])
def test_the_capacity_is_found_within_five_percent(most):
    good, bad, why = capacity(lambda calls: result(lost=int(calls > most)))
    assert good <= most < bad
    assert bad - good <= max(1, most * 0.05 + 1)
    assert why == "1 packets lost"


def test_a_gateway_that_carries_all_that_is_tried_is_not_driven_further():
    assert capacity(lambda _: result()) == (MOST, 0, "")


def test_one_disturbance_decides_nothing():
    seen: dict[int, int] = {}

    def probe(calls):
        seen[calls] = seen.get(calls, 0) + 1
        return result(lost=int(seen[calls] == 1))

    assert capacity(probe)[0] == MOST
