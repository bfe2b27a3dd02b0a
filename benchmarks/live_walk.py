"""A long walk in the live graph: a new random `cmd_vel` every 4 s, falls and missed control periods counted.

It starts what `./jack deploy --sim` starts, in a ROS domain of its own, and walks for so many minutes of simulated
time from the moment when he first stands on his own feet. Whenever the gantry takes hold of him he has fallen; it
lets him down again, and he goes on. What he does is averaged over whole seconds and held against what he is asked
for, from two seconds after each new command on: his pace changes by 1 m/s a second. Ends with 0 if he never fell.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import tyro
from jack_msgs.msg import BrainStatus
from nav_msgs.msg import Odometry
from pairing import write_json
from rich import box
from rich.console import Console
from rich.table import Table
from std_msgs.msg import String

from jack_contract.arrays import Array
from jack_contract.rotation import yaw
from jack_contract.testing import ros_domain
from jack_contract.wire import seconds
from jack_launch.graphs import DEPLOY, NEWEST, runs_folder
from jack_trainer.console_node import LATCHED, ConsoleNode
from jack_trainer.live_graph import FAILED, OK, run_graph
from jack_trainer.session import LIFTING, STANDING, Session
from jack_trainer.tasks.lessons import WALK_EXAM, random_command

#: Seconds after a new command that do not count.
SETTLE = 2
#: Stamps are rounded [s].
_TOLERANCE = 1e-6
#: How long he may take to get on his feet [s].
PATIENCE = 60.0


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: simulated time [min]
    minutes: float = 10.0
    #: policy file (.onnx); newest: the one that was written last
    policy: str = NEWEST
    #: of the commands
    seed: int = 0
    #: folder of the trainings
    runs: Path = runs_folder()
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Fall:
    """He left his feet."""

    #: simulated time since he first stood [s]
    time: float
    #: for how long he had stood [s]; 0: he did not carry himself when he was let down
    stood: float
    #: what he was asked for: vx, vy [m/s], yaw rate [rad/s]
    command: list[float]


@dataclass
class Walk:
    """What is seen of a walk, moment by moment."""

    #: the next command: vx, vy [m/s], yaw rate [rad/s], (3,)
    draw: Callable[[], Array]
    #: time between two commands [s]
    interval: float
    command: Array = field(default_factory=lambda: np.zeros(3))
    falls: list[Fall] = field(default_factory=list)
    #: since he first stood, and of that on his feet [s]
    elapsed: float = 0.0
    on_feet: float = 0.0
    #: between the beginnings and ends of seconds [m]
    distance: float = 0.0
    #: mean velocity of each second that counts, less the command
    errors: list[Array] = field(default_factory=list)
    #: commands that the brain has sent, and control periods that it missed
    ticks: int = 0
    missed: int = 0
    #: the greatest from sensor to command [s]
    latency: float = 0.0

    def __post_init__(self) -> None:
        self._first: float | None = None  # when he first stood
        self._last = self._commanded = 0.0
        self._stands_since: float | None = None
        self._sum, self._count, self._from, self._second = np.zeros(3), 0, np.zeros(2), 0
        self._counted: tuple[int, int] | None = None  # ticks and misses when he first stood

    def count(self, ticks: int, missed: int, latency: float) -> None:
        """What the brain says of itself, counted from when he first stood on.

        Args:
            ticks: commands sent since the brain was activated.
            missed: control periods without one since then.
            latency: the greatest from sensor to command of the last second [s].
        """
        if self.elapsed == 0.0:
            return
        begun = self._counted = self._counted or (ticks, missed)
        self.ticks, self.missed, self.latency = ticks - begun[0], missed - begun[1], max(self.latency, latency)

    def look(self, now: float, standing: bool, position: Array, velocity: Array) -> None:
        """A moment.

        Args:
            now: simulated time [s].
            standing: whether he is on his own feet.
            position: in world, (2,) [m].
            velocity: vx, vy in the heading frame [m/s], yaw rate [rad/s], (3,).
        """
        passed, self._last = now - self._last, now
        if self._first is None and not standing:
            return
        self._first = now if self._first is None else self._first
        self.elapsed = now - self._first
        if not standing:
            self._stands_since = None
        elif self._stands_since is None:
            self._stands_since = now
            self._ask(now, position)
        else:
            self.on_feet += passed
            self._follow(now, position)
            self._sum, self._count = self._sum + velocity, self._count + 1

    def fall(self) -> None:
        """He fell."""
        stood = self._last - self._stands_since if self._stands_since is not None else 0.0
        self.falls.append(Fall(self.elapsed, stood, self.command.tolist()))

    def error(self) -> tuple[float, float]:
        """Root mean square errors of velocity [m/s] and yaw rate [rad/s]; NaN before a second counted."""
        squares = np.square(self.errors) if self.errors else np.full((1, 3), np.nan)
        return float(np.sqrt(squares[:, :2].sum(-1).mean())), float(np.sqrt(squares[:, 2].mean()))

    def _follow(self, now: float, position: Array) -> None:
        """Look at the clock: a second may be over, or the time of a command."""
        since = now - self._commanded + _TOLERANCE
        if int(since) > self._second:
            self.distance += float(np.linalg.norm(position - self._from))
            if self._second >= SETTLE:
                self.errors.append(self._sum / self._count - self.command)
            self._begin(int(since), position)
        if since >= self.interval:
            self._ask(now, position)

    def _ask(self, now: float, position: Array) -> None:
        self.command, self._commanded = self.draw(), now
        self._begin(0, position)

    def _begin(self, second: int, position: Array) -> None:
        self._second, self._sum, self._count, self._from = second, np.zeros(3), 0, position.copy()


class Companion:
    """Goes with him: hears odometry and gantry, and says where to."""

    def __init__(self, node: ConsoleNode, walk: Walk) -> None:
        """Listen with a node that is in the graph."""
        self._node, self.walk, self._gantry = node, walk, ""
        node.create_subscription(Odometry, "odom", self._on_odometry, 10)
        node.create_subscription(String, "sim/gantry", self._on_gantry, LATCHED)
        node.create_subscription(BrainStatus, "brain/status", self._on_status, 10)

    def _on_gantry(self, message: String) -> None:
        before, self._gantry = self._gantry, message.data
        if before == STANDING or (before and message.data == LIFTING):
            self.walk.fall()

    def _on_status(self, message: BrainStatus) -> None:
        self.walk.count(message.ticks, message.missed, message.latency_max)

    def _on_odometry(self, message: Odometry) -> None:
        pose, twist = message.pose.pose, message.twist.twist
        q, v, p = pose.orientation, twist.linear, pose.position
        body, orientation = np.array([v.x, v.y, v.z]), np.array([q.x, q.y, q.z, q.w])
        ahead = to_heading(body, orientation)
        before = self.walk.command
        self.walk.look(
            seconds(message.header.stamp),
            self._gantry == STANDING,
            np.array([p.x, p.y]),
            np.array([*ahead, twist.angular.z]),
        )
        if self.walk.command is not before:
            self._node.drive(self.walk.command.tolist())


def to_heading(velocity: Array, orientation: Array) -> Array:
    """A velocity (3,) in the frame of a body with an orientation x y z w (4,): forwards and leftwards, (2,)."""
    axis, w = orientation[:3], orientation[3]
    turned = 2.0 * np.cross(axis, velocity)
    world = velocity + w * turned + np.cross(axis, turned)
    heading = yaw(orientation)
    c, s = np.cos(heading), np.sin(heading)
    return np.array([c * world[0] + s * world[1], c * world[1] - s * world[0]])


def accompany(session: Session, options: Options, walk: Walk) -> int:
    """Go with him until the time is over, or Ctrl-C."""
    Companion(cast(ConsoleNode, session.console), walk)
    session.note = "waiting until he stands"
    if not session.until(lambda: walk.elapsed > 0.0, PATIENCE):
        session.display.say(
            f"He was not on his feet within {PATIENCE:g} s; the logs of sim and brain say why.", "red"
        )
        return FAILED

    def over() -> bool:
        asked = ", ".join(f"{number:+.2f}" for number in walk.command)
        session.note = f"{walk.elapsed:.0f} s, {walk.distance:.0f} m, falls: {len(walk.falls)}, asked {asked}"
        return walk.elapsed >= 60.0 * options.minutes

    done = session.until(over)
    brain = session.console.sight.brain
    session.display.say(
        f"Policy: phase {brain.phase}, step {brain.step:,}, SHA-256 {brain.policy}" if brain else ""
    )
    return FAILED if walk.falls or not done else OK


def report(options: Options, walk: Walk, policy: str, wall: float) -> None:
    """Print one table, write JSON."""
    velocity, turn = walk.error()
    known = bool(walk.errors)
    shown = Table("simulated time", f"{walk.elapsed:.0f} s", title="A walk in the live graph", box=box.SIMPLE_HEAD)
    shown.add_row("falls", str(len(walk.falls)))
    shown.add_row("on his feet", f"{walk.on_feet:.0f} s")
    shown.add_row("distance", f"{walk.distance:.0f} m")
    shown.add_row("velocity, root mean square error", f"{velocity:.3f} m/s")
    shown.add_row("yaw rate, root mean square error", f"{turn:.3f} rad/s")
    shown.add_row("seconds that count", str(len(walk.errors)))
    shown.add_row("commands, control periods missed", f"{walk.ticks:,}, {walk.missed:,}")
    shown.add_row("sensor to command, the longest", f"{1e3 * walk.latency:.1f} ms")
    shown.add_row("simulated per wall time, start included", f"{walk.elapsed / wall:.2f}")
    Console().print(shown)
    figures = {
        "policy": policy,
        "seed": options.seed,
        "elapsed": walk.elapsed,
        "on_feet": walk.on_feet,
        "falls": [asdict(fall) for fall in walk.falls],
        "distance": walk.distance,
        "velocity_error": velocity if known else None,
        "yaw_rate_error": turn if known else None,
        "seconds": len(walk.errors),
        "ticks": walk.ticks,
        "missed": walk.missed,
        "latency_max": walk.latency,
        "wall": wall,
        "load": os.getloadavg(),
    }
    write_json(options.output, figures)


def main(options: Options) -> int:
    """Walk; returns the exit code."""
    random = np.random.default_rng(options.seed)
    walk = Walk(lambda: random_command(random), WALK_EXAM.command_interval)
    specs = DEPLOY.nodes({"sim": "true", "policy": options.policy, "runs": str(options.runs)})
    policy = str(specs[-1].parameters.get("policy", ""))
    if not policy:
        sys.exit(f"There is no policy in {options.runs.absolute()}. Make one with ./jack train walk.")
    with ros_domain() as domain:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        begun = time.monotonic()
        code = run_graph(specs, options.runs, lambda session: accompany(session, options, walk))
    report(options, walk, policy, time.monotonic() - begun)
    return code


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
