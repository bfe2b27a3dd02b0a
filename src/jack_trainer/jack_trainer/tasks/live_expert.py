"""The expert in the live graph: told in words, shown what lies where, asked for joint targets. Imports no ROS."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from jack_contract.arrays import Array, Float64
from jack_contract.contract import Contract
from jack_contract.instruction import words
from jack_contract.rotation import xyzw_to_wxyz
from jack_contract.state import RobotState
from jack_sim.layout import Layout, read_description
from jack_sim.scene import SceneOptions
from jack_sim.tabletop import TABLETOP
from jack_trainer.tasks.expert import Expert
from jack_trainer.tasks.instructions import Goal, goals, sentences
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.tabletop import Situation, Tabletop

_ONE = np.zeros(1, np.int64)
_VELOCITY = mujoco.mjtStage.mjSTAGE_VEL.value
#: What the node `expert` says while he is told nothing.
STANDS = "he stands"
#: A world of one, which is never stepped: it only says where hands and things are.
MIRROR = SceneOptions(TABLETOP, collision="full", visuals=False)


@cache
def _meanings() -> dict[str, Goal]:
    return {" ".join(words(sentence)): goal for goal in goals() for sentence in sentences(goal, exam=None)}


def meaning(sentence: str) -> Goal | None:
    """The goal of a sentence of the grammar, however it is written; None of any other."""
    return _meanings().get(" ".join(words(sentence[:1_000])))


def says_done(goal: Goal) -> str:
    """What the node `expert` says once a goal is reached."""
    return f"{goal}: done"


class LiveExpert:
    """Drives one robot of the live graph: he stands until he is told something, does it, and stands again.

    Attributes:
        goal: what he is doing; None while he stands.
        succeeded: whether he has done it.
        informed: whether he was shown what lies where.
        velocity: what he asks of the legs, (3,) [m/s, m/s, rad/s].
    """

    def __init__(self, contract: Contract, policy: Path) -> None:
        """With the legs of a policy file; a PolicyError says why it must not drive this robot."""
        self._contract = contract
        self._task = Tabletop(1, contract, scene=MIRROR)
        self._expert, self._legs = Expert(self._task), Legs(policy, contract, 1)
        batch = self._task.world.batch
        self._qpos, self._qvel = batch.bind("qpos"), batch.bind("qvel")
        self._layout = Layout(())
        self._count = contract.robot.count
        self.goal: Goal | None = None
        self.succeeded = self.informed = False
        self.velocity: Float64 = np.zeros(3)

    def show(self, description: str) -> None:
        """What lies where, as `jack_sim.layout.describe` has it; a JackError says why another text is none."""
        self._layout, poses = read_description(description)
        self.informed = True
        for address, pose in zip(self._task.table.addresses, poses, strict=False):
            self._qpos[0, address : address + 7] = pose

    def place(self, position: Array, orientation: Array) -> None:
        """Where his pelvis is in world, (3,) [m], and how it is turned, x y z w, (4,)."""
        self._qpos[0, :3], self._qpos[0, 3:7] = position, xyzw_to_wxyz(orientation)

    def tell(self, sentence: str) -> str:
        """Tell him what to do; returns what he makes of it, in words."""
        goal = meaning(sentence)
        self.goal, self.succeeded = None, False
        if not words(sentence):
            return STANDS
        if goal is None:
            return f"'{sentence[:80]}' is no sentence of the grammar; as 'touch the red cube', 'wave'. He stands."
        kinds = [thing.kind for thing in self._layout.things]
        if goal.skill.names_thing and goal.kind not in kinds:
            return f"There is no {goal.kind}; there are: {', '.join(kinds) or 'no things at all'}. He stands."
        if self._expert.planner.plan(self._layout, goal) is None:
            return f"'{goal}' is out of his reach here, or there is no room for it. He stands."
        situation = Situation(self._layout, goal, sentence)
        self._task.tell(_ONE, [situation])
        self._expert.begin(_ONE, [situation])
        self.goal = goal
        return f"{goal}: he does it"

    def rest(self) -> None:
        """He is told nothing, and stands where he is; what was before is forgotten."""
        self.goal, self.succeeded = None, False
        self._legs.begin(_ONE)

    def tick(self, state: RobotState) -> Float64:
        """Decide for one control period.

        Args:
            state: his readings.

        Returns:
            Joint targets, (n,) [rad].
        """
        joints = slice(7, 7 + self._count)
        self._qpos[0, joints], self._qvel[0, 6 : 6 + self._count] = state.joint_position, state.joint_velocity
        self._qvel[0, 3:6] = state.angular_velocity
        self._task.world.batch.forward(stage=_VELOCITY)
        if self.goal is not None:
            self._task.judge(self._task.scene())
            self.succeeded = bool(self._task.succeeded[0])
        one = RobotState(**{name: np.asarray(value)[None] for name, value in vars(state).items()})
        told = self.goal is not None
        velocity = self._expert.velocity() if told else np.zeros((1, 3))
        self.velocity = velocity[0]
        targets = self._legs.decide(one, velocity, self._expert.free | (not told))
        return (self._expert.arms(targets) if told else targets)[0]
