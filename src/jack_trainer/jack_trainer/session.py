"""What ./jack does while a graph runs: shows it, notices who dies, hears Ctrl-C, and looks whether Jack stands."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from jack_trainer.display import Display, Scene, duration
from jack_trainer.supervisor import Death

#: A ROS message: any object with its fields.
Message = Any

#: How often the picture changes [s].
PERIOD = 0.2
#: How long Ctrl-C waits for the trainer's last checkpoint before everything is ended [s].
LAST_CHECKPOINT = 1.5
#: How much longer than he is to stand he may take to get there: being let down, falling, being lifted [s].
STAND_GRACE = 60.0
HANGING, LOWERING, STANDING, LIFTING = "held", "lowering", "released", "lifting"
_RUN, _DAMP = 1, 2


@dataclass(frozen=True)
class TrainGoal:
    """What the trainer is asked for."""

    phase: str
    steps: int = 0
    seed: int = 0
    #: folder of a run to go on with; empty: start anew
    resume: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a goal ended."""

    success: bool
    message: str
    checkpoint: str = ""
    policy: str = ""


@dataclass
class Sight:
    """What was last heard of everybody."""

    #: TrainingStatus and BrainStatus
    training: Message | None = None
    brain: Message | None = None
    gantry: str = ""
    #: since when Jack stands without the gantry [s, monotonic]; None while he does not
    standing_since: float | None = None
    #: what happened and was not told yet
    events: list[str] = field(default_factory=list)

    def on_gantry(self, mode: str, now: float) -> None:
        """The gantry does something else from `now` [s, monotonic] on."""
        stood, self.standing_since = self.standing(now), now if mode == STANDING else None
        if mode == LOWERING:
            self.events.append(f"Jack is let down onto {self.policy()}")
        elif mode == STANDING:
            self.events.append("Jack stands on his own feet")
        elif mode == LIFTING:
            fell = self.gantry == STANDING
            self.events.append(f"Jack fell after {stood:.1f} s; he is lifted" if fell else "Jack is lifted")
        self.gantry = mode

    def standing(self, now: float) -> float:
        """For how long he has stood [s]."""
        return now - self.standing_since if self.standing_since is not None else 0.0

    def policy(self) -> str:
        """Which policy drives him, in words."""
        if self.brain is None or not self.brain.policy:
            return "no policy yet"
        return f"the policy of step {self.brain.step:,}"

    def drives(self, sha256: str) -> bool:
        """Whether a policy drives him now: this one, or any if `sha256` is empty."""
        brain = self.brain
        return brain is not None and brain.mode == _RUN and (brain.policy == sha256 or not sha256)

    def live(self, now: float) -> str:
        """What Jack does, in words."""
        doing = {
            HANGING: "hangs on the gantry",
            LOWERING: "is let down",
            LIFTING: "is lifted",
            STANDING: f"stands, {duration(self.standing(now))}",
        }.get(self.gantry, "")
        if self.brain is not None and self.brain.mode == _DAMP:
            doing = f"{doing}, damped ({self.brain.fault})" if doing else f"is damped ({self.brain.fault})"
        known = self.policy() if self.brain is not None else ""
        return ", ".join(filter(None, [doing, known]))

    def scene(self, note: str, now: float) -> Scene:
        """All of it, ready to be shown."""
        status = self.training
        if status is None:
            return Scene(note=note, live=self.live(now))
        return Scene(
            phase=status.phase,
            step=status.step,
            total_steps=status.total_steps,
            steps_per_second=status.steps_per_second,
            mean_return=status.mean_return,
            mean_episode_length=status.mean_episode_length,
            remaining=status.remaining,
            live=self.live(now),
            note=note,
        )


