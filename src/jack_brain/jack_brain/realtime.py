"""Real time for the control loop, as far as the system permits it: a scheduler that lets it run, memory that stays.

Under SCHED_FIFO the loop, and the middleware's threads that bring it readings and take its commands, run before
whatever else wants the processor. Threads that Python made for other work, and children, do not inherit it. Memory
is locked as it is touched, so that no page of it is ever read from a disk in the middle of a tick.
"""

from __future__ import annotations

import ctypes
import os
import resource
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Above ordinary work, below a kernel's own threads for interrupts, which run at 50.
PRIORITY = 40
#: sys/mman.h on Linux, x86 and ARM.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
#: What to type where the scheduler, or locking memory, is not permitted.
_ADVICE = (
    "Real time is not permitted ({why}). To have it, once: "
    "printf '%s - rtprio 50\\n%s - memlock unlimited\\n' $USER $USER | sudo tee /etc/security/limits.d/jack.conf, "
    "and log in again; in a container: --cap-add=SYS_NICE --cap-add=IPC_LOCK --ulimit rtprio=50 --ulimit memlock=-1"
)


@dataclass(frozen=True)
class RealTime:
    """What the control loop has got."""

    #: whether it runs under SCHED_FIFO
    fifo: bool = False
    #: whether the memory of its process is locked
    locked: bool = False
    #: what to type for more; empty if there is no more
    advice: str = ""


def enter(priority: int = PRIORITY) -> RealTime:
    """Give the calling thread real time, and the threads of its process that Python knows nothing of.

    Call it in the thread of the control loop, when the middleware has its threads. What is not permitted is left
    out, and said.
    """
    refused = [words for words in (_schedule(priority), _lock()) if words]
    fifo = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    locked = not any("mlockall" in words for words in refused)
    return RealTime(fifo, locked, _ADVICE.format(why="; ".join(refused)) if refused else "")


def leave() -> None:
    """Give it back."""
    for thread in _threads():
        with suppress(ProcessLookupError):  # ended meanwhile
            if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    ctypes.CDLL(None).munlockall()


def _threads() -> list[int]:
    """The calling thread, and those that are not Python's."""
    others = {thread.native_id for thread in threading.enumerate()} - {threading.get_native_id()}
    return [number for path in Path("/proc/self/task").iterdir() if (number := int(path.name)) not in others]


def _schedule(priority: int) -> str:
    """Returns why not."""
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK  # the fork is any new thread, too
    try:
        for thread in _threads():
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except OSError as error:
        return f"sched_setscheduler: {error.strerror}"
    return ""


def _lock() -> str:
    """Returns why not.

    A limit would be met by an allocation some day, and that one would fail: so it is all or nothing.
    """
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and os.geteuid() != 0:
        return "mlockall: locked memory is limited"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return f"mlockall: {os.strerror(ctypes.get_errno())}"
    return ""
