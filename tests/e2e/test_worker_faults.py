"""A worker, Kamailio, the modem or the database fails in mid-call: what needed it ends right, all else goes on."""

import contextlib
import os
import resource
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.recording_report import report
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import line, pause, talking
from tests.peers.waiting import wait_until
from tests.peers.workers import command, workers

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SISTER, BROTHER, COUSIN = (
    ContactEntry("sister", "+33639980001"),
    ContactEntry("brother", "+33639980002"),
    ContactEntry("cousin", "+33639980003"),
)
CONTACTS = [SISTER, BROTHER, COUSIN]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    settings = {
        "calls": {"limit_s": 120.0, "warnings_s": [60.0], "grace_s": 20.0},
        "media": {"workers": 2, "phone_silent_s": 8.0, "outside_silent_s": 5.0},
    }
    phones = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {n}") for n in (1, 2, 3)]
    with Stage(
        tmp_path_factory.mktemp("worker-faults"), settings=settings, phones=phones, contacts=CONTACTS
    ) as stage:
        yield stage


@pytest.fixture(autouse=True)
def quiet_afterwards(stage: Stage) -> Iterator[None]:
    """No test leaves a call, or a worker that is still down, to the next one."""
    yield
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 60, "every call has ended")
    for module in ("sip_worker", "media_worker"):
        wait_until(lambda: len(workers(stage.daemon.pid, module)) == 2, 30, f"every {module} is there")  # noqa: B023


def runs_again(stage: Stage, module: str, since: int) -> None:
    stage.daemon.wait_for_line(rf"{module} runs \(pid", 30, since=since)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT, signal.SIGSTOP])
def test_a_sip_worker_that_ends_or_is_stopped_costs_no_call(stage: Stage, how: signal.Signals) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        pid, mark = talk.phone.sip_worker, stage.daemon.lines.mark()
        os.kill(pid, how)
        if how is signal.SIGSTOP:
            stage.daemon.wait_for_line(rf"sip_worker \(pid {pid}\) was stopped by somebody", 10, since=mark)
        else:
            runs_again(stage, "sip_worker", mark)
        talk.wait_flowing()
        with talking(stage, "cell2", BROTHER) as second:
            second.relative.hang_up()
            assert second.phone.wait_ended() == ("relative_hung_up", 1)
            second.phone.wait_hung_up()
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
        talk.wait_told("relative_hung_up")
        if how is signal.SIGSTOP:
            assert pid in workers(stage.daemon.pid, "sip_worker")
            talk.phone.wait_hung_up()


def test_a_phone_that_hangs_up_after_its_sip_worker_died_is_noticed_by_its_silence(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        mark = stage.daemon.lines.mark()
        os.kill(talk.phone.sip_worker, signal.SIGKILL)
        runs_again(stage, "sip_worker", mark)
        talk.wait_flowing()
        assert talk.phone.bye() == 481
        talk.phone.media.close()
        assert talk.phone.wait_ended() == ("phone_lost", 0)
        talk.wait_told("phone_lost")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT])
def test_a_media_worker_that_dies_ends_its_own_calls_and_no_other(stage: Stage, how: signal.Signals) -> None:
    with talking(stage, "cell1", SISTER) as hit, talking(stage, "cell2", BROTHER) as spared:
        assert hit.phone.media_worker != spared.phone.media_worker
        mark, other = stage.daemon.lines.mark(), spared.phone.media_worker
        os.kill(hit.phone.media_worker, how)
        assert hit.phone.wait_ended() == ("media_failed", 0)
        hit.wait_told("media_failed")
        hit.phone.wait_hung_up()
        spared.wait_flowing()
        runs_again(stage, "media_worker", mark)

        def kept() -> list[dict[str, object]]:
            return stage.rows("select * from recordings where call = ?", hit.phone.call)

        wait_until(lambda: bool(kept()), 30, "its recording is in the store")
        assert kept()[0]["truncated"] == 1
        assert len(report(Path(str(kept()[0]["path"]))).tracks) == 4
        with talking(stage, "cell3", COUSIN) as new:
            assert new.phone.media_worker != other, "the least busy worker is the one that is back"
            new.relative.hang_up()
            assert new.phone.wait_ended() == ("relative_hung_up", 1)
        spared.relative.hang_up()
        assert spared.phone.wait_ended() == ("relative_hung_up", 1)

        def whole() -> bool:
            sealed = stage.rows("select truncated from recordings where call = ?", spared.phone.call)
            return sealed == [{"truncated": 0}]

        wait_until(whole, 30, "the other recording is whole")


def test_a_media_worker_that_is_stopped_goes_on_with_its_calls(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        pid = talk.phone.media_worker
        os.kill(pid, signal.SIGSTOP)
        talk.wait_flowing()
        assert talk.phone.media_worker == pid
        assert talk.phone.row()["state"] == "connected"
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)


def test_while_control_stands_still_calls_go_on_and_no_worker_is_lost(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk:
        before = sorted(workers(stage.daemon.pid))
        os.kill(stage.daemon.pid, signal.SIGSTOP)
        try:
            talk.wait_flowing()
            pause(5.0)
            talk.wait_flowing()
        finally:
            os.kill(stage.daemon.pid, signal.SIGCONT)
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)
        talk.wait_told("relative_hung_up")
        assert sorted(workers(stage.daemon.pid)) == before


