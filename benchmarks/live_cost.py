"""What the live Jack costs the trainer: training steps/s with sim and brain beside it, against without them.

For each window with him, what `./jack deploy --sim` starts is started anew, in a ROS domain of its own; the window
begins when he stands on his own feet. Learning is that of `./jack train`, without checkpoints and exams.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro
from pairing import Protocol, Side, as_the_trainer, compare, report, write_json
from throughput import Options as Learning
from throughput import learner, repeated

from jack_contract.errors import JackError
from jack_contract.testing import ros_domain
from jack_launch.description import NodeSpec
from jack_launch.graphs import DEPLOY, NEWEST, runs_folder
from jack_trainer.session import STANDING
from jack_trainer.supervisor import Supervisor

#: How often it is looked whether he stands [s].
_LOOK = 0.2
#: How long he may take to get on his feet [s].
PATIENCE = 60.0


@dataclass(frozen=True)
class Options:
    """How long, and on what he stands."""

    #: windows of each side
    pairs: int = 6
    #: length of a window [s]
    window: float = 12.0
    #: policy file (.onnx) that he stands on; newest: the one that was written last
    policy: str = NEWEST
    #: folder of the trainings
    runs: Path = runs_folder()
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@contextmanager
def live(specs: tuple[NodeSpec, ...]) -> Iterator[None]:
    """Jack on his feet in a live graph, from the beginning of the block to its end."""
    with tempfile.TemporaryDirectory() as folder, Supervisor(specs, Path(folder)) as supervisor:
        from jack_trainer.console_node import Connection  # makes threads: only once the processes are started

        with Connection(specs) as connection:
            for _ in range(round(PATIENCE / _LOOK)):
                connection.listen(_LOOK)
                if connection.node.sight.gantry == STANDING:
                    break
            else:
                raise JackError(f"He was not on his feet within {PATIENCE:g} s.")
        yield
        for death in supervisor.poll():
            raise JackError(str(death))


def beside_him(specs: tuple[NodeSpec, ...], alone: Side) -> Side:
    """The same side while Jack lives beside it."""

    def side(window: float) -> float:
        with live(specs):
            return alone(window)

    return side


def main(options: Options) -> None:
    """Measure and report."""
    specs = DEPLOY.nodes({"sim": "true", "policy": options.policy, "runs": str(options.runs)})
    if not specs[-1].parameters.get("policy"):
        sys.exit(f"There is no policy in {options.runs.absolute()}. Make one with ./jack train.")
    ppo = learner(Learning())
    work: Callable[[], object] = ppo.iterate
    alone = repeated(work, ppo.environment.count * ppo.config.rollout)
    protocol = Protocol(options.pairs, options.window)
    with ros_domain() as domain:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        peer = ("alone", alone)
        row = compare("beside a live Jack", beside_him(specs, alone), peer, "steps/s", protocol, at_least=0.9)
    data = report("Training, and a live Jack", [row], {}, ("mujoco", "numpy", "torch"))
    write_json(options.output, data)


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options, description=__doc__))
