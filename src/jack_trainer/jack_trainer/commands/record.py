"""`./jack record`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jack_launch.graphs import NEWEST, runs_folder
from jack_trainer.live_graph import run_graph


@dataclass(frozen=True)
class Record:
    """Record episodes into bags: of a simulated Jack, by a script or an expert, or of whatever robot is there."""

    # how many
    episodes: int = 1
    # of each; 0: until Ctrl-C; what the expert is told takes as long as it takes [s]
    seconds: float = 20.0
    # what he is asked to do, in words; kept with each episode. The expert is told it at tables where it can be
    # done; by itself something else at each
    instruction: str = ""
    # who drives: scripted, random velocities on a simulated Jack of its own; expert, on one before a table, does
    # what he is told; none, only record what is there
    operator: Literal["scripted", "expert", "none"] = "scripted"
    # of velocities, tables and starting poses
    seed: int = 0
    # policy file (.onnx) that he is driven with, of an expert the legs; newest: the one that was written last, or
    # else pretrained
    policy: str = NEWEST
    # with pictures: most of the bytes, and a simulation draws them only for whom looks
    camera: bool = True
    # which robot: one that ships with Jack, or the path of a .yaml file
    robot: str = "jack"
    # namespace of every node
    namespace: str = ""
    # folder of the episodes
    bags: Path = runs_folder().parent / "bags"
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation.record_session import Plan, graph, record

        plan = Plan(self.episodes, self.seconds, self.instruction, self.operator, self.seed)
        given = {"policy": self.policy, "runs": str(self.runs), "namespace": self.namespace}
        specs = graph(plan, given, self.bags, self.robot, self.camera)
        return run_graph(specs, self.runs, lambda session: record(session, plan))
