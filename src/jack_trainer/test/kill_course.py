"""Kill -9 a course at every call of what writes, one after the other: a process that itself learns nothing.

`python kill_course.py MODULE NAME before|after FOLDER` trains in FOLDER/killed1 and so on, each in a fork of its
own, and ends with one that was not killed. Who has trained cannot fork: torch's threads do not live on in a child.
"""

import itertools
import os
import signal
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch._dynamo  # what a first Adam imports: once, here, and not again in every fork

sys.path.insert(0, str(Path(__file__).parent))
from test_course import course_maker, stand_in_exams


def torn(original, call, after):
    """A function that kills its process at that call, before or after it has done its work."""
    calls = itertools.count(1)

    def tear(*given, **more):
        due = next(calls) == call
        if due and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = original(*given, **more)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return tear


def main(module: str, name: str, when: str, folder: str) -> int:
    """Kill until a training comes to its end; returns the exit code."""
    place = sys.modules[f"jack_trainer.{module}"]
    with pytest.MonkeyPatch.context() as patch:
        stand_in_exams(patch)
        make = course_maker(patch, Path(folder))
        for call in itertools.count(1):
            child = os.fork()
            if child == 0:
                try:
                    torch.set_num_threads(1)  # as in all tests of the trainer
                    patch.setattr(place, name, torn(getattr(place, name), call, when == "after"))
                    make(seed=3, runs=Path(folder) / f"killed{call}").run()
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if ended != -signal.SIGKILL:
                return ended
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
