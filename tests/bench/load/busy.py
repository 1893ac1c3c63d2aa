"""What control does beside the calls, all at once, while the latency of the calls is measured.

An import of 3,000 contacts and 400 phones into the daemon's database, again and again; a backup of that database and
of a folder of recordings, again and again; 100 people on the portal, who load its pages over TLS and talk to it over
a WebSocket. The daemon, its portal and its database are real. The media worker that is measured is another one beside
it, driven as by control, and as urgent as the product makes it (`media.nice`); nothing of ours has a core of its own.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from avisiod.store import inventory
from avisiod.store.store import Store
from tests.attacks.raw_page import frame, tls, upgrade
from tests.e2e.stage import Stage

PEOPLE = 100
CONTACTS = 3000
PHONES = 400
PAGES = (b"/fr/", b"/charte", b"/fr/confidentialite")
VISIT_S = 2.0
CLIENTS_CPU = 1
"""The people are elsewhere: their side of TLS runs on the generator's core, and gives way."""


def listed() -> str:
    """An inventory of a large site, in YAML."""
    return yaml.safe_dump(
        {
            "phones": [{"id": f"cell-{n}", "cell": f"A {n}", "password": f"of-cell-{n}"} for n in range(PHONES)],
            "contacts": [{"id": f"c-{n}", "number": f"+3363998{n:04}"} for n in range(CONTACTS)],
        }
    )


@contextlib.contextmanager
def running(folder: Path) -> Iterator[list[list[str]]]:
    """A daemon at rest; the commands that make it and its machine busy."""
    settings = {"portal": {"trusted_proxies": ["127.0.0.1"]}}
    with Stage(folder, settings=settings) as stage:
        large = folder / "large.yaml"
        large.write_text(listed())
        recordings = folder / "recordings"
        recordings.mkdir()
        for n in range(20):
            (recordings / f"{n}.mkv").write_bytes(random.randbytes(10_000_000))
        hog = [sys.executable, "-m", "tests.bench.load.busy"]
        yield [
            [*hog, "import", str(stage.database), str(large)],
            [*hog, "backup", str(stage.database), str(recordings)],
            [
                "nice",
                "-n",
                "19",
                "taskset",
                "-c",
                str(CLIENTS_CPU),
                *hog,
                "people",
                str(stage.settings["portal"]["port"]),
            ],
        ]


@contextlib.contextmanager
def busy(commands: list[list[str]]) -> Iterator[None]:
    """All of them at once."""
    started = [subprocess.Popen(command) for command in commands]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        ends = [each.wait() for each in started]
        if any(end not in (-15, 143) for end in ends):
            raise RuntimeError(f"it was not busy all the time: {ends}")


def import_again_and_again(database: str, path: str) -> None:
    """Read the file and bring the database to it, as the daemon does."""
    from twisted.internet import reactor

    store = Store(Path(database), reactor)  # type: ignore[arg-type]

    def again(_: object = None) -> None:
        found = inventory.load(path)
        done = store.sync_inventory(found.phones, found.contacts)
        done.addCallbacks(again, lambda failure: (sys.stderr.write(f"{failure}\n"), os._exit(1)))

    store.open().addCallback(again)
    reactor.run(installSignalHandlers=False)  # type: ignore[attr-defined, call-arg, misc]  # a signal ends it at once


def back_up_again_and_again(database: str, recordings: str) -> None:
    """What an administrator's nightly job does."""
    copy, archive = f"{database}.backup", f"{recordings}.tar.gz"
    while True:
        subprocess.run(["sqlite3", database, f".backup {copy}"], check=True)
        subprocess.run(["tar", "-czf", archive, recordings], check=True, stderr=subprocess.DEVNULL)


async def visit(port: int, number: int) -> None:
    """One person: pages, then the WebSocket, with a wrong code at the end."""
    address = f"192.0.2.{number}"
    while True:
        for page in PAGES:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls())
            request = b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\nX-Forwarded-For: %s\r\nConnection: close\r\n\r\n"
            writer.write(request % (page, port, address.encode()))
            await reader.read()
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls())
        writer.write(upgrade(port, address=address))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(head.decode())
        writer.write(frame(b'{"type": "hello", "language": "fr"}'))
        await reader.read(1000)
        await asyncio.sleep(VISIT_S * random.random())
        writer.close()


async def people(port: int) -> None:
    await asyncio.gather(*(visit(port, number) for number in range(PEOPLE)))


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "import":
        import_again_and_again(*rest)
    elif what == "backup":
        back_up_again_and_again(*rest)
    else:
        asyncio.run(people(int(rest[0])))
