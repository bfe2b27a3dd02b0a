"""The live world: physics, who commands it, what holds it, what becomes of him when nobody does. No ROS here."""

from __future__ import annotations

from enum import IntEnum

from jack_contract.wire import JointTargets
from jack_sim.errors import SimulationError
from jack_sim.gantry import GantryMode
from jack_sim.keeper import Keeper
from jack_sim.physics import World


class Drive(IntEnum):
    """Who commands the joints; the numbers are the modes of jack_msgs/JointCommand."""

    #: a brain without a policy: it keeps the default pose
    NOBODY = 0
    #: a policy
    POLICY = 1
    #: a brain that met a fault: it damps
    FAULT = 2


class LiveWorld:
    """One simulated Jack who is commanded from outside, one control period at a time."""

    def __init__(self, world: World, gantry: str, seed: int, command_timeout: float) -> None:
        """Put Jack to his start.

        Args:
            world: with a gantry, unless `gantry` is "never".
            gantry: "auto", "always" or "never", as the parameter of the node `sim`.
            seed: of the small random differences in the starting pose; 0: none.
            command_timeout: a command older than this, in simulated time, is not obeyed any more [s].
        """
        self.world = world
        self.seed = seed
        self._timeout = command_timeout
        self._held = gantry != "never"
        self._keeper = Keeper(world.gantry) if gantry == "auto" and world.gantry else None
        self._commanded_at: float | None = None
        self._drive = Drive.NOBODY
        #: which policy drives, as the brain says; any text that differs between two policies
        self.policy = ""
        #: whether the joints only resist motion, for want of commands
        self.damped = False
        #: control periods advanced
        self.steps = 0
        self.reset(seed)

    @property
    def falls(self) -> int:
        """How often he was picked up after a fall."""
        return self._keeper.falls if self._keeper else 0

    @property
    def standing(self) -> float:
        """For how long he has stood without the gantry, in simulated time [s]."""
        return self._keeper.standing(self.world.time) if self._keeper else 0.0

    @property
    def gantry(self) -> GantryMode:
        """What the gantry is doing."""
        return self.world.gantry.mode if self.world.gantry else GantryMode.RELEASED

    def reset(self, seed: int) -> None:
        """Put Jack back to his start. Simulated time goes on, so that no clock runs back."""
        self.world.reset(seed, held=self._held, time=self.world.time)
        if self._keeper:
            self._keeper.restart(self.world.time)

    def obey(self, targets: JointTargets, drive: Drive) -> None:
        """Take over a command; `drive` is whose it is."""
        self.world.command(targets.position, targets.stiffness, targets.damping)
        self._drive, self._commanded_at, self.damped = drive, self.world.time, False

    @property
    def wants_reset(self) -> bool:
        """Whether the brain damps since a fall, and he hangs again: time to clear its fault."""
        faulty = self._drive is Drive.FAULT and not self.damped
        return faulty and self._keeper is not None and self._keeper.wants_reset(self.world.time)

    def _expire(self) -> str | None:
        """Damp the joints if the last command is too old. While the world stalls, nothing ages."""
        if self.damped or self._commanded_at is None or self.world.time - self._commanded_at <= self._timeout:
            return None
        robot = self.world.robot
        self.world.command(self.world.state().joint_position, 0.0 * robot.stiffness, robot.damping)
        self.damped = True
        return f"No joint command for {self._timeout} s: the joints are damped"

    def advance(self) -> str | None:
        """One control period.

        Returns:
            What happened, for people; None while nothing does.
        """
        event = self._expire()
        self.steps += 1
        try:
            self.world.step()
        except SimulationError as error:
            self.reset(self.seed)
            return str(error)
        if self._keeper:
            driven = self._drive is Drive.POLICY and not self.damped
            event = self._keeper.watch(self.world.time, self.world.fallen, driven, self.policy) or event
        return event
