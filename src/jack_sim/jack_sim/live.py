"""The live world: physics, who commands it, what holds it, what becomes of him when nobody does. No ROS here."""

from __future__ import annotations

from jack_sim.commands import MotorTargets
from jack_sim.errors import SimulationError
from jack_sim.gantry import GantryMode
from jack_sim.keeper import Keeper
from jack_sim.physics import World


class LiveWorld:
    """One simulated Jack who is commanded from outside, one control period at a time."""

    def __init__(self, world: World, gantry: str, seed: int, command_timeout: float) -> None:
        """Put Jack to his start.

        Args:
            world: with a gantry, unless `gantry` is "off".
            gantry: "auto", "on" or "off", as the parameter of the node `sim`.
            seed: of the small random differences in the starting pose; 0: none.
            command_timeout: a command older than this is not obeyed any more [s].
        """
        self.world = world
        self.seed = seed
        self._timeout = command_timeout
        self._held = gantry != "off"
        self._keeper = Keeper(world.gantry) if gantry == "auto" and world.gantry else None
        self._commanded_at: float | None = None
        self._run = False
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

    def obey(self, targets: MotorTargets, run: bool, now: float = 0.0) -> None:
        """Take over a command.

        Args:
            targets: what the motors are to do from now on.
            run: whether a policy has the body, rather than a brain that waits or damps.
            now: when the command came [s, monotonic]; without meaning in lock-step.
        """
        self.world.command(targets.position, targets.stiffness, targets.damping)
        self._run, self._commanded_at, self.damped = run, now, False

    def expire(self, now: float) -> str | None:
        """Damp the joints if the last command is too old at `now` [s, monotonic]; says so, once."""
        if self.damped or self._commanded_at is None or now - self._commanded_at <= self._timeout:
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
        event = None
        try:
            self.world.step()
        except SimulationError as error:
            self.reset(self.seed)
            event = str(error)
        self.steps += 1
        if event is None and self._keeper:
            driven = self._run and not self.damped
            event = self._keeper.watch(self.world.time, self.world.fallen, driven, self.policy)
        return event
