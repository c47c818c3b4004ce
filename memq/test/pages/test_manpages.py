"""docs/man/: each program's options are there, and lowdown makes man pages of them."""

from __future__ import annotations

import os
import re
import subprocess

from memq import __version__
from memq.cli import MODULES, makeAdoptParser, makeParser
from memq.client.identity import CHOICES
from memq.completion import Option, commands
from memq.config.commandline import Options
from memq.config.settings import SERVER
from memq.memcacheq import cli
from memq.test.pages.pages import MAN_PAGES, PageTestCase, definitions, readPage
from testkit.servers import ROOT

#: Man pages of others that are named.
_OTHERS = {"twistd(1)", "systemctl(1)", "systemd.socket(5)"}


def _told(option: Option) -> tuple[str, tuple[str, str, str]]:
    """Return an option of a command as :func:`_options` returns one."""
    default = re.search(r"\(default: ([^)]*)\)", option.does)
    first, *others = option.names
    value = "value" if option.takesValue else ""
    return first, ("".join(others), value, default[1] if default else "")


def _options(page: str) -> dict[str, tuple[str, str, str]]:
    """Return the options that a man page defines: see :func:`_optionsIn`."""
    return _optionsIn(readPage(page))


def _optionsIn(page: str) -> dict[str, tuple[str, str, str]]:
    """Return the options that a page, or a part of it, defines.

    :return: for each, by its long name or its only letter: the letter that goes with
        the long name, "value" if it takes one, and the default that is told; "" for
        each that there is not.
    """
    found = {}
    for term, text in definitions(page):
        if not term.startswith("`-"):
            continue
        told = re.search(r"\(default: `([^`]*)`", text)
        value, default = "value" if term.endswith("*") else "", told[1] if told else ""
        names = re.findall("`(-[^`]*)`", term)
        if names[0].startswith("--"):
            found[names[0]] = ("".join(names[1:]), value, default)
        else:
            found |= dict.fromkeys(names, ("", value, default))
    return found


class OptionsTests(PageTestCase):
    """Each page has every option of its program, and no other."""

    maxDiff = None

    def test_memq(self) -> None:
        """The options of ``twistd memq``, with letter and default."""
        real = Options()
        letters = {name: word for word, name in real.synonyms.items() if len(word) == 1}
        defaults = {
            setting.name: setting.default or "" if setting.kind.takesValue else ""
            for setting in SERVER
        }
        defaults |= dict.fromkeys(("help", "version"), "")
        expected = {
            f"--{word.rstrip('=')}": (
                f"-{letters[name]}" if (name := word.rstrip("=")) in letters else "",
                "value" if word.endswith("=") else "",
                defaults.pop(name),
            )
            for word in real.longOpt
        }
        self.assertEqual(defaults, {})
        self.assertEqual(_options("docs/man/memq.8.md"), expected)

    def test_memcacheq(self) -> None:
        """The letters of ``memcacheq``, with the defaults that ``-h`` tells."""
        help_ = cli.HELP
        told = dict(re.findall(r"^(-\w) .*\(default: ([^\s,)]+)", help_, re.M))
        expected = {
            f"-{letter}": ("", "value" if colon else "", told.get(f"-{letter}", ""))
            for letter, colon in re.findall("(.)(:?)", cli.LETTERS)
        }
        self.assertEqual(_options("docs/man/memcacheq.1.md"), expected)

    def test_adopt(self) -> None:
        """The options of ``memq-adopt``."""
        words = makeAdoptParser().format_help()
        found = re.findall(r"^  (?:(-\w), )?(--[\w-]+)(?:, (-\w))?", words, re.M)
        expected = {name: (before or after, "", "") for before, name, after in found}
        self.assertEqual(_options("docs/man/memq-adopt.8.md"), expected)

    def test_commands(self) -> None:
        """The words of each command of ``memq`` are those that it takes."""
        found = []
        for page in map(readPage, ("docs/man/memq.1.md", "docs/man/memq.8.md")):
            terms = [term for term, _ in definitions(page) if term.startswith("`memq ")]
            synopsis = re.split(r"\n\n|  \n", page)
            for term in terms:
                self.assertIn(term, synopsis)
                words = re.sub(r"[]`*[]|\.\.\.|option", "", term).split()
                known = {"NUMBER": "1", "SHELL": "bash"}
                makeParser().parse_args([known.get(word, word) for word in words[1:]])
            found += [term.split("`")[1].split()[1] for term in terms]
        self.assertEqual(sorted(found), sorted(MODULES))

    def test_client(self) -> None:
        """The options of each command that speaks to a server, with defaults."""
        page = readPage("docs/man/memq.1.md")
        common = {"--server", "-h", *(each.option for each in CHOICES.values())}
        seen = set()
        for section in re.split("^# ", page, flags=re.M):
            names = re.findall(r"^`memq (\w+)`.*\n:", section, re.M)
            expected: dict[str, tuple[str, str, str]] = {}
            for command in commands(makeParser()):
                if command.name in names:
                    expected |= dict(map(_told, command.options))
            seen |= set(names)
            if section.startswith("COMMON OPTIONS"):
                told = set(_optionsIn(section)) - {"--help"}
                self.assertEqual(told, common - {"-h"})
            if names:
                # It speaks to no server.
                others = {"-h"} if names == ["user"] else common
                expected = {k: v for k, v in expected.items() if k not in others}
                self.assertEqual(_optionsIn(section), expected, names)
        others = {"export", "import", "backup", "adopt", "rabbitmq-policies"}
        self.assertEqual(seen | others, set(MODULES))


