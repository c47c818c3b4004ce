"""Users on the page: who has to log in, and what somebody then sees and may do."""

from __future__ import annotations

import os
from signal import SIGHUP
from typing import TYPE_CHECKING, Any, ClassVar

from memq.access.secrets import PasswordHash, TokenHash
from memq.test.browser.case import BrowserTestCase
from testkit.wire import sets

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A cost of scrypt that is none.
CHEAP = (2, 1, 1)
#: A name that would be an image, if it were taken for HTML.
EVIL = "<img/src=x/onerror=alert(1)>"
#: Users: their rights, and what proves them; a token is the name twice.
USERS: Mapping[str, str] = {
    "ops": 'role = "admin"',
    "eye": 'role = "monitor"',
    "shop": 'write = ["orders.*"]\nread = ["mails"]\nmanage = ["orders.eu"]',
    EVIL: 'read = ["orders.*"]',
}


def users() -> str:
    """Return the tables of a file."""
    tables = []
    for name, rights in USERS.items():
        token = TokenHash.of(name.encode() * 2)
        password = PasswordHash.of(f"pass {name}".encode(), CHEAP)
        lines = f'token = "{token}"\npassword = "{password}"\n{rights}\n'
        tables.append(f'[user."{name}"]\n{lines}')
    return "\n".join(tables)


