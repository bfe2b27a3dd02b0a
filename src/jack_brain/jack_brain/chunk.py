"""Action chunks: what arms and waist are to do over the next control periods, and where the legs are to go.

How walking and manipulation share one body: the legs always follow the Gaussian head, which reads body and command
and nothing else, as it was taught to; no picture and no sentence moves it, so that he walks, bit for bit, as he
walked before he could see. While he follows a sentence, the chunk has the arms, which the legs then read as hanging
at his sides, and the waist, for it decides where hands get to; and it takes the place of a velocity command that
nobody else gives. A chunk may also leave them alone: who is told to walk somewhere swings them as ever. No ROS, no
torch: the trainer and the robot share this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, require_last
from jack_contract.contract import Contract
from jack_contract.errors import JackError, UnknownNameError
from jack_contract.observation import COMMAND_SIZE
from jack_contract.robot import RobotSpec

#: How a chunk is learnt: by squared error; by flow matching; as tokens, one of 256 for each number.
SQUARED, FLOW, TOKENS = "squared", "flow", "tokens"
KINDS = (SQUARED, FLOW, TOKENS)
#: What is heard where nobody says anything, and seen where nothing is: token ids, and a brightness of 0 to 255.
SILENCE, DARKNESS = 0, 128
#: Parts of the names of an arm's joints.
_ARM = ("shoulder", "elbow", "wrist", "hand")
#: ... of the waist's ...
_WAIST = ("waist",)
#: ... and of the legs'.
_LEG = ("hip", "knee", "ankle")
#: Terms of an observation that no chunk depends on.
_OF_NO_CHUNK = ("previous_action", "gait")
#: Observation terms with a number for each joint.
_OF_JOINTS = ("joint_position", "joint_velocity", "previous_action")
#: Where in a row of a chunk there is what the legs are asked for, and whether arms and waist are to follow; these
#: come first.
VELOCITY, HELD = slice(-1 - COMMAND_SIZE, -1), -1
#: Control periods over which one chunk gives way to the next [1].
SEAM = 8


@dataclass(frozen=True)
class ChunkSpec:
    """Which chunks a brain makes."""

    #: SQUARED, FLOW or TOKENS
    kind: str = SQUARED
    #: control periods that a chunk covers [1]
    length: int = 16

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("kind of action chunk", self.kind, KINDS)
        if not 2 <= self.length <= 250:
            raise JackError(f"A chunk covers 2 to 250 control periods, given: {self.length}.")


def arm_joints(robot: RobotSpec) -> NDArray[np.intp]:
    """Places of the arms' joints among a robot's, by their names, (a,); empty for one without arms."""
    return _joints(robot, _ARM)


def led_joints(robot: RobotSpec) -> NDArray[np.intp]:
    """Places of the joints that a chunk has, the arms' and the waist's, among a robot's, (a,)."""
    return _joints(robot, _ARM + _WAIST)


def waist_joints(robot: RobotSpec) -> NDArray[np.intp]:
    """Places of the waist's joints among a robot's, by their names, (w,); empty for one without a waist."""
    return _joints(robot, _WAIST)


def leg_joints(robot: RobotSpec) -> NDArray[np.intp]:
    """Places of the legs' joints among a robot's, by their names, (l,); empty for one without legs."""
    return _joints(robot, _LEG)


def arm_columns(contract: Contract) -> NDArray[np.intp]:
    """Numbers of an observation frame that tell of the arms.

    While a chunk has the arms, they are zero for the one who walks: it reads them as in the default pose and at
    rest, as it did where it learnt to walk with arms that somebody else had.
    """
    return _columns(contract, arm_joints(contract.robot))


def unread_columns(contract: Contract) -> NDArray[np.intp]:
    """Numbers of an observation frame that no chunk depends on.

    What was done last: who may look at it learns to repeat it (causal confusion, de Haan et al. 2019, arXiv
    1905.11979). And the legs with their rhythm: a chunk is learnt on those of one policy, and done on others.
    """
    parts = contract.observation.slices()
    whole = [np.arange(parts[term].start, parts[term].stop) for term in _OF_NO_CHUNK if term in parts]
    return np.unique(np.concatenate([_columns(contract, leg_joints(contract.robot)), *whole]))


def _joints(robot: RobotSpec, parts: tuple[str, ...]) -> NDArray[np.intp]:
    return np.array([i for i, name in enumerate(robot.joint_names) if any(p in name for p in parts)], dtype=np.intp)


def _columns(contract: Contract, joints: NDArray[np.intp]) -> NDArray[np.intp]:
    """Numbers of an observation frame that tell of some joints."""
    columns = [part.start + joints for term, part in contract.observation.slices().items() if term in _OF_JOINTS]
    return np.concatenate([*columns, np.zeros(0, np.intp)])


def chunk_width(robot: RobotSpec) -> int:
    """Numbers in each row of a chunk: one for each joint that it has, a velocity, and whether they follow."""
    return len(led_joints(robot)) + COMMAND_SIZE + 1


def to_rows(contract: Contract, targets: Array, velocity: Array, held: Array | float = 1.0) -> Array:
    """Rows of a chunk: of arms and waist in units of action, of a velocity, and of who has them.

    Args:
        contract: of the robot.
        targets: joint targets of the whole robot, (..., n) [rad].
        velocity: that the legs are to follow, (..., 3) [m/s, m/s, rad/s].
        held: 1 where they are to be so, 0 where they are left to the one who walks, (...).

    Returns:
        (..., a + 4).
    """
    require_last("Velocity", velocity, COMMAND_SIZE)
    led = contract.action.action(contract.robot, targets)[..., led_joints(contract.robot)]
    last = np.broadcast_to(np.asarray(held, led.dtype)[..., None], (*led.shape[:-1], 1))
    return np.concatenate((led, velocity, last), axis=-1)


def blend(rest: Array, new: Array, seam: int = SEAM) -> Array:
    """A chunk that begins as the one before would have gone on, and ends as itself.

    From row to row it changes by no more than either of the two does, and 1 / (seam + 1) of what parts them: there
    is no jump.

    Args:
        rest: what is left of the chunk before, (R, m), R at least 1; its last row is what follows it.
        new: the chunk that takes over, (K, m), for the same times.
        seam: rows over which it does; fewer where it has fewer.

    Returns:
        (K, m).
    """
    count = len(new)
    before = rest[np.minimum(np.arange(count), len(rest) - 1)]
    share = np.arange(1, count + 1)[:, None] / (min(seam, count) + 1)
    return np.where(share < 1.0, before + share * (new - before), new)
