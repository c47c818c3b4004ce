"""What nobody is there to receive any more: it goes back, or is forgotten.

A client that is gone leaves replies, each with what was taken for it.  What is still
under way comes later, and is looked at then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from memq.operations.base import Ask, Operation
from memq.operations.openreads import CloseRead
from memq.operations.pops import Pop
from memq.operations.pushes import RuledPush, RuledPushLarge
from memq.operations.reads import Read

if TYPE_CHECKING:
    from memq.broker.session import Session
    from memq.connection.pieces import Render


def giveBackAll(
    session: Session, replies: deque[tuple[Operation, Render]]
) -> deque[tuple[Operation, Render]]:
    """Give back what is done, whatever stands before it; return what is not."""
    underWay: deque[tuple[Operation, Render]] = deque()
    while replies:
        operation, render = replies.popleft()
        if not operation.done:
            underWay.append((operation, render))
            continue
        _giveBack(session, operation)
        if operation.rest is not None:
            replies.appendleft((operation.rest, render))
    return underWay


def _giveBack(session: Session, operation: Operation) -> None:
    if isinstance(operation, Pop):
        for message in operation.messages():
            session.giveBack(operation.queue, message)
    elif isinstance(operation, Read):
        operation.unsent()
    elif isinstance(operation, CloseRead | RuledPush | RuledPushLarge):
        operation.release()
    elif isinstance(operation, Ask):
        operation.settle()
