"""What is known of a robot now, as it is shown. Messages are read by attribute and bounded: no ROS is imported.

Frames: `ground` has z up and its origin where odometry began; without odometry it lies under the robot, the x axis
where the IMU says that it was. The heading frame is the body's, with roll and pitch taken out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_contract.errors import MessageError
from jack_contract.rotation import turned, yaw
from jack_operator.skeleton import Skeleton
from jack_operator.urdf import MAX_JOINTS, Description, parse

#: A ROS message of whatever class.
Message = Any
T = TypeVar("T")

#: What was heard longer ago than this is not true any more [s].
STALE = 1.0
#: A velocity command older than this is followed by nobody [s].
COMMAND_AGE = 0.5
#: For how long curves are kept [s], and their points at most [1].
SPAN, MAX_POINTS = 10.0, 600
#: Links whose name ends so are the middles of soles.
SOLE = "foot_frame"
#: A sole lower than this is on the ground [m].
CONTACT_HEIGHT = 0.015
#: Numbers beyond this are nobody's position, angle or speed.
_LARGEST = 1e6
_UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass
class Heard(Generic[T]):
    """The last word of somebody."""

    value: T | None = None
    at: float = -np.inf

    def put(self, value: T, now: float) -> None:
        """Somebody says something."""
        self.value, self.at = value, now

    def get(self, now: float, age: float = STALE) -> T | None:
        """What was said, unless it is older than `age` [s]."""
        return self.value if now - self.at <= age else None


@dataclass(frozen=True)
class Foot:
    """The middle of a sole."""

    name: str
    #: in ground, (3,) [m]
    position: Float64
    #: whether it is on the ground; None: nobody knows how high the robot is
    contact: bool | None


@dataclass(frozen=True)
class Frame:
    """One moment, ready to be drawn."""

    #: of the root link in ground, (3,) [m]
    position: Float64
    #: of the root link in ground, unit quaternion x y z w, (4,)
    orientation: Float64
    #: where the pose comes from, in words: odometry, the imu, nobody now
    source: str
    #: by joint, as they were last heard [rad]
    angles: Mapping[str, float]
    feet: tuple[Foot, ...]
    #: since the joints were last heard [s]
    age: float
    #: what is asked for and what is measured: vx, vy [m/s], yaw rate [rad/s] in the heading frame, (3,)
    command: Float64 | None
    velocity: Float64 | None

    @property
    def heading(self) -> float:
        """About z, in ground [rad]."""
        return float(yaw(self.orientation))

    def arrow(self, velocity: Float64) -> tuple[Float64, Float64]:
        """A velocity (3,) as an arrow on the ground: beneath the body, and where it will be in one second, (3,)."""
        start = np.array([self.position[0], self.position[1], 0.0])
        return start, start + np.append(turned(velocity[:2], self.heading), 0.0)


class Curve:
    """Numbers over the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, Float64]] = deque(maxlen=MAX_POINTS)

    def add(self, now: float, values: Sequence[float] | Float64) -> None:
        """One point in time."""
        row = np.asarray(values, dtype=np.float64)
        if self._points and self._points[-1][1].shape != row.shape:
            self._points.clear()  # another robot
        self._points.append((now, row))

    def columns(self, now: float) -> tuple[Float64, Float64]:
        """Times before now [s], (n,), and the values, (d, n); at least one point, which may be no number."""
        kept = [(at - now, row) for at, row in self._points if now - at <= SPAN]
        if not kept:
            width = self._points[-1][1].size if self._points else 1
            return np.zeros(1), np.full((width, 1), np.nan)
        return np.array([at for at, _ in kept]), np.stack([row for _, row in kept], axis=1)


