"""Recordings on a disk and in a database, of calls that ended so many days ago."""

import datetime
import hashlib
from pathlib import Path

import msgspec

from avisiod.calls.ids import CallId
from avisiod.office.desk import Site
from avisiod.ports import Recording
from avisiod.store import progress, trail
from avisiod.store.database import Database
from tests.store.records import PHONE, call, entry

NOW = datetime.datetime(2026, 11, 24, 3, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


class Shelf:
    """What the tests put there."""

    def __init__(self, folder: Path, database: Database, box: str = "") -> None:
        self.folder = folder / "recordings"
        self.folder.mkdir()
        self.database = database
        self.box = box
        self.site = self.site_for(folder, box)

    @staticmethod
    def site_for(folder: Path, box: str = "") -> Site:
        """The settings that belong to it."""
        return Site(
            box=box,
            recordings_folder=str(folder / "recordings"),
            keep_days=90,
            retention_file=str(folder / "retention.json"),
        )

    def put(self, name: str, days: float, box: str | None = None) -> Path:
        """A call that ended so many days before NOW, with its recording."""
        ended = NOW - days * DAY
        film = self.film(name, ended)
        with self.database.writing() as connection:
            record = call(
                "ended",
                of=CallId(name),
                created_utc=ended - DAY / 96,
                ended_utc=ended,
                box=self.box if box is None else box,
                phone=PHONE.id,
            )
            line = msgspec.structs.replace(entry("Ended", of=CallId(name)), at_utc=ended)
            data = film.read_bytes()
            kept = Recording(
                call=CallId(name),
                path=str(film),
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                duration_s=1.0,
                truncated=False,
                manifest="{}",
            )
            progress.save(connection, record, line, kept)
        return film

    def film(self, name: str, ended: datetime.datetime) -> Path:
        """Only the files."""
        day = self.folder / f"{ended:%Y/%m/%d}"
        day.mkdir(parents=True, exist_ok=True)
        film = day / f"{name}.mkv"
        film.write_bytes(name.encode() * 10)
        film.with_name(f"{name}.mkv.json").write_text("{}")
        film.with_name(f"{name}.jpg").write_bytes(b"a thumbnail")
        return film

    def bear_witness(self, now: datetime.datetime = NOW) -> None:
        """Lines of the last days, as every box has them that works."""
        with self.database.writing() as connection:
            for days in range(6, 0, -1):
                line = trail.Line(at_utc=now - days * DAY, actor="service", action="x", kind="y", object="z")
                trail.append(connection, line)

    def there(self) -> set[str]:
        """The films on the disk."""
        return {path.stem for path in self.folder.rglob("*.mkv")}

    def records(self) -> dict[str, trail.KeptLine]:
        """The records of destructions, by call."""
        with self.database.reading() as connection:
            lines = trail.listed(connection, kind="recording", limit=10_000)
        found = [line for line in lines if line.action == "destroy"]
        assert len({line.object for line in found}) == len(found), "one record each"
        return {line.object: line for line in found}
