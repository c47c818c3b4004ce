"""--skip-damaged starts with what can be read, and lists what could not."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memq.admin import salvage as module
from memq.display import shownName
from memq.errors import DamagedHome, HomeError, UnusableHome
from memq.storage.datadir.sizing import DiskSpace
from memq.test.storage.bdb.test_compaction import make
from memq.test.support.disks.wrecks import (
    INTERNAL,
    LEAF,
    OVERFLOW,
    closedHome,
    contents,
    fileIn,
    flip,
    pagesOf,
    skipping,
    snapshot,
    spoil,
    take,
)
from memq.test.support.foreign.memcacheqdirs import overwrite
from memq.test.support.homes import PANIC, BDBTestCase, push
from memq.test.support.homes import contents as filesIn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.test.support.disks.wrecks import Contents


class SalvageTestCase(BDBTestCase):
    """Has a home whose files can be damaged."""

    def setUp(self) -> None:
        """Make a home that was closed in order."""
        self.path = os.path.abspath(self.mktemp())
        self.was = closedHome(self.path)
        self.lines: list[str] = []

    def file(self, name: str) -> str:
        """Return the path of a file of memq's."""
        return fileIn(self.path, name)

    @contextmanager
    def working(self) -> Iterator[Any]:
        """Work with a store on the home, and close it in order."""
        store = self.storeAt(self.path)
        store.open()
        yield store
        store.close()
        store.home.release()

    def skipped(self) -> Any:
        """Return a store that has skipped what is damaged, open."""
        store = skipping(self.path, self.lines)
        self.addCleanup(store.home.release)
        self.addCleanup(store.close)
        store.open()
        return store

    def salvaged(self) -> Contents:
        """Return what is there once damaged things are skipped, and once more later.

        A start without the option has nothing to complain of, then.
        """
        store = self.skipped()
        found = contents(store)
        again = self.reopened(store)
        self.assertEqual(contents(again), found)
        again.close()
        again.home.release()
        return found

    def report(self, name: str = "memq.damaged") -> str:
        """Return the list of what could not be read."""
        path = os.path.join(self.path, name, "UNREADABLE")
        with open(path, encoding="utf-8") as file:
            return file.read()

    def flipIn(self, name: str, kind: int, place: int, which: int = 1) -> int:
        """Flip a byte in a page of a type; return the page's number."""
        pages = pagesOf(self.file(name), kind)
        page = pages[which % len(pages)]
        flip(self.file(name), page * 4096 + place)
        return page

    def refused(self) -> str:
        """Return why the home is refused without the option."""
        error: Any = None
        try:
            store = self.storeAt(self.path)
        except DamagedHome as found:
            error = found
        else:
            error = self.assertRaises(DamagedHome, store.open)
            store.home.release()
        self.assertEqual(error.status, 78)
        self.assertIn("--skip-damaged", str(error))
        return str(error)


