"""Several boxes share a database: each ends its own calls only, and nobody is called by two of them at once."""

from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor

from avisiod.calls.ids import CallId
from avisiod.calls.reasons import EndReason
from avisiod.ports import StoreRefused
from avisiod.store import calls
from avisiod.store.store import Store
from tests.peers.postgres import Postgres

from .people import ANNA, BILAL, paid_call, pay_in, settle_in
from .records import CALL, CONTACT, OTHER, PHONE, SECOND, after, entry


def opened(where: str, box: str) -> Store:
    store = Store(where, reactor, box=box)  # type: ignore[arg-type]
    pytest_twisted.blockon(store.open())
    return store


@pytest.fixture
def boxes(postgres: Postgres) -> Iterator[tuple[Store, Store]]:
    where = postgres.new_database()
    both = opened(where, "north"), opened(where, "south")
    pytest_twisted.blockon(both[0]._write(lambda connection: (settle_in(connection), pay_in(connection, 1000))))
    yield both
    for store in both:
        pytest_twisted.blockon(store.close())


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_box_that_starts_ends_its_own_calls_and_leaves_those_of_the_others(
    boxes: tuple[Store, Store],
) -> None:
    north, south = boxes
    await north.save_call(paid_call("connected", of=CALL), entry("connected"))
    await south.save_call(paid_call("connected", of=OTHER, hold=100, phone=SECOND.id), entry("connected", of=OTHER))
    assert await south.end_open_calls(EndReason.SERVICE_RESTARTED, after(99), 5.0) == [OTHER]
    kept = await north.call(CALL)
    assert kept is not None
    assert (kept.state, kept.box) == ("connected", "north")
    await north.save_call(paid_call("ended", of=CALL, connected_s=60.0), entry("ended"))
    with pytest.raises(StoreRefused):
        await south.save_call(paid_call("ended", of=OTHER, hold=100, connected_s=60.0), entry("ended", of=OTHER))


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_calls_of_a_box_that_never_comes_back_are_ended_by_another(boxes: tuple[Store, Store]) -> None:
    north, south = boxes
    await north.save_call(paid_call("connected", of=CALL), entry("connected"))
    record = await north.call(CALL)
    assert record is not None
    late = record.limit_s + calls.FORSAKEN_S
    assert await south.end_open_calls(EndReason.SERVICE_RESTARTED, after(late - 1), 5.0) == []
    assert await south.end_open_calls(EndReason.SERVICE_RESTARTED, after(late + 1), 5.0) == [CALL]


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_who_is_in_a_call_of_another_box_is_busy(boxes: tuple[Store, Store]) -> None:
    north, south = boxes

    async def busy(store: Store, seconds: float = 60.0) -> tuple[bool, bool]:
        found = await store.facts(PHONE.id, ANNA, CONTACT.number, after(seconds))
        return found.contact_elsewhere, found.detainee_elsewhere

    assert await busy(south) == (False, False)
    await north.save_call(paid_call("waiting", of=CALL), entry("waiting"))
    assert await busy(south) == (True, True)
    assert await busy(north) == (False, False), "the switchboard knows its own calls better"
    assert await busy(south, 100_000) == (False, False), "no call is open for so long"
    other = await south.facts(SECOND.id, BILAL, None, after(60))
    assert not other.detainee_elsewhere
    await north.save_call(paid_call("ended", of=CALL, connected_s=0.0, charged=False), entry("ended"))
    assert await busy(south) == (False, False)


@pytest_twisted.ensureDeferred
async def test_a_box_of_its_own_ends_all_and_looks_at_no_others(sqlite_store: Store) -> None:
    store = sqlite_store
    await store._write(lambda connection: (settle_in(connection), pay_in(connection, 1000)))
    await store._write(lambda c: calls.save(c, paid_call("connected", of=CallId("left"), box="old-name"), after(1)))
    found = await store.facts(PHONE.id, ANNA, CONTACT.number, after(60))
    assert (found.contact_elsewhere, found.detainee_elsewhere) == (False, False)
    assert await store.end_open_calls(EndReason.SERVICE_RESTARTED, after(99), 5.0) == ["left"]
