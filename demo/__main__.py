"""One real call from the cell to the browser and back, by itself: `make demo`.

`KEEP=1` leaves the scene standing at the moment of the code, for a person to take the browser's place.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from avisiod.calls.ids import DetaineeId
from avisiod.calls.ledger import account_of
from avisiod.calls.tariff import Tariff
from demo.checks import checks
from demo.contact_sheet import contact_sheet
from demo.money import Money, charged, euros, money_lines
from demo.recording_report import Report, report
from demo.summary import check_line, headline, moment_line, summary
from tests.e2e.one_call import Call, play
from tests.e2e.people import TODAY, Person, accounts, enter
from tests.e2e.stage import Stage
from tests.e2e.story import Moment, Story
from tests.peers import assets
from tests.peers.baresip import BaresipPhone
from tests.peers.waiting import NotSeen

FOLDER = Path("demo-out")
LIMIT_S = 30.0
WARNINGS_S = (15.0, 5.0)
TALK_S = 1800
"""A phone that a person talks to does not run out of words before the call's limit."""
REDIAL_S = 5.0
DETAINEE = Person(DetaineeId("d-0001"), "cell1", cents=1000)
TARIFF = Tariff(id="evening", unit="minute", price=1500, valid_from=TODAY)
"""15 cents a begun minute."""


def main() -> int:
    """Exit status: 0 only if every step was seen to happen."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keep = bool(os.environ.get("KEEP"))
    shutil.rmtree(FOLDER, ignore_errors=True)
    story = Story(_tell)
    limit, warnings = (1200.0, (120.0, 30.0)) if keep else (LIMIT_S, WARNINGS_S)
    settings = {"site": {"admission": "full"}, "calls": {"limit_s": limit, "warnings_s": list(warnings)}}
    stage = Stage(FOLDER, settings=settings, story=story)
    print(headline("A call from the cell to the browser"))
    if keep:
        return _stay(stage)
    try:
        with stage:
            _enter(stage)
            call = play(stage, LIMIT_S)
            account = accounts(stage).get(account_of(DETAINEE.id))
    except NotSeen as error:
        print(headline("It stopped here"), error, f"\n  logs: {stage.folder}", sep="\n")
        return 1
    return _sum_up(stage, call, account)


def _enter(stage: Stage) -> None:
    """Who may call whom, when, and at what price."""
    enter(stage, [DETAINEE], TARIFF)
    stage.story.add("staff", f"enters a detainee with {euros(DETAINEE.cents)}, an authorisation, hours, a tariff")


def _tell(moment: Moment, began: float) -> None:
    print(moment_line(moment, began), flush=True)


def _sum_up(stage: Stage, call: Call, account: int | None) -> int:
    recording: Report | None = None
    sheet: Path | None = None
    if call.recording:
        try:
            recording = report(call.recording)
            sheet = contact_sheet(recording, stage.folder / "contact-sheet.png")
        except RuntimeError as error:
            call.troubles.append(str(error))
    money = Money(TARIFF, DETAINEE.cents, account)
    found = [*checks(call, LIMIT_S, WARNINGS_S, recording), charged(call, money)]
    print(*summary(stage.story.moments(), stage.story.began, call, recording, sheet), sep="\n")
    print(headline("Money"), *money_lines(call, money), sep="\n")
    print(headline("Seen to happen"), *map(check_line, found), sep="\n")
    if call.troubles:
        print(headline("Troubles"), *(f"  {trouble}" for trouble in call.troubles), sep="\n")
    print(f"\n  pictures and logs: {stage.folder}")
    return 0 if all(check.seen for check in found) else 1


def _stay(stage: Stage) -> int:
    """The phone dials, and dials again whenever a call is over; until Ctrl-C."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with stage:
        _enter(stage)
        phone = stage.phone(sound=assets.talk(seconds=TALK_S))
        while not over.is_set():
            try:
                _one_more(stage, phone, over)
            except (NotSeen, RuntimeError) as error:
                print(error)
            print("  The phone dials again in a moment.", flush=True)
            over.wait(REDIAL_S)
    return 0


def _one_more(stage: Stage, phone: BaresipPhone, over: threading.Event) -> None:
    """Dial, say what a person needs to know, and wait for the call's end."""
    mark, sms_mark = phone.events.mark(), stage.sms.mark()
    phone.dial(stage.contacts[0].dialled)
    code = stage.wait_code(since=sms_mark)
    print(headline("Take the browser's place"))
    print(f"  portal: {stage.portal_url}   (its certificate is self-signed: accept it)\n  code:   {code}")
    print("  Ctrl-C ends everything.", flush=True)
    while not over.is_set():
        with contextlib.suppress(NotSeen):
            print(f"  The call is over: {phone.wait_closed(1.0, since=mark) or 'BYE'}")
            return


if __name__ == "__main__":
    sys.exit(main())