@dataclass
class Scene:
    """Hears messages, knows what is true at a time."""

    description: Description | None = None
    skeleton: Skeleton | None = None
    brain: Heard[Message] = field(default_factory=Heard)
    driver: Heard[Message] = field(default_factory=Heard)
    training: Heard[Message] = field(default_factory=Heard)
    gantry: str = ""
    #: messages that were not believed [1], and why the last of them was not
    malformed: int = 0
    complaint: str = ""
    #: the policy's value; positions and targets of the joints that turn, [rad], (2 n,)
    values: Curve = field(default_factory=Curve)
    joints: Curve = field(default_factory=Curve)

    def __post_init__(self) -> None:
        self._angles: Heard[dict[str, float]] = Heard()
        self._targets: Heard[dict[str, float]] = Heard()
        self._imu: Heard[Float64] = Heard()
        #: position and orientation in ground, velocity in the heading frame
        self._odometry: Heard[tuple[Float64, Float64, Float64]] = Heard()
        self._command: Heard[Float64] = Heard()

    # -- what it hears

    def on_description(self, text: str) -> bool:
        """A URDF; returns whether the robot has to be drawn anew."""
        try:
            found = parse(text)
        except MessageError as error:
            self._refuse(error)
            return False
        if found == self.description:
            return False
        self.description, self.skeleton = found, Skeleton(found)
        return True

    def on_joint_states(self, message: Message, now: float) -> None:
        """A JointState."""
        self._hear(self._angles, now, lambda: _by_name(message.name, message.position))

    def on_joint_command(self, message: Message, now: float) -> None:
        """A JointCommand."""
        self._hear(self._targets, now, lambda: _by_name(message.name, message.position))

    def on_imu(self, message: Message, now: float) -> None:
        """An Imu."""
        self._hear(self._imu, now, lambda: _quaternion(message.orientation))

    def on_velocity(self, message: Message, now: float) -> None:
        """A Twist on cmd_vel."""
        self._hear(self._command, now, lambda: _numbers(message.linear.x, message.linear.y, message.angular.z))

    def on_odometry(self, message: Message, now: float) -> None:
        """An Odometry: pose of the body in ground, twist in the body."""

        def read() -> tuple[Float64, Float64, Float64]:
            p, v, w = message.pose.pose.position, message.twist.twist.linear, message.twist.twist.angular
            orientation = _quaternion(message.pose.pose.orientation)
            body = Rotation.from_quat(orientation)
            along = (Rotation.from_euler("z", -yaw(orientation)) * body).apply(_numbers(v.x, v.y, v.z))
            turn = body.apply(_numbers(w.x, w.y, w.z))
            return _numbers(p.x, p.y, p.z), orientation, np.array([along[0], along[1], turn[2]])

        self._hear(self._odometry, now, read)

    def on_brain(self, message: Message, now: float) -> None:
        """A BrainStatus."""
        self.brain.put(message, now)
        self.values.add(now, [message.value if message.policy else np.nan])

    def on_driver(self, message: Message, now: float) -> None:
        """A DriverStatus."""
        self.driver.put(message, now)

    def on_training(self, message: Message, now: float) -> None:
        """A TrainingStatus."""
        self.training.put(message, now)

    def on_gantry(self, message: Message) -> None:
        """A String of the simulated gantry."""
        self.gantry = str(message.data)[:40]

    def _hear(self, heard: Heard[T], now: float, read: Any) -> None:  # noqa: ANN401 - makes what is heard
        try:
            heard.put(read(), now)
        except MessageError as error:
            self._refuse(error)

    def _refuse(self, error: MessageError) -> None:
        self.malformed, self.complaint = self.malformed + 1, str(error)

    # -- what is true

    def frame(self, now: float) -> Frame:
        """How to draw him at a time [s]."""
        angles = self._angles.value or {}
        posed, imu = self._odometry.get(now), self._imu.get(now)
        source = "odometry" if posed is not None else "the imu" if imu is not None else "nobody now"
        if posed is not None:
            position, orientation, velocity = posed
        else:
            position, orientation, velocity = np.zeros(3), _UPRIGHT if imu is None else imu, None
        soles = self._soles(angles)
        turned = Rotation.from_quat(orientation)
        feet = {name: position + turned.apply(sole) for name, sole in soles.items()}
        if posed is None and feet:
            # Nobody says how high he is: he is drawn with his lower sole on the ground.
            lift = np.array([0.0, 0.0, -min(foot[2] for foot in feet.values())])
            position, feet = position + lift, {name: foot + lift for name, foot in feet.items()}
        known = posed is not None
        return Frame(
            position=position,
            orientation=orientation,
            source=source,
            angles=angles,
            feet=tuple(
                Foot(name, foot, bool(foot[2] < CONTACT_HEIGHT) if known else None) for name, foot in feet.items()
            ),
            age=now - self._angles.at,
            command=self._command.get(now, COMMAND_AGE),
            velocity=velocity,
        )

    def record(self, now: float) -> None:
        """Take the joints into the curves, as they are now."""
        if self.skeleton is None or not (angles := self._angles.get(now)):
            return
        targets = self._targets.get(now) or {}
        names = self.skeleton.turning
        row = [angles.get(name, np.nan) for name in names] + [targets.get(name, np.nan) for name in names]
        self.joints.add(now, row)

    def joint_curves(self, name: str, now: float) -> tuple[Float64, Float64, Float64]:
        """Times before now [s], position and target [rad] of a joint, (n,) each."""
        names = self.skeleton.turning if self.skeleton else ()
        times, rows = self.joints.columns(now)
        if name not in names or rows.shape[0] != 2 * len(names):
            return times, np.full(times.size, np.nan), np.full(times.size, np.nan)
        return times, rows[names.index(name)], rows[len(names) + names.index(name)]

    def _soles(self, angles: Mapping[str, float]) -> dict[str, Float64]:
        """The middles of the soles in the root link, (3,) [m]."""
        if self.skeleton is None:
            return {}
        poses = self.skeleton.poses(angles)
        return {name: pose[:3, 3] for name, pose in poses.items() if name.endswith(SOLE)}


def _by_name(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    if len(names) > MAX_JOINTS or len(names) != len(values):
        raise MessageError(
            f"Joints come with {len(names)} names and {len(values)} positions; "
            f"allowed: as many of each, {MAX_JOINTS} at most."
        )
    return dict(zip(names, _numbers(*values).tolist(), strict=True))


def _quaternion(q: Message) -> Float64:
    values = _numbers(q.x, q.y, q.z, q.w)
    length = np.linalg.norm(values)
    if not 0.9 < length < 1.1:
        raise MessageError(f"An orientation has length {length:.3g}; expected 1, a unit quaternion x y z w.")
    return values / length


def _numbers(*values: float) -> Float64:
    found = np.array(values, dtype=np.float64)
    if not (np.abs(found) < _LARGEST).all():  # NaN is refused as well
        raise MessageError(f"A message has numbers that are not finite, or beyond {_LARGEST:g}.")
    return found
