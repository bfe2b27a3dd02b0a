"""He stands before a table and is told something: N robots, each with its own table, and whether they did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.contract import Contract
from jack_contract.rotation import projected_gravity, wxyz_to_xyzw
from jack_sim.batch import BatchWorld
from jack_sim.layout import SHAPES, SLOTS, Layout
from jack_sim.scene import SceneOptions, load_model
from jack_sim.tabletop import TABLETOP, Table
from jack_trainer.tasks.arm import Arms
from jack_trainer.tasks.instructions import Goal, Skill

Ids = NDArray[np.integer]

#: The world that he is taught and examined in: all of him touches, and he sees all of it.
SCENE = SceneOptions(TABLETOP, collision="full", visuals=True)

#: Touching: hand and thing are no further apart [m], for so long [s].
TOUCH_DISTANCE, TOUCH_TIME = 0.01, 0.2
#: Pointing: the forearm's line misses the middle of the thing, seen from the elbow, by no more [rad], for so long
#: [s], and the hand stays so far away from it [m].
POINT_ANGLE, POINT_TIME, POINT_DISTANCE = np.radians(10.0), 0.3, 0.015
#: Pushing: the thing is so much further to that side than it was [m], and still on the table.
PUSH_DISTANCE = 0.05
#: Waving: a hand above the shoulder turns round so often, at least so far from where it turned before [m].
WAVE_TURNS, WAVE_WIDTH = 3, 0.05
#: Walking to the table: he stands so near to the place before it, ahead and aside [m], turned to it [rad], slower
#: than this [m/s], for so long [s].
WALK_AHEAD, WALK_ASIDE, WALK_TURN, WALK_SPEED, WALK_TIME = 0.08, 0.2, 0.35, 0.15, 0.5
#: Another thing than the named one that is moved so far is a mistake [m].
MEDDLING = 0.03
#: A body tilted further than this has fallen [rad], or a pelvis lower than this [m].
FALL_TILT, FALL_HEIGHT = 0.8, 0.42
#: Height of his shoulders over his pelvis [m].
_SHOULDER = 0.355
#: Who is put down finds his feet for so long before he is told anything [control periods]: it takes some a step,
#: and their waists longer.
SETTLING = 50
#: Control periods from one picture to the next: 10 pictures a second.
PICTURE_EVERY = 5
#: He may take so long [s].
PATIENCE: dict[Skill, float] = {skill: 8.0 if skill is Skill.WALK else 6.0 for skill in Skill}
_SKILLS = tuple(Skill)


@dataclass(frozen=True)
class Situation:
    """A table, where he stands before it, and what he is told."""

    layout: Layout
    goal: Goal
    sentence: str
    #: of his pelvis: x, y [m] and heading [rad]; (0, 0, 0) is the place before the table
    start: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def told(self, goal: Goal, sentence: str) -> Situation:
        """The same scene with other words: a counterfactual."""
        return Situation(self.layout, goal, sentence, self.start)

    @cached_property
    def slot(self) -> int:
        """Of the thing that it is about; -1 where it is about none. An UnknownNameError where there is no such."""
        return self.layout.slot(self.goal.kind) if self.goal.skill.names_thing else -1


@dataclass(frozen=True)
class Scene:
    """What only the simulator knows of N robots and their tables."""

    #: of the pelvis in world, (N, 3) [m], and its heading, (N,) [rad]
    pelvis: Array
    heading: Array
    #: (N,) [m/s]
    speed: Float64
    #: of left and right arm in world, (N, 2, 3) [m]; the direction from elbow to hand, unit vectors
    elbows: Float64
    hands: Float64
    directions: Float64
    #: of all slots in world, (N, SLOTS, 3) [m]
    things: Float64
    #: between the surfaces of each hand and each thing, (N, 2, SLOTS) [m]
    gaps: Float64
    #: (N,)
    fallen: NDArray[np.bool_]


class Tabletop:
    """N robots before their tables.

    Attributes:
        situations: what each is in, (N,).
        succeeded: who has done what he was told, (N,).
        fallen: who has fallen, (N,).
        meddled: who has moved something else, (N,).
        age: for how long he has been told, (N,) [control periods]; below zero while he finds his feet.
    """

    def __init__(self, count: int, contract: Contract, threads: int = 1, scene: SceneOptions = SCENE) -> None:
        """Make `count` worlds; all must `begin` before they step."""
        self.contract, self.count = contract, count
        self.world = BatchWorld(load_model(scene), contract.robot, count, threads)
        batch, model = self.world.batch, self.world.batch.model
        self.table, self.arms = Table(model), Arms(model, contract.robot)
        self._qpos, self._qvel = batch.bind("qpos"), batch.bind("qvel")
        self._places, self._turns = batch.bind("xpos"), batch.bind("xmat")
        self._gravity = batch.bind("qfrc_bias")
        self._period = contract.robot.control_period
        self.situations: list[Situation | None] = [None] * count
        self.succeeded, self.fallen, self.meddled = (np.zeros(count, bool) for _ in range(3))
        self.age = np.zeros(count, np.int64)
        self._skill, self._slot = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._used = np.zeros((count, SLOTS), bool)
        self._kinds, self._sizes = np.zeros((count, SLOTS), np.int64), np.ones((count, SLOTS))
        self._heights = np.zeros(count)
        self._began = np.zeros((count, SLOTS, 3))
        self._held = np.zeros(count)
        self._wave = np.zeros((count, 2, 3))  # of each hand: where it turned, which way it goes, turns
        self._patience = np.zeros(count, np.int64)

    def begin(self, ids: Ids, situations: Sequence[Situation], settling: int = 0) -> None:
        """Put robots `ids` (k,) into situations (k,), in which they are told after so many control periods."""
        world, batch = self.world, self.world.batch
        qpos = np.tile(world.home, (len(ids), 1))
        for row, index, situation in zip(qpos, ids, situations, strict=True):
            number = int(index)
            self.table.lay(situation.layout, lambda field, number=number: batch.expand(field)[number])
            self.table.place(situation.layout, row)
            x, y, heading = situation.start
            row[:2], row[3:7] = (x, y), (np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2))
        world.reset(ids, qpos)
        self.tell(ids, situations)
        self.age[ids] = -settling

    def tell(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Robots `ids` (k,) are in situations (k,) as it is; what they do counts from now on."""
        for index, situation in zip(ids, situations, strict=True):
            self._note(int(index), situation)
        self.age[ids] = 0
        self.count_from_now(ids)

    def count_from_now(self, ids: Ids) -> None:
        """What robots `ids` (k,) did before, and what they moved, is forgotten."""
        for array in (self.succeeded, self.fallen, self.meddled, self._held, self._wave):
            array[ids] = 0
        self._began[ids] = self._things()[ids]
        self._wave[ids, :, 0] = np.nan

    def step(self, targets: Array) -> None:
        """Advance by one control period with joint targets (N, n) [rad], and judge."""
        self.world.step(targets)
        self.age += 1
        self.judge(self.scene())
        self.count_from_now(np.flatnonzero((self.age == 0) & ~self.fallen))

    @property
    def told(self) -> NDArray[np.bool_]:
        """Who has been told what to do, (N,); others find their feet."""
        return self.age >= 0

    @property
    def over(self) -> NDArray[np.bool_]:
        """Who is done, or down, or too late, (N,)."""
        return self.succeeded | self.fallen | (self.age >= self._patience)

    def scene(self) -> Scene:
        """The truth as it is; bodies are those of the last substep's start."""
        arms, places, turns = self.arms, self._places, self._turns.reshape(self.count, -1, 3, 3)
        elbows = places[:, arms.forearms]
        directions = -turns[:, arms.forearms][..., 2]
        hands = elbows + arms.length * directions
        things = self._things()
        truth = self.world.truth()
        gravity = projected_gravity(wxyz_to_xyzw(self._qpos[:, 3:7]))
        down = (gravity[:, 2] > -np.cos(FALL_TILT)) | (truth.position[:, 2] < FALL_HEIGHT) | self.world.diverged()
        speed = np.linalg.norm(truth.world_velocity[:, :2], axis=-1)
        return Scene(
            truth.position,
            truth.heading,
            speed,
            elbows,
            hands,
            directions,
            things,
            self._gaps(hands, things),
            down,
        )

    def torso(self) -> tuple[Float64, Float64]:
        """Where the torsos are in world, (N, 3) [m], and how they are turned, (N, 3, 3)."""
        turns = self._turns.reshape(self.count, -1, 3, 3)
        return self._places[:, self.arms.torso], turns[:, self.arms.torso]

    def pelvis_turn(self) -> Float64:
        """How the pelvises are turned in world, w x y z, (N, 4)."""
        return self._qpos[:, 3:7]

    def gravity(self) -> Float64:
        """Torques that hold his joints up, (N, n) [N m]."""
        return self._gravity[:, 6 : 6 + self.contract.robot.count]

    @property
    def slot(self) -> NDArray[np.int64]:
        """Which thing each is told of, (N,); -1: none."""
        return self._slot

    @property
    def skill(self) -> list[Skill]:
        """What each is told to do, (N,)."""
        return [_SKILLS[index] for index in self._skill]

    def judge(self, scene: Scene) -> None:
        """Take notice of how it is: who has done it, who has fallen, who meddled."""
        self.fallen |= scene.fallen
        moved = np.linalg.norm(scene.things - self._began, axis=-1) * self._used
        named = np.arange(SLOTS) == self._slot[:, None]
        self.meddled |= ((moved > MEDDLING) & ~named).any(axis=1)
        good, lasting = self._good(scene)
        self._held = np.where(good, self._held + self._period, 0.0)
        # A period more than asked for is no mistake, one less would be: sums of fractions miss by their last bit.
        done = good & (self._held >= lasting - 1e-9)
        self.succeeded |= done & ~self.fallen & ~self.meddled

    def _good(self, scene: Scene) -> tuple[NDArray[np.bool_], Float64]:
        """Who does what he was told at this moment, (N,), and for how long that has to last, (N,) [s]."""
        robots, slot = np.arange(self.count), np.maximum(self._slot, 0)
        thing, gap = scene.things[robots, slot], scene.gaps[robots, :, slot].min(axis=1)
        others = np.where(np.arange(SLOTS)[None] == slot[:, None], np.inf, scene.gaps.min(axis=1)).min(axis=1)
        aside = thing[:, 1] - self._began[robots, slot, 1]
        on_table = thing[:, 2] > self._heights
        ahead = np.stack((np.cos(scene.heading), np.sin(scene.heading)), axis=-1)
        at_table = (
            (np.abs(scene.pelvis[:, 0]) < WALK_AHEAD)
            & (np.abs(scene.pelvis[:, 1]) < WALK_ASIDE)
            & (ahead[:, 0] > np.cos(WALK_TURN))
            & (scene.speed < WALK_SPEED)
        )
        good: dict[Skill, tuple[NDArray[np.bool_], float]] = {
            Skill.TOUCH: ((gap < TOUCH_DISTANCE) & (gap < others) & on_table, TOUCH_TIME),
            Skill.POINT: ((self._miss(scene, thing) < POINT_ANGLE) & (gap > POINT_DISTANCE), POINT_TIME),
            Skill.PUSH_LEFT: ((aside > PUSH_DISTANCE) & on_table, 0.0),
            Skill.PUSH_RIGHT: ((aside < -PUSH_DISTANCE) & on_table, 0.0),
            Skill.WAVE: (self._waves(scene) >= WAVE_TURNS, 0.0),
            Skill.WALK: (at_table, WALK_TIME),
        }
        conditions = np.stack([good[skill][0] for skill in _SKILLS])
        return conditions[self._skill, robots], np.array([good[skill][1] for skill in _SKILLS])[self._skill]

    def _miss(self, scene: Scene, thing: Float64) -> Float64:
        """By how much the better of the forearms misses a thing (N, 3) that it points at, (N,) [rad]."""
        way = thing[:, None] - scene.elbows
        cosine = (way * scene.directions).sum(axis=-1) / np.linalg.norm(way, axis=-1)
        return np.arccos(np.clip(cosine, -1.0, 1.0)).min(axis=1)

    def _waves(self, scene: Scene) -> Float64:
        """How often the hand that turned round more often has done so, above the shoulder, (N,)."""
        raised = scene.hands[..., 2] > scene.pelvis[:, None, 2] + _SHOULDER
        c, s = np.cos(scene.heading)[:, None], np.sin(scene.heading)[:, None]
        aside = c * scene.hands[..., 1] - s * scene.hands[..., 0]
        turned, way, turns = np.moveaxis(self._wave, -1, 0)
        # The outermost point so far is where it turns, once it has come back by the width of a wave.
        turned = np.where(np.isnan(turned) | ~raised, aside, turned)
        outermost = np.where(way >= 0, np.maximum(turned, aside), np.minimum(turned, aside))
        first = way == 0
        back = np.where(first, np.abs(aside - turned), np.abs(aside - outermost)) > WAVE_WIDTH
        new_way = np.where(first, np.sign(aside - turned), -way)
        turns = np.where(back & ~first, turns + 1, turns) * raised
        self._wave[..., 0] = np.where(back, aside, np.where(first, turned, outermost))
        self._wave[..., 1] = np.where(back, new_way, way) * raised
        self._wave[..., 2] = turns
        return turns.max(axis=1)

    def _gaps(self, hands: Float64, things: Float64) -> Float64:
        """Between the surfaces of hands (N, 2, 3) and things (N, SLOTS, 3), (N, 2, SLOTS) [m]; inside: below 0."""
        addresses = self.table.addresses
        quaternions = np.stack([self._qpos[:, a + 3 : a + 7] for a in addresses], axis=1)
        offset = turned_back(quaternions[:, None], hands[:, :, None] - things[:, None])
        gaps = distance(self._kinds[:, None], self._sizes[:, None], offset) - self.arms.radius
        return np.where(self._used[:, None], gaps, np.inf)

    def _things(self) -> Float64:
        return np.stack([self._qpos[:, a : a + 3] for a in self.table.addresses], axis=1)

    def _note(self, index: int, situation: Situation) -> None:
        things = situation.layout.things
        self.situations[index] = situation
        self._skill[index], self._slot[index] = _SKILLS.index(situation.goal.skill), situation.slot
        self._used[index] = np.arange(SLOTS) < len(things)
        self._kinds[index, : len(things)] = [SHAPES[thing.shape] for thing in things]
        self._sizes[index, : len(things)] = [thing.size for thing in things]
        self._heights[index] = situation.layout.height
        self._patience[index] = round(PATIENCE[situation.goal.skill] / self._period)


