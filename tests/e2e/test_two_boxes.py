"""Two boxes share PostgreSQL and an edge: a code that is typed at the wrong one, and one that is killed."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from playwright.sync_api import Error
from psycopg.rows import dict_row

from tests.e2e.stage import ContactEntry, PhoneEntry, Stage
from tests.e2e.talk import line, talking
from tests.peers import portal
from tests.peers.browser import Relative
from tests.peers.kamailio import Kamailio
from tests.peers.ports import free_port
from tests.peers.postgres import Postgres
from tests.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.e2e, pytest.mark.timeout(300)]

SISTER, BROTHER = ContactEntry("sister", "+33639980001"), ContactEntry("brother", "+33639980002")
LEASE_S = 10.0


class SharingBox(Stage):
    """A box whose database and edge are not its own."""

    def __init__(self, folder: Path, name: str, url: str, inner_port: int, key: bytes) -> None:
        folder.mkdir()
        self.name = name
        self._url = url
        self._key = key
        settings: dict[str, dict[str, Any]] = {
            "store": {"url": url, "box": name, "lease_s": LEASE_S},
            "sip": {"edge": [f"127.0.0.1:{inner_port}"]},
            "calls": {"limit_s": 120.0, "warnings_s": []},
        }
        phones = [PhoneEntry(f"cell{n}", f"secret-{n}", f"A {n}") for n in (1, 2)]
        super().__init__(folder, settings=settings, phones=phones, contacts=[SISTER, BROTHER])

    def _prepare(self) -> None:
        super()._prepare()
        key = Path(self.settings["store"]["code_key_file"])
        key.write_bytes(self._key)
        key.chmod(0o600)

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            return list(connection.execute(query.replace("?", "%s"), parameters).fetchall())  # type: ignore[call-overload]

    def tried(self, answer: str) -> float:
        return self.metrics().get(f'avisiod_codes_tried_total{{answer="{answer}"}}', 0.0)


class Boxes:
    """North and south, behind one edge that takes its phones from the database too."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        url, inner, key = postgres.new_database(), free_port(), secrets.token_bytes(32)
        self.both = [SharingBox(folder / name, name, url, inner, key) for name in ("north", "south")]
        self._folder, self._postgres, self._inner = folder, postgres, inner
        self._database = url.partition("@/")[2].partition("?")[0]
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._closing:
            for box in self.both:
                box._prepare()
                self._closing.callback(box.stop)
                box.start_modem()
                box.start_daemon()
            # As `sip.beside` has them written: in turn over the boxes.
            ports = [[box.settings["sip"]["port"] + n for n in range(2)] for box in self.both]
            edge = Kamailio(
                self._folder / "edge",
                [("127.0.0.1", port) for pair in zip(*ports, strict=True) for port in pair],
                inner_port=self._inner,
                phones_url=f"postgres://avisiod:none@/{self._database}",
                environment={"PGHOST": str(self._postgres.folder)},
            )
            self._closing.enter_context(edge)
            for box in self.both:
                box._edge = edge
            self._closing = self._closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def of(self, call: str) -> tuple[SharingBox, SharingBox]:
        """The box that has the call, and the other one."""
        (row,) = self.both[0].rows("select box from calls where id = ?", call)
        return tuple(sorted(self.both, key=lambda box: box.name != row["box"]))  # type: ignore[return-value]


@pytest.fixture
def boxes(tmp_path: Path, postgres: Postgres) -> Iterator[Boxes]:
    with Boxes(tmp_path, postgres) as boxes:
        yield boxes


def where(relative: Relative) -> str:
    """The page's address; empty while it is on its way."""
    try:
        return str(relative.evaluate("location.href"))
    except Error:
        return ""


def test_a_code_leads_to_the_box_that_has_the_call_and_when_that_is_killed_calls_go_to_the_other(
    boxes: Boxes,
) -> None:
    for box in boxes.both:
        wait_until(lambda b=box: b.metrics()['avisiod_other_boxes{state="alive"}'] == 1, 30, "they know each other")
    with line(boxes.both[0], "cell1", SISTER) as phone:
        assert phone.dial() == 200
        holder, other = boxes.of(phone.call)
        code = holder.wait_code(SISTER, timeout=30)
        relative = other.relative()
        portal.join(relative, other.portal_url, code)
        wait_until(lambda: where(relative).startswith(holder.portal_url), 30, "the page moved")
        assert (other.tried("elsewhere"), other.tried("wrong"), holder.tried("right")) == (1, 0, 0)
        wait_until(lambda: code not in where(relative), 30, "nothing of the code stays in the address")
        portal.go_on(relative)
        assert relative.evaluate("document.getElementById('code').value") == code
        relative.run(lambda: (relative.page.check("#accept"), relative.page.click("#join-button")))
        wait_until(lambda: portal.is_connected(relative), 60, "the page is in the call")
        assert holder.tried("right") == 1

        holder.daemon.kill()

        wait_until(lambda: phone.row()["state"] == "ended", 90, "the surviving box ended the call")
        row = phone.row()
        assert (row["end_reason"], row["charged"], row["box"]) == ("service_restarted", False, holder.name)
        assert holder.journal(phone.call)[-1]["event"] == "ended_for_its_box"
        relative.close()
    with talking(other, "cell2", BROTHER) as talk:
        talk.wait_flowing()
        assert boxes.of(talk.phone.call)[0] is other
        holder.start_daemon()
        wait_until(lambda: other.metrics()['avisiod_other_boxes{state="alive"}'] == 1, 60, "it is back")
        talk.wait_flowing()
        assert talk.phone.row()["state"] == "connected", "a start leaves the other box's calls alone"
    assert other.metrics()["avisiod_calls_ended_for_boxes_total"] == 1
