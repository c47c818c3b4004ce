"""The layout: small folders and modules, and packages that say what they are."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from testkit.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules of a folder, and lines of a module, at most.
MODULES, LINES = 10, 400


def folders() -> Iterator[tuple[str, list[str]]]:
    """Yield each folder of memq but those of tests, and the modules in it."""
    for folder, inner, files in os.walk(os.path.join(ROOT, "memq")):
        inner[:] = [each for each in inner if each not in ("test", "__pycache__")]
        modules = sorted(each for each in files if each.endswith(".py"))
        yield os.path.relpath(folder, ROOT), modules


class LayoutTests(SynchronousTestCase):
    """How large things are."""

    def test_folders(self) -> None:
        """A folder has ten modules at most, beside what says what it is for."""
        for folder, modules in folders():
            number = len(set(modules) - {"__init__.py"})
            self.assertLessEqual(number, MODULES, folder)

    def test_modules(self) -> None:
        """A module has 400 lines at most, but for those that are to become shorter."""
        for folder, modules in folders():
            for module in modules:
                path = os.path.join(folder, module)
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    lines = len(file.readlines())
                self.assertLessEqual(lines, LINES, path)

    def test_packages(self) -> None:
        """A package says in five lines what it is for, and holds nothing else."""
        for folder, _ in folders():
            if folder == "memq":
                continue
            path = os.path.join(ROOT, folder, "__init__.py")
            with open(path, encoding="utf-8") as file:
                module = ast.parse(file.read())
            self.assertEqual(len(module.body), 1, folder)
            words = ast.get_docstring(module)
            assert words is not None
            self.assertLessEqual(len(words.splitlines()), 6, folder)
            self.assertIn("It never", words.replace("\n", " "), folder)

    def test_tools(self) -> None:
        """Tools import nothing of the tests, as bench does not: see pyproject.toml."""
        for folder, _, files in os.walk(os.path.join(ROOT, "tools")):
            for name in files:
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8", errors="replace") as file:
                    self.assertNotRegex(file.read(), r"(from|import) memq\.test", path)

    def test_tree(self) -> None:
        """docs/design.md draws each package, and names each module in it."""
        with open(os.path.join(ROOT, "docs", "design.md"), encoding="utf-8") as file:
            _, _, rest = file.read().partition("## The packages\n")
        tree, _, _ = rest.partition("\n## ")
        drawn = {}
        for line in tree.splitlines():
            if line.startswith("| `memq/"):
                _, folder, modules, _, _ = line.split("|")
                drawn[folder.strip(" `").rstrip("/")] = modules.split()
        found = {
            folder: [each.removesuffix(".py") for each in modules]
            for folder, modules in folders()
        }
        for names in found.values():
            names.remove("__init__")
        self.assertEqual(drawn, found)
