"""One training in a thread of its own, so that whoever asked for it can go on listening."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Protocol

from jack_contract.errors import JackError
from jack_trainer.training import Listener, TrainOptions, TrainResult


class Audience(Listener, Protocol):
    """Who is told how a training goes. Everything is called in the training's thread."""

    def on_end(self, lesson: Lesson) -> None:
        """It is over; nothing is called any more."""
        ...


class Lesson:
    """A training that runs from now on.

    Attributes:
        over: whether it has ended.
        result: what came of it; None before the end, and when it failed.
        message: how it ended, in words; empty before the end.
    """

    def __init__(self, options: Callable[[], TrainOptions], audience: Audience) -> None:
        """Start it. `options` is called in the thread, so that options that make no sense end it, in words."""
        self._options, self._audience = options, audience
        self._stopped = threading.Event()
        self.over = False
        self.result: TrainResult | None = None
        self.message = ""
        self._thread = threading.Thread(target=self._work, name="lesson", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to checkpoint and end."""
        self._stopped.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        self._thread.join(timeout)

    def _work(self) -> None:
        try:
            from jack_trainer.course import Course  # loads torch: that takes seconds

            self.result = Course(self._options(), self._audience).run(self._stopped.is_set)
            self.message = in_words(self.result)
        except JackError as error:
            self.message = str(error)
        except Exception as error:  # a mistake of ours ends the training, not whoever asked for it
            self.message = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        self.over = True
        self._audience.on_end(self)


def in_words(result: TrainResult) -> str:
    """What came of a training, for people."""
    why = {
        "passed": "The phase is passed",
        "steps": "All steps are taken",
        "stopped": "Stopped, and nothing is lost",
    }.get(result.reason, result.reason)
    exam = "" if result.survival is None else f"; {result.survival:.0%} of the evaluated episodes ended on his feet"
    lacks = f", but the phase is not passed ({result.lacks})" if result.lacks and result.reason == "steps" else ""
    told = f"{why}{lacks}: {result.step:,} steps in {result.seconds:.0f} s{exam}"
    return f"{told}. But he forgot, and this is not published: {result.forgot}" if result.forgot else told