def distance(kind: NDArray[np.integer], size: Array, point: Array) -> Float64:
    """From a point to the surface of a thing that it is seen from.

    Args:
        kind: of the thing, as in SHAPES, (...).
        size: half its width, (...) [m].
        point: in the thing's frame, (..., 3) [m].

    Returns:
        (...) [m]; below zero inside.
    """
    ball = np.linalg.norm(point, axis=-1) - size
    cube = np.abs(point) - size[..., None]
    round_off = np.stack((np.hypot(point[..., 0], point[..., 1]), np.abs(point[..., 2])), axis=-1) - size[..., None]
    return np.select(
        [kind == SHAPES["ball"], kind == SHAPES["cube"]], [ball, _beyond(cube)], default=_beyond(round_off)
    )


def _beyond(excess: Array) -> Float64:
    """The signed distance to a box, of how far a point is beyond each of its sides."""
    return np.linalg.norm(np.maximum(excess, 0.0), axis=-1) + np.minimum(excess.max(axis=-1), 0.0)


def turned_back(quaternion: Array, vector: Array) -> Float64:
    """A vector (..., 3) in the frame that is turned by w x y z (..., 4)."""
    w, axis = quaternion[..., :1], -quaternion[..., 1:]
    first = 2.0 * np.cross(axis, vector)
    return vector + w * first + np.cross(axis, first)
