"""SIPp as the phones of a whole gateway: video calls, session descriptions that are broken, CANCELs that race."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers.ports import free_port
from tests.peers.processes import Process
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(240)]

SCENARIOS = Path(__file__).parent / "sipp"
PHONES = tuple(PhoneEntry(user=f"cell{n}", cell=f"A {n}") for n in range(1, 5))
CONTACTS = tuple(ContactEntry(id=f"contact-{n}", number=f"+3363998000{n}") for n in range(1, 5))

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n"
AT = HEAD + "c=IN IP4 127.0.0.1\r\nt=0 0\r\n"
AUDIO = "m=audio 41000 RTP/AVP 8\r\n"
BROKEN = (
    "v=0\r\n",
    "hello\r\n",
    HEAD + "t=0 0\r\n",
    HEAD + "t=0 0\r\n" + AUDIO,
    HEAD + "c=IN IP4 phone.example\r\nt=0 0\r\n" + AUDIO,
    HEAD + "c=IN IP4 224.2.3.4\r\nt=0 0\r\n" + AUDIO,
    HEAD + "c=IN IP6 fd00::1\r\nt=0 0\r\n" + AUDIO,
    AT + "m=audio 99999 RTP/AVP 8\r\n",
    AT + "m=audio 41000 RTP/AVP 300\r\n",
    AT + "m=audio 0 RTP/AVP 8\r\n",
    AT + "m=video 41002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n",
    AT + AUDIO * 40,
    AT + AUDIO + "a=rtpmap:8\r\n",
    AT + AUDIO + "a=fmtp:8 " + "x" * 3000 + "\r\n",
    AT + AUDIO + "m=video 41002 RTP/AVP 99\r\na=fmtp:99 sprop-parameter-sets=!,,;packetization-mode=9\r\n",
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("sipp"), phones=PHONES, contacts=CONTACTS) as stage:
        for phone in PHONES:
            succeeded(stage, started(stage, "register", [phone.user, credentials(phone)], uri="avisio"))
        yield stage


def credentials(phone: PhoneEntry) -> str:
    return f"[authentication username={phone.user} password={phone.password}]"


def started(
    stage: Stage,
    scenario: str,
    values: Sequence[str],
    *,
    uri: str,
    calls: int = 1,
    options: Sequence[str] = (),
    cwd: Path | None = None,
) -> Process:
    """One SIPp that makes these calls one after the other, `values` being [field0] and so on."""
    number = free_port()
    file = stage.folder / f"{scenario}-{number}.csv"
    file.write_text("SEQUENTIAL\n" + ";".join(values) + "\n")
    argv = [
        "sipp", stage.edge.edge, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-inf", str(file),
        "-i", "127.0.0.1", "-p", str(number), "-m", str(calls), "-l", "1", "-r", "20", "-auth_uri", uri,
        "-nostdin", "-timeout", "120", "-recv_timeout", "20000", "-trace_err",
        "-error_file", str(stage.folder / f"{scenario}-{number}.log"), *options,
    ]  # fmt: skip
    log = stage.folder / f"{scenario}-{number}.out"
    return Process(argv, name=f"sipp {scenario}", cwd=cwd or stage.folder, log=log)


def succeeded(stage: Stage, process: Process, *, judged: bool = True) -> None:
    """SIPp itself judges every call of a scenario; its errors are shown where one failed."""
    with process:
        status = process.wait(150)
    if not judged:
        return
    errors = "\n".join(file.read_text(errors="replace")[:2000] for file in stage.folder.glob("*-*.log"))
    assert status == 0, errors[-6000:]


def caller(phone: PhoneEntry, contact: ContactEntry) -> list[str]:
    return [phone.user, credentials(phone), contact.dialled]


def uri(contact: ContactEntry) -> str:
    return f"{contact.dialled}@avisio"


def counted(stage: Stage, beginning: str) -> float:
    return sum(value for name, value in stage.metrics().items() if name.startswith(beginning))


def nothing_is_left(stage: Stage) -> None:
    """Every call has ended, and no process was lost over it."""
    wait_until(lambda: all(call["state"] == "ended" for call in stage.calls()), 30, "every call has ended")
    wait_until(lambda: counted(stage, "avisiod_calls{") == 0, 60, "media and phones of all are let go")
    assert counted(stage, "avisiod_worker_restarts_total") == 0


def all_at_once(
    stage: Stage, scenario: str, calls: int, options: Sequence[str] = (), *, judged: bool = True
) -> list[str]:
    """Every phone runs the scenario with a contact of its own; the reasons for which the calls ended.

    Not `judged`: whatever SIPp thinks of the answers, it is our side of every call that counts.
    """
    before = len(stage.calls())
    processes = [
        started(stage, scenario, caller(phone, contact), uri=uri(contact), calls=calls, options=options)
        for phone, contact in zip(PHONES, CONTACTS, strict=True)
    ]
    for process in processes:
        succeeded(stage, process, judged=judged)
    nothing_is_left(stage)
    return [call["end_reason"] for call in stage.calls()[before:]]


def test_video_calls_of_several_phones_at_once_are_set_up_and_hung_up(stage: Stage) -> None:
    reasons = all_at_once(stage, "video_call", 5)
    assert len(reasons) == 5 * len(PHONES)
    assert set(reasons) <= {"detainee_gave_up", "phone_busy", "contact_busy"}, "busy: the call before ends just now"
    assert reasons.count("detainee_gave_up") >= 2 * len(PHONES)


def test_broken_session_descriptions_are_refused_or_answered_and_never_cost_a_worker(stage: Stage) -> None:
    before = len(stage.calls())
    phone, contact = PHONES[0], CONTACTS[0]
    for number, text in enumerate(BROKEN):
        folder = stage.folder / f"broken-{number}"
        folder.mkdir()
        (folder / "broken.sdp").write_bytes(text.encode())
        one = started(stage, "broken_sdp", caller(phone, contact), uri=uri(contact), cwd=folder)
        succeeded(stage, one)
    nothing_is_left(stage)
    reasons = Counter(call["end_reason"] for call in stage.calls()[before:])
    assert set(reasons) <= {"offer_unacceptable", "detainee_gave_up", "sip_failed"}
    assert reasons["offer_unacceptable"] >= 3, reasons
    assert reasons["detainee_gave_up"] >= 1, "what can be answered is"
    succeeded(stage, started(stage, "video_call", caller(phone, contact), uri=uri(contact)))


def test_cancels_at_any_moment_end_each_call_once(stage: Stage) -> None:
    # An answer that comes while SIPp waits to cancel is one that its scenario does not know: it judges nothing here.
    reasons = all_at_once(stage, "cancel_race", 12, ["-default_behaviors", "all,-abortunexp"], judged=False)
    assert 0 < len(reasons) <= 12 * len(PHONES), (
        "a CANCEL may be quicker than the worker: nobody is told of that call"
    )
    # no_capacity: the ports of a call that was answered rest before another call has them.
    assert set(reasons) <= {"detainee_gave_up", "phone_busy", "contact_busy", "no_capacity"}
    phone, contact = PHONES[0], CONTACTS[0]
    succeeded(stage, started(stage, "video_call", caller(phone, contact), uri=uri(contact)))
