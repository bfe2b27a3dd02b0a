"""From a person's motion to Jack's: paced, put onto footprints, solved, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.rotation import wxyz_to_xyzw, yaw
from jack_trainer.imitation.mocap.body import Body
from jack_trainer.imitation.mocap.clip import Clip
from jack_trainer.imitation.mocap.contacts import find_contacts
from jack_trainer.imitation.mocap.figures import Figures, measure
from jack_trainer.imitation.mocap.footsteps import plan_footsteps
from jack_trainer.imitation.mocap.motion import MotionClip, MotionInfo
from jack_trainer.imitation.mocap.reader import TERMS
from jack_trainer.imitation.mocap.solver import FREE, Solver, find_targets, velocities
from jack_trainer.imitation.mocap.timing import resampled, unrolled

#: A loop is solved so many times in a row, and the round in the middle kept: it neither begins nor ends anywhere.
_ROUNDS = 3
MIN_SPEED, MAX_SPEED = 0.1, 4.0
NO_TERMS = "not stated by the file; ask where it is from"


@dataclass(frozen=True)
class Retargeted:
    """What came of a clip."""

    motion: MotionClip
    figures: Figures
    #: the person at Jack's scale and pace, in the world of the motion, (T, J, 3) [m]
    person: Float64


def retarget(
    clip: Clip,
    body: Body,
    robot: RobotSpec,
    speed: float = 1.0,
    terms: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Retargeted:
    """Have Jack move as a person does.

    Args:
        clip: the person's motion.
        body: Jack's measures.
        robot: his joints, from the contract.
        speed: how many times faster than recorded. Smaller bodies walk alike when they walk faster, as pendulums
            swing: at 1 / sqrt(scale).
        terms: who may use the motion; empty: as far as the format tells.
        progress: is told how many control periods of how many are done.

    Raises:
        JackError: the clip is too short or too long, the speed out of range, or no posture was found.
    """
    check_speed(speed)
    paced, part = _paced(clip, robot.control_period, speed)
    scale = body.leg / clip.leg
    contacts = find_contacts(paced)
    footsteps = plan_footsteps(paced, contacts, body, scale)
    targets = find_targets(paced, footsteps, contacts.ankle_height, body, scale)
    solved = []
    for position in Solver(body, robot).follow(targets):
        solved.append(position)
        progress(len(solved), paced.frames)
    positions = np.array(solved)
    speeds = velocities(body.model, positions, robot.control_period)
    figures = measure(body, robot, targets, positions, speeds, part)
    info = MotionInfo(
        name=clip.name,
        robot=robot.name,
        joints=robot.joint_names,
        control_period=robot.control_period,
        loop=clip.loop,
        source=clip.file,
        source_sha256=clip.sha256,
        source_format=clip.format,
        source_rate=clip.rate,
        speed=speed,
        scale=scale,
        terms=terms or TERMS.get(clip.format, NO_TERMS),
        notes=clip.notes,
        figures=asdict(figures),
    )
    person = scale * (paced.position - [0, 0, contacts.ankle_height.mean()]) + [0, 0, body.ankle_height]
    return _from_the_origin(info, positions[part], speeds[part], footsteps.stands[part], person[part], figures)


def check_speed(speed: float) -> None:
    """Refuse a speed that is out of range, or no number."""
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise JackError(f"A speed of {speed:g} was asked for; allowed: {MIN_SPEED} to {MAX_SPEED}.")


def _paced(clip: Clip, period: float, speed: float) -> tuple[Clip, slice]:
    """The motion with a frame for each control period, and the part of it that counts."""
    if not clip.loop:
        return resampled(clip, period, speed), slice(None)
    # A round takes a whole number of periods, so that it meets itself.
    count = max(4, round(clip.duration / speed / period))
    exact = clip.duration / (count * period)
    return resampled(unrolled(clip, _ROUNDS), period, exact), slice(count, 2 * count + 1)


def _from_the_origin(
    info: MotionInfo, positions: Float64, speeds: Float64, stands: np.ndarray, person: Float64, figures: Figures
) -> Retargeted:
    """The motion with its start at x = y = 0, looking along x."""
    turns = Rotation.from_quat(wxyz_to_xyzw(positions[:, 3:7]))
    heading = Rotation.from_euler("z", -yaw(turns[0].as_quat()))
    start = positions[0, :3] * [1, 1, 0]
    motion = MotionClip(
        info=info,
        joint_position=positions[:, 7:].astype(np.float32),
        joint_velocity=speeds[:, FREE:].astype(np.float32),
        base_position=heading.apply(positions[:, :3] - start).astype(np.float32),
        base_orientation=(heading * turns).as_quat(canonical=False).astype(np.float32),
        base_linear_velocity=turns.inv().apply(speeds[:, :3]).astype(np.float32),
        base_angular_velocity=speeds[:, 3:6].astype(np.float32),
        contact=stands,
    )
    moved = heading.apply((person - start).reshape(-1, 3)).reshape(person.shape)
    return Retargeted(motion, figures, moved)
