"""The box on one screen of 80 by 24: what matters is there, whatever the facts are."""

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.office import status_page
from avisiod.office.box import Certificate, Line, Pool, Route, Status
from avisiod.office.status_page import HEIGHT, WIDTH, page

NOW = datetime.datetime(2026, 11, 25, 3, 10, tzinfo=datetime.UTC)
WELL = Status(
    version="0.1.0",
    host="visio-box",
    at_utc=NOW.isoformat(),
    up_s=273600.0,
    state="serving",
    calls={"waiting": 1, "connected": 2, "joining": 0},
    capacity=20,
    workers=(
        Pool(kind="sip", up=6, wanted=6),
        Pool(kind="media", up=2, wanted=2),
        Pool(kind="transcode", up=2, wanted=2),
    ),
    phones_registered=58,
    phones_listed=60,
    sms=(Route(route="modem", kind="modem", state="up", today="12 of 12", detail="Orange F, -71 dBm"),),
    disk_free_bytes=410_000_000_000,
    disk_keep_free_bytes=2_000_000_000,
    disk_trouble="",
    store_up=True,
    certificates=(Certificate(of="portal", ends_utc="2027-01-04T00:00:00+00:00"),),
    backup_age_s=25200.0,
    backup_problem="",
    problems=(),
    lines=(Line(at_utc="2026-11-25T03:01:00+00:00", level="WARNING", text="media_worker ended", call="c1"),),
)


def shown(**changes: Any) -> str:
    return "\n".join(page(msgspec.structs.replace(WELL, **changes), NOW))


def test_a_box_that_is_well() -> None:
    assert shown().splitlines() == [
        "avisiod 0.1.0 on visio-box                     2026-11-25 03:10 UTC, up 3 d 4 h",
        "ALL IS WELL",
        "",
        "Calls        3 of 20: 1 waiting, 2 connected",
        "Workers      6 of 6 SIP, 2 of 2 media, 2 of 2 transcoders",
        "Edge         58 of 60 phones registered",
        "SMS          modem: up; Orange F, -71 dBm; today 12 of 12",
        "Recordings   410.0 GB free, recorded calls are refused at 2.0",
        "Database     takes writes",
        "Certificate  portal: ends in 39 d 20 h, on 2027-01-04",
        "Backup       7 h ago",
        "Doctor       never asked: avisioctl doctor tries every part",
        "",
        "Last warnings and errors (journalctl -u avisiod -p warning)",
        "  03:01 WARNING  media_worker ended",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"problems": ("the modem cannot send: look",)}, "NOT WELL: 1 problem"),
        ({"problems": ("the modem cannot send: look",)}, "! the modem cannot send: look"),
        ({"problems": ("a", "b")}, "NOT WELL: 2 problems"),
        ({"state": "stopping"}, "IS STOPPING: new calls are refused"),
        ({"phones_registered": None}, "Edge         unknown how many of 60 phones registered"),
        ({"sms": ()}, "SMS          NO ROUTE is named in the settings: every call is refused"),
        (
            {"sms": (Route(route="a", kind="modem", state="absent", trouble="no_sim: needs a person"),)},
            "SMS          a: absent; NO_SIM: NEEDS A PERSON",
        ),
        ({"store_up": False}, "Database     TAKES NO WRITES"),
        ({"certificates": ()}, "Certificate  none is named in the settings"),
        (
            {"certificates": (Certificate(of="portal", ends_utc="2026-11-24T03:10:00+00:00"),)},
            "Certificate  portal: HAS ENDED 1 d ago, on 2026-11-24",
        ),
        (
            {"certificates": (Certificate(of="portal", ends_utc="", problem="No such file"),)},
            "Certificate  portal: CANNOT BE READ: No such file",
        ),
        ({"backup_age_s": None}, "Backup       NONE WAS EVER MADE"),
        ({"backup_problem": "disk full"}, "Backup       7 h ago; THE LAST TRY FAILED: disk full"),
        ({"disk_free_bytes": None}, "Recordings   unknown, recorded calls are refused at 2.0"),
    ],
)
def test_what_is_not_well_is_said(changes: dict[str, Any], line: str) -> None:
    assert line in shown(**changes).splitlines()


LINES = st.lists(
    st.builds(Line, at_utc=st.just(NOW.isoformat()), level=st.just("ERROR"), text=st.text(max_size=300)), max_size=30
)


@given(
    problems=st.lists(st.text(max_size=300), max_size=30),
    lines=LINES,
    certificates=st.lists(st.just(WELL.certificates[0]), max_size=9),
    host=st.text(max_size=90),
)
def test_it_is_never_more_than_a_screen(
    problems: list[str], lines: list[Line], certificates: list[Certificate], host: str
) -> None:
    status = msgspec.structs.replace(
        WELL, problems=tuple(problems), lines=tuple(lines), certificates=tuple(certificates), host=host
    )
    found = page(status, NOW)
    assert len(found) <= HEIGHT
    assert all(len(line) <= WIDTH and line.isprintable() for line in found)
    assert any(line.startswith("Backup") for line in found)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (90060, "1 d 1 h"), (86460, "1 d 1 min")],
)
def test_spans(seconds: float, said: str) -> None:
    assert status_page.span(seconds) == said


def test_a_daemon_that_is_down_is_said_first_with_what_to_do() -> None:
    found = status_page.down("/etc/avisiod/avisiod.yaml", ["last backup: 7 h ago"])
    assert found[0].startswith("avisiod IS DOWN")
    assert "  systemctl start avisiod           starts it" in found
    assert found[-1] == "  last backup: 7 h ago"
    assert all(len(line) <= WIDTH for line in found)