class PageTests(SalvageTestCase):
    """A damaged page."""

    def test_nothing(self) -> None:
        """A home that is fine is left as it is, and the log says so."""
        self.assertEqual(self.salvaged(), self.was)
        self.assertEqual(os.listdir(self.path), ["memq"])
        self.assertEqual(self.lines, ["--skip-damaged: no page of a table is damaged"])

    def test_delayed(self) -> None:
        """Delayed messages stay so, with the limits and counters of their queue."""
        with self.working() as store:
            store.begin()
            for due in range(300):
                store.pushDelayed(b"later", 0, b"%03d" % due, due)
            store.setPaused(b"later", 1)
            store.commit()
        spoil(self.file("messages"), b"a 77 ")
        found = self.skipped()
        detail = found.detail(b"later")
        self.assertEqual((detail.delayed, detail.paused), (300, 1))
        found.begin()
        self.assertEqual(found.promoteDue(400, 999), [b"later"] * 300)
        bodies = [message.body for message in found.popAll(b"later", 300)]
        found.abort()
        self.assertEqual(bodies, [b"%03d" % due for due in range(300)])

    def test_body(self) -> None:
        """A flipped byte in a body costs that message, and no other on its page."""
        page = spoil(self.file("messages"), b"a 77 ")
        lost = self.was[b"a"].pop(77 - 10)
        self.assertTrue(lost[2].startswith(b"a 77 "))
        self.assertEqual(self.salvaged(), self.was)
        text = self.report()
        self.assertIn(f"page {page} of the file messages is damaged: its chec", text)
        self.assertIn("queue a: 1 of 290 messages are missing", text)
        self.assertIn("records on damaged pages of the file messages could be", text)
        self.assertIn(f"page {page} of the file messages is", "".join(self.lines))

    def test_overflow(self) -> None:
        """A damaged page of a long body costs that message."""
        self.flipIn("messages", OVERFLOW, 100, 0)
        found = self.salvaged()
        missing = {name: len(self.was[name]) - len(found[name]) for name in self.was}
        self.assertEqual(sum(missing.values()), 1, missing)
        self.assertEqual(self.report().count("are missing"), 1)

    def test_internal(self) -> None:
        """A page that only leads to others costs nothing."""
        self.flipIn("messages", INTERNAL, 500)
        self.assertEqual(self.salvaged(), self.was)
        self.assertIn("all messages that the rows of the queues count", self.report())

    def test_firstPage(self) -> None:
        """Nor does the first page of the file, which says how large pages are."""
        overwrite(self.file("messages"), 0, b"\xa5" * 4096)
        self.assertIn("messages", self.refused())
        self.assertEqual(self.salvaged(), self.was)

    def test_queues(self) -> None:
        """A damaged row of the queues costs the queue its name, and no message."""
        with open(self.file("queues"), "rb") as file:
            place = file.read().rindex(b"\x04\0\1long")
        flip(self.file("queues"), place + 3)
        self.assertIn("page 1 of the file queues is damaged", self.refused())
        found = self.salvaged()
        renamed = [name for name in found if name not in self.was]
        self.assertEqual(found[renamed[0]], self.was[b"long"])
        self.assertEqual([len(renamed), len(found)], [1, 4])
        self.assertIn(f"queue {shownName(renamed[0])}", self.report())

    def test_wrongPage(self) -> None:
        """A page that a disk wrote into another one's place is not believed."""
        first, second = pagesOf(self.file("messages"), LEAF)[1:3]
        with open(self.file("messages"), "rb") as file:
            page = os.pread(file.fileno(), 4096, first * 4096)
        overwrite(self.file("messages"), second * 4096, page)
        found = self.salvaged()
        self.assertIn("another page stands in its place", self.report())
        self.assertIn("messages are missing", self.report())
        for name, messages in found.items():
            self.assertEqual(set(messages) - set(self.was[name]), set())

    def test_unreadable(self) -> None:
        """A page that the disk does not give is one that is damaged."""
        page = pagesOf(self.file("messages"), LEAF)[1]
        real = os.pread

        def pread(file: int, size: int, place: int) -> bytes:
            path = os.readlink(f"/proc/self/fd/{file}")
            if path == self.file("messages") and place == page * 4096:
                raise OSError(5, "Input/output error")
            return real(file, size, place)

        self.patch(os, "pread", pread)
        self.skipped()
        self.assertIn(
            f"page {page} of the file messages is damaged: it cannot be "
            "read: Input/output error",
            self.report(),
        )
        self.assertIn("are missing", self.report())

    def test_cutShort(self) -> None:
        """A table that was cut short costs what was cut off."""
        size = os.path.getsize(self.file("messages"))
        os.truncate(self.file("messages"), size - 4096 * 3 - 100)
        found = self.salvaged()
        self.assertLess(sum(map(len, found.values())), sum(map(len, self.was.values())))
        self.assertIn("are missing", self.report())

    def test_afterAKill(self) -> None:
        """Messages only in the log are there, but for those the page itself had."""
        store = self.storeAt(self.path)
        store.open()
        push(store, b"a", 9, *[b"new %d" % n for n in range(100)])
        push(store, b"later", 9, b"in no table yet")
        take(store, b"b", 7)
        was = contents(store)
        self.path = snapshot(store, os.path.abspath(self.mktemp()))
        page = self.flipIn("messages", LEAF, 2000, 3)
        found = self.salvaged()
        self.assertEqual(found[b"later"], was[b"later"])
        lost = {name: len(was[name]) - len(found[name]) for name in was}
        self.assertLessEqual(sum(lost.values()), 1, lost)
        self.assertEqual(found[b"a"][-100:], was[b"a"][-100:])
        self.assertIn(f"page {page} of the file messages", self.report())

    def test_secondTime(self) -> None:
        """Files kept from another time stay where they are."""
        for _ in range(2):
            self.flipIn("messages", INTERNAL, 500)
            self.assertEqual(self.salvaged(), self.was)
        self.assertEqual(
            sorted(os.listdir(self.path)), ["memq", "memq.damaged", "memq.damaged.2"]
        )
        self.assertIn("is damaged: its checksum", self.report("memq.damaged.2"))