class Console(Protocol):
    """What a session needs of the console node."""

    sight: Sight

    @property
    def outcome(self) -> Outcome | None:
        """How the goal ended; None before."""
        ...

    def ready(self) -> bool:
        """Whether the trainer takes goals."""
        ...

    def train(self, goal: TrainGoal) -> None:
        """Set the trainer a goal."""
        ...

    def cancel(self) -> None:
        """Ask the trainer to checkpoint and stop."""
        ...

    def drive(self, velocity: Sequence[float]) -> None:
        """Ask a simulated Jack for vx, vy [m/s], yaw rate [rad/s] from now on."""
        ...


class Interrupts:
    """Ctrl-C, a hang-up or a polite kill, remembered instead of acted upon at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._remember) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.came = True


class GraphEndedError(Exception):
    """A node without which the graph is pointless has died; it was already told."""


@dataclass
class Session:
    """A running graph and the person in front of it."""

    console: Console
    display: Display
    #: lets messages in for so many seconds; returns lifecycle nodes that refuse to come up
    listen: Callable[[float], Sequence[str]]
    #: who died since the last call
    deaths: Callable[[], Sequence[Death]]
    #: whether somebody wants all this to end
    interrupted: Callable[[], bool]
    note: str = "starting"
    #: nodes that are gone
    lost: set[str] = field(default_factory=set)

    def tick(self) -> None:
        """A moment passes.

        Raises:
            GraphEndedError: a required node died.
        """
        for name in self.listen(PERIOD):
            self.lost.add(name)
            self.display.say(f"{name} refuses to be configured or activated; its log says why.", "red")
        required = False
        for death in self.deaths():
            self.lost.add(death.node.name)
            self.display.say(str(death), "red")
            required = required or death.node.required
        sight = self.console.sight
        for event in sight.events:
            self.display.say(event, "cyan")
        sight.events.clear()
        self.display.show(sight.scene(self.note, time.monotonic()))
        if required:
            raise GraphEndedError

    def until(self, condition: Callable[[], bool], timeout: float = float("inf")) -> bool:
        """Let time pass until something is so; whether it is, rather than too late or interrupted."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self.interrupted() or time.monotonic() > deadline:
                return False
            self.tick()
        return True

    def train(self, goal: TrainGoal) -> Outcome:
        """Have Jack trained. When it is interrupted, the trainer checkpoints first.

        Raises:
            GraphEndedError: the trainer died.
        """
        console = self.console
        if self.until(console.ready):
            self.note = "loading"
            console.train(goal)
            self.until(lambda: console.outcome is not None)
        if console.outcome is None:
            self.note = "saving a checkpoint"
            console.cancel()
            deadline = time.monotonic() + LAST_CHECKPOINT
            while console.outcome is None and time.monotonic() < deadline:
                self.tick()
        self.note = ""
        return console.outcome or self._cut_off()

    def _cut_off(self) -> Outcome:
        """The outcome where the trainer had no time to give one: what was saved last is whole."""
        status = self.console.sight.training
        if status is None or not status.checkpoint:
            return Outcome(False, "Stopped before there was anything to save.")
        newest = Path(status.checkpoint)
        return Outcome(
            False, f"Stopped; the newest checkpoint is {newest.name}.", str(newest), str(newest / "policy.onnx")
        )

    def stand(self, policy: Path | None, seconds: float) -> float:
        """Watch Jack stand, on a certain policy or on any.

        Returns:
            For how long he stood at best [s]: `seconds`, or less if he did not manage it in time.
        """
        sha256 = hashlib.sha256(policy.read_bytes()).hexdigest() if policy else ""
        driven_since: list[float] = []

        def stood() -> float:
            """For how long he has stood on that policy by now [s]."""
            if not self.console.sight.drives(sha256):
                driven_since.clear()
                return 0.0
            now = time.monotonic()
            driven_since[:] = driven_since or [now]
            return min(now - driven_since[0], self.console.sight.standing(now))

        longest = 0.0

        def long_enough() -> bool:
            nonlocal longest
            longest = max(longest, stood())
            return longest >= seconds or not self.lost.isdisjoint({"sim", "driver", "brain"})

        self.until(long_enough, seconds + STAND_GRACE)
        return min(longest, seconds)
