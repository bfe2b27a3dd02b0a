"""Who drives: a policy that is offered while another one drives is tried without authority first, then promoted.

On trial it sees what the driving policy sees and decides in its shadow; nothing that it says reaches a joint. What
it says must be sound, in time, and close to what the driving policy does. For a while after it took over, a fault
takes it back: the policy before it is put in its place, and its file is refused from then on.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import numpy as np

from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError, UnknownNameError
from jack_contract.gait import Beat

#: When a policy that passed its trial takes over: by itself, or when somebody says so.
AUTO, MANUAL = "auto", "manual"
#: Decisions whose median time counts.
_TIMED = 25


class Actor(Protocol):
    """Whatever decides."""

    #: of its file, hexadecimal
    sha256: str

    @property
    def stumble_steps(self) -> bool:
        """Whether it has learnt to take a step when he stumbles."""
        ...

    @property
    def beat(self) -> Beat | None:
        """That it walks at; None: the contract's."""
        ...

    @property
    def estimates(self) -> bool:
        """Whether it says what return is to be expected."""
        ...

    def act(self, history: Float32, command: Float32 | None = None) -> Float32:
        """History (H, D) and command (3,) -> action (n,)."""
        ...

    def infer(self, history: Float32, command: Float32 | None = None) -> tuple[Float32, float]:
        """History (H, D) and command (3,) -> action (n,) and expected return; NaN if it has none."""
        ...


@dataclass(frozen=True)
class TrialConfig:
    """How a policy comes to drive after another one."""

    #: AUTO or MANUAL
    promote: str = MANUAL
    #: for how long it is on trial; 0 with AUTO: it takes over untried [s]
    seconds: float = 10.0
    #: for how long after it took over a fault takes it back; 0: not at all [s]
    probation: float = 10.0
    #: Its joint targets may differ from those of the driving policy by so much: root mean square over all joints
    #: and ticks, and greatest [rad]. The last checkpoints of the training of the policy that ships, 0.2 million
    #: steps apart, differ from it by 0.008 and 0.03 while he walks and is pushed; one that was trained very nearly
    #: as it was, by 0.02 and 0.08; others that came to another gait, or to none, by 0.3 and 0.9.
    rms: float = 0.1
    largest: float = 0.3
    #: greatest amount of an action [1]
    action: float = 100.0
    #: greatest share of the control period that action and value together may take, median [1]
    period_share: float = 0.5

    def __post_init__(self) -> None:
        if self.promote not in (AUTO, MANUAL):
            raise UnknownNameError("way to promote a policy", self.promote, (AUTO, MANUAL))
        times = 0 <= self.seconds <= 3600 and 0 <= self.probation <= 3600
        if not times or not all(0 < x < math.inf for x in (self.rms, self.largest, self.action, self.period_share)):
            raise JackError(f"A trial needs times of 0 to 3600 s and bounds above 0, given: {self}.")


class Trial:
    """One policy that decides without authority.

    Attributes:
        policy: who is on trial.
        seconds: for how long it has been without a complaint [s].
        complaint: why it failed; empty if it did not.
    """

    def __init__(self, policy: Actor, contract: Contract, config: TrialConfig) -> None:
        """Begin; times count from the first observation on."""
        self.policy, self._config = policy, config
        self._scale: Float64 = np.array(contract.action.scale)
        self._joints = contract.robot.joint_names
        self._allowed = config.period_share * contract.robot.control_period
        self.seconds, self.complaint = 0.0, ""
        self._seen_at: float | None = None
        self._square, self._count = 0.0, 0
        self._times: deque[float] = deque(maxlen=_TIMED)

    @property
    def ready(self) -> bool:
        """Whether it may take over."""
        return not self.complaint and self._count > 0 and self.seconds >= self._config.seconds

    @property
    def report(self) -> str:
        """How it is getting on, in words."""
        return self.complaint or ("ready" if self.ready else "on trial")

    def observe(self, history: Float32, command: Float32, driving: Array, now: float) -> None:
        """Decide in the shadow of a decision, and be judged.

        Args:
            history: as in `Actor.act`.
            command: as in `Actor.act`.
            driving: what the driving policy said to both, (n,).
            now: a time that does not run back; where it stands still or nothing is observed, none passes [s].
        """
        if self.complaint:
            return
        begun = time.perf_counter()
        try:
            action, value = self.policy.infer(history, command)
        except Exception as error:  # whatever it is, it is no policy to drive with
            self.complaint = f"It cannot decide: {type(error).__name__}: {error}"
            return
        self._times.append(time.perf_counter() - begun)
        self.complaint = self._judge(action, value, self._scale * (action - driving))
        if self._seen_at is not None:
            self.seconds += max(0.0, now - self._seen_at)
        self._seen_at = now

    def pause(self) -> None:
        """Nothing is observed for a while: no time passes."""
        self._seen_at = None

    def _judge(self, action: Float32, value: float, difference: Array) -> str:
        config = self._config
        if not float(np.abs(action).max()) <= config.action:  # not <=: NaN compares as false
            return f"Its action is not finite or beyond {config.action:g}"
        if self.policy.estimates and not math.isfinite(value):
            return "Its value is not finite"
        if len(self._times) == _TIMED and median(self._times) > self._allowed:
            return f"It takes {1e3 * median(self._times):.2f} ms to decide; allowed: {1e3 * self._allowed:.2f} ms"
        return self._compare(difference)

    def _compare(self, difference: Array) -> str:
        self._square += float(np.square(difference).mean())
        self._count += 1
        joint = int(np.argmax(np.abs(difference)))
        if abs(difference[joint]) > self._config.largest:
            return (
                f"It would have {self._joints[joint]} {difference[joint]:+.2f} rad from where the driving policy "
                f"has it; allowed: {self._config.largest:g}"
            )
        if (rms := math.sqrt(self._square / self._count)) > self._config.rms:
            return (
                f"Its targets differ from the driving policy's by {rms:.3f} rad (root mean square); "
                f"allowed: {self._config.rms:g}"
            )
        return ""


