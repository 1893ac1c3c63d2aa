"""A worker that grows too large gets nothing new and is replaced once it holds nothing, or at last killed."""

from typing import Any

import msgspec
import pytest
from twisted.protocols import amp

from avisiod.gateway.worker_pool import WorkerPool
from tests.steered_clock import SteeredClock

LIMIT = 1000


class Pool(WorkerPool):
    """Two workers that were never started: their memory, and what they are told, is ours to say."""

    def __init__(self) -> None:
        self.calls = {0: 1, 1: 0}
        self.told: list[tuple[int, str]] = []
        settings: list[Any] = [msgspec.defstruct(f"S{n}", [])() for n in range(2)]
        super().__init__(None, SteeredClock(), "a.worker", settings, lambda _n: amp.AMP(), lambda _n: None)
        for n, worker in enumerate(self.workers):
            worker.up = True
            self.has(n, 0)
            worker.kill = lambda _why, n=n: self.told.append((n, "killed"))  # type: ignore[method-assign,misc]
            worker.replace = lambda n=n: self.told.append((n, "replaced"))  # type: ignore[method-assign,misc]

    def has(self, n: int, resident: int) -> None:
        self.workers[n].resident_bytes = lambda: resident  # type: ignore[method-assign]

    def holds(self, n: int) -> int:
        return self.calls[n]


@pytest.fixture
def pool() -> Pool:
    return Pool()


def test_within_the_limit_nothing_happens(pool: Pool) -> None:
    pool.has(0, LIMIT)
    pool.mind_memory(LIMIT)
    assert (pool.told, pool.workers[0].retiring) == ([], False)


def test_a_worker_over_the_limit_is_replaced_after_its_last_call(pool: Pool) -> None:
    pool.has(0, LIMIT + 1)
    pool.mind_memory(LIMIT)
    assert (pool.told, pool.workers[0].retiring) == ([], True)
    pool.has(0, LIMIT - 1)  # it stays in retirement: what it held is in pieces now
    pool.mind_memory(LIMIT)
    assert pool.told == []
    pool.calls[0] = 0
    pool.mind_memory(LIMIT)
    assert pool.told == [(0, "replaced")]


def test_a_worker_that_grows_to_twice_the_limit_is_killed(pool: Pool) -> None:
    pool.has(0, 2 * LIMIT + 1)
    pool.mind_memory(LIMIT)
    assert pool.told == [(0, "killed")]


def test_without_a_limit_a_worker_may_have_all_it_wants(pool: Pool) -> None:
    pool.has(0, 100 * LIMIT)
    pool.mind_memory(0)
    assert (pool.told, pool.workers[0].retiring) == ([], False)
