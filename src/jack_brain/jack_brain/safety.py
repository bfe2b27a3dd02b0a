"""What must never reach a joint, and what stops the robot: limits, ages, deadlines, and faults that latch.

A small state machine says who has the body. A stop and a fault damp the joints at once and stay until somebody
resets them; nothing resumes by itself. Nothing here looks at a clock: times are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import Enum, IntEnum, StrEnum, auto

import numpy as np

from jack_brain.readings import Lag
from jack_contract.arrays import Array, Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.state import RobotState

#: Joint targets that differ by less are the same [rad].
_SAME_TARGET = 1e-6


class Mode(IntEnum):
    """Who has the body, as a joint command says it; the numbers are those of jack_msgs/JointCommand."""

    #: nobody: the default pose is kept
    HOLD = 0
    #: a policy
    RUN = 1
    #: a stop or a fault: joints only resist motion
    DAMP = 2


class State(IntEnum):
    """Where the safety machine is; the numbers are those of jack_msgs/BrainStatus."""

    #: not in command of the joints
    UNCONFIGURED = 0
    #: the default pose is kept: no policy has the body
    HOLDING = 1
    #: a policy takes over
    BLENDING = 2
    #: a policy has the body
    RUNNING = 3
    #: somebody said stop; latched
    DAMPING = 4
    #: something went wrong; latched
    FAULT = 5

    @property
    def mode(self) -> Mode:
        """Who has the body."""
        return _MODES[self]


class Event(Enum):
    """What moves the safety machine."""

    #: the joints are in command
    BEGIN = auto()
    #: a policy takes over, from nobody or from another one
    TAKE_OVER = auto()
    #: it has taken over
    BLENDED = auto()
    #: somebody said stop
    STOP = auto()
    #: something went wrong
    FAIL = auto()
    #: somebody cleared the stop or the fault
    RESET = auto()
    #: the joints are let go of
    END = auto()


_MODES = {
    State.UNCONFIGURED: Mode.HOLD,
    State.HOLDING: Mode.HOLD,
    State.BLENDING: Mode.RUN,
    State.RUNNING: Mode.RUN,
    State.DAMPING: Mode.DAMP,
    State.FAULT: Mode.DAMP,
}
_LATCHED = (State.DAMPING, State.FAULT)
#: Events that mean the same in every state that is not latched.
_ANYWHERE = {Event.STOP: State.DAMPING, Event.FAIL: State.FAULT, Event.END: State.UNCONFIGURED}
_NEXT = {
    (State.UNCONFIGURED, Event.BEGIN): State.HOLDING,
    (State.HOLDING, Event.TAKE_OVER): State.BLENDING,
    (State.RUNNING, Event.TAKE_OVER): State.BLENDING,
    (State.BLENDING, Event.BLENDED): State.RUNNING,
}


def next_state(state: State, event: Event) -> State:
    """The state after an event. What means nothing in a state changes nothing; from a latch only RESET leads."""
    if state in _LATCHED:
        return State.HOLDING if event is Event.RESET else state
    return _ANYWHERE[event] if event in _ANYWHERE else _NEXT.get((state, event), state)


class Trip(StrEnum):
    """Kinds of reasons why the joints are damped."""

    STOP = "stop"
    NOT_FINITE = "reading not finite"
    STALE = "readings stale"
    FROZEN = "readings frozen"
    TILT = "tilt"
    SPEED = "joint speed"
    ACTION = "action"
    DEADLINE = "deadlines missed"
    CONTROL = "control loop failed"


class Rung(IntEnum):
    """How much can still be relied on, from everything down to nothing."""

    #: everything that is observed is current
    FULL = 0
    #: no current picture: what would be seen is left out
    PROPRIOCEPTION = 1
    #: a late reading: no new decision, the last targets stay
    HOLD = 2
    #: readings are stale: joints only resist motion
    DAMP = 3


@dataclass(frozen=True)
class Ladder:
    """Which ages lead to which rung; down it goes with every age, never up."""

    #: readings older than this are late [s] ...
    late: float
    #: ... and older than this stale [s]
    stale: float
    #: a picture older than this is not used as current [s]
    camera: float

    def rung(self, reading: float, picture: float | None = None) -> Rung:
        """The rung for the age of the newest reading and of the newest picture [s]; None: no picture is wanted."""
        if reading > self.late:
            return Rung.DAMP if reading > self.stale else Rung.HOLD
        return Rung.FULL if picture is None or picture <= self.camera else Rung.PROPRIOCEPTION


@dataclass(frozen=True)
class SafetyLimits:
    """Beyond these a fault trips, or a target is cut back."""

    #: readings are stale after so many control periods [1], but not before ...
    stale_periods: float = 3.0
    #: ... so long [s]
    stale_time: float = 0.05
    #: greatest angle between the body's z axis and the vertical while a policy has the body; pi: any [rad]
    tilt: float = 1.0
    #: greatest amount of an action; a policy that says more is broken [1]
    action: float = 100.0
    #: greatest change of a joint target in a control period, in multiples of what its speed limit allows [1]
    step: float = 2.0
    #: greatest measured joint speed, in multiples of its limit [1]; walking, and pushed, he comes to 0.6
    speed: float = 1.5
    #: so many control periods in a row without a decision in time damp; 0: any number may be missed [1]
    missed: int = 5
    #: a picture older than this is not used as current [s]
    camera: float = 0.2

    def __post_init__(self) -> None:
        wrong = [f.name for f in fields(self) if f.name != "missed" and not 0 < getattr(self, f.name) < math.inf]
        wrong += ["stale_periods"] if self.stale_periods < 2 else []
        wrong += ["missed"] if self.missed < 0 else []
        if wrong:
            names = ", ".join(wrong)
            raise JackError(
                f"Safety limits must be positive, stale_periods at least 2 and missed 0 or more; check {names}."
            )

    def ladder(self, period: float) -> Ladder:
        """Ages for a control period [s]; readings are late one period before they are stale."""
        stale = max(self.stale_periods * period, self.stale_time)
        return Ladder(stale - period, stale, self.camera)


class Deadlines:
    """Counts the control periods that ended without a decision, by the times between commands.

    Whatever keeps the loop from its work shows there, and once: a slow policy, a machine with too much to do,
    readings that were lost.

    Attributes:
        missed: how many, since it began.
        in_a_row: how many up to the newest command, with none in time between them.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.missed = self.in_a_row = 0
        self._last = math.nan

    def rest(self) -> None:
        """What comes next is the first command."""
        self._last, self.in_a_row = math.nan, 0

    def sent(self, now: float) -> None:
        """A command went out, at `now` [s]; a clock that was set back begins anew."""
        gap = now - self._last
        self._last = now
        late = round(gap / self._period) - 1 if gap > 0 else 0  # NaN, at the first, is not above 0
        if late > 0:
            self.missed, self.in_a_row = self.missed + late, self.in_a_row + late
        else:
            self.in_a_row = 0