class FileTests(SalvageTestCase):
    """A file that is missing, or nothing that it should be."""

    def lose(self, name: str) -> None:
        """Remove a file, which the home is refused without."""
        os.unlink(self.file(name))
        self.assertIn(f"{self.file(name)} is missing", self.refused())

    def checkUnnamed(self) -> None:
        """Check that all is there, what was deleted as well, whatever the names."""
        found, was = self.salvaged().values(), self.was.values()
        self.assertEqual(sorted(found), sorted([[(0, 0, b"d")], *was]))

    def test_log(self) -> None:
        """Without a log the tables are taken as they are."""
        for name in os.listdir(os.path.join(self.path, "memq")):
            if name.startswith("log."):
                os.unlink(self.file(name))
        self.assertIn("is missing", self.refused())
        self.assertEqual(self.salvaged(), self.was)
        self.assertIn("there is no log: what was set since", self.report())

    def test_logInTheMiddle(self) -> None:
        """So with a log that cannot be recovered."""
        store = self.storeAt(self.path)
        store.open()
        push(store, b"a", 0, *[b"x" * 900] * 4000)
        self.path = snapshot(store, os.path.abspath(self.mktemp()))
        flip(self.file("log.0000000003"), 500_000)
        why = self.refused()
        self.assertIn("the log cannot be read from byte", why)
        self.assertIn(self.file("log.0000000003"), why)
        found = self.salvaged()
        self.assertEqual(found[b"b"], self.was[b"b"])
        self.assertIn("what it says from there on is not done again", self.report())

    def test_logUnrecovered(self) -> None:
        """A log that cannot be recovered at all is left out, and so it is said."""

        def recover(*arguments: object) -> None:
            raise PANIC

        os.unlink(self.file("safe"))
        self.patch(module, "recoverFiles", recover)
        self.assertEqual(self.salvaged(), self.was)
        self.assertIn("the log cannot be recovered: BDB0060", self.report())

    def test_manyLines(self) -> None:
        """The server's log has some of a long list; the progress is told, too."""
        self.patch(module, "INTERVAL", 0)
        with self.working() as store:
            for number in range(30):
                push(store, b"queue %d" % number, 0, *[b"x"] * 50)
        os.unlink(self.file("queues"))
        self.salvaged()
        self.assertEqual(self.report().count("is gone: its"), 35)
        told = "\n".join(self.lines)
        self.assertEqual(told.count("is gone: its"), 19)
        self.assertIn("and 16 lines more", told)
        self.assertIn("1000 records of the file messages are read", told)

    def test_quick(self) -> None:
        """A step that does not take long has no line of its own."""
        with self.working() as store:
            push(store, b"many", 0, *[b"x"] * 1500)
        os.unlink(self.file("queues"))
        self.salvaged()
        self.assertNotIn("records of the file messages", "\n".join(self.lines))

    def test_tables(self) -> None:
        """Without the table of queues each queue has a number for a name."""
        self.lose("queues")
        self.checkUnnamed()
        self.assertIn("the file queues is missing or no table", self.report())
        self.assertIn("messages are in queue unknown.1", self.report())

    def test_messages(self) -> None:
        """Without the messages, their number is listed."""
        self.lose("messages")
        self.assertEqual(self.salvaged(), {name: [] for name in self.was})
        self.assertIn("queue b: 300 of 300 messages are missing", self.report())

    def test_noTable(self) -> None:
        """A file that is no table at all is named."""
        with open(self.file("queues"), "wb") as file:
            file.write(b"not a table" * 1000)
        self.refused()
        self.checkUnnamed()
        self.assertIn("has no page of a tree in it", self.report())

    def test_marker(self) -> None:
        """Without a marker everything is there."""
        self.lose("safe")
        self.assertEqual(self.salvaged(), self.was)

    def test_version(self) -> None:
        """Without VERSION, or with a damaged one, everything is there."""
        self.lose("VERSION")
        self.assertEqual(self.salvaged(), self.was)
        with open(self.file("VERSION"), "w") as file:
            file.write("x\n")
        self.assertIn("is no format of memq's", self.refused())
        self.assertEqual(self.salvaged(), self.was)

    def test_movedMessages(self) -> None:
        """Only the files are read that the messages are in."""
        with self.working() as store:
            make(store)
            while store.sweep(100):
                pass
            was = contents(store)
        self.assertIn("messages.1", os.listdir(os.path.join(self.path, "memq")))
        os.unlink(self.file("safe"))
        self.assertEqual(self.salvaged(), was)
        self.assertNotIn("more than its row says", self.report())

    def refusedToSkip(self, name: str, instead: Any) -> HomeError:
        """Return why nothing is skipped with another function; nothing has changed."""
        os.unlink(self.file("safe"))
        patch = self.patch(module, name, instead)
        store = skipping(self.path, self.lines)
        error: HomeError = self.assertRaises(HomeError, store.open)
        patch.restore()
        store.home.release()
        self.assertEqual(self.salvaged(), self.was)
        return error

    def test_room(self) -> None:
        """Without room for a copy it is refused, and says how much it takes."""
        error = self.refusedToSkip("diskSpace", lambda path: DiskSpace(1 << 30, 4096))
        self.assertIsInstance(error, UnusableHome)
        self.assertIn("bytes free on the file system", str(error))
        self.assertIn("and there are 4096", str(error))

    def test_disk(self) -> None:
        """A disk that fails meanwhile is one line, and nothing has changed."""

        def fail(*arguments: object) -> None:
            raise OSError(5, "Input/output error")

        error = self.refusedToSkip("replaceFile", fail)
        self.assertEqual(error.status, 1)
        self.assertIn("Input/output error", str(error))


