"""Demonstrations in bulk, in one process: the expert at many tables at once, and what he saw, was told and did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float32
from jack_contract.state import RobotState
from jack_sim.render import BatchCamera
from jack_sim.tabletop import draw_layout
from jack_trainer.tasks.expert import Expert, Planner
from jack_trainer.tasks.instructions import Goal, Skill, say
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.tabletop import PATIENCE, Ids, Situation, Tabletop

#: Control periods from one picture to the next: 10 pictures a second.
PICTURE_EVERY = 5
#: He goes on for so long after he has done it [control periods].
AFTER = 25
#: Where he stands before the table: so far from the place, ahead and aside [m], and turned from it [rad].
_NEAR = (0.02, 0.02, 0.06)
#: From where he walks to it: ahead, aside [m] and heading [rad], least and greatest.
_AWAY = ((-1.1, -0.4), (-0.15, 0.15), (-0.25, 0.25))
#: The expert's arms are led astray by about so much [rad], for about so long [s], to be seen finding back.
DISTURBANCE, _DISTURBED = 0.03, 0.3


@dataclass(frozen=True)
class Demonstration:
    """One thing done, or not: T control periods and P pictures."""

    situation: Situation
    #: whether it was done
    success: bool
    #: whether he fell
    fell: bool
    #: what his sensors read before he was told what to do, (T, ...)
    state: RobotState
    #: velocity that he was to follow, (T, 3) [m/s, m/s, rad/s]
    command: Float32
    #: where the expert wanted his joints, (T, n) [rad]; where he led them differs by the disturbance
    targets: Float32
    #: RGB, (P, height, width, 3)
    images: NDArray[np.uint8]
    #: in which control period each picture was taken, (P,)
    taken: NDArray[np.int64]

    @property
    def instruction(self) -> str:
        """What he was told."""
        return self.situation.sentence


def draw_situation(
    random: np.random.Generator, planner: Planner, exam: bool = False, skill: Skill | None = None
) -> Situation:
    """A table, a place and something to do there, at random; it can be done.

    Args:
        random: where all of it comes from.
        planner: who knows what can be done.
        exam: whether layout and phrasing are such as are kept for examinations.
        skill: which; None: any, all alike.
    """
    skill = skill or list(Skill)[int(random.integers(len(Skill)))]
    while True:
        layout = draw_layout(random, held_out=exam)
        goals = [Goal(skill, thing.colour, thing.shape) for thing in layout.things] if skill.names_thing else []
        goals = [goal for goal in goals if planner.plan(layout, goal)] if skill.names_thing else [Goal(skill)]
        if goals:
            break
    goal = goals[int(random.integers(len(goals)))]
    low, high = np.array(_AWAY).T if skill is Skill.WALK else np.array([[-1.0], [1.0]]) * _NEAR
    x, y, heading = random.uniform(low, high).tolist()
    return Situation(layout, goal, say(random, goal, exam), (x, y, heading))


class Demonstrator:
    """N robots of a task with an expert's arms and a policy's legs."""

    def __init__(
        self,
        task: Tabletop,
        legs: Legs,
        camera: BatchCamera | None,
        random: np.random.Generator,
        disturbance: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            task: whose robots they are.
            legs: of as many.
            camera: that draws what they see; None: nothing is drawn.
            random: where the disturbance comes from.
            disturbance: by about how much arms are led astray [rad].
        """
        self.task, self.expert = task, Expert(task)
        self._legs, self._camera, self._random, self._disturbance = legs, camera, random, disturbance
        n, joints = task.count, task.contract.robot.count
        self._longest = round(max(PATIENCE.values()) / task.contract.robot.control_period) + AFTER + 1
        self._states: list[RobotState] = []
        self._targets = np.zeros((n, self._longest, joints), np.float32)
        self._command = np.zeros((n, self._longest, 3), np.float32)
        size = task.contract.camera
        pictures = self._longest // PICTURE_EVERY + 1 if camera else 0
        self._images = np.zeros((n, pictures, size.height, size.width, 3), np.uint8)
        self._kept: dict[str, NDArray[np.floating]] = {}
        self._astray = np.zeros((n, joints))
        self._after = np.zeros(n, np.int64)

    def run(self, draw: Callable[[], Situation], count: int) -> Iterator[Demonstration]:
        """So many demonstrations, of situations that can be done, in the order in which they end."""
        everybody, begun = np.arange(self.task.count), min(self.task.count, count)
        self._begin(everybody, [draw() for _ in everybody])
        active, done = everybody < begun, 0
        while done < count:
            self._tick()
            over = self.task.over
            self._after += over
            ended = np.flatnonzero(
                active & (self.task.fallen | (self._after > AFTER) | (over & ~self.task.succeeded))
            )
            for index in ended.tolist():
                yield self._cut(index)
            done += len(ended)
            if not len(ended):
                continue
            again = ended[: max(0, count - begun)]
            active[ended], begun = False, begun + len(again)
            active[again] = True
            if len(again):
                self._begin(again, [draw() for _ in again])

    def _begin(self, ids: Ids, situations: list[Situation]) -> None:
        self.task.begin(ids, situations)
        self.expert.begin(ids, situations)
        self._legs.begin(ids)
        self._astray[ids], self._after[ids] = 0.0, 0

    def _tick(self) -> None:
        task, rows = self.task, np.arange(self.task.count)
        age = np.minimum(task.age, self._longest - 1)
        state = task.world.state()
        for entry in fields(state):
            self._keep(entry.name, getattr(state, entry.name), age)
        if self._camera is not None:
            due = np.flatnonzero(age % PICTURE_EVERY == 0)
            if len(due):
                self._images[due, age[due] // PICTURE_EVERY] = self._camera.render(due)
        velocity = self.expert.velocity()
        wanted = self.expert.arms(self._legs.decide(state, velocity, self.expert.free))
        self._targets[rows, age], self._command[rows, age] = wanted, velocity
        task.step(wanted + self._lead_astray())

    def _keep(self, name: str, values: NDArray[np.floating], age: NDArray[np.int64]) -> None:
        if name not in self._kept:
            self._kept[name] = np.zeros((self.task.count, self._longest, *values.shape[1:]))
        self._kept[name][np.arange(self.task.count), age] = values

    def _lead_astray(self) -> NDArray[np.floating]:
        """Offsets of the arms' targets, (N, n) [rad]: an Ornstein-Uhlenbeck process, drawn back to zero."""
        if not self._disturbance:
            return self._astray
        arms = self.task.arms.indices.ravel()
        share = self.task.contract.robot.control_period / _DISTURBED
        push = self._random.normal(0.0, self._disturbance * np.sqrt(2 * share), (self.task.count, len(arms)))
        self._astray[:, arms] += push - share * self._astray[:, arms]
        return np.where(self.expert.free[:, None], 0.0, self._astray)

    def _cut(self, index: int) -> Demonstration:
        task, length = self.task, int(min(self.task.age[index], self._longest - 1))
        situation = task.situations[index]
        assert situation is not None
        taken = np.arange(0, length, PICTURE_EVERY) if self._camera else np.zeros(0, np.int64)
        return Demonstration(
            situation,
            bool(task.succeeded[index]),
            bool(task.fallen[index]),
            RobotState(**{name: values[index, :length].copy() for name, values in self._kept.items()}),
            self._command[index, :length].copy(),
            self._targets[index, :length].copy(),
            self._images[index, : len(taken)].copy(),
            taken,
        )
