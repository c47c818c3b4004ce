"""The table of the options."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.config.options import FLAGS, OPTIONS


class TableTests(SynchronousTestCase):
    """What holds for every row; what each parser takes is in test_options."""

    def test_defaults(self) -> None:
        """A default is a value that the option allows."""
        for option in OPTIONS:
            if option.default is not None:
                option.parse(option.default)

    def test_names(self) -> None:
        """No two have a name or a letter in common."""
        table = (*OPTIONS, *FLAGS)
        letters = [each.short for each in table if each.short]
        for names in ([each.name for each in table], letters):
            self.assertEqual(len(names), len(set(names)))

    def test_nothing(self) -> None:
        """No option allows a NUL, so that each can say what it allows."""
        for option in OPTIONS:
            error = self.assertRaises(ValueError, option.parse, "\0")
            self.assertTrue(str(error).startswith("must be "), option.name)
