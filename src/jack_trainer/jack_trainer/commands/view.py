"""`./jack view`."""

from __future__ import annotations

from dataclasses import dataclass

from jack_launch.description import NodeSpec
from jack_trainer.commands.become import become


@dataclass(frozen=True)
class View:
    """Look at the live Jack in a browser, while he is trained or deployed: a page on this machine alone."""

    # of the page; the next free one if it is taken, 0: any
    port: int = 8080
    # let the page stop and steer him; otherwise it only shows
    control: bool = False
    # namespace of the robot's nodes
    namespace: str = ""

    def run(self) -> int:
        """Become the node that shows him."""
        parameters = {"port": self.port, "control": self.control}
        return become(NodeSpec("jack_operator", "view_node", "view", self.namespace, parameters))