class SwapTests(SalvageTestCase):
    """Killed at any moment, the next start goes on or begins again."""

    def test_killed(self) -> None:
        """Whenever it is killed, all is there in the end, the damaged files too."""
        self.flipIn("messages", INTERNAL, 500)
        template = os.path.abspath(self.mktemp())
        shutil.copytree(self.path, template)
        damaged = filesIn(template)
        killed, calls = True, -1
        while killed:
            calls += 1
            self.path = os.path.abspath(self.mktemp())
            shutil.copytree(template, self.path)
            killed = self.killedAfter(calls)
            found = self.salvaged()
            self.assertEqual(found, self.was, calls)
            kept = filesIn(self.path, "memq.damaged")
            self.assertEqual(kept.keys() - damaged.keys(), {"UNREADABLE"}, calls)
            self.assertEqual(kept["messages"], damaged["messages"], calls)
            names = set(os.listdir(self.path + "/memq"))
            names -= {"lock", "ballast", "log.0000000002"}
            self.assertEqual(
                sorted(names),
                ["VERSION", "log.0000000001", "messages", "queues", "safe"],
            )
        self.assertGreater(calls, 12)

    def killedAfter(self, calls: int) -> bool:
        """Skip what is damaged; end at a change of names, after ``calls`` of them.

        :return: whether there were so many.
        """
        left = calls
        patches = []

        class Killed(BaseException):
            """Nothing of memq's catches that."""

        for name in ("rename", "replace", "unlink"):
            real = getattr(os, name)

            def change(*names: str, real: Any = real, **where: int) -> None:
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                real(*names, **where)

            patches.append(self.patch(os, name, change))
        store = skipping(self.path, self.lines)
        try:
            store.open()
        except Killed:
            return True
        finally:
            for patch in patches:
                patch.restore()
            store.environment.letGo()
            store.home.release()
        return False
