"""What has happened is shown, and that it was shown is written down."""

import datetime

import pytest
from sqlalchemy import text

from avisiod.office import records
from tests.store.test_trail import without_rules

from .conftest import NOON, Office
from .test_accounts import CALL, pay, talk


def test_calls_are_listed_and_shown_as_a_timeline(peopled: Office) -> None:
    pay(peopled, "5")
    talk(peopled)
    (line,) = peopled.do("calls.list", detainee="anna")
    assert (line["call"], line["contact"], line["charge"], line["reason"]) == (
        CALL,
        "sister",
        "0.30",
        "relative_hung_up",
    )
    assert line["at"] == "2026-11-23T17:00:00+01:00"
    assert peopled.do("calls.list", detainee="bilal") == []
    assert peopled.do("calls.list", open=True) == []
    assert len(peopled.do("calls.list", since="2026-11-23", until="2026-11-23")) == 1
    assert peopled.do("calls.list", since="2026-11-24") == []
    shown = peopled.do("calls.show", call=CALL)
    assert [(step["event"], step["after_s"], step["state"]) for step in shown["timeline"]] == [
        ("Granted", 0.0, "inviting"),
        ("RelativeHungUp", 70.0, "ended"),
    ]
    assert [(leg["key"].partition(":")[0], leg["amount"]) for leg in shown["money"]] == [
        ("hold", "-3.00"),
        ("hold", "3.00"),
        ("settle", "-3.00"),
        ("settle", "0.30"),
        ("settle", "2.70"),
    ]
    assert peopled.refused(lambda: peopled.do("calls.show", call="none"))[0].startswith("call: no call `none`")


def test_a_call_is_cut_by_the_daemon_with_a_reason_and_a_trace(peopled: Office) -> None:
    assert "the daemon is down" in peopled.refused(lambda: peopled.do("calls.cut", call=CALL))[0]
    ended: list[str] = []
    peopled.cut = lambda call: not ended.append(call)  # type: ignore[func-returns-value]
    assert "no reason" in peopled.refused(lambda: peopled.do("calls.cut", "unix:warden", "", call=CALL))[0]
    peopled.do("calls.cut", "unix:warden", "threats", call=CALL)
    assert ended == [CALL]
    (line,) = peopled.do("audit.list", kind="call", object=CALL)
    assert (line["actor"], line["action"], line["why"]) == ("unix:warden", "cut", "threats")
    peopled.cut = lambda call: False
    assert "not under way" in peopled.refused(lambda: peopled.do("calls.cut", call=CALL))[0]


def test_the_trail_is_verified_and_the_first_bad_line_named(peopled: Office) -> None:
    good = peopled.do("audit.verify")
    assert (good["good"], good["first"], good["problem"], good["books"]) == (True, 1, "", [])
    noted = f"{good['last']}:{good['digest']}"
    assert peopled.do("audit.verify", noted=noted)["good"]
    assert "not a noted line" in peopled.refused(lambda: peopled.do("audit.verify", noted="12"))[0]
    with peopled.database.writing() as connection:
        without_rules(connection, "audit")
        connection.execute(text("UPDATE audit SET object = 'x' WHERE seq = 3"))
    bad = peopled.do("audit.verify")
    assert (bad["good"], bad["line"], bad["problem"]) == (False, 3, "line 3 was altered")
    peopled.at_utc += datetime.timedelta(days=1097)
    assert peopled.refused(lambda: peopled.do("audit.purge"))[0].startswith("line 3 was altered")


def test_books_that_were_cooked_are_named(peopled: Office) -> None:
    pay(peopled, "5")
    with peopled.database.writing() as connection:
        connection.execute(text("UPDATE accounts SET cents = 600 WHERE id = 'detainee:anna'"))
    bad = peopled.do("audit.verify")
    assert not bad["good"]
    assert bad["books"] == ["account detainee:anna says 600 cents, its postings 500"]


def test_the_trail_is_purged_after_its_own_period(peopled: Office) -> None:
    assert peopled.do("audit.purge")["purged"] == 0
    assert "kept for 1096 days" in peopled.refused(lambda: peopled.do("audit.purge", days=30))[0]
    peopled.at_utc = NOON + datetime.timedelta(days=1097)
    done = peopled.do("audit.purge", "unix:dpo", "three years")
    assert done["purged"] > 0
    (record,) = peopled.do("audit.list", kind="audit", actor="unix:dpo")
    assert (record["action"], record["details"]["lines"]) == ("purge", done["purged"])
    assert peopled.do("audit.verify")["good"]


def test_what_is_purged_is_looked_at_and_what_stays_is_not(peopled: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PORTION", 2)
    old = peopled.do("audit.verify")["last"]
    peopled.at_utc = NOON + datetime.timedelta(days=1097)
    for _ in range(3):
        peopled.do("calls.list")
    with peopled.database.writing() as connection:
        without_rules(connection, "audit")
        connection.execute(text(f"UPDATE audit SET object = 'x' WHERE seq = {old + 2}"))
    assert peopled.do("audit.purge", "unix:dpo")["purged"] == old, "a later line that was altered is found as before"
    bad = peopled.do("audit.verify")
    assert (bad["first"], bad["line"]) == (old + 1, old + 2)
    records_ = peopled.do("audit.list", actor="unix:dpo")
    assert len(records_) == -(-old // 2), "one for each portion"


def test_a_line_that_does_not_follow_what_is_purged_keeps_it_from_being_purged(peopled: Office) -> None:
    old = peopled.do("audit.verify")["last"]
    peopled.at_utc = NOON + datetime.timedelta(days=1097)
    peopled.do("calls.list")
    with peopled.database.writing() as connection:
        without_rules(connection, "audit")
        connection.execute(text(f"UPDATE audit SET previous = '{'0' * 64}' WHERE seq = {old + 1}"))
    assert f"line {old + 1} was altered" in peopled.refused(lambda: peopled.do("audit.purge"))[0]


def test_by_itself_it_is_purged_only_where_the_clock_has_shown_this_time_for_days(peopled: Office) -> None:
    leapt = peopled.at_utc = NOON + datetime.timedelta(days=1100)
    for day in range(3):
        assert (
            "the clock may be wrong" in peopled.refused(lambda: records.purge_by_itself(peopled.desk("service")))[0]
        )
        peopled.at_utc = leapt + datetime.timedelta(days=day + 1)
        peopled.do("calls.list")
    peopled.at_utc = leapt + datetime.timedelta(days=4)
    peopled.do("calls.list")
    peopled.at_utc += datetime.timedelta(minutes=1)
    assert records.purge_by_itself(peopled.desk("service", "too old")) > 0
    assert records.purge_by_itself(peopled.desk("service", "too old")) == 0
    (record,) = peopled.do("audit.list", actor="service", kind="audit")
    assert (record["action"], record["why"]) == ("purge", "too old")
    assert peopled.do("audit.verify")["good"]


@pytest.mark.parametrize("name", ["calls.list", "audit.list", "accounts.balance", "accounts.statement"])
def test_each_consultation_leaves_a_line(peopled: Office, name: str) -> None:
    peopled.do(name, "unix:reader", "a complaint")
    (line,) = peopled.do("audit.list", actor="unix:reader")
    assert (line["action"], line["why"]) == ("consult", "a complaint")
