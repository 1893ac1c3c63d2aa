"""The site's rules with real phones: hours that refuse and that shorten, a price, a shared phone with a PIN.

Anna's hours end within two minutes, Chloe's are over, Bilal calls from the yard; each pays a cent a second.
"""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from avisiod.calls.ids import DetaineeId
from tests.e2e.connected import connected, wait_ended
from tests.e2e.one_call import ALIKE, PROMPTS
from tests.e2e.people import Person, accounts, enter
from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.peers.baresip import BaresipPhone
from tests.peers.media import find_sound, read_wav
from tests.peers.ports import free_range
from tests.peers.sip_client import SipClient
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(180)]

ANNA, BILAL, CHLOE = DetaineeId("d-anna"), DetaineeId("d-bilal"), DetaineeId("d-chloe")
SISTER = ContactEntry("sister")
IDENTIFIER, PIN = "471155", "836492"
LIMIT_S = 300.0
OFFER = """\
v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio {port} RTP/AVP 8
a=rtpmap:8 PCMA/8000
"""


def zone_at_noon() -> str:
    """A time zone in which it is between twelve and one now: no window of this test is cut by midnight."""
    ahead = 12 - datetime.datetime.now(datetime.UTC).hour  # noqa: TID251 - the daemon's own wall clock, seen from outside
    return f"Etc/GMT{-ahead:+d}"


def minute() -> int:
    """Of the stage's local day."""
    return 12 * 60 + datetime.datetime.now(datetime.UTC).minute  # noqa: TID251 - as above


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    settings = {
        "site": {"admission": "full", "time_zone": zone_at_noon()},
        "calls": {"limit_s": LIMIT_S, "shortest_s": 20.0},
    }
    phones = [PhoneEntry(), PhoneEntry("cell2"), PhoneEntry("yard")]
    with Stage(tmp_path_factory.mktemp("rules"), settings=settings, phones=phones, contacts=[SISTER]) as stage:
        now = minute()
        anna = Person(ANNA, "cell1", hours=(now - 5, now + 2))
        chloe = Person(CHLOE, "cell2", hours=(now - 5, now - 1))
        enter(stage, [anna, chloe, Person(BILAL, identifier=IDENTIFIER, pin=PIN)], shared=["yard"])
        yield stage


def said(phone: BaresipPhone, prompt: str) -> bool:
    """Whether the phone has heard this prompt; a refusal ends with its last sound, of which a dump lacks some."""
    return find_sound(read_wav(PROMPTS / f"{prompt}.wav").cut(0.0, 4.0), phone.heard(), 0.0).likeness > ALIKE


def last_call(stage: Stage) -> str:
    return str(stage.calls()[-1]["id"])


def wait_event(stage: Stage, call: str, event: str, count: int = 1) -> None:
    def happened() -> bool:
        return [row["event"] for row in stage.journal(call)].count(event) >= count

    wait_until(happened, 15, f"{event} of the call")


def test_hours_that_end_soon_shorten_the_call_and_its_connected_time_is_paid_for(stage: Stage) -> None:
    phone = stage.phone()
    with connected(stage, phone, SISTER) as (relative, call):
        wait_until(lambda: "plus court" in relative.text(), 10, "the page says that the call is shorter")
        wait_until(lambda: said(phone, "shortened_hours"), 20, "the phone hears that the call is shorter")
        phone.hang_up()
        row = wait_ended(stage, call)
    assert row["end_reason"] == "detainee_hung_up"
    assert 0 < float(str(row["limit_s"])) < 120
    assert row["charge_cents"] == int(float(str(row["connected_s"])))
    assert int(str(row["charge_cents"])) > 0
    kept = accounts(stage)
    assert kept[f"detainee:{ANNA}"] == 1000 - int(str(row["charge_cents"]))
    assert kept[f"held:{ANNA}"] == 0


def test_outside_of_its_hours_a_phone_hears_what_can_be_done(stage: Stage) -> None:
    phone = stage.phone("cell2")
    phone.dial(SISTER.dialled)
    phone.wait_closed(30)
    row = wait_ended(stage, last_call(stage))
    assert row["end_reason"] == "outside_hours"
    wait_until(lambda: said(phone, "outside_hours_now"), 10, "the phone has heard why")
    wait_until(lambda: said(phone, "again_tomorrow"), 10, "and when it may call again")
    refused = next(e for e in stage.journal(str(row["id"])) if e["event"] == "Refused")
    assert "outside of the windows of detainee d-chloe; opens" in refused["details"]["because"]


def test_a_shared_phone_takes_identifier_and_pin_by_rfc_4733_after_a_mistake(stage: Stage) -> None:
    phone = stage.phone("yard")
    phone.dial(SISTER.dialled)
    phone.wait_established(15)
    call = last_call(stage)
    wait_event(stage, call, "PhoneAnswered")
    press(stage, phone, call, "000000#", 1)
    wait_event(stage, call, "IdentifierWanted")
    press(stage, phone, call, f"{PIN}#", 2)
    wait_event(stage, call, "SmsAccepted")
    phone.hang_up()
    row = wait_ended(stage, call)
    assert (row["detainee"], row["end_reason"]) == (BILAL, "detainee_gave_up")
    assert row["hold_cents"] == LIMIT_S
    phone.stop()


def press(stage: Stage, phone: BaresipPhone, call: str, pin: str, number: int) -> None:
    phone.press(f"{IDENTIFIER}#")
    wait_event(stage, call, "PinWanted", number)
    phone.press(pin)


def test_a_shared_phone_takes_them_by_sip_info(stage: Stage) -> None:
    entry = stage.phones["yard"]
    with SipClient(stage.edge.edge, entry.user, entry.password) as phone:
        assert phone.register().status == 200
        phone.new_dialogue()
        first, _ = free_range()
        answer = phone.authenticated(
            "INVITE", f"sip:{SISTER.dialled}@avisio", OFFER.replace("\n", "\r\n").format(port=first)
        )
        assert answer.status == 200
        phone.established(answer)
        phone.send(phone.within("ACK").encode())
        call = last_call(stage)
        wait_event(stage, call, "PhoneAnswered")
        for keys, event in ((f"{IDENTIFIER}#", "PinWanted"), (f"{PIN}#", "SmsAccepted")):
            for key in keys:
                info = phone.within("INFO", f"Signal={key}\r\nDuration=160\r\n", "application/dtmf-relay")
                assert phone.ask(info).status == 200
            wait_event(stage, call, event)
        assert phone.ask(phone.within("BYE")).status == 200
    assert wait_ended(stage, call)["detainee"] == BILAL


def test_no_key_that_was_pressed_is_in_any_log_or_journal(stage: Stage) -> None:
    kept = "".join(repr(row) for row in stage.journal()) + repr(stage.rows("select * from calls"))
    kept += repr(stage.rows("select * from audit"))
    logs = [path for path in Path(stage.folder).rglob("*.log") if not path.parent.name.startswith("phone-")]
    assert {path.name for path in logs} >= {"avisiod.log"}
    kept += "".join(path.read_text(errors="replace") for path in logs)
    for secret in (IDENTIFIER, PIN):
        assert secret not in kept
        assert not re.search(r"\D{1,40}".join(secret), kept), "nor digit by digit"
