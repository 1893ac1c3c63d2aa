"""What is saved is there, whole and in order; what contradicts it is refused."""

import logging
import sqlite3
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from sqlalchemy import text
from twisted.internet import defer

from avisiod.calls.reasons import EndReason
from avisiod.ports import (
    Acceptance,
    AcceptanceRecord,
    InvitationSpent,
    StoreRefused,
    StoreUnavailable,
)
from avisiod.store import database
from avisiod.store.store import Store

from .records import CALL, CONTACT, LAWYER, OTHER, PHONE, SECOND, START, after, call, entry, invitation, recording

TWIN = msgspec.structs.replace(LAWYER, id="c-0003")
ACCEPTED = AcceptanceRecord(
    call=CALL, at_utc=after(9), acceptance=Acceptance(language="fr", version="2026-1", digest="c" * 64)
)


async def refused(work: Awaitable[Any], *words: str) -> None:
    with pytest.raises(StoreRefused) as error:
        await work
    for word in words:
        assert word.lower() in str(error.value).lower()


@pytest_twisted.ensureDeferred
async def test_a_call_comes_back_as_it_was_saved(store: Store) -> None:
    await store.sync_inventory([PHONE], [CONTACT])
    record = call(
        "ended", contact=CONTACT.id, connected_utc=after(10), connected_s=29.97, limit_s=30.0, confidential=False
    )
    await store.save_call(record, entry("ended", reason="limit_reached"))
    assert await store.call(CALL) == record
    assert await store.call(OTHER) is None


@pytest_twisted.ensureDeferred
async def test_the_journal_keeps_the_order_of_the_requests(store: Store) -> None:
    states = ["dialled", "inviting", "waiting", "joining", "connected"]
    await defer.gatherResults(
        [store.save_call(call(state), entry(state, seconds=place)) for place, state in enumerate(states)]
    )
    journal = await store.journal(CALL)
    assert [told.event for told in journal] == states
    assert journal[3] == msgspec.structs.replace(entry("joining", seconds=3), state="joining")
    last = await store.call(CALL)
    assert last is not None
    assert last.state == "connected"


@pytest_twisted.ensureDeferred
async def test_the_journal_holds_no_secret_even_when_it_is_handed_one(store: Store) -> None:
    await store.save_call(call(), entry(text="code 123456 for +33639980001", tries=3))
    (told,) = await store.journal(CALL)
    assert told.details == {"text": "code ****** for …01", "tries": 3}


@pytest_twisted.ensureDeferred
async def test_a_refused_event_leaves_the_state_as_it_was(store: Store) -> None:
    await store.save_call(call("dialled"), entry("dialled"))
    await refused(store.save_call(call("connected"), entry("x", of=OTHER)), "FOREIGN KEY")
    record = await store.call(CALL)
    assert record is not None
    assert record.state == "dialled"
    assert len(await store.journal(CALL)) == 1


@pytest_twisted.ensureDeferred
async def test_a_call_ends_once(store: Store) -> None:
    await store.save_call(call("ended"), entry("ended"))
    other_end = call("ended", end_reason=EndReason.PHONE_LOST, charged=False)
    await refused(store.save_call(other_end, entry("ended")), "does not change")
    await refused(store.save_call(call("connected"), entry("connected")))
    await store.save_call(call("ended"), entry("farewell_over"))
    assert [told.event for told in await store.journal(CALL)] == ["ended", "farewell_over"]


@pytest_twisted.ensureDeferred
async def test_an_end_needs_its_time_and_reason(store: Store) -> None:
    await refused(store.save_call(call("ended", end_reason=None), entry()), "ended_has_reason")
    await refused(store.save_call(call("ended", ended_utc=None), entry()), "ended_has_time")
    await refused(store.save_call(call("waiting", ended_utc=START), entry()), "ended_has_time")
    await refused(store.save_call(call(created_utc=START.replace(tzinfo=None)), entry()), "without time zone")
    assert store.healthy


