"""Another version comes, goes wrong, goes back; the package is removed and purged."""

import contextlib
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.deb.machine import see, tell
from tests.deb.trial import DATA, Trial
from tests.deb.variants import LATER_SCHEMA, later
from tests.peers.baresip import BaresipPhone
from tests.peers.browser import Chromium
from tests.peers.processes import Process
from tests.peers.waiting import wait_until

SMALL = "16M"
"""A disk that is too small for the package."""
FOREIGN = "somebody-elses.db"


class Changes(Trial):
    """The steps after the calls."""

    # --- Another version

    def make_later(self, folder: Path) -> None:
        """A second package, of a version that is not written yet."""
        self.version = self.installed()
        self.later_version = f"{self.version}+later"
        ((head,),) = self.rows("select version_num from alembic_version")
        self.head = str(head)
        self.later_deb = later(self.deb, folder, self.later_version, self.head)
        tell(f"a package {self.later_version} with a migration and new defaults")

    def full_disk(self) -> None:
        """No room for the new files: dpkg goes back, and what ran before runs again."""
        before = self.state()
        place = self.machine.root / "usr/lib/avisiod/lib/python3.11/site-packages/av.libs"
        see(place.is_dir(), "av.libs is where a large file goes")
        self.machine.run(
            "mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", f"/{place.relative_to(self.machine.root)}"
        )
        status, said = self.machine.tries("dpkg", "--force-confold", "-i", self.put(self.later_deb))
        see(status != 0 and "No space left" in said, f"dpkg says that the disk is full: {said[-300:]}")
        self.machine.run("umount", f"/{place.relative_to(self.machine.root)}")
        see(self.installed() == self.version, "the old version is still the one that is installed")
        self.whole_again("after a disk that was full")
        see(self.state() == before, "nothing was lost")
        tell("disk full in mid-upgrade: dpkg went back, the old version serves, nothing lost")

    def no_backup(self) -> None:
        """No room for the backup, no upgrade."""
        self.machine.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", f"/{DATA}/backups")
        status, said = self.machine.tries("dpkg", "--force-confold", "-i", self.put(self.later_deb))
        self.machine.run("umount", f"/{DATA}/backups")
        see(status != 0, "an upgrade that cannot back up fails")
        wanted = ("disk is full", "the upgrade does not begin", "upgrade-without-backup")
        see(all(word in said for word in wanted), f"it says what is in the way, and what to do: {said}")
        see(self.installed() == self.version, "the old version is still the one that is installed")
        self.whole_again("after an upgrade that did not begin")
        tell("no room for a backup, no upgrade: refused with the remedy, the old version serves")

    def upgraded(self, phone: BaresipPhone, modem: Process, browser: Chromium) -> None:
        """In mid-call: drained, backed up, migrated; edited settings kept, others replaced."""
        edited = {path: path.read_bytes() for path in self.edited()}
        calls = len(self.rows("select id from calls"))
        inside = self.put(self.later_deb)
        self._interrupted(phone, modem, browser, lambda: self.machine.apt("install", inside))
        see(self.installed() == self.later_version, "the later version is installed")
        self.whole_again("after the upgrade")
        see({path: path.read_bytes() for path in edited} == edited, "edited files are as they were")
        new = f"as of {self.later_version}"
        see(new in (self.etc / "kamailio/kamailio.cfg").read_text(), "what nobody edited is the later version's")
        local = self.etc / "kamailio/kamailio-local.cfg"
        see(
            new in local.with_name(local.name + ".dpkg-dist").read_text(),
            "the new default lies beside the edited file",
        )
        see(len(self.rows("select id from calls")) == calls + 1, "every call is still there")
        see(self.rows("select version_num from alembic_version") == [(LATER_SCHEMA,)], "the database is migrated")
        backup = self.backup()
        see(backup.stat().st_mode & 0o077 == 0, "the backup is closed to others")
        with contextlib.closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as opened:
            ((schema,),) = opened.execute("select version_num from alembic_version")
            ((kept,),) = opened.execute("select count(*) from calls")
        see((schema, kept) == (self.head, calls + 1), f"the backup was made before the migration: {schema}, {kept}")
        tell("upgraded in mid-call: drained, backed up, migrated; edited settings kept")

    def rolled_back(self) -> None:
        """The older version will not touch the newer database; with its backup it serves again."""
        calls = len(self.rows("select id from calls"))
        backup = self.backup()
        self.machine.apt("install", self.put(self.deb))
        see(self.installed() == self.version, "the older version is installed")
        said = self.machine.says("journalctl", "-u", "avisiod", "-o", "cat", "-n", "30")
        wanted = ("avisiod.db", "was written by a newer avisiod", "left untouched", "restore the backup")
        see(all(word in said for word in wanted), f"the older version says why it does not start: {said}")
        see(self.rows("select version_num from alembic_version") == [(LATER_SCHEMA,)], "it left the database alone")
        status, said = self.machine.tries("avisioctl", "selftest")
        see(status != 0 and "newer avisiod" in said, f"the selftest says so, too: {said}")
        self.machine.run("systemctl", "stop", "avisiod", "avisiod-edge")
        inside = f"/{backup.relative_to(self.machine.root)}"
        self.machine.run("runuser", "-u", "avisiod", "--", "avisioctl", "restore", inside)
        self.machine.run("systemctl", "start", "avisiod", "avisiod-edge")
        self.whole_again("after the way back")
        see(len(self.rows("select id from calls")) == calls, "every call before the upgrade is there")
        tell("rolled back: a newer database is refused untouched, its backup restored, the older version serves")

    def cut_off(self) -> None:
        """The machine loses dpkg in the middle of an upgrade; the same command finishes it."""
        before = self.state()
        self.machine.do("cp", self.later_deb, self.machine.root / "root/later.deb")
        argv = self.machine.argv("dpkg", "--force-confold", "-i", "/root/later.deb")
        with self.machine.log.open("ab") as log:
            dpkg = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
            new = self.machine.root / "usr/lib/avisiod/lib/python3.11/site-packages/aiortc"
            wait_until(lambda: any(new.rglob("*.dpkg-new")) or dpkg.poll() is not None, 180, "dpkg at work")
            see(dpkg.poll() is None, "dpkg was still at work")
            os.killpg(dpkg.pid, signal.SIGKILL)
            dpkg.wait()
        see(self.state() == before, "data is as it was")
        self.machine.run("dpkg", "--force-confold", "-i", "/root/later.deb")
        see(self.installed() == self.later_version, "the later version is installed")
        self.whole_again("after an upgrade that was cut off")
        tell("dpkg was killed in mid-upgrade; the same command again finished it")

    # --- A foreign database

    def foreign_database(self) -> None:
        """Somebody else's file in the database's place is named and left alone."""
        database = self.machine.root / DATA / "avisiod.db"
        self.machine.run("systemctl", "stop", "avisiod")
        with self._aside(database):
            with contextlib.closing(sqlite3.connect(database)) as other:
                other.execute("create table theirs (id integer)")
                other.commit()
            ours = database.with_name(FOREIGN).stat()
            os.chown(database, ours.st_uid, ours.st_gid)
            before = database.read_bytes()
            self.machine.tries("systemctl", "start", "avisiod")
            said = self.machine.says("journalctl", "-u", "avisiod", "-o", "cat", "-n", "20")
            see("is a database of another program" in said and "store.path" in said, f"it is named: {said}")
            self.machine.run("systemctl", "stop", "avisiod")
            see(database.read_bytes() == before, "it is as it was")
        self.machine.run("systemctl", "start", "avisiod")
        self.whole_again("with its own database")
        tell("a foreign database is refused with file, key and remedy, and left untouched")

    # --- Away

    def removed(self) -> None:
        """`apt remove` keeps settings, data and recordings; installed again, all is there."""
        before = self.state()
        self.machine.apt("remove", "avisiod")
        see(not (self.machine.root / "usr/lib/avisiod").exists(), "the program is gone")
        see(self.state() == before, "data and recordings stay")
        see((self.etc / "avisiod.yaml").exists(), "settings stay")
        see(self.machine.show("avisiod", "ActiveState") == "inactive", "nothing runs")
        tell("removed: settings, data and recordings stay")

    def purged(self) -> None:
        """Nobody answers: data stays. Somebody says yes: all goes but what is under hold."""
        before = self.state()
        self.machine.apt("purge", "avisiod")
        see(self.state() == before, "a purge that nobody answers keeps data and recordings")
        see(not (self.etc / "avisiod.yaml").exists(), "settings are gone")
        tell("purged without an answer: data and recordings stay")
        self.machine.apt("install", self.put(self.deb))
        recordings = sorted((self.machine.root / DATA / "recordings").rglob("*.mkv"))
        see(len(recordings) >= 2, "there are recordings to keep and to delete")
        held, loose = recordings[0], recordings[1]
        held.with_name(held.name + ".hold").write_text("court order 12/2026\n")
        bytes_before = held.read_bytes()
        answer = "avisiod avisiod/delete-data boolean true"
        self.machine.run("sh", "-c", f"echo '{answer}' | debconf-set-selections")
        self.machine.apt("purge", "avisiod")
        see(held.read_bytes() == bytes_before, "the recording under hold is as it was")
        see(held.with_name(held.name + ".json").exists(), "its manifest stays")
        see((self.machine.root / DATA / "avisiod.db").exists(), "the database that proves it stays")
        see(not loose.exists(), "other recordings are gone")
        see(not (self.machine.root / DATA / "backups").exists(), "backups are gone")
        held.with_name(held.name + ".hold").unlink()
        self.machine.apt("install", self.put(self.deb))
        self.machine.run("sh", "-c", f"echo '{answer}' | debconf-set-selections")
        self.machine.apt("purge", "avisiod")
        see(not (self.machine.root / DATA).exists(), "without a hold all is gone")
        # The technician's own files there, such as the portal's certificate, are no business of dpkg's.
        gone = [self.etc / name for name in ("secrets", "avisiod.yaml", "inventory.yaml", "kamailio/kamailio.cfg")]
        see(not any(path.exists() for path in gone), "and so are settings and secrets")
        tell("purged with a yes: a recording under hold survives, with its database; without one all is gone")

    # --- Helpers

    def edited(self) -> list[Path]:
        """The files that the technician edited."""
        return [self.etc / name for name in ("avisiod.yaml", "inventory.yaml", "kamailio/kamailio-local.cfg")]

    def state(self) -> tuple[int, dict[str, int]]:
        """What must not be lost: the calls, and each recording."""
        recordings = (self.machine.root / DATA / "recordings").rglob("*.mkv")
        calls = len(self.rows("select id from calls"))
        return calls, {path.name: path.stat().st_size for path in recordings}

    def installed(self) -> str:
        """The version that dpkg has on record."""
        return self.machine.says("dpkg-query", "-W", "-f", "${Version}", "avisiod").strip()

    def backup(self) -> Path:
        """The latest that was made before an upgrade to the later version."""
        made = (self.machine.root / DATA / "backups").glob(f"before-upgrade-*-to-{self.later_version}-*.db")
        return max(made, key=lambda path: path.stat().st_mtime)

    def whole_again(self, when: str) -> None:
        """Until everything serves."""
        self.serving()
        wait_until(self.is_whole, 120, f"a green selftest {when}")

    @contextlib.contextmanager
    def _aside(self, path: Path) -> Iterator[None]:
        """Without the file, which comes back after."""
        kept = path.with_name(FOREIGN)
        path.rename(kept)
        try:
            yield
        finally:
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            kept.rename(path)