class UsersTestCase(BrowserTestCase):
    """Has users."""

    options: ClassVar[tuple[str, ...]] = ("--web-bodies",)
    # The console shows the status of each request that is refused.
    isClean = False

    def moreOptions(self) -> tuple[str, ...]:
        """Write the file of users."""
        self.path = os.path.abspath(self.mktemp())
        with open(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(users())
        return (f"--users={self.path}",)

    def prepare(self) -> None:
        """Have queues."""
        with self.server.wire() as wire:
            wire.send(b"set auth 0 0 10\r\nops opsops\r\n")
            self.assertEqual(wire.line(), b"STORED")
            for name in (b"orders.eu", b"orders.us", b"mails", b"hidden"):
                wire.send(sets(name, b"secret"))
                self.assertEqual(wire.line(), b"STORED")

    def login(self, user: str, secret: str) -> None:
        """Fill the form and send it."""
        browser = self.browser
        for name, value in (("user", user), ("secret", secret)):
            field = browser.one(f"form.login [name={name}]")
            field.clear()
            field.send_keys(value)
        browser.one("form.login .solid").click()

    def enter(self, user: str, place: str = "#/queues") -> None:
        """Open the page as somebody."""
        self.browser.open(place)
        self.login(user, f"pass {user}")
        self.browser.untilText("#who", user)

    def names(self) -> list[str]:
        """Return the queues of the list."""
        script = (
            "return [...document.querySelectorAll('tr[data-name]')]"
            ".map((each) => each.dataset.name)"
        )
        return [str(each) for each in self.browser.run(script)]

    def act(self, action: str, **values: str) -> None:
        """Carry an action out in its dialog."""
        self.browser.one(f"[data-action={action}]").click()
        for name, value in values.items():
            self.browser.one(f"dialog [name={name}]").send_keys(value)
        self.browser.one("dialog .solid").click()

    def harm(self) -> list[Any]:
        """Return what happened that must not, but for refusals."""
        return [each for each in self.browser.bad() if "Failed to load" not in each]


class LoginTests(UsersTestCase):
    """The form."""

    def test_wrong(self) -> None:
        """Nothing is shown before somebody has logged in; a wrong secret says so."""
        browser = self.browser
        browser.open()
        browser.untilText("h1", "Log in")
        self.assertEqual(browser.run("return document.activeElement.name"), "user")
        self.login("ops", "wrong")
        browser.untilText("form.login [role=alert]", "wrong")
        self.assertEqual(browser.run("return document.activeElement.name"), "secret")
        self.assertNotIn("orders", browser.text("body"))
        self.login("ops", "pass ops")
        browser.untilText("table.queues", "hidden")
        browser.untilText(".state", "live")
        self.assertEqual(self.harm(), [])

    def test_stays(self) -> None:
        """A login is for the tab, and its end is one."""
        browser = self.browser
        self.enter("ops", "#/queue/mails")
        browser.untilText("h1", "mails")
        browser.driver.refresh()
        browser.untilText("#who", "ops")
        kept = browser.run(
            "return JSON.stringify([{...sessionStorage}, document.cookie])"
        )
        self.assertNotIn("pass", kept)
        self.assertIn('""]', kept)
        browser.one("#who").click()
        browser.untilText("dialog", "admin")
        browser.one("#logout").click()
        browser.untilText("h1", "Log in")
        browser.driver.refresh()
        browser.untilText("h1", "Log in")
        self.assertEqual(self.harm(), [])

    def test_another(self) -> None:
        """Somebody logs in as another, with a token alone, or thinks better of it."""
        browser = self.browser
        self.enter("ops")
        browser.one("#who").click()
        browser.one("#another").click()
        browser.one("form.login button[type=button]").click()
        browser.untilText("table.queues", "hidden")
        browser.untilText("#who", "ops")
        browser.one("#who").click()
        browser.one("#another").click()
        self.login("", "shopshop")
        browser.untilText("#who", "shop")
        browser.until(lambda: self.names(), "queues")
        self.assertNotIn("hidden", self.names())

    def test_keys(self) -> None:
        """All is done with the keyboard, in Chinese as well."""
        browser = self.browser
        browser.open()
        browser.one("#language").click()
        browser.untilText("h1", "登录")
        browser.run("document.querySelector('[name=user]').focus()")
        browser.press("ops", "TAB", "pass ops", "ENTER")
        browser.untilText("#who", "ops")
        browser.press("3")
        browser.untilText("h1", "连接")

    def test_expired(self) -> None:
        """Whose secrets change logs in again, where the page was."""
        browser = self.browser
        self.enter("shop", "#/queue/mails")
        browser.untilText("h1", "mails")
        token = str(TokenHash.of(b"shopshop"))
        with open(self.path, "r+", encoding="utf-8") as file:
            text = file.read().replace(token, str(TokenHash.of(b"new")))
            file.seek(0)
            file.write(text)
            file.truncate()
        os.kill(self.server.pid, SIGHUP)
        browser.untilText("h1", "Log in")
        self.login("shop", "new")
        browser.untilText("h1", "mails")


class RightsTests(UsersTestCase):
    """What somebody sees and may do."""

    def test_shop(self) -> None:
        """A user sees the own queues, acts where there is a right, and nowhere else."""
        browser = self.browser
        self.enter("shop")
        browser.until(lambda: len(self.names()) == 3, "three queues")
        self.assertNotIn("hidden", browser.text("body"))
        browser.one("#who").click()
        browser.untilText("dialog .rights", "orders.*")
        browser.press("ESCAPE")
        shown = browser.run(
            "return [...document.querySelectorAll('nav a')]"
            ".filter((each) => each.offsetParent).map((each) => each.textContent)"
        )
        self.assertEqual(shown, ["Queues", "Server"])
        browser.open("#/queue/orders.us")
        browser.one("[data-action=push]")
        self.assertFalse(browser.all("[data-action=flush]"))
        browser.untilText("div.messages", "no right read")
        browser.open("#/queue/mails")
        browser.untilText(".actions", "user shop has no right")
        browser.untilText("div.messages", "secret")
        browser.open("#/queue/hidden")
        browser.untilText(".note", "Not allowed")
        browser.open("#/queue/orders.eu")
        self.act("push", text="more")
        browser.untilText(".toasts", "pushed")
        self.act("flush", confirm="orders.eu")
        browser.untilText(".toasts", "flushed 2")
        self.server.waitForLine("(http, shop) flush orders.eu")
        self.assertEqual(self.harm(), [])

    def test_monitor(self) -> None:
        """A monitor sees all figures, and changes nothing."""
        browser = self.browser
        self.enter("eye")
        browser.until(lambda: len(self.names()) == 4, "four queues")
        browser.open("#/queue/hidden")
        browser.untilText(".actions", "user eye has no right")
        self.assertFalse(browser.all("[data-action]"))
        browser.open("#/log")
        browser.untilText("ol.log", "web is on")
        browser.open("#/connections")
        browser.untilText("h1", "Connections")
        self.assertEqual(self.harm(), [])

    def test_hostile(self) -> None:
        """The name of a user is text, wherever it is."""
        browser = self.browser
        self.enter(EVIL, "#/queue/orders.eu")
        browser.untilText(".actions", EVIL)
        browser.one("#who").click()
        browser.untilText("dialog", EVIL)
        self.assertFalse(browser.all("img[src=x]"))
        self.assertEqual(self.harm(), [])
