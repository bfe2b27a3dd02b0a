"""Examines policies in a thread of its own, so that the control loop never waits for one. Imports no ROS.

What a file computes is first computed in a process of its own, with bounds on time and memory: a graph may be sound
to look at, and still be made to eat the machine, or to crash what runs it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlparse

from jack_brain.policy import Policy, PolicyLimits, read
from jack_brain.policy_file import CONTRACT, read_metadata
from jack_contract.contract import Contract
from jack_contract.errors import JackError, PolicyError

#: So many files that came through are remembered.
_REMEMBERED = 64
#: The process that runs a file first gives way to others, a little.
_NICE = 5
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Offer:
    """A policy that somebody would like to drive the robot."""

    #: the file, its path, or a file:/// URI
    source: bytes | Path | str
    #: SHA-256 of the file, hexadecimal; empty: not said
    sha256: str = ""


class Examiner:
    """Takes the newest offer, and hands over a policy that is fit or the reason why it is not.

    Attributes:
        refused: how many were refused.
        refusal: why the last one was; empty if none was.
    """

    def __init__(
        self,
        contract: Contract,
        limits: PolicyLimits,
        accept: Callable[[Policy], None],
        refuse: Callable[[str], None],
        banned: Mapping[str, str] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            contract: the robot's own.
            limits: what a policy must keep to.
            accept: is given what is fit, in the thread, or in the one that calls `examine`.
            refuse: is given the reason, in the same.
            banned: files that are refused although they are fit: why, by SHA-256; it may grow.
        """
        self._contract, self._limits = contract, limits
        self._accept, self._refuse = accept, refuse
        self._banned = banned if banned is not None else {}
        self.refused, self.refusal = 0, ""
        self._examining = threading.Lock()
        self._sound: dict[str, None] = {}  # SHA-256 of what was run aside, oldest first
        self._aside: subprocess.Popen[bytes] | None = None
        self._news = threading.Condition()
        self._offer: Offer | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="examiner", daemon=True)
        self._thread.start()

    def submit(self, offer: Offer) -> None:
        """Have an offer examined soon; one that still waits is forgotten for it."""
        with self._news:
            self._offer = offer
            self._news.notify()

    def examine(self, offer: Offer) -> Policy | str:
        """Examine an offer here and now: the policy that was accepted, or why it was refused."""
        with self._examining:
            try:
                policy = self._load(offer)
            except JackError as error:
                self.refused, self.refusal = self.refused + 1, str(error)
                self._refuse(self.refusal)
                return self.refusal
            self._accept(policy)
            return policy

    def close(self) -> None:
        """End the thread; an examination that is under way is waited for, for a second."""
        with self._news:
            self._closed = True
            self._news.notify()
        if (process := self._aside) is not None:
            process.kill()
        self._thread.join(timeout=1.0)

    def _load(self, offer: Offer) -> Policy:
        source = path_of(offer.source) if isinstance(offer.source, str) else offer.source
        file = read(source, self._contract, self._limits)
        sha256 = hashlib.sha256(file).hexdigest()
        if offer.sha256 and offer.sha256 != sha256:
            raise PolicyError(f"The file's SHA-256 is {sha256[:12]}..., announced was {offer.sha256[:12]}...")
        if sha256 in self._banned:
            raise PolicyError(f"The policy {sha256[:12]} was taken back because of a fault: {self._banned[sha256]}")
        if sha256 not in self._sound:
            self._run_aside(file)
            self._sound[sha256] = None
            if len(self._sound) > _REMEMBERED:
                del self._sound[next(iter(self._sound))]
        return Policy.load(file, self._contract, self._limits)

    def _run_aside(self, file: bytes) -> None:
        """Run a file for the first time, in another process; a PolicyError says what came of it, if not right."""
        limits = json.dumps(asdict(self._limits) | {"max_bytes": len(file)})
        command = [sys.executable, "-m", "jack_brain.examiner", limits]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing) as aside:
            self._aside = aside
            try:
                said, _ = aside.communicate(file, timeout=3.0 * self._limits.seconds)
            except subprocess.TimeoutExpired as error:
                raise PolicyError(f"The policy was not done after {3 * self._limits.seconds:g} s.") from error
            finally:
                aside.kill()
                self._aside = None
        if aside.returncode < 0:
            name = signal.Signals(-aside.returncode).name
            raise PolicyError(f"The policy took too much time or memory, or crashed what ran it ({name}).")
        if aside.returncode != 0:
            raise PolicyError(said.decode(errors="replace").strip() or "The policy could not be run.")

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._offer is not None)
                offer, self._offer = self._offer, None
            if self._closed:
                return
            if offer is not None:
                self.examine(offer)


def path_of(uri: str) -> Path:
    """The path of a file:/// URI on this machine.

    Raises:
        PolicyError: another kind of URI.
    """
    parts = urlparse(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise PolicyError(f"A policy's URI must be file:///..., given: '{uri}'.")
    return Path(unquote(parts.path))


def main() -> int:
    """Run the policy file on the standard input, within bounds; says why it must not drive, if it must not."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody waits for the answer any more
    limits = PolicyLimits(**json.loads(sys.argv[1]))
    _bound(limits)
    try:
        file = sys.stdin.buffer.read(limits.max_bytes + 1)
        theirs = Contract.from_json(read_metadata(file)[CONTRACT])  # the robot's own: that was looked at before
        Policy.load(file, theirs, replace(limits, period_share=math.inf, timed_runs=1))
    except Exception as error:  # onnxruntime's own errors share no root but Exception
        print(str(error) if isinstance(error, JackError) else f"The policy cannot be run: {error or 'no memory'}")
        return 1
    return 0


def _bound(limits: PolicyLimits) -> None:
    """Bound what this process may use from here on."""
    os.nice(_NICE)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory, seconds = pages * resource.getpagesize() + limits.memory, math.ceil(limits.seconds)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
