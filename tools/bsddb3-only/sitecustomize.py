"""Hide berkeleydb, so that memq takes bsddb3.

With this folder on PYTHONPATH, Python runs this module at every start, in the
servers that the tests start as well.
"""

import sys

sys.modules["berkeleydb"] = None  # type: ignore[assignment]
