"""Carrier: how each operation is asked of the cluster.

What it needs is fetched first; then it runs on a View of that, as on any store.  Sets
run first, and what they have set is sent then.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from memq.broker.turns import asQueueError
from memq.errors import QueueError, StoreError
from memq.operations.imports.chunks import BeginImport, DiscardImport, PutChunk
from memq.operations.moves import Move, Redrive
from memq.operations.openreads.aborts import AbortRead
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.ending import ENDED_AT_ONCE
from memq.operations.openreads.openmany import OpenMany
from memq.operations.openreads.touches import TouchRead
from memq.operations.peeks import PeekMany
from memq.operations.pops import NamedPop, Pop, PutBack
from memq.operations.pushes import AddPart, Push, PushLarge, Release
from memq.operations.reads import Peek, Read, WouldBlock
from memq.rabbitmq.asking.bounds import ASKED, LAST, Question, ending, opening, taking
from memq.rabbitmq.asking.deliveries import Ended
from memq.rabbitmq.course import Course
from memq.rabbitmq.engine.answers import COUNTED, Answers
from memq.rabbitmq.engine.changes import Changes
from memq.rabbitmq.engine.moving import Moves
from memq.rabbitmq.engine.plain import Plain
from memq.rabbitmq.engine.pops import Pops, openBehind, openMany, peekMany
from memq.rabbitmq.engine.sets import Sets
from memq.rabbitmq.engine.transfers.imports import Imports
from memq.rabbitmq.engine.transfers.retries import Retries
from memq.rabbitmq.engine.view import NOT_KEPT, View
from memq.rabbitmq.figures.counts import CLOSED, PUSHED, TAKEN
from memq.rabbitmq.shared.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.interfaces import IQueueStore
    from memq.operations.base import Operation
    from memq.operations.openreads.openread import OpenRead
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.scheduler import Scheduler
    from memq.rabbitmq.engine.sets import Publisher
    from memq.rabbitmq.figures.told import Tellers
    from memq.rabbitmq.shared.inforce import FrontPolicies
    from memq.rabbitmq.shared.pauses import Pauses

#: Those that give back what they do not take.
_LOOKS = Peek | PeekMany | Redrive


class Carrier:
    """Carries out operations.

    :ivar scheduler: is told when they are; set before the first one.
    :ivar changes: what is done to queues as a whole; ``plain``, plain sets and gets.
    """

    scheduler: Scheduler

    def __init__(
        self,
        publisher: Publisher,
        gets: SpreadGets,
        openReads: SpreadOpenReads,
        queues: Queues,
        tellers: Tellers,
        pauses: Pauses,
        policies: FrontPolicies,
        view: Callable[[], View],
        onWay: Callable[[int], object],
    ) -> None:
        """Begin with nothing.

        :param view: returns one with nothing in it.
        """
        self._counts = counts = tellers.counts
        self._sets = sets = Sets(
            publisher, policies, self._isSet, counts.noteFailed, self._run, onWay
        )
        self._gets = gets
        self._openReads = openReads
        self._pauses = pauses
        self._gate = Gate(pauses, policies)
        self._tellers = tellers
        self.changes = Changes(publisher, gets, openReads, queues, pauses, tellers)
        failed = counts.noteFailedGet
        self._bounds = bounds = queues.bounds
        self._pops = Pops(gets, bounds, self._took, self._run, failed, policies)
        others = sets, self._pops, view, bounds.seconds
        self.plain = Plain(publisher, gets, pauses, counts, *others)
        self._answers = Answers(tellers, openReads, view, self._isCounted)
        self._moves = Moves(publisher, openReads, queues, policies, pauses)
        self._retries = Retries(publisher, openReads, queues, policies)
        imports = Imports(publisher, openReads, queues, policies, pauses)
        imports.view, imports.runOn, imports.isSet = view, self._run, self._isSet
        imports.onWay = onWay
        self._policies = policies
        self._view = view
        self._begins: dict[type[Operation], Callable[[Any, float], object]] = {
            Push: self._push,
            PushLarge: self._push,
            Pop: self._pop,
            NamedPop: self._pop,
            AddPart: self._runOnly,
            Release: self._runOnly,
            TouchRead: self._runOnly,
            PutBack: self._putBack,
            Move: self._follow(partial(self._move, self._moves.move), isLong=True),
            Redrive: self._follow(
                partial(self._move, self._moves.redrive), isLong=True
            ),
            CloseRead: self._follow(self._close),
            AbortRead: self._follow(partial(self._change, self._retries.abort)),
            OpenMany: self._follow(self._openMany),
            PeekMany: self._follow(self._peekMany),
            BeginImport: self._follow(partial(self._tell, imports.begin), isLong=True),
            PutChunk: self._follow(partial(self._tell, imports.put), isLong=True),
            DiscardImport: self._follow(partial(self._tell, imports.discard)),
        }
        for kind, change in self.changes.of.items():
            self._begins[kind] = self._follow(partial(self._change, change), LAST)
        self._reads = self._follow(self._read)
        self._asks = self._follow(partial(self._tell, self._answers.tell))

    def _follow(
        self, steps: Callable[[Any], Steps], slack: float = ASKED, isLong: bool = False
    ) -> Callable[[Any, float], object]:
        inTime = self._bounds.inTime

        def _begin(operation: Operation, since: float) -> None:
            def _isWell() -> bool:
                return isLong and not isinstance(operation.result, QueueError)

            bound = inTime(steps(operation), since, slack, _isWell)
            Course(bound, partial(self._unforeseen, operation)).goOn()

        return _begin

    def _unforeseen(self, operation: Operation, error: Exception) -> None:
        refusal = asQueueError(error)
        operations = self.scheduler.alongside(operation)
        for each in operations:
            each.fail(refusal)
        self.scheduler.ended(operations)

    def carry(self, operation: Operation) -> None:
        """Begin to carry out an operation."""
        if self.plain.carries(operation, self._unforeseen):
            return
        begin = self._begins.get(type(operation))
        if begin is None and isinstance(operation, Read):
            begin = self._reads
        if begin is None and operation.staleness is not None:
            begin = self._asks
        if begin is None:
            self._refuse(operation, StoreError(NOT_KEPT))
        elif isinstance(operation, _LOOKS) and self._isCounted(operation.queue):
            self._refuse(operation, StoreError(COUNTED))
        elif operation.hasFailed():
            self.scheduler.ended([operation])
        elif self._gate.isOpen(operation):
            self._begin(begin, self.scheduler.begin(operation), operation)
        else:
            since = self.scheduler.begin(operation)
            self._gate.wait(operation, partial(self._begin, begin, since, operation))

    def _begin(
        self,
        begin: Callable[[Any, float], object],
        since: float,
        operation: Operation,
        error: QueueError | None = None,
    ) -> None:
        if error is not None and not getattr(operation, "wait", 0.0):
            self._refuse(operation, error)
            return
        try:
            begin(operation, since)
        except Exception as unforeseen:
            self._unforeseen(operation, unforeseen)

    def _isCounted(self, queue: bytes) -> bool:
        """Return whether deliveries of a queue are counted, as a peek is one."""
        rule = self._policies.rules.of(queue)
        return rule is not None and bool(rule.maxDeliveries)

    def _refuse(self, operation: Operation, error: QueueError) -> None:
        operation.fail(error)
        self.scheduler.ended([operation])

    # Running.

    def _run(self, operation: Operation, view: View) -> bool:
        """Run an operation on what was fetched; return whether it is carried out."""
        try:
            operation.run(cast("IQueueStore", view))
        except WouldBlock as nothing:
            self.scheduler.wait(cast("Read", nothing.read))
            return False
        except Exception as error:
            operation.undo()
            operation.fail(asQueueError(error))
        return True

    def _runOnly(self, operation: Operation, since: float = 0.0) -> None:
        self._run(operation, self._view())
        self.scheduler.ended([operation])

    def _took(self, queue: bytes, number: int) -> None:
        """Count messages that were taken for good."""
        if number:
            self._counts.add(TAKEN, queue, number)

    def _isSet(self, queue: bytes) -> None:
        """Note that a message was set."""
        self._counts.add(PUSHED, queue)
        self._tellers.looks.noteSet(queue)
        self._gets.isThere(queue)

    def _push(self, operation: Push | PushLarge, since: float) -> None:
        ended = partial(self.scheduler.ended, [operation])
        spent = self._bounds.spent(since)
        self._sets.begin(operation, self._view(), ended, spent)

    # Plain gets, and what comes back of them.

    def _pop(self, operation: Pop, since: float) -> None:
        self._pops.begin(operation, self._view(), since, self.scheduler)

    def _putBack(self, operation: PutBack, since: float) -> None:
        self._counts.add(TAKEN, operation.queue, -1)
        self._gets.giveAway(operation.queue, operation.message)
        self._runOnly(operation)

    # Reads with options.

    def _read(self, read: Read) -> Steps:
        """Look in one queue after the other until there is something."""
        client, view = read.client, self._view()
        if read.promised is not None:
            client.tries(read)
        haveLooked = True
        yield from self._take(read, view)
        for part in () if view.found else read.parts:
            if part.isLate or not self._gate.mayLook(part):
                continue
            if part.wait and part.takes and client.isBehind(part):
                haveLooked = False
                continue
            found = yield self._ask(part)
            self._keep(view, part.queue, found)
            if found is not None:
                break
        yield from self._found(read, view, haveLooked)

    def _take(self, read: Read, view: View) -> Steps:
        """Take what was delivered for a read that has waited, if it is there yet."""
        delivered = self.scheduler.lines.delivered(read)
        if delivered is None or not self._openReads.holds(delivered[1].sequence):
            return
        queue, found = delivered
        if not self._pauses.knows(queue):
            # It stands in its line again before the message can be delivered anew.
            self._openReads.giveBack(queue, [found.sequence], lambda _: None)
            return
        part = next(each for each in read.parts if each.queue == queue)
        isTaken = part.takes and not part.opens
        if isTaken and not read.client.gone and self._gate.mayLook(part):
            settle, isCounted = self._openReads.settle, self._isCounted(queue)
            ask = partial(settle, queue, found.sequence, isCounted=isCounted)
            isDeleted = yield Question(ask)
            found = found if isDeleted is True else isDeleted
        self._keep(view, queue, found)

    def _found(self, read: Read, view: View, haveLooked: bool = True) -> Steps:
        """Run a read on what was found, and give back what it does not take."""
        hasRun = True
        # Who is gone has nothing open any more, and is not to begin again.
        if not read.client.gone:
            self.scheduler.lines.haveLooked = haveLooked or bool(view.found)
            hasRun = self._run(read, view)
            self.scheduler.lines.haveLooked = False
        for queue, message in view.left():
            if self._openReads.holds(message.sequence):
                # The next command of the client is to find it.
                yield ending(self._openReads.giveBack, queue, [message.sequence])
            else:
                self._gets.giveAway(queue, message)
        if hasRun:
            if read.message is not None and read.takes and not read.opens:
                self._took(read.queue, 1)
            self.scheduler.ended([read])

    @staticmethod
    def _keep(view: View, queue: bytes, found: Any) -> None:
        if found is not None:
            view.found[queue] = found

    def _ask(self, part: Read) -> Question:
        """Return what looks for a message: only what is taken is not held."""
        queue = part.queue
        if part.opens or not part.takes:
            return opening(self._openReads, queue)
        return taking(self._gets, queue)

    def _openMany(self, operation: OpenMany) -> Steps:
        isOver = partial(self._bounds.isOver, operation)
        view = self._view()
        yield from openMany(operation, self._openReads, view, self._run, isOver)
        self.scheduler.ended([operation])

    def _peekMany(self, operation: PeekMany) -> Steps:
        yield from peekMany(operation, self._openReads, self._view(), self._run)
        self.scheduler.ended([operation])

    # Open reads that end.

    def _close(self, operation: CloseRead) -> Steps:
        client, queue = operation.client, operation.queue
        read = openBehind(operation)
        if read is not None and not self._gate.isOpen(read):
            # Together they are sure, and apart they are not.
            yield Question(partial(self._gate.wait, read))
        most = 0 if operation.isOver else min(operation.most, ENDED_AT_ONCE)
        meant = operation.meant(client, most)
        numbers = [each.number for each in meant]
        view, found = self._view(), None
        follower = self._follower(operation) if len(numbers) == 1 else None
        ended = Ended(frozenset())
        if follower is not None:
            closed: list[Ended] = []
            self.scheduler.join(follower)
            ask = self._openReads.exchange
            found = yield Question(partial(ask, queue, numbers[0], closed.append))
            (ended,) = closed
        elif numbers:
            ended = yield ending(self._openReads.close, queue, numbers)
        view.forgetBodies(numbers)
        view.closed = ended.numbers
        if ended.error is None:
            self._took(queue, len(ended.numbers))
            self._counts.add(CLOSED, queue, len(ended.numbers))
            self._run(operation, view)
        else:
            operation.fail(ended.error)
            for opened in meant:
                if opened.isOpen:
                    opened.end()
        self.scheduler.ended([operation])
        if follower is not None:
            self._keep(view, queue, found)
            yield from self._found(follower, view)

    def _follower(self, operation: CloseRead) -> OpenRead | None:
        """Return the open behind a close that may be asked for together with it."""
        read = openBehind(operation)
        if read is None:
            return None
        client = read.client
        if read.several or len(client.opened(read.queue)) > 1:
            return None
        policy = read.policy()
        isPaused = policy is not None and policy.readsArePaused
        if isPaused or not self._pauses.knows(read.queue):
            return None
        return None if read.wait and client.isBehind(read) else read

    # Queues as a whole.

    def _change(
        self, change: Callable[[Any, View], Steps], operation: Operation
    ) -> Steps:
        view = self._view()
        error = yield from change(operation, view)
        if error is not None:
            self._refuse(operation, error)
        else:
            self._run(operation, view)
            self.scheduler.ended([operation])

    def _move(self, steps: Callable[[Any], Steps], operation: Move | Redrive) -> Steps:
        moved = yield from steps(operation)
        self._took(operation.queue, moved)
        self.scheduler.ended([operation])

    def _tell(self, steps: Callable[[Any], Steps], operation: Operation) -> Steps:
        """Run what tells."""
        yield from steps(operation)
        self.scheduler.ended([operation])
