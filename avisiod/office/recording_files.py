"""Recordings on the disk: which files belong to one, whether it is under hold, and how it goes.

A hold is a file beside the recording, `CALL.mkv.hold`: it is seen with and without a database, by every version, and
by the package when it is removed.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

from avisiod.gateway import manifest

FILM = ".mkv"
_FAR = datetime.datetime.max.replace(tzinfo=datetime.UTC)


def film_of(path: Path) -> Path:
    """The film to which a file of its folder belongs: `CALL.mkv`, whatever came after it."""
    return path.with_name(path.name.partition(".")[0] + FILM)


def located(folder: Path, path: str) -> Path:
    """Where a recording is: as the list has it, or in the same place below the folder that the settings name now."""
    listed = film_of(Path(path))
    moved = folder.joinpath(*listed.parts[-4:])
    return moved if not _there(listed) and _there(moved) else listed


def files_of(film: Path) -> list[Path]:
    """All that belongs to it but the hold: the film first, its manifest last. OSError where nobody can tell."""
    stem, held = f"{film.stem}.", hold_of(film)
    try:
        found = [path for path in film.parent.iterdir() if path.name.startswith(stem) and path != held]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: (path != film, path.suffix == ".json", path.name))


def hold_of(film: Path) -> Path:
    """The file that holds it."""
    return film.with_name(film.name + ".hold")


def is_held(film: Path) -> bool:
    """Whether it is under hold. OSError where nobody can tell: then it must be taken for held."""
    return _there(hold_of(film))


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def hold(film: Path, text: str) -> None:
    """Put it under hold; FileExistsError where it is. On the disk when this returns."""
    descriptor = os.open(hold_of(film), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    manifest.fsync_folder(film.parent)


def release(film: Path) -> None:
    """End its hold; FileNotFoundError where it is under none."""
    hold_of(film).unlink()
    manifest.fsync_folder(film.parent)


def destroy(film: Path) -> None:
    """Delete the film, then the rest, the manifest last. OSError: some of it is still there.

    Gone when this returns: a power cut does not bring it back. Folders that are empty then go, too.
    """
    for path in files_of(film):
        path.unlink(missing_ok=True)
    if film.parent.is_dir():
        manifest.fsync_folder(film.parent)
    with contextlib.suppress(OSError):  # not empty, most of the time
        for folder in (film.parent, *film.parent.parents[:2]):
            folder.rmdir()


def in_old_folders(folder: Path, before: datetime.datetime) -> Iterator[Path]:
    """The films in the folders of days until then, each once, those of which something is still written left out."""
    for day in sorted(folder.glob("[0-9]*/[0-9]*/[0-9]*")):
        try:
            date = datetime.date(*map(int, day.parts[-3:]))
        except ValueError:
            continue
        if date > before.date() or not day.is_dir():
            continue
        names = sorted(day.iterdir())
        growing = {film_of(path) for path in names if path.suffix in (".part", ".new")}
        yield from sorted({film_of(path) for path in names} - growing)


def end_of(film: Path) -> datetime.datetime:
    """When a recording ended that no list knows: as its manifest says, else when it was written to last."""
    files = files_of(film)
    for path in files:
        if path.suffix == ".json":
            with contextlib.suppress(OSError, ValueError):
                return datetime.datetime.fromisoformat(manifest.decode(path.read_bytes()).ended_at)
    written = [path.stat().st_mtime for path in files]
    return datetime.datetime.fromtimestamp(max(written), datetime.UTC) if written else _FAR