@pytest_twisted.ensureDeferred
async def test_a_code_is_spent_once(store: Store) -> None:
    await store.save_call(call(), entry())
    assert not await store.spend_invitation(CALL, after(1))
    await store.save_invitation(invitation())
    await store.save_invitation(invitation(expires_utc=after(300)))
    answers = await defer.gatherResults([store.spend_invitation(CALL, after(n)) for n in range(1, 4)])
    assert answers == [True, False, False]
    assert await store.invitation(CALL) == invitation(expires_utc=after(300), spent_utc=after(1))
    await refused(store.save_invitation(invitation()), "spent")


@pytest_twisted.ensureDeferred
async def test_code_acceptance_and_state_are_saved_together_or_not_at_all(store: Store) -> None:
    await store.save_call(call("waiting"), entry("waiting"), invitation())
    spent = InvitationSpent(call=CALL, at_utc=after(9))
    await store.save_call(call("joining"), entry("code_accepted"), spent, ACCEPTED)
    assert await store.acceptances(CALL) == [ACCEPTED]
    await refused(store.save_call(call("connected"), entry("again"), ACCEPTED, spent), "spent already")
    record = await store.call(CALL)
    assert record is not None
    assert record.state == "joining"
    assert len(await store.journal(CALL)) == 2
    assert await store.acceptances(CALL) == [ACCEPTED]


@pytest_twisted.ensureDeferred
async def test_a_recording_is_kept_once(store: Store) -> None:
    await store.save_call(call("ended"), entry())
    await store.save_recording(recording())
    assert await store.recording(CALL) == recording()
    await store.save_recording(recording())
    await refused(store.save_recording(msgspec.structs.replace(recording(), path="/another.mkv")))
    assert await store.recording(CALL) == recording()
    assert await store.recording(OTHER) is None


@pytest_twisted.ensureDeferred
async def test_a_confidential_line_has_no_recording_whatever_the_order(store: Store) -> None:
    await store.save_call(call(confidential=True), entry())
    await refused(store.save_recording(recording()), "never recorded")
    await refused(store.save_call(call(confidential=False), entry()), "confidential")
    await store.save_call(call(of=OTHER), entry(of=OTHER))
    await store.save_recording(recording(OTHER))
    await refused(store.save_call(call(of=OTHER, confidential=True), entry(of=OTHER)), "confidential")


@pytest_twisted.ensureDeferred
async def test_calls_left_open_end_at_the_next_start(store: Store) -> None:
    done, refusing = call("ended", of=OTHER, seconds=1), "ofrggzdfmztwq2lkmnsgk3tu"
    await store.save_call(call("connected", connected_s=12.5), entry("connected"))
    await store.save_call(done, entry("ended", of=OTHER))
    rejected = call("refused", of=refusing, seconds=2, end_reason=EndReason.UNKNOWN_NUMBER)  # type: ignore[arg-type]
    await store.save_call(rejected, entry("refused", of=refusing))  # type: ignore[arg-type]
    ended = await store.end_open_calls(EndReason.SERVICE_RESTARTED, after(99), 5.0)
    assert ended == [CALL, refusing]
    record = await store.call(CALL)
    assert record is not None
    assert (record.state, record.end_reason, record.ended_utc) == ("ended", EndReason.SERVICE_RESTARTED, after(99))
    assert (record.connected_s, record.charged) == (12.5, False)
    assert (await store.journal(CALL))[-1].event == "ended_at_start"
    assert await store.call(OTHER) == done
    kept = await store.call(refusing)  # type: ignore[arg-type]
    assert kept is not None
    assert kept.end_reason is EndReason.UNKNOWN_NUMBER
    assert await store.end_open_calls(EndReason.SERVICE_RESTARTED, after(100), 6.0) == []


@pytest_twisted.ensureDeferred
async def test_calls_are_listed_newest_first(store: Store) -> None:
    ids = [f"{letter}frggzdfmztwq2lkmnsgk3tu" for letter in "abcd"]
    for place, name in enumerate(ids):
        await store.save_call(call(of=name, seconds=place * 10), entry(of=name))  # type: ignore[arg-type]
    assert [record.id for record in await store.calls()] == ids[::-1]
    assert [record.id for record in await store.calls(limit=2)] == ["dfrggzdfmztwq2lkmnsgk3tu", ids[2]]
    assert [record.id for record in await store.calls(since=after(10))] == [ids[3], ids[2], ids[1]]