def _is_finite(state: RobotState) -> bool:
    """As RobotState.is_finite, for one robot and quicker: a sum of squares is finite only if every number is."""
    return all(math.isfinite(np.vdot(value, value)) for value in vars(state).values())


class Safety:
    """Watches one robot.

    Attributes:
        state: where the machine is.
        fault: why the joints are damped; empty if they are not. Latched: only `reset` clears it.
        last_fault: the newest one there was, cleared or not; empty before the first.
        trips: how often each kind of reason damped the joints.
        late: readings that came too late to be decided on.
        cut: ticks in which a target was cut back to a limit.
        deadlines: control periods without a decision.
        ladder: which ages lead to which rung.
    """

    def __init__(self, robot: RobotSpec, limits: SafetyLimits, watches_camera: bool = False) -> None:
        """Watch; with `watches_camera`, pictures are expected too."""
        self._robot, self._limits, self._watches_camera = robot, limits, watches_camera
        self.ladder = limits.ladder(robot.control_period)
        self.deadlines = Deadlines(robot.control_period)
        self.state = State.UNCONFIGURED
        self.fault = self.last_fault = ""
        self.trips = dict.fromkeys(Trip, 0)
        self.late = self.cut = 0
        self._upright = math.cos(limits.tilt) if limits.tilt < math.pi else -math.inf
        self._fastest = limits.speed * robot.velocity_limit
        self._slowest = float(self._fastest.min())
        self._make_windows()
        self._lag = Lag()
        self._fresh_at: float | None = None
        self._readings = 0
        self._suspect: int | None = None
        self._stamp = 0.0  # of the newest reading
        self._picture: tuple[float, float] | None = None  # its stamp, and when it came
        self._same = b""  # the newest readings, since when they are so, and the targets then
        self._same_since, self._same_targets = 0.0, robot.default_position

    def _make_windows(self) -> None:
        robot = self._robot
        stiff = robot.stiffness > 0  # else a target means nothing, and none is too strong
        self._max_step = self._limits.step * robot.velocity_limit * robot.control_period
        self._reach = np.divide(robot.effort_limit, robot.stiffness, out=np.full(robot.count, np.inf), where=stiff)
        self._brake = np.divide(robot.damping, robot.stiffness, out=np.zeros(robot.count), where=stiff)

    @property
    def watch_period(self) -> float:
        """How often `watch` must be called for a fault to trip in time [s]."""
        return self._robot.control_period / 2

    # -- the machine

    def on(self, event: Event) -> None:
        """Something happened that the machine has to know of; STOP and FAIL come with a reason, by `trip`."""
        self.state = next_state(self.state, event)

    def trip(self, kind: Trip, reason: str) -> None:
        """Damp the joints from now on. The first reason is the one that is kept, and counted."""
        if not self.fault:
            self.fault = self.last_fault = reason
            self.trips[kind] += 1
            self.on(Event.STOP if kind is Trip.STOP else Event.FAIL)

    def reset(self, now: float) -> None:
        """Forget the fault at `now` [s]. Whatever is still wrong trips again."""
        self.fault, self._suspect = "", None
        self.on(Event.RESET)
        self.deadlines.rest()
        if self._fresh_at is not None:
            self._fresh_at = now

    def rest(self) -> None:
        """The joints are let go of; a fault stays."""
        self.on(Event.END)
        self.deadlines.rest()

    # -- ages

    def heard(self, stamp: float, now: float) -> bool:
        """Readings with a newer stamp than all before have come.

        Args:
            stamp: when they were taken, by their sender's clock [s].
            now: when they came [s].

        Returns:
            Whether they are current. Late ones count as if they had not come: there is no decision on them, and if
            none but late ones come, they are stale.
        """
        if self._lag.of(stamp, now) > self.ladder.late:
            self.late += 1
            return False
        self._stamp, self._fresh_at = stamp, now
        self._readings += 1
        return True

    def saw(self, stamp: float, now: float) -> None:
        """A picture came at `now`, with a stamp [s]."""
        self._picture = stamp, now

    def rung(self, now: float) -> Rung:
        """How much can be relied on at `now` [s]."""
        age = 0.0 if self._fresh_at is None else now - self._fresh_at
        return self.ladder.rung(age, self._picture_age(now))

    def _picture_age(self, now: float) -> float | None:
        """By its stamp or its arrival, whichever says more [s]."""
        if not self._watches_camera:
            return None
        if self._picture is None:
            return math.inf
        return max(self._stamp - self._picture[0], now - self._picture[1])

    def watch(self, now: float) -> None:
        """Trip if readings stopped, or their stamps did.

        Readings are suspected once they are late, one control period before they are stale, and the fault trips
        when half a period later none has come. When this process itself was kept from running for a moment, the
        readings that queued up meanwhile are seen in between, and nothing trips.

        Args:
            now: on the clock of `heard` [s]. A clock that stands still (a paused simulation) makes nothing stale.
        """
        if self.rung(now) < Rung.HOLD:
            self._suspect = None
        elif self._suspect != self._readings:
            self._suspect = self._readings
        else:
            self.trip(Trip.STALE, f"No new sensor readings for {now - (self._fresh_at or 0.0):.3f} s")

    def sent(self, now: float) -> None:
        """A command went out at `now` [s]. Trips if too many control periods in a row had none in time."""
        self.deadlines.sent(now)
        if 0 < self._limits.missed <= self.deadlines.in_a_row:
            self.trip(
                Trip.DEADLINE,
                f"{self.deadlines.in_a_row} control periods in a row without a decision in time; "
                f"allowed: {self._limits.missed - 1}",
            )

    # -- readings, actions, targets

    def check_state(self, state: RobotState) -> None:
        """Trip on readings that are no numbers, joints that race, and a body that lies while a policy has it."""
        if not _is_finite(state):
            self.trip(Trip.NOT_FINITE, "A sensor reading is not a finite number")
        elif self._races(state.joint_velocity):
            self.trip(Trip.SPEED, self._who_races(state.joint_velocity))
        elif self.state.mode is Mode.RUN:
            x, y = float(state.orientation[0]), float(state.orientation[1])
            if 1 - 2 * (x * x + y * y) < self._upright:  # cosine of the tilt: R_zz of the quaternion
                self.trip(Trip.TILT, f"The body is tilted by more than {self._limits.tilt:g} rad")

    def _races(self, velocity: Array) -> bool:
        """Whether a joint is too fast. If all together are not, by their root sum of squares, none is: quicker."""
        if np.vdot(velocity, velocity) <= self._slowest**2:
            return False
        return bool((np.abs(velocity) > self._fastest).any())

    def _who_races(self, velocity: Array) -> str:
        joint = int(np.argmax(np.abs(velocity) / self._fastest))
        return (
            f"Joint {self._robot.joint_names[joint]} moves at {velocity[joint]:.1f} rad/s; "
            f"allowed: {self._fastest[joint]:.1f}"
        )

    def check_frozen(self, state: RobotState, targets: Array, now: float) -> None:
        """Trip on readings whose stamps go on while their values stay, bit for bit, although the targets move.

        A real sensor is never so still: the least bit of an IMU is noise. A simulated robot without noise may be,
        where it hangs or stands at rest; but not while its joints are asked to move. So identical readings are a
        fault only when a policy has the body and the targets have changed since they became so.

        Args:
            state: the new readings.
            targets: of the joints, commanded before, (n,) [rad].
            now: when they came [s].
        """
        readings = state.joint_position.tobytes() + state.joint_velocity.tobytes()
        readings += state.orientation.tobytes() + state.angular_velocity.tobytes()
        readings += state.linear_acceleration.tobytes()
        if readings != self._same or self.state.mode is not Mode.RUN or now < self._same_since:
            self._same, self._same_since, self._same_targets = readings, now, targets
        elif now - self._same_since > self.ladder.late and self._moved(targets):
            self.trip(Trip.FROZEN, f"Sensor readings have been identical for {now - self._same_since:.3f} s")

    def _moved(self, targets: Array) -> bool:
        return bool(np.abs(targets - self._same_targets).max() > _SAME_TARGET)

    def check_action(self, action: Array) -> None:
        """Trip on an action that is no number or beyond all reason."""
        if not float(np.abs(action).max()) <= self._limits.action:  # not <=: NaN compares as false
            self.trip(Trip.ACTION, f"The policy's action is not finite or beyond {self._limits.action:g}")

    def limit(self, targets: Array, previous: Array, state: RobotState) -> Float64:
        """Targets cut back to every limit.

        No target changes by more than its step; none asks, as the joints are now, for more torque than the limit:
        stiffness * (target - q) - damping * dq. Cut so, a joint gets that very limit, which is what its motor would
        have made of it. None lies beyond a joint's range, whatever the others say; torque goes before step.

        Args:
            targets: (n,) [rad].
            previous: the targets before, (n,) [rad].
            state: the readings that they answer.
        """
        near = np.minimum(np.maximum(targets, previous - self._max_step), previous + self._max_step)
        middle = state.joint_position + self._brake * state.joint_velocity
        weak = np.minimum(np.maximum(near, middle - self._reach), middle + self._reach)
        limited = np.minimum(np.maximum(weak, self._robot.lower), self._robot.upper)
        self.cut += limited.tobytes() != targets.tobytes()  # as array_equal, at a tenth of its time
        return limited
