"""The modem through a real serial port (a pty) against a software modem that fails on command."""

import os

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred

from avisiod.devices.modem_state import Sim
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from tests.devices.conftest import CODE, NUMBER, PIN, TEXT


def outcome(deferred: Deferred) -> list:
    """Where the result of a sending will stand: nothing yet, or None, or the failure's kind."""
    results: list = []
    deferred.addCallbacks(lambda _: results.append("accepted"), lambda f: results.append(_kind(f)))
    return results


def _kind(failure):
    return failure.value.kind if failure.check(RouteFailure) else failure.type


@pytest_twisted.ensureDeferred
async def test_a_message_goes_out_and_everything_is_known(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    await modem.send(b.sms())
    (sms,) = b.soft.received
    assert (sms.number, sms.text, sms.validity, sms.coding) == (NUMBER, TEXT, 0, 0)
    state = modem.state
    assert (state.sim, state.registered, state.operator, state.signal_dbm) == (Sim.READY, True, "Soft Mobile", -73)
    assert (state.sent, state.failed, state.last_error) == (1, 0, None)
    assert state.last_latency_s is not None
    assert b.states[-1] == state


@pytest_twisted.ensureDeferred
async def test_a_text_outside_of_gsm_goes_out_as_ucs2(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    await modem.send(b.sms(text=f"رمز {CODE} œ"))
    assert [(s.text, s.coding) for s in b.soft.received] == [(f"رمز {CODE} œ", 8)]


@pytest.mark.parametrize(
    "faults",
    [
        {"half_lines": True},
        {"garbage": b"\xfe\x00%%?\r\n"},
        {"garbage": b"x" * 5000 + b"\r\n"},
        {"chatter": ("+CREG: 1", '+CMTI: "SM",3', "^RSSI: 20", "RING")},
        {"echo_stuck": True},
        {"echo_stuck": True, "half_lines": True, "chatter": ("+CSQ: 12,99",)},
        {"slow_s": 0.02},
    ],
    ids="+".join,
)
@pytest_twisted.ensureDeferred
async def test_an_awkward_modem_is_understood(bench, faults):
    b = bench()
    for name, value in faults.items():
        setattr(b.soft.faults, name, value)
    modem = b.start()
    await b.until(lambda: modem.state.usable, "a usable modem")
    await modem.send(b.sms())
    assert [s.text for s in b.soft.received] == [TEXT]
    assert b.soft.strays == []


# Delivery reports.


@pytest.mark.parametrize(("status", "delivered"), [(0, True), (0x46, False)])
@pytest_twisted.ensureDeferred
async def test_a_report_finds_its_message(bench, status, delivered):
    b = bench()
    modem = b.start()
    await b.ready()
    await modem.send(b.sms(id="first"))
    await modem.send(b.sms(id="second"))
    first = b.soft.received[0].reference
    b.clock.advance(3)
    b.soft.report(first, status=0x20)  # still trying: no news yet
    b.soft.report(first, status=status)
    b.soft.report(first, status=status)  # repeated: told once
    await b.until(lambda: b.reports, "the report")
    assert [(r.sms, r.delivered, r.status) for r in b.reports] == [("first", delivered, status)]
    assert b.reports[0].after_s >= 3
    assert (modem.state.delivered, modem.state.undelivered) == (int(delivered), int(not delivered))


@pytest_twisted.ensureDeferred
async def test_a_report_that_overtakes_the_acceptance_counts(bench):
    b = bench()
    b.soft.faults.report_first = True
    modem = b.start()
    await b.ready()
    await modem.send(b.sms())
    await b.until(lambda: b.reports, "the report")
    assert [r.sms for r in b.reports] == ["sms-1"]


@pytest.mark.parametrize(
    ("refused", "kept"),
    [((), "2,1,2,1,0"), (("2,1,2,1,0",), "2,1,2,2,0"), (("2,1,2,1,0", "2,1,2,2,0"), "2,1,2,0,0")],
)
@pytest_twisted.ensureDeferred
async def test_reports_are_asked_for_in_the_way_that_the_modem_knows(bench, refused, kept):
    b = bench()
    b.soft.faults.cnmi_refused = refused
    modem = b.start()
    await b.ready()
    assert [c for c in b.soft.commands if "CNMI" in c][-1] == f"AT+CNMI={kept}"
    assert modem.state.reports is (kept != "2,1,2,0,0")


@pytest_twisted.ensureDeferred
async def test_a_stored_report_is_read_and_deleted(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    await modem.send(b.sms())
    b.soft.report(stored=True)
    await b.until(lambda: b.reports, "the report")
    await b.until(lambda: b.soft.memory == {}, "an empty memory")


@pytest_twisted.ensureDeferred
async def test_no_report_is_asked_for_where_the_site_wants_none(bench):
    b = bench()
    modem = b.start(reports=False)
    await b.ready()
    await modem.send(b.sms())
    assert not b.soft.received[0].report_wanted
    assert not modem.state.reports


@pytest_twisted.ensureDeferred
async def test_an_answer_to_a_code_is_deleted_unread(bench):
    b = bench()
    b.start()
    await b.ready()
    b.soft.incoming(4)
    await b.until(lambda: b.soft.memory == {}, "an empty memory")
    assert "AT+CMGR=4" not in b.soft.commands


# Failures by class.


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        (38, FailureKind.NETWORK, True),
        (41, FailureKind.NETWORK, True),
        (42, FailureKind.NETWORK, True),
        (47, FailureKind.NETWORK, True),
        (331, FailureKind.NETWORK, True),
        (332, FailureKind.NETWORK, True),
        (500, FailureKind.UNKNOWN, True),
        (777, FailureKind.UNKNOWN, True),
        (330, FailureKind.SMSC, False),
        (1, FailureKind.REFUSED, False),
        (50, FailureKind.BARRED, False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_error_of_the_network_is_told_with_its_class_and_the_modem_serves_on(bench, code, kind, again):
    b = bench()
    b.soft.faults.cms = {code: 1}
    modem = b.start()
    await b.ready()
    with pytest.raises(RouteFailure, match=f"CMS {code}") as caught:
        await modem.send(b.sms())
    assert (caught.value.kind, caught.value.kind.again) == (kind, again)
    assert (modem.state.last_error, modem.state.failed) == (kind, 1)
    await modem.send(b.sms())
    assert modem.state.last_error is None


@pytest.mark.parametrize(("code", "kind"), [(310, FailureKind.SIM), (313, FailureKind.SIM), (311, FailureKind.PIN)])
@pytest_twisted.ensureDeferred
async def test_a_sim_that_fails_takes_the_route_down_until_it_is_set_up_again(bench, code, kind):
    b = bench()
    b.soft.faults.cms = {code: 1}
    modem = b.start()
    await b.ready()
    with pytest.raises(RouteFailure) as caught:
        await modem.send(b.sms())
    assert caught.value.kind is kind
    assert not kind.again
    await b.until(lambda: not modem.state.usable, "the route down")
    await b.until(lambda: modem.state.usable, "the route up", step=0.2)
    await modem.send(b.sms())


@pytest_twisted.ensureDeferred
async def test_a_full_memory_is_emptied_and_the_message_goes_out(bench):
    b = bench()
    b.soft.faults.memory_full = True
    modem = b.start()
    await b.ready()
    await modem.send(b.sms())
    assert "AT+CMGD=1,4" in b.soft.commands
    assert len(b.soft.received) == 1


@pytest_twisted.ensureDeferred
async def test_a_number_that_cannot_be_called_fails_without_a_command(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    with pytest.raises(RouteFailure, match=r"E\.164") as caught:
        await modem.send(b.sms(number=NUMBER[1:]))
    assert caught.value.kind is FailureKind.REFUSED


@pytest_twisted.ensureDeferred
async def test_without_a_network_it_says_so_and_looks_again_before_every_message(bench):
    b = bench()
    b.soft.registration = 2
    modem = b.start()
    await b.until(lambda: modem.state.operator, "a first poll")
    results = outcome(modem.send(b.sms()))
    await b.until(lambda: results, "a result")
    assert results == [FailureKind.NETWORK]
    assert not modem.state.registered
    b.soft.registration = 5
    await modem.send(b.sms())
    assert modem.state.roaming


# Silence.


@pytest_twisted.ensureDeferred
async def test_a_prompt_that_does_not_come_is_escaped_and_nothing_becomes_a_message(bench):
    b = bench()
    b.soft.faults.no_prompt = 1
    modem = b.start()
    await b.ready()
    results = outcome(modem.send(b.sms()))
    await b.until(lambda: results, "a result", step=0.1)
    assert results == [FailureKind.NO_ANSWER]
    assert b.soft.strays == []
    await modem.send(b.sms())
    assert len(b.soft.received) == 1


@pytest.mark.parametrize("fault", ["lose_submit", "silent_after_submit"])
@pytest_twisted.ensureDeferred
async def test_silence_after_the_message_is_an_unknown_fate_and_the_modem_is_called_to_order(bench, fault):
    b = bench()
    modem = b.start()
    await b.ready()
    setattr(b.soft.faults, fault, 1)
    began = b.clock.now()
    failure = []
    modem.send(b.sms()).addErrback(lambda f: failure.append(f.value))
    await b.until(lambda: failure, "a failure", step=1)
    assert failure[0].kind is FailureKind.NO_ANSWER
    assert "not known whether" in str(failure[0])
    assert b.clock.now() - began <= 45
    await b.until(lambda: modem.state.usable, "the modem back", step=0.05)
    await modem.send(b.sms())


@pytest_twisted.ensureDeferred
async def test_a_modem_that_hangs_is_closed_and_opened_again(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.silent = True
    results = outcome(modem.send(b.sms()))
    await b.until(lambda: results, "a result", step=0.2)
    assert results == [FailureKind.NO_ANSWER]
    await b.until(lambda: not modem.state.present, "the modem lost", step=0.2)
    results = outcome(modem.send(b.sms()))
    assert results == [FailureKind.NO_MODEM]
    b.soft.faults.silent = False
    await b.until(lambda: modem.state.usable, "the modem back", step=0.2)
    await modem.send(b.sms())


@pytest_twisted.ensureDeferred
async def test_a_hang_is_found_without_a_message(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.silent = True
    await b.until(lambda: not modem.state.present, "the modem lost", step=0.5)
    assert modem.state.last_error is FailureKind.NO_MODEM


@pytest_twisted.ensureDeferred
async def test_a_modem_that_restarts_is_set_up_again(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.commands.clear()
    b.soft.restart()
    await b.until(lambda: any("CNMI" in c for c in b.soft.commands), "a new set-up", step=0.05)
    await b.ready()
    await modem.send(b.sms())
    assert [s.text for s in b.soft.received] == [TEXT]


@pytest_twisted.ensureDeferred
async def test_a_restart_in_mid_sending_fails_the_message_and_never_sends_the_pdu_as_text(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.restart_on = "AT+CMGS"
    results = outcome(modem.send(b.sms()))
    await b.until(lambda: results, "a result", step=0.05)
    assert results == [FailureKind.NO_ANSWER]
    await b.ready()
    await modem.send(b.sms())
    assert b.soft.strays == []


# Unplugged.


@pytest_twisted.ensureDeferred
async def test_an_absent_modem_is_taken_up_when_it_is_plugged_in(bench):
    b = bench(plugged=False)
    modem = b.start()
    assert outcome(modem.send(b.sms())) == [FailureKind.NO_MODEM]
    b.clock.advance(100)
    b.soft.plug()
    await b.until(lambda: modem.state.usable, "the modem", step=0.2)
    await modem.send(b.sms())


@pytest_twisted.ensureDeferred
async def test_unplugged_in_mid_sending_the_message_fails_at_once_and_the_next_succeeds_after_replug(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.lose_submit = 1
    results = outcome(modem.send(b.sms()))
    await b.until(lambda: not b.soft.faults.lose_submit, "the message at the modem")
    b.soft.unplug()
    await b.until(lambda: results, "a result")  # the clock stands: no time-out is waited for
    assert results == [FailureKind.NO_ANSWER]
    assert not modem.state.present
    b.soft.plug()
    await b.until(lambda: modem.state.usable, "the modem back", step=0.05)
    await modem.send(b.sms())
    assert len(b.soft.received) == 1


@pytest_twisted.ensureDeferred
async def test_a_return_to_its_path_cuts_the_pause_short(bench):
    b = bench(plugged=False)
    modem = b.start()
    for _ in range(200):
        b.clock.advance(1)  # pauses are 30 s by now
    b.soft.plug()
    before = b.clock.now()
    await b.until(lambda: modem.state.present, "the modem", step=0.05)
    assert b.clock.now() - before < 3


@pytest_twisted.ensureDeferred
async def test_trouble_is_a_warning_once_and_its_end_is_told(bench, caplog):
    b = bench(plugged=False)
    modem = b.start()
    for _ in range(100):
        b.clock.advance(1)
    b.soft.plug()
    await b.until(lambda: modem.state.usable, "the modem", step=0.2)
    ours = [r for r in caplog.records if r.name == "avisiod.devices.modem"]
    assert [r.levelname for r in ours if "is lost" in r.message].count("WARNING") == 1
    assert [r.levelname for r in ours if "is lost" in r.message].count("DEBUG") >= 3
    assert [r.levelname for r in ours if "answers" in r.message] == ["INFO"]


@pytest_twisted.ensureDeferred
async def test_a_port_that_another_program_holds_is_left_alone(bench):
    import fcntl

    b = bench()
    fd = os.open(b.soft.link, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        modem = b.start()
        assert not modem.state.present
        b.clock.advance(5)
        assert b.soft.commands == []
    finally:
        os.close(fd)
    await b.until(lambda: modem.state.usable, "the modem", step=0.2)


# The SIM's PIN.


def pin_file(b, pin):
    path = b.folder / "pin"
    path.write_text(pin + "\n")
    return str(path)


@pytest_twisted.ensureDeferred
async def test_the_pin_unlocks_the_sim(bench):
    b = bench(pin=PIN)
    modem = b.start(pin_file=pin_file(b, PIN))
    await b.until(lambda: modem.state.usable, "the modem", step=0.05)
    assert b.soft.pins_seen == [PIN]
    assert not (b.folder / "mark").exists()
    await modem.send(b.sms())


@pytest_twisted.ensureDeferred
async def test_a_wrong_pin_is_sent_once_not_even_a_new_start_tries_it_again(bench):
    b = bench(pin="0000")
    path = pin_file(b, PIN)
    modem = b.start(pin_file=path)
    await b.until(lambda: modem.state.sim is Sim.PIN_REFUSED, "the refusal", step=0.05)
    b.soft.unplug()
    b.soft.plug()
    b.soft.commands.clear()
    await b.until(lambda: b.soft.commands.count("AT+CPIN?") > 3, "more looks at the SIM", step=0.5)
    modem.stop()
    b.soft.commands.clear()
    modem = b.start(pin_file=path)
    await b.until(lambda: modem.state.sim is Sim.PIN_REFUSED, "the refusal", step=0.05)
    assert b.soft.pins_seen == [PIN]
    assert b.soft.pin_tries == 2
    assert outcome(modem.send(b.sms())) == [FailureKind.PIN]


@pytest_twisted.ensureDeferred
async def test_a_corrected_pin_is_tried(bench):
    b = bench(pin=PIN)
    path = pin_file(b, "1111")
    modem = b.start(pin_file=path)
    await b.until(lambda: modem.state.sim is Sim.PIN_REFUSED, "the refusal", step=0.05)
    pin_file(b, PIN)
    await b.until(lambda: modem.state.usable, "the modem", step=0.2)
    assert b.soft.pins_seen == ["1111", PIN]


@pytest_twisted.ensureDeferred
async def test_the_last_try_is_left_to_a_person(bench):
    b = bench(pin=PIN, pin_tries=1)
    modem = b.start(pin_file=pin_file(b, PIN))
    await b.until(lambda: modem.state.sim is Sim.PIN_REFUSED, "the refusal", step=0.05)
    assert b.soft.pins_seen == []


@pytest.mark.parametrize(
    ("content", "mark"),
    [("12", "mark"), ("12ab", "mark"), (f"{PIN} 1", "mark"), (PIN, "missing/mark"), (None, "mark")],
)
@pytest_twisted.ensureDeferred
async def test_a_pin_that_cannot_be_used_is_not_sent(bench, content, mark):
    b = bench(pin=PIN)
    path = pin_file(b, content) if content else str(b.folder / "nowhere")
    modem = b.start(pin_file=path, pin_mark_file=str(b.folder / mark))
    await b.until(lambda: modem.state.sim is Sim.PIN_NEEDED, "the lack of a PIN", step=0.05)
    assert b.soft.pins_seen == []


@pytest.mark.parametrize(
    ("sim", "seen"), [("SIM PUK", Sim.PUK_NEEDED), ("absent", Sim.ABSENT), ("PH-SIM PIN", Sim.FAILED)]
)
@pytest_twisted.ensureDeferred
async def test_a_sim_that_needs_a_person_is_reported_and_nothing_is_sent_to_it(bench, caplog, sim, seen):
    b = bench(sim=sim)
    modem = b.start(pin_file=pin_file(b, PIN))
    await b.until(lambda: modem.state.sim is seen, "the SIM's state", step=0.05)
    assert b.soft.pins_seen == []
    assert modem.state.present
    result = outcome(modem.send(b.sms()))
    assert not result[0].again
    assert [r.levelname for r in caplog.records if "cannot send" in r.message] == ["WARNING"]


# No longer wanted.


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_cancelled_before_it_leaves_does_not_leave(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.no_prompt = 1
    first = modem.send(b.sms(id="first"))
    second = modem.send(b.sms(id="second"))
    cancelled = outcome(second)
    results = outcome(first)
    second.cancel()
    assert cancelled == [CancelledError]
    await b.until(lambda: results, "the first one's result", step=0.1)
    await modem.send(b.sms(id="third"))
    assert len(b.soft.received) == 1


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_cancelled_at_the_prompt_is_escaped(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.hold_prompt = True
    sending = modem.send(b.sms())
    results = outcome(sending)
    await b.until(lambda: b.soft.commands[-1].startswith("AT+CMGS"), "the sending begun")
    sending.cancel()
    assert results == [CancelledError]
    b.soft.prompt()
    await modem.send(b.sms())
    assert len(b.soft.received) == 1
    assert b.soft.strays == []
    assert modem.state.failed == 0, "a caller who hung up is no failure of the modem"


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_late_at_the_prompt_is_escaped(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.hold_prompt = True
    results = outcome(modem.send(b.sms(give_up_at=b.clock.now() + 2)))
    await b.until(lambda: b.soft.commands[-1].startswith("AT+CMGS"), "the sending begun")
    b.clock.advance(3)
    b.soft.prompt()
    await b.until(lambda: results, "a result")
    assert results == [FailureKind.EXPIRED]
    assert b.soft.received == []
    assert outcome(modem.send(b.sms(give_up_at=b.clock.now()))) == [FailureKind.EXPIRED]


@pytest_twisted.ensureDeferred
async def test_stopping_fails_what_is_in_hand_and_closes_the_port(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    b.soft.faults.lose_submit = 1
    results = outcome(modem.send(b.sms()))
    modem.stop()
    assert results == [FailureKind.NO_MODEM]
    assert outcome(modem.send(b.sms())) == [FailureKind.NO_MODEM]


@pytest_twisted.ensureDeferred
async def test_it_may_be_stopped_from_its_own_answer(bench, caplog):
    b = bench()
    modem = b.start()
    await b.ready()
    results = outcome(modem.send(b.sms()).addCallback(lambda _: modem.stop()))
    await b.until(lambda: results, "a result")
    b.soft.unplug()
    b.clock.advance(100)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


@pytest_twisted.ensureDeferred
async def test_it_may_be_stopped_when_the_loss_is_told(bench):
    b = bench()
    modem = b.start()
    await b.ready()
    modem._changed = lambda state: None if state.present else modem.stop()
    b.soft.unplug()
    await b.until(lambda: not modem.state.present, "the loss")
    b.soft.plug()
    b.soft.commands.clear()
    b.clock.advance(100)
    assert b.soft.commands == []
