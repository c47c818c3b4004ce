"""Commands about one of several open reads, as clients send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import OutOfSpace, StoreError
from memq.message import PART_SIZE
from memq.test.support.fakes import FakeStore
from memq.test.support.harness import HarnessTestCase, put, value

if TYPE_CHECKING:
    from memq.test.support.harness import Client

END = b"END\r\n"
