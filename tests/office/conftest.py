"""A desk on an empty database, with somebody at it."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from avisiod.office import accounts, devices, explain, firmware, lists, recordings, records, roles
from avisiod.office.desk import Desk, Site, perform
from avisiod.office.plan import Refused, Who
from avisiod.store.database import Database

NOON = datetime.datetime(2026, 11, 24, 11, 0, tzinfo=datetime.UTC)
ROOMS = (accounts, devices, explain, firmware, lists, recordings, records, roles)


class Office:
    """Does things for somebody, at a time that the test sets."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.at_utc = NOON
        self.site = Site()
        self.told: list[tuple[str, int, int]] = []
        self.cut: Callable[[str], bool] | None = None

    def desk(self, actor: str = "unix:clerk", why: str = "as asked") -> Desk:
        who = Who(actor=actor, why=why, at_utc=self.at_utc)
        return Desk(self.database, self.site, who, lambda *step: self.told.append(step), self.cut)

    def do(self, name: str, actor: str = "unix:clerk", why: str = "as asked", /, **arguments: Any) -> Any:
        return perform(self.desk(actor, why), name, arguments)

    def edit(self, plural: str, action: str, *, version: int | None = None, **fields: str) -> Any:
        edit: dict[str, Any] = {"action": action, "fields": _named(fields)}
        if version is not None:
            edit["version"] = version
        return self.do("edit", kind=plural, edits=[edit])["done"][0]

    def add(self, plural: str, **fields: str) -> Any:
        return self.edit(plural, "add", **fields)

    def change(self, plural: str, *, version: int | None = None, **fields: str) -> Any:
        return self.edit(plural, "change", version=version, **fields)

    def refused(self, work: Callable[[], Any]) -> list[str]:
        """What is wrong, a line each; and nothing was changed."""
        before = self.contents()
        with pytest.raises(Refused) as refused:
            work()
        assert self.contents() == before
        return [str(problem) for problem in refused.value.problems]

    def contents(self) -> dict[str, list[Any]]:
        """Every row of every list, and of the ledger."""
        from avisiod.store.columns import metadata

        left_out = ("audit", "audit_head", "audit_anchors")
        with self.database.reading() as connection:
            return {
                table.name: sorted(map(str, connection.execute(table.select())))
                for table in metadata.tables.values()
                if table.name not in left_out
            }


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    return {name.rstrip("_"): text for name, text in fields.items()}


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


@pytest.fixture
def peopled(office: Office) -> Office:
    """Two detainees, two contacts, two phones."""
    office.add("people", id="anna", register_number="A-1001", name="Anna Martin", status="convicted", building="A")
    office.add("people", id="bilal", register_number="1002", name="Bilal", status="remand")
    office.add("contacts", id="sister", number="06 39 98 00 01", name="Sonia", relation="sister")
    office.add("contacts", id="lawyer", number="+33639980002", class_="confidential")
    office.add("phones", id="cell-101", cell="A 101", occupant="anna")
    office.add("phones", id="yard", shared="yes")
    return office