@pytest_twisted.ensureDeferred
async def test_the_inventory_is_what_the_file_says(store: Store) -> None:
    await store.sync_inventory([PHONE, SECOND], [CONTACT, LAWYER])
    assert await store.phone(PHONE.id) == PHONE
    assert await store.phones() == [PHONE.id, SECOND.id]
    assert await store.contact_by_number(CONTACT.number) == CONTACT
    assert await store.contact(LAWYER.id) == LAWYER
    assert await store.contacts_for(PHONE.id) == [CONTACT, LAWYER]
    assert await store.contacts_for(SECOND.id) == [LAWYER]


@pytest_twisted.ensureDeferred
async def test_who_left_the_inventory_is_unknown_but_old_calls_keep_their_contact(store: Store) -> None:
    await store.sync_inventory([PHONE, SECOND], [CONTACT, LAWYER])
    await store.save_call(call("ended", contact=CONTACT.id), entry())
    await store.sync_inventory([SECOND], [LAWYER])
    assert await store.phone(PHONE.id) is None
    assert await store.contact_by_number(CONTACT.number) is None
    assert await store.contact(CONTACT.id) is None
    record = await store.call(CALL)
    assert record is not None
    assert record.contact == CONTACT.id
    await store.sync_inventory([PHONE], [CONTACT])
    assert await store.contact_by_number(CONTACT.number) == CONTACT


@pytest_twisted.ensureDeferred
async def test_an_inventory_that_contradicts_itself_changes_nothing(store: Store) -> None:
    await store.sync_inventory([PHONE], [CONTACT])
    await refused(store.sync_inventory([], [LAWYER, CONTACT, TWIN]))
    assert await store.contact_by_number(CONTACT.number) == CONTACT
    assert await store.phone(PHONE.id) == PHONE


@pytest_twisted.ensureDeferred
async def test_the_edge_sees_the_listed_phones_as_subscribers(store: Store) -> None:
    await store.sync_inventory([PHONE, SECOND], [])
    await store.sync_inventory([SECOND], [])
    query = text("SELECT username, domain, password, ha1, ha1b FROM subscriber")
    rows = await store._read(lambda connection: [tuple(row) for row in connection.execute(query)])
    assert rows == [(SECOND.id, "avisio", "", SECOND.ha1, "")]


@pytest_twisted.ensureDeferred
async def test_a_locked_database_is_told_and_nothing_is_lost_silently(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from twisted.internet import reactor

    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    caplog.set_level(logging.DEBUG, "avisiod")
    store = Store(path, reactor)  # type: ignore[arg-type]
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="another program holds the database: end it; nothing was changed"):
            await store.save_call(call(), entry())
    assert not store.healthy
    assert await store.calls() == []
    assert await store.probe() is False
    other.execute("ROLLBACK")
    other.close()
    assert await store.probe() is True
    assert store.healthy
    await store.save_call(call(), entry())
    assert store.healthy
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG", "INFO"]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_told(sqlite_store: Store) -> None:
    def limit(connection: Any) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await sqlite_store._write(limit)
    assert await sqlite_store.probe()
    with pytest.raises(StoreUnavailable, match="the disk is full: free space; nothing was changed"):
        await sqlite_store.save_call(call(), entry(text="x" * 100_000))
    assert await sqlite_store.call(CALL) is None


@pytest_twisted.ensureDeferred
async def test_a_closed_store_says_so_and_takes_nothing(store: Store) -> None:
    pending = store.save_call(call(), entry())
    await store.close()
    await pending
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.save_call(call(), entry())
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.call(CALL)
    assert not store.healthy


@pytest_twisted.ensureDeferred
async def test_no_work_is_done_in_the_reactors_thread(store: Store) -> None:
    import threading

    seen: list[str] = []
    await store._write(lambda _: seen.append(threading.current_thread().name))
    await store._read(lambda _: seen.append(threading.current_thread().name))
    assert threading.current_thread().name not in seen
    assert len(set(seen)) == 2