class PagesTests(PageTestCase):
    """Parts that all manual pages have."""

    def test_names(self) -> None:
        """Each begins with its name, and ends with others that are there."""
        ours = {f"{n}({s})" for n, s in (_nameOf(path) for path in MAN_PAGES)}
        for path in MAN_PAGES:
            page = readPage(path)
            self.assertTrue(page.startswith(f"# NAME\n\n{_nameOf(path)[0]} - "), path)
            headings = re.findall("^# (.*)$", page, re.MULTILINE)
            self.assertEqual(headings[1:3], ["SYNOPSIS", "DESCRIPTION"], path)
            self.assertEqual(headings[-1], "SEE ALSO", path)
            named = re.findall(r"\*\*([\w.-]+)\*\*(\([1-8]\))", page)
            self.assertEqual({"".join(n) for n in named} - ours - _OTHERS, set(), path)
            # All of them are in bold.
            self.assertEqual(len(named), len(re.findall(r"\([1-8]\)", page)), path)

    def test_links(self) -> None:
        """No page has a link: in a man page it would lead nowhere."""
        for path in MAN_PAGES:
            self.assertNotIn("](", readPage(path), path)


def _nameOf(path: str) -> tuple[str, str]:
    """Return the name and the section of a man page."""
    name, section, _ = os.path.basename(path).rsplit(".", 2)
    return name, section


class ManTests(PageTestCase):
    """The manual pages that tools/manpages makes of them."""

    def make(self) -> dict[str, str]:
        """Make them, and return their texts."""
        target = self.mktemp()
        tool = os.path.join(ROOT, "tools/manpages")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "86400"}
        subprocess.run([tool, target], env=environment, check=True, timeout=60)
        made = {}
        for name in os.listdir(target):
            with open(os.path.join(target, name), encoding="utf-8") as file:
                made[name] = file.read()
        return made

    def test_pages(self) -> None:
        """Each has its title, section, date and version, and its words in bold."""
        made = self.make()
        self.assertEqual(set(made), {os.path.basename(path)[:-3] for path in MAN_PAGES})
        for file, text in made.items():
            name, section = file.rsplit(".", 1)
            title = (
                f'.TH "{name.upper()}" "{section}" "1970-01-02" "memq {__version__}"'
            )
            self.assertIn(title, text)
            self.assertNotRegex(text, r"\\f\(?\[?C")
            # Man pages are looked up by these lines.
            self.assertRegex(text, rf'\n\.SH\n?"? ?NAME"?\n(\.[LP]P\n)?{name} ')
        self.assertIn("\\fB\\-\\-home\\fR", made["memq.8"])

    def test_reproducible(self) -> None:
        """They are the same bytes each time."""
        self.assertEqual(self.make(), self.make())
