"""What admission reads in a large prison, and the import of all its contacts. Both without a daemon."""

import os
import random
import shutil
import time
import zoneinfo
from pathlib import Path
from typing import Any

from avisiod.calls.ids import Number, PhoneId
from avisiod.office import lists
from avisiod.office.desk import Desk, Site, perform
from avisiod.office.plan import Who
from avisiod.store import dossiers
from avisiod.store.database import Database
from tests.bench import prison
from tests.bench.scene import OUT, Lines

ZONE = zoneinfo.ZoneInfo("Europe/Paris")
OPERATIONS = lists
WARM = 50
"""The first ones fill the caches of a daemon that has just begun."""


def _folder(name: str) -> Path:
    folder = OUT / f"database-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def admission(lines: Lines, calls: int) -> None:
    """Read all that a decision rests on, for calls of anybody to one of theirs."""
    database = prison.build(_folder("admission") / "avisiod.db")
    chance = random.Random(7)
    for place in range(calls + WARM):
        who = chance.randrange(prison.DETAINEES)
        number = Number(prison.number(prison.contact_of(who, chance.randrange(10))))
        begun, worked = time.perf_counter(), time.thread_time()
        with database.reading() as connection:
            found = dossiers.facts(connection, PhoneId(f"cell-{who}"), None, number, prison.NOW, ZONE)
        taken, work = time.perf_counter() - begun, time.thread_time() - worked
        if place >= WARM:
            whole = found.authorisation is not None and found.balance_cents == prison.PAID_CENTS
            lines.add(
                "call",
                ms=round(taken * 1000, 3),
                cpu_ms=round(work * 1000, 3),
                whole=whole,
                history=len(found.history),
            )
    database.close()


def imports(lines: Lines, runs: int) -> None:
    """A CSV file of all contacts: added, then the same file again with each name changed."""
    for run in range(runs):
        database = prison.build(_folder("import") / "avisiod.db", contacts=False)
        for what, suffix in (("added", ""), ("changed", " B"), ("the same", " B")):
            text = "id;number;name;relation\n" + "".join(
                f"c-{n};{prison.number(n)};Contact {n}{suffix};friend\n" for n in range(prison.CONTACTS)
            )
            begun, worked = time.perf_counter(), time.process_time()
            done = _imported(database, text)
            taken, work = time.perf_counter() - begun, time.process_time() - worked
            lines.add("call", run=run, what=what, s=round(taken, 3), cpu_s=round(work, 3), rows=len(done))
        database.close()


def _imported(database: Database, text: str) -> list[Any]:
    who = Who(actor=f"unix:{os.getuid()}", why="bench", at_utc=prison.NOW)
    result = perform(Desk(database, Site(), who), "import", {"kind": "contacts", "text": text})
    rows: list[Any] = result["done"]
    return rows
