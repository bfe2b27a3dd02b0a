"""`./jack teleop`."""

from __future__ import annotations

from dataclasses import dataclass

from jack_launch.description import NodeSpec
from jack_trainer.commands.become import become


@dataclass(frozen=True)
class Teleop:
    """Steer the live Jack with the keys of this terminal, or with a gamepad on the topic joy."""

    # axes of the gamepad: forwards, to the left, turn left
    axes: tuple[int, int, int] = (1, 0, 3)
    # buttons of the gamepad: to be held while driving, stop
    buttons: tuple[int, int] = (4, 1)
    # namespace of the robot's nodes
    namespace: str = ""

    def run(self) -> int:
        """Become the node that steers him: it needs this terminal."""
        names = ["axis_forward", "axis_left", "axis_turn", "deadman_button", "stop_button"]
        parameters = dict(zip(names, (*self.axes, *self.buttons), strict=True))
        return become(NodeSpec("jack_operator", "teleop_node", "teleop", self.namespace, parameters))
