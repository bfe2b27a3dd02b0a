"""`./jack deploy`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jack_contract.errors import JackError
from jack_launch.graphs import DEPLOY, NEWEST, named_policy, runs_folder
from jack_trainer import live_graph
from jack_trainer.live_graph import Standing, run_graph


@dataclass(frozen=True)
class Deploy:
    """Run the brain on a policy; on a robot, or with --sim on a simulated one."""

    # simulate the robot; otherwise its hardware must be there
    sim: bool = False
    # policy file (.onnx); newest: the one that was written last, or else pretrained: the one that ships with Jack
    policy: str = NEWEST
    # when a policy that is offered while another one drives takes over, after its trial: manual, once the service
    # brain/promote is called; auto, by itself
    promote: str = "manual"
    # for how long it is tried beside the one that drives [s]
    trial: float = 10.0
    # which robot: one that ships with Jack, or the path of a .yaml file
    robot: str = "jack"
    # put a driver between brain and motors, which damps them when the brain is gone
    driver: bool = True
    # how the driver reaches the motors: joint_command, forward_command or joint_trajectory
    interface: str = "joint_command"
    # what a forward_command_controller commands: position or effort
    kind: str = "position"
    # joints in the order of the controller, with commas between; by itself the robot's
    joints: str = ""
    # what the hardware puts before each joint name
    prefix: str = ""
    # the world of the simulation
    scene: str = "flat"
    # watch the camera and follow sentences: auto (in a simulation before a table), true, false
    camera: str = "auto"
    # when a gantry holds the simulated robot: auto (until the policy drives him), always, never
    gantry: str = "auto"
    # ask the simulated robot to walk: forward, left [m/s], turn left [rad/s]; by itself he follows cmd_vel
    walk: tuple[float, float, float] = (0.0, 0.0, 0.0)
    # end once the simulated robot stood for so long; 0: go on until Ctrl-C [s]
    stand_for: float = 0.0
    # namespace of every node
    namespace: str = ""
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        if any(self.walk) and not self.sim:
            raise JackError("--walk is for the simulated robot (--sim); a real one follows the topic cmd_vel.")
        if self.policy == NEWEST and named_policy(NEWEST, self.runs) is None:
            raise JackError(
                f"There is no policy in {self.runs.absolute()}, and none ships with this copy of Jack. "
                f"Make one with ./jack train."
            )
        given = {"sim": str(self.sim).lower(), "policy": self.policy, "scene": self.scene, "gantry": self.gantry}
        given |= {"robot": self.robot, "driver": str(self.driver).lower(), "interface": self.interface}
        given |= {"camera": self.camera, "promote": self.promote, "trial": str(self.trial)}
        given |= {"kind": self.kind, "joints": self.joints, "prefix": self.prefix}
        specs = DEPLOY.nodes(given | {"namespace": self.namespace, "runs": str(self.runs)})
        brain = next(spec for spec in specs if spec.name == "brain")
        policy, standing = str(brain.parameters.get("policy", "")), Standing(self.stand_for)
        return run_graph(specs, self.runs, lambda session: live_graph.deploy(session, policy, standing, self.walk))