def test_kamailio_that_is_killed_in_mid_call_is_not_noticed_by_the_call(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as first, talking(stage, "cell2", BROTHER) as second:
        stage.edge.process.kill()
        first.wait_flowing()
        second.relative.hang_up()  # the BYE to its phone waits for Kamailio to be back
        assert second.phone.wait_ended() == ("relative_hung_up", 1)
        stage.edge.start()
        assert first.phone.bye() == 200
        assert first.phone.wait_ended() == ("detainee_hung_up", 1)
        second.phone.wait_hung_up()

    def registered() -> float:
        return stage.metrics()['avisiod_phones{registered="yes"}']

    wait_until(lambda: registered() >= 2, 15, "the registrations were kept")


def test_a_modem_that_is_away_for_a_moment_sends_the_code_all_the_same(stage: Stage) -> None:
    with line(stage, "cell1", SISTER) as phone:
        since, mark = stage.sms.mark(), stage.daemon.lines.mark()
        stage.modem.unplug()
        stage.daemon.wait_for_line("is lost", 30, since=mark)
        assert phone.dial() == 200
        pause(2.0)
        stage.modem.plug()
        assert stage.wait_code(SISTER, since, 50)
        assert phone.bye() == 200
        assert phone.wait_ended() == ("detainee_gave_up", 0)


def test_without_a_free_port_a_call_is_refused_and_the_running_one_goes_on(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk, contextlib.ExitStack() as taken:
        first, last = stage.settings["media"]["phone_ports"]
        for port in range(first, last + 1):
            with contextlib.suppress(OSError):
                taken.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        with line(stage, "cell2", BROTHER) as second:
            assert second.dial() == 503
            assert second.wait_ended() == ("no_capacity", 0)
        talk.wait_flowing()
        taken.close()
        with talking(stage, "cell2", BROTHER) as again:
            again.relative.hang_up()
            assert again.phone.wait_ended() == ("relative_hung_up", 1)
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)


def test_a_worker_without_descriptors_refuses_calls_and_keeps_those_it_has(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk, contextlib.ExitStack() as undone:
        for pid in workers(stage.daemon.pid, "media_worker"):
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            undone.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, limits)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + 1, limits[1]))
        with line(stage, "cell2", BROTHER) as second:
            assert second.dial() >= 500
            assert second.wait_ended()[0] in ("no_capacity", "media_failed")
        talk.wait_flowing()
        undone.close()
        with talking(stage, "cell2", BROTHER) as again:
            again.relative.hang_up()
            assert again.phone.wait_ended() == ("relative_hung_up", 1)
        assert talk.phone.bye() == 200
        assert talk.phone.wait_ended() == ("detainee_hung_up", 1)


def test_a_database_that_is_held_for_half_a_minute_ends_what_needs_it_and_no_more(stage: Stage) -> None:
    with talking(stage, "cell1", SISTER) as talk, talking(stage, "cell3", COUSIN) as ending:
        with contextlib.closing(sqlite3.connect(stage.database, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            talk.wait_flowing()
            with line(stage, "cell2", BROTHER) as second:
                assert second.dial(40) >= 500, "admitted calls must be written down"
                wait_until(lambda: "database" in stage.health(), 30, "/health tells of it")
                ending.relative.hang_up()
                ending.wait_told("relative_hung_up")
                ending.phone.wait_hung_up()
                pause(10.0)
                talk.wait_flowing()
                other.execute("ROLLBACK")
                wait_until(lambda: "database" not in stage.health(), 30, "the database takes writes again")
        assert talk.phone.row()["state"] == "connected"
        assert ending.phone.wait_ended() == ("relative_hung_up", 1), "stored once that could be, as it was"
        with talking(stage, "cell2", BROTHER) as again:
            again.relative.hang_up()
            assert again.phone.wait_ended() == ("relative_hung_up", 1)
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)

        def kept() -> bool:
            return bool(stage.rows("select * from recordings where call = ?", ending.phone.call))

        wait_until(kept, 90, "its recording is in the store, without a restart")
        ended = [row["end_reason"] for row in stage.calls() if row["phone"] == "cell2"][-2]
        assert ended == "store_failed", "stored once that could be"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT, signal.SIGQUIT])
def test_control_that_dies_ends_its_calls_uncharged_and_both_are_told(stage: Stage, how: signal.Signals) -> None:
    with talking(stage, "cell1", SISTER) as talk, talking(stage, "cell2", BROTHER) as other:
        left = workers(stage.daemon.pid)
        os.kill(stage.daemon.pid, how)
        for each in (talk, other):
            each.phone.wait_hung_up()
        # As systemd does: the next start waits for the last process of the old one.
        wait_until(lambda: not any(command(pid) for pid in left), 60, "its workers have ended")
        stage.start_daemon()
        for each in (talk, other):
            assert each.phone.wait_ended() == ("service_restarted", 0)
            assert each.relative.resume()["why"] == "over"

            def kept(call: str = each.phone.call) -> bool:
                return bool(stage.rows("select * from recordings where call = ?", call))

            wait_until(kept, 60, "its recording is in the store")
    wait_served(stage)
    with talking(stage, "cell1", SISTER) as talk:
        talk.relative.hang_up()
        assert talk.phone.wait_ended() == ("relative_hung_up", 1)


def wait_served(stage: Stage) -> None:
    """The edge, which asks once a second, has seen the workers again."""

    def served() -> bool:
        with line(stage, "cell1", BROTHER) as phone:  # whose SMS nobody waits for
            return phone.dial() == 200 and phone.bye() == 200

    wait_until(served, 30, "a phone is served", 0.5)


def test_after_a_stop_in_which_somebody_dialled_phones_are_served_again(stage: Stage) -> None:
    stage.stop_daemon()
    with line(stage, "cell1", SISTER) as phone:
        assert phone.dial(20) == 503
    pause(6.0)  # the edge has asked its workers in vain meanwhile
    stage.start_daemon()
    wait_served(stage)
