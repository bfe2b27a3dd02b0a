"""Demonstrations in bulk, in one process: the expert at many tables at once, and what he saw, was told and did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jack_brain.arms import TAKE
from jack_brain.chunk import led_joints, to_rows
from jack_brain.safety import Safety, SafetyLimits
from jack_contract.arrays import Array, Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.instruction import Tokenizer
from jack_sim.layout import draw_layout
from jack_sim.render import BatchCamera
from jack_trainer.imitation.samples import Rows
from jack_trainer.imitation.scenes import Scenes, scene_layout
from jack_trainer.tasks.beginner import Beginner
from jack_trainer.tasks.expert import Expert
from jack_trainer.tasks.instructions import Skill, goals, say, sentences
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.planner import Planner
from jack_trainer.tasks.tabletop import PATIENCE, PICTURE_EVERY, SETTLING, Ids, Situation, Tabletop, turned_back
from jack_trainer.tasks.turns import in_turns

#: He goes on for so long after he has done it [control periods].
AFTER = 25
#: Where he is put down before the table: so far from the place, ahead and aside [m], and turned from it [rad]; in
#: what is shown, and in examinations.
_NEAR, _NEAR_IN_EXAMS = (0.06, 0.06, 0.12), (0.02, 0.02, 0.06)
#: In this share of what is shown he is pushed by up to so much as he is put down [m/s]: whether he makes a step
#: then, and with which foot, hangs by a hair, and his eyes are elsewhere afterwards. Who had only seen it after a
#: step missed everything by 5 cm without.
_PUSHED, _PUSH = 0.6, 0.5
#: From where he walks to it: ahead, aside [m] and heading [rad], least and greatest.
_AWAY = ((-1.1, -0.4), (-0.15, 0.15), (-0.25, 0.25))
#: The expert's arms and waist are led astray by up to about so much [rad], one demonstration more than another,
#: for about so long [s], to be seen finding back. Of twice as much he learns worse: nobody can foresee in a chunk
#: what will lead him astray.
DISTURBANCE, _DISTURBED = 0.05, 0.3
#: Somebody else has the arms for the first so many control periods, least and greatest, of this share of what is
#: shown; the expert has them from then on, and what is done counts from then on.
_LED, _LED_SHARE = (10, 120), 0.6
#: Numbers of the goals, as rows have them.
GOALS = {goal: index for index, goal in enumerate(goals())}


@dataclass(frozen=True)
class Demonstration:
    """One thing done, or not: T control periods and P pictures."""

    situation: Situation
    #: whether it was done
    success: bool
    #: whether he fell
    fell: bool
    #: as `scene_layout` has them, (T,); pictures are counted from the first of these
    rows: Rows
    #: RGB, (P, height, width, 3)
    images: NDArray[np.uint8]

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
        able = list(planner.goals(layout, [skill]))
        if able:
            break
    goal = able[int(random.integers(len(able)))]
    near = np.array([[-1.0], [1.0]]) * (_NEAR_IN_EXAMS if exam else _NEAR)
    low, high = np.array(_AWAY).T if skill is Skill.WALK else near
    x, y, heading = random.uniform(low, high).tolist()
    return Situation(layout, goal, say(random, goal, exam), (x, y, heading))


def other_words(
    random: np.random.Generator, planner: Planner, situation: Situation, exam: bool = False
) -> Situation | None:
    """The same scene, and the same kind of deed done to another thing; None where nothing else can be done."""
    skill = situation.goal.skill
    able = [goal for goal in planner.goals(situation.layout, [skill]) if goal != situation.goal]
    if not able:
        return None
    goal = able[int(random.integers(len(able)))]
    return situation.told(goal, say(random, goal, exam))


class Demonstrator:
    """N robots of a task with an expert's arms and a policy's legs."""

    def __init__(
        self,
        task: Tabletop,
        legs: Legs,
        camera: BatchCamera | None,
        random: np.random.Generator,
        disturbance: float = 0.0,
        begins: Beginner | None = None,
    ) -> None:
        """Prepare.

        Args:
            task: whose robots they are.
            legs: of as many.
            camera: that draws what they see; None: nothing is drawn.
            random: where the disturbance comes from.
            disturbance: by about how much arms and waist are led astray at most [rad]; 0: nor is he pushed, and he
                begins with the left foot.
            begins: who begins, of as many; learnt from is only what follows him. None: nobody.

        Raises:
            JackError: who begins has to see.
        """
        if begins is not None and begins.sees and camera is None:
            raise JackError("An apprentice begins by what he sees: give the demonstrator a camera.")
        self.task, self.expert = task, Expert(task)
        self._legs, self._camera, self._random, self._disturbance = legs, camera, random, disturbance
        contract, n = task.contract, task.count
        self._longest = round(max(PATIENCE.values()) / contract.robot.control_period) + AFTER + 1
        self._rows = np.zeros((n, self._longest), scene_layout(contract))
        pictures = self._longest // PICTURE_EVERY + 1 if camera else 0
        self._images = np.zeros((n, pictures, contract.camera.height, contract.camera.width, 3), np.uint8)
        self._pixel = np.full((n, 2), np.nan)
        self._executed = np.zeros((n, contract.robot.count))
        self._astray, self._strength = np.zeros((n, contract.robot.count)), np.zeros(n)
        self._after, self._joints = np.zeros(n, np.int64), led_joints(contract.robot)
        self._safety, self._targets = Safety(contract.robot, SafetyLimits()), np.zeros((n, contract.robot.count))
        self._begins, self._led = begins, np.zeros(n, np.int64)  # until when he has the arms [control periods]

    def run(self, draw: Callable[[], Situation], count: int) -> Iterator[Demonstration]:
        """So many demonstrations, of situations that can be done, in the order in which they end."""

        def step(_: NDArray[np.bool_]) -> NDArray[np.bool_]:
            self.tick()
            over, failed = self.task.over, self.task.fallen | (self.task.over & ~self.task.succeeded)
            self._after += over
            return failed | (self._after > AFTER)

        turns = in_turns(self.task.count, count, lambda ids: self.begin(ids, [draw() for _ in ids]), step)
        return map(self._cut, turns)

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Put robots `ids` (k,) into situations (k,) that can be done; they find their feet, and then are told."""
        self.task.begin(ids, situations, SETTLING)
        self._legs.begin(ids, self._random.choice((0.0, 0.5), len(ids)) if self._disturbance else 0.0)
        self._astray[ids], self._after[ids] = 0.0, 0
        self._targets[ids] = measured = self.task.world.state().joint_position[ids]  # as a pilot begins
        self._executed[ids] = self.task.contract.action.action(self.task.contract.robot, measured)
        if self._disturbance:
            self._strength[ids] = self._random.uniform(0.0, self._disturbance, len(ids))
            pushed = ids[self._random.random(len(ids)) < _PUSHED]
            self.task.world.push(pushed, self._random.uniform(-_PUSH, _PUSH, (len(pushed), 2)))
        if self._begins is not None:
            begun = self._random.random(len(ids)) < _LED_SHARE
            self._led[ids] = np.where(begun, self._random.integers(*_LED, len(ids)), 0)

    def tick(self) -> None:
        """One control period of all of them."""
        task, legs, contract = self.task, self._legs, self.task.contract
        self._tell()
        told, age = task.told, task.age.clip(0, self._longest - 1)
        state, signal, offsets, pace = task.world.state(), legs.signal, legs.offsets, legs.pace
        frame = contract.observation.encode(contract.robot, state, self._executed, signal)
        self._look(age)
        velocity, led = self.expert.velocity(), told & (task.age < self._led)
        asked, free = self._asked(velocity, led)
        walks = legs.decide(state, np.where(told[:, None], asked, 0.0), free | ~told)
        wanted = self.expert.arms(walks)
        # As a robot's arms are taken: from the one who walks, step by step.
        targets = walks + np.minimum((age + 1) / TAKE, 1.0)[:, None] * (wanted - walks) + self._lead_astray()
        if self._begins is not None and led.any():
            targets = np.where(led[:, None], self._begins.lead(frame, walks, offsets, led), targets)
        targets = np.where(told[:, None], targets, walks)
        self._executed = contract.action.action(contract.robot, targets - offsets)
        values: dict[str, Array] = {
            "time": state.time,
            "frame": frame,
            "command": pace,
            "action": contract.action.action(contract.robot, wanted - offsets),
            "row": to_rows(contract, wanted, velocity, 1.0 - self.expert.free),
            "picture": age // PICTURE_EVERY,
            "place": self._place(),
            "pixel": self._pixel,
            "done": task.succeeded,
        }
        at = (np.flatnonzero(told), age[told])
        for name, value in values.items():
            self._rows[name][at] = value[told]
        self._rows["use"][at] = ~led[told]
        self._targets = self._safety.limit(targets, self._targets, state)  # as a pilot does
        task.step(self._targets)

    def _tell(self) -> None:
        """Who has found his feet is told, and who was led is let go."""
        begins, situations = self._begins, self.task.situations
        new = np.flatnonzero(self.task.age == 0)
        if len(new):
            said = [situation for index in new if (situation := situations[index]) is not None]
            self.expert.begin(new, said)
            if begins is not None:
                begins.begin(new, said)
        if len(ended := np.flatnonzero((self.task.age == self._led) & (self._led > 0))):
            self.task.count_from_now(ended)
            self.expert.take_over(ended)

    def _look(self, age: NDArray[np.int64]) -> None:
        """Draw what is due, and note where the named thing is in it."""
        due = np.flatnonzero(self.task.told & (age % PICTURE_EVERY == 0))
        if self._camera is None or not len(due):
            return
        pictures = self._images[due, age[due] // PICTURE_EVERY] = self._camera.render(due)
        if self._begins is not None:
            for index, picture in zip(due.tolist(), pictures, strict=True):
                if self.task.age[index] < self._led[index]:
                    self._begins.look(index, picture)
        slot = np.maximum(self.task.slot, 0)
        things = self.task.scene().things[np.arange(self.task.count), slot]
        pixel = self._camera.project(things)
        inside = ((pixel >= 0.0) & (pixel <= 1.0)).all(axis=1) & (self.task.slot >= 0)
        self._pixel[due] = np.where(inside[:, None], pixel, np.nan)[due]

    def _asked(self, velocity: Float64, led: NDArray[np.bool_]) -> tuple[Float64, NDArray[np.bool_]]:
        """What whoever has the arms asks of the legs (N, 3), and who leaves the arms to them (N,)."""
        begins, free = self._begins, self.expert.free
        if begins is None:
            return velocity, free
        return np.where(led[:, None], begins.velocity, velocity), np.where(led, begins.free, free)

    def _place(self) -> Float64:
        """Where the named things are in the frames of the pelvises, (N, 3) [m]; NaN for whom none is named."""
        scene, quaternions = self.task.scene(), self.task.pelvis_turn()
        things = scene.things[np.arange(self.task.count), np.maximum(self.task.slot, 0)]
        return np.where(self.task.slot[:, None] >= 0, turned_back(quaternions, things - scene.pelvis), np.nan)

    def _lead_astray(self) -> Float64:
        """Offsets of arms and waist, (N, n) [rad]: an Ornstein-Uhlenbeck process, drawn back to zero."""
        if not self._disturbance:
            return self._astray
        led = self._joints
        share = self.task.contract.robot.control_period / _DISTURBED
        push = self._random.normal(0.0, np.sqrt(2 * share), (self.task.count, len(led))) * self._strength[:, None]
        self._astray[:, led] += push - share * self._astray[:, led]
        return np.where(self.expert.free[:, None], 0.0, self._astray)

    def _cut(self, index: int) -> Demonstration:
        task, length = self.task, int(self.task.age[index].clip(0, self._longest - 1))
        situation = task.situations[index]
        assert situation is not None
        rows, steps = self._rows[index, :length].copy(), np.arange(length)
        rows["goal"] = GOALS[situation.goal]
        rows["back"] = np.minimum(steps, task.contract.observation.history - 1)
        rows["ahead"] = length - 1 - steps
        first = int(np.argmax(rows["done"])) if rows["done"].any() else length  # when it was done
        begun = int(min(self._led[index], first))  # somebody else did what was before
        rows["done"] = ((steps - begun) / max(1, first - begun)).clip(0.0, 1.0)
        pictures = -(-length // PICTURE_EVERY) if self._camera else 0
        return Demonstration(
            situation,
            bool(task.succeeded[index]),
            bool(task.fallen[index]),
            rows,
            self._images[index, :pictures].copy(),
        )


def as_scenes(
    demonstrations: Sequence[Demonstration], contract: Contract, tokenizer: Tokenizer, exam: bool = False
) -> Scenes:
    """Demonstrations as what is learnt from.

    Args:
        demonstrations: with pictures.
        contract: for which they were made.
        tokenizer: that reads what is said.
        exam: whether they are told in the words that are kept for examinations.
    """
    counts = np.cumsum([0, *(len(demonstration.images) for demonstration in demonstrations)])
    parts = [demonstration.rows.copy() for demonstration in demonstrations]
    for part, first in zip(parts, counts[:-1], strict=True):
        part["picture"] += first
    pictures = np.concatenate([demonstration.images for demonstration in demonstrations])
    tokenizer.require_fits(contract.instruction)
    return Scenes(np.concatenate(parts), pictures.transpose(0, 3, 1, 2), _said(tokenizer, exam))


def _said(tokenizer: Tokenizer, exam: bool) -> NDArray[np.int64]:
    """All sentences for each goal, (G, S, L); those of a goal with fewer come again."""
    ways = [np.array([tokenizer.read(sentence).ids for sentence in sentences(goal, exam)]) for goal in GOALS]
    most = max(map(len, ways))
    return np.stack([np.resize(way, (most, tokenizer.length)) for way in ways])
