"""Several boxes share a database: each ends its own calls only, and nobody is called by two of them at once."""

from collections.abc import Iterator

import pytest
import pytest_twisted
from sqlalchemy import update
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from avisiod.calls.ids import CallId
from avisiod.calls.reasons import EndReason
from avisiod.ports import StoreRefused
from avisiod.store import calls, schema
from avisiod.store.boxes import OwnBeat
from avisiod.store.store import Store
from tests.peers.postgres import Postgres

from .people import ANNA, BILAL, paid_call, pay_in, settle_in
from .records import CALL, CONTACT, OTHER, PHONE, SECOND, after, entry, invitation


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


ALIVE_S = 30.0


def own(name: str, **changes: object) -> OwnBeat:
    values: dict[str, object] = {
        "name": name,
        "public_url": f"https://{name}.example",
        "code_key": "k",
        "calls": 0,
        "capacity": 20,
    }
    return OwnBeat(**(values | changes))  # type: ignore[arg-type]


def silent(store: Store, box: str, seconds: float) -> "Deferred[object]":
    """That box said nothing for so long."""
    older = update(schema.boxes).where(schema.boxes.c.name == box)
    return store._write(lambda connection: connection.execute(older.values(beat_s=schema.boxes.c.beat_s - seconds)))


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_box_that_is_silent_for_its_lease_has_its_calls_ended_once_by_another(
    boxes: tuple[Store, Store],
) -> None:
    north, south = boxes
    await north.beat(own("north"), after(0))
    await north.save_call(paid_call("connected", of=CALL), entry("connected", of=CALL))
    fleet = await south.beat(own("south"), after(0))
    assert [(each.name, each.public_url, each.capacity) for each in fleet.others] == [
        ("north", "https://north.example", 20)
    ]
    assert await south.end_calls_of("north", ALIVE_S, EndReason.SERVICE_RESTARTED, after(1), 1.0) == []
    await silent(south, "north", ALIVE_S + 1)
    (other,) = (await south.beat(own("south"), after(2))).others
    assert other.age_s > ALIVE_S
    assert await south.end_calls_of("north", ALIVE_S, EndReason.SERVICE_RESTARTED, after(3), 3.0) == [CALL]
    assert await south.end_calls_of("north", ALIVE_S, EndReason.SERVICE_RESTARTED, after(4), 4.0) == []
    record = await south.call(CALL)
    assert record is not None
    assert (record.end_reason, record.charged, record.box) == (EndReason.SERVICE_RESTARTED, False, "north")
    assert (await south.journal(CALL))[-1].details == {"reason": "service_restarted", "box": "north"}
    with pytest.raises(StoreRefused):
        await north.save_call(paid_call("ended", of=CALL), entry("ended", of=CALL))


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_code_is_found_at_the_living_box_that_has_it_and_nowhere_else(boxes: tuple[Store, Store]) -> None:
    north, south = boxes
    await north.beat(own("north"), after(0))
    await north.save_call(paid_call("inviting", of=CALL), entry("inviting", of=CALL))
    await north.save_invitation(invitation(call=CALL, hash="a" * 64, issued_utc=after(0)))
    fleet = await south.beat(own("south"), after(1))
    assert fleet.open_codes == 1
    assert await south.holder_of("a" * 64, ALIVE_S, after(1)) == "https://north.example"
    assert await south.holder_of("b" * 64, ALIVE_S, after(1)) == ""
    assert await north.holder_of("a" * 64, ALIVE_S, after(1)) == "", "its own are not elsewhere"
    await silent(south, "north", ALIVE_S + 1)
    assert await south.holder_of("a" * 64, ALIVE_S, after(1)) == ""
    await north.beat(own("north"), after(2))
    await north.spend_invitation(CALL, after(3))
    assert await south.holder_of("a" * 64, ALIVE_S, after(3)) == ""
    assert (await south.beat(own("south"), after(3))).open_codes == 0


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_two_boxes_never_have_the_same_code_out(boxes: tuple[Store, Store]) -> None:
    north, south = boxes
    for store, of, phone in ((north, CALL, PHONE.id), (south, OTHER, SECOND.id)):
        await store.save_call(paid_call("inviting", of=of, phone=phone), entry("inviting", of=of))
    await north.save_invitation(invitation(call=CALL, hash="a" * 64, issued_utc=after(0)))
    with pytest.raises(StoreRefused, match="same code"):
        await south.save_invitation(invitation(call=OTHER, hash="a" * 64, issued_utc=after(1)))
    await north.save_invitation(invitation(call=CALL, hash="a" * 64, issued_utc=after(0), expires_utc=after(5)))
    await south.save_invitation(invitation(call=OTHER, hash="a" * 64, issued_utc=after(6)))


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_box_that_stops_in_good_order_is_not_waited_for(boxes: tuple[Store, Store]) -> None:
    north, south = boxes
    await north.beat(own("north"), after(0))
    await north.save_call(paid_call("connected", of=CALL), entry("connected", of=CALL))
    await north.leave()
    assert len((await south.beat(own("south"), after(1))).others) == 1, "a call of it is still open"
    await north.save_call(paid_call("ended", of=CALL), entry("ended", of=CALL))
    await north.leave()
    assert (await south.beat(own("south"), after(2))).others == ()
