"""Each in a process of its own: real time is a property of a process."""

import subprocess
import sys

PRELUDE = """
import ctypes, os, resource, threading
from jack_brain import realtime
class Libc:
    allowed, flags = True, None
    def mlockall(self, flags):
        Libc.flags = flags
        ctypes.set_errno(12)
        return 0 if Libc.allowed else -1
    def munlockall(self):
        return 0
given = {}
def schedule(pid, policy, param):
    if not Libc.allowed:
        raise PermissionError(1, "Operation not permitted")
    given[pid] = (policy, param.sched_priority)
ctypes.CDLL = lambda *args, **kwargs: Libc()
os.sched_setscheduler = schedule
os.sched_getscheduler = lambda pid: given.get(pid or threading.get_native_id(), (0,))[0]
realtime.os.geteuid = lambda: 0
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", PRELUDE + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_where_it_is_permitted_the_loop_has_it_and_the_other_threads_of_python_do_not():
    run("""
stop = threading.Event()
other = threading.Thread(target=stop.wait)
other.start()
got = realtime.enter(33)
assert got == realtime.RealTime(fifo=True, locked=True), got
assert given[threading.get_native_id()] == (os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 33)
assert other.native_id not in given
assert Libc.flags == 7  # what is there, what comes, each page as it is touched
realtime.leave()
assert given[threading.get_native_id()] == (os.SCHED_OTHER, 0)
stop.set()
""")


def test_where_it_is_not_permitted_it_says_what_to_type():
    run("""
Libc.allowed = False
got = realtime.enter()
assert not got.fifo and not got.locked
assert "sched_setscheduler: Operation not permitted" in got.advice and "mlockall" in got.advice
assert "rtprio" in got.advice and "limits.d" in got.advice and os.linesep not in got.advice
""")


def test_memory_is_not_locked_where_a_limit_would_be_met_some_day():
    run("""
realtime.os.geteuid = lambda: 1000
resource.getrlimit = lambda kind: (10**9, 10**9)
got = realtime.enter()
assert got.fifo and not got.locked and Libc.flags is None
assert "locked memory is limited" in got.advice
""")


def test_for_real_it_gets_what_the_system_permits_and_gives_it_back():
    code = """
import os, threading
from jack_brain import realtime
got = realtime.enter()
assert bool(got.advice) == (not got.fifo or not got.locked), got
assert got.fifo == (os.sched_getscheduler(0) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert got.locked == (int(status["VmLck"].split()[0]) > 0), status["VmLck"]
policies = []
thread = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))
thread.start(); thread.join()
assert policies == [os.SCHED_OTHER]  # nothing inherits it
realtime.leave()
assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert int(status["VmLck"].split()[0]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