class Succession:
    """Who drives, who is on trial, and to whom one goes back.

    Attributes:
        driving: the policy that has the body, or will have it when nothing damps the joints.
        trial: the one on trial, or the one that failed last; None without one.
        swaps: how many took over.
        rollbacks: how many were taken back.
        refused: what is never to drive again: why, by SHA-256. May be read in any thread.
    """

    def __init__(self, contract: Contract, config: TrialConfig) -> None:
        self._contract, self._config = contract, config
        self.driving: Actor | None = None
        self.trial: Trial | None = None
        self.swaps = self.rollbacks = 0
        self.refused: dict[str, str] = {}
        self._offered: Actor | None = None
        self._before: Actor | None = None
        self._took_over = 0.0
        self._promoted = False

    def offer(self, policy: Actor) -> None:
        """Let a policy have its turn from the next tick on. May be called from any thread: sets one reference."""
        self._offered = policy

    def promote(self) -> str:
        """Let the policy on trial take over at the next tick; returns its SHA-256.

        Raises:
            JackError: there is none, or it is not ready; says why.
        """
        if self.trial is None:
            raise JackError("No policy is on trial. Offer one on the topic policy or by the service load_policy.")
        if not self.trial.ready:
            raise JackError(
                f"The policy {self.trial.policy.sha256[:12]} is not ready: {self.trial.report}, for "
                f"{self.trial.seconds:.1f} s of {self._config.seconds:g} s."
            )
        self._promoted = True
        return self.trial.policy.sha256

    def next(self, now: float) -> bool:
        """Whether another policy takes over, at `now` [s]; then it is `driving`. Call it between two ticks."""
        offered, self._offered = self._offered, None
        if offered is not None and offered.sha256 not in self.refused:
            if self.driving is None or (self._config.promote == AUTO and self._config.seconds == 0):
                return self._take(offered, now)
            self.trial, self._promoted = Trial(offered, self._contract, self._config), False
        trial = self.trial
        if trial is not None and trial.ready and (self._promoted or self._config.promote == AUTO):
            return self._take(trial.policy, now)
        return False

    def observe(self, history: Float32, command: Float32, driving: Array, now: float) -> None:
        """Let the policy on trial decide in the shadow of the driving one, see `Trial.observe`."""
        if self.trial is not None:
            self.trial.observe(history, command, driving, now)

    def pause(self) -> None:
        """Nobody drives for a while: nothing is to be compared with."""
        if self.trial is not None:
            self.trial.pause()

    def failed(self, reason: str, now: float) -> Actor | None:
        """There is a fault at `now` [s]: the policy that took over a moment ago is taken back.

        Returns:
            It; None if nothing changes.
        """
        bad, before, probation = self.driving, self._before, self._config.probation
        if bad is None or before is None or bad.sha256 == before.sha256:
            return None
        if not probation or now - self._took_over > probation:
            return None
        self.driving, self._before = before, None
        self.refused[bad.sha256] = reason
        self.rollbacks += 1
        return bad

    def _take(self, policy: Actor, now: float) -> bool:
        self._before, self.driving, self._took_over = self.driving, policy, now
        self.trial, self._promoted = None, False
        self.swaps += 1
        return True
