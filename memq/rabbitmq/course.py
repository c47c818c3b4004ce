"""Courses: work that asks one thing after the other, written as a generator.

Or several together, and goes on when all of them are answered.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    #: Asks something; what it is given is called once, with the answer.
    Ask = Callable[[Callable[[Any], object]], object]
    #: Yields what it asks, and is sent the answers.
    Steps = Generator[Ask, Any, Any]


class Course:
    """Carries on a generator, whether answers come at once or later."""

    __slots__ = ("_answers", "_failed", "_isRunning", "_steps")

    def __init__(self, steps: Steps, failed: Callable[[Exception], object]) -> None:
        """Begin once ``goOn`` is called.

        :param failed: called with an error that nobody foresaw, which is the end.
        """
        self._steps = steps
        self._failed = failed
        self._answers: deque[Any] = deque()
        self._isRunning = False

    def goOn(self, answer: Any = None) -> None:
        """Begin, or go on with an answer; one that comes at once costs no frame."""
        self._answers.append(answer)
        if self._isRunning:
            return
        self._isRunning = True
        try:
            while self._answers:
                self._steps.send(self._answers.popleft())(self.goOn)
        except StopIteration:
            pass
        except Exception as error:
            self._failed(error)
        finally:
            self._isRunning = False


def together(asks: Sequence[Ask], done: Callable[[list[Any]], object]) -> None:
    """Ask several things; ``done`` is called once, with all answers in their order."""
    answers: list[Any] = [None] * len(asks)
    left = len(asks)
    if not left:
        done(answers)

    def _cbAnswered(place: int, answer: Any) -> None:
        nonlocal left
        answers[place] = answer
        left -= 1
        if not left:
            done(answers)

    for place, ask in enumerate(asks):
        ask(partial(_cbAnswered, place))
