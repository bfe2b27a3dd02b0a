"""The commands of ./jack that are about Jack himself, one class each.

A command's class is its command line. What takes long to load is loaded by the command that needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro
from tyro.conf import Positional

from jack_contract.errors import JackError
from jack_launch.description import LaunchError, NodeSpec
from jack_launch.graphs import DEPLOY, NEWEST, TRAIN, learning_environment, named_policy, runs_folder
from jack_trainer import live_graph
from jack_trainer.live_graph import FAILED, OK, Standing, run_graph
from jack_trainer.session import TrainGoal
from jack_trainer.supervisor import command

#: Simulations side by side, where the command line does not say.
ENVIRONMENTS = 256
#: More steps than anybody takes.
UNLIMITED = 10**12


@dataclass(frozen=True)
class Train:
    """Teach Jack, and watch him in a live simulation, driven by every new policy."""

    # what he is taught
    phase: Positional[str] = "stand"
    # environment steps; 0: as many as the phase gets
    steps: int = 0
    # of everything random
    seed: int = 0
    # go on with a run: its name or folder, or nothing for the last one
    resume: str = ""
    # simulations that he learns in side by side; 0: 256, with --env 16
    environments: int = 0
    # size of the brain: nano, small or base
    brain: str = "nano"
    # instead of Jack, train on a Gymnasium task: gymnasium:Humanoid-v5
    env: str = ""
    # seconds of training on a Gymnasium task at most; 0: as many as the steps take
    seconds: float = 0.0
    # bodies and sensors that he learns in: off (as modelled), on, wide
    randomization: str = "on"
    # show him living in a simulation of his own; without it only the training runs, and no ROS
    live: bool = True
    # the world of the live simulation
    scene: str = "flat"
    # for how long the live Jack is to stand on the final policy [s]
    stand_for: float = 10.0
    # score and film him afterwards, and write evaluation.json and report.html
    report: bool = True
    # leave him living afterwards, until Ctrl-C
    keep: bool = False
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        if self.env:
            return self._gymnasium()
        from jack_trainer.progress_file import find_run

        resume = find_run(self.resume, self.runs, resumable=True) if self.resume else None
        return self._live(resume) if self.live else self._alone(resume)

    def _live(self, resume: Path | None) -> int:
        environments = self.environments or ENVIRONMENTS
        given = {"runs": str(self.runs), "environments": str(environments), "brain": self.brain}
        given |= {"randomization": self.randomization, "scene": self.scene}
        specs = TRAIN.nodes(given | {"autostart": "false"})
        goal = TrainGoal(self.phase, self.steps, self.seed, str(resume or ""))
        standing = Standing(self.stand_for, self.keep)
        return run_graph(specs, self.runs, lambda session: live_graph.train(session, goal, standing, self.report))

    def _alone(self, resume: Path | None) -> int:
        os.environ.update(learning_environment())  # torch reads it when it is loaded
        from jack_trainer.alone import train_alone
        from jack_trainer.training import TrainOptions

        return train_alone(
            TrainOptions(
                phase=self.phase,
                steps=self.steps,
                seed=self.seed,
                resume=resume,
                runs=self.runs,
                brain=self.brain,
                environments=self.environments or ENVIRONMENTS,
                randomization=self.randomization,
            ),
            self.report,
        )

    def _gymnasium(self) -> int:
        if self.resume:
            raise JackError("A Gymnasium task cannot be put back to where it was: train anew, without --resume.")
        os.environ.update(learning_environment())
        from jack_trainer.gymnasium_training import GymnasiumOptions, train_gymnasium

        return train_gymnasium(
            GymnasiumOptions(
                env=self.env,
                steps=self.steps or (UNLIMITED if self.seconds else GymnasiumOptions.steps),
                seconds=self.seconds,
                seed=self.seed,
                environments=self.environments or GymnasiumOptions.environments,
                brain=self.brain,
                runs=self.runs,
            )
        )


@dataclass(frozen=True)
class Deploy:
    """Run the brain on a policy; on a robot, or with --sim on a simulated one."""

    # simulate the robot; otherwise its hardware must be there
    sim: bool = False
    # policy file (.onnx); newest: the one that was written last, or else pretrained: the one that ships with Jack
    policy: str = NEWEST
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
        given |= {"kind": self.kind, "joints": self.joints, "prefix": self.prefix}
        specs = DEPLOY.nodes(given | {"namespace": self.namespace, "runs": str(self.runs)})
        brain = next(spec for spec in specs if spec.name == "brain")
        policy, standing = str(brain.parameters.get("policy", "")), Standing(self.stand_for)
        return run_graph(specs, self.runs, lambda session: live_graph.deploy(session, policy, standing, self.walk))


@dataclass(frozen=True)
class Evaluate:
    """Score a policy: whole episodes with pushes, no exploration noise. Ends with 0 if the phase is passed."""

    # policy file, checkpoint or run; by default the policy that was written last
    policy: Positional[Path | None] = None
    # how many, in each world
    episodes: int = 100
    # score him by kind of command, and in worlds that he never saw; otherwise only the exam of his phase is held
    worlds: bool = True
    # of everything random
    seed: int = 1
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from rich.console import Console

        from jack_trainer import scorecard
        from jack_trainer.exam import examine, find_policy

        path = find_policy(self.policy, self.runs)
        print(f"Examining {path}", flush=True)
        result = examine(path, self.episodes, self.seed, self.worlds)
        print(result)
        if result.scores:
            Console().print(scorecard.table(result.scores))
            print(f"Saved in {scorecard.save(result.scores, scorecard.folder_of(path))}")
        return OK if result.passed else FAILED


@dataclass(frozen=True)
class Status:
    """Show where a training is, while it runs or afterwards."""

    # name or folder; newest: the one that was written to last
    run_name: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")] = NEWEST
    # look again and again, until it ends or Ctrl-C
    watch: bool = False
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer import progress_file, status

        found = progress_file.find_run(self.run_name, self.runs)
        try:
            (status.watch if self.watch else status.show)(found)
        except KeyboardInterrupt:
            return live_graph.INTERRUPTED
        return OK


@dataclass(frozen=True)
class Report:
    """Make a training's page, report.html in its folder: curves, film, evaluation, configuration."""

    # name or folder; newest: the one that was written to last
    run_name: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")] = NEWEST
    # with a film of the newest policy, which takes some 20 s
    film: bool = True
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer import progress_file, report

        found = progress_file.find_run(self.run_name, self.runs)
        print(report.write_report(found, self.film).absolute())
        return OK


@dataclass(frozen=True)
class Diff:
    """Find where a bag's readings part from what the simulator would have read. Ends with 0 if they never do."""

    # bag of the robot, or of ./jack deploy --sim: an .mcap or .db3 file, or a folder
    bag: Positional[Path]
    # namespace of the robot's topics
    namespace: str = ""
    # save a picture of both curves beside the bag
    picture: bool = True

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.divergence import report
        from jack_trainer.divergence.diff import diff

        result = diff(self.bag, self.namespace)
        report.show(result, report.save_picture(result) if self.picture else None)
        return FAILED if result.finding else OK


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
        return _become(NodeSpec("jack_operator", "view_node", "view", self.namespace, parameters))


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
        return _become(NodeSpec("jack_operator", "teleop_node", "teleop", self.namespace, parameters))


@dataclass(frozen=True)
class Record:
    """Record episodes into bags: of a simulated Jack whom a script drives, or of whatever robot is there."""

    # how many
    episodes: int = 1
    # of each; 0: until Ctrl-C [s]
    seconds: float = 20.0
    # what he is asked to do, in words; kept with each episode
    instruction: str = ""
    # who drives: scripted, random velocities on a simulated Jack of its own; none, only record what is there
    operator: Literal["scripted", "none"] = "scripted"
    # of the velocities and starting poses
    seed: int = 0
    # policy file (.onnx) that he is driven with; newest: the one that was written last, or else pretrained
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


@dataclass(frozen=True)
class Bags:
    """Look at a bag (info), whether he can be taught with it (check), or write it for others (export)."""

    # info, check or export
    do: Positional[Literal["info", "check", "export"]] = "info"
    # folders or files; by default the episode that was recorded last
    paths: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="BAG ...")] = ()
    # let a bag pass although messages are missing in it
    gaps: bool = False
    # whom it is to teach: a robot that ships with Jack, or the path of a .yaml file
    robot: str = "jack"
    # export: folder of the LeRobot data set (v3)
    output: Path = Path("dataset")
    # folder of the episodes
    bags: Path = runs_folder().parent / "bags"

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation import bag_report

        paths = self.paths or (bag_report.newest_bag(self.bags),)
        if self.do == "export":
            return bag_report.export(paths, self.robot, self.gaps, self.output)
        return bag_report.check(paths, self.robot, self.gaps) if self.do == "check" else bag_report.show(paths)


@dataclass(frozen=True)
class Retarget:
    """Have Jack move as recorded people do. Ends with 1 if a file failed; the others are made all the same."""

    # recordings: .bvh, .amc with .asf, DeepMimic's .txt or .json, .npz of AMASS
    files: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE ...")]
    # folder of the motions, which are named after the files
    out: Path = runs_folder().parent / "motions"
    # film each: Jack, and the person as sticks
    preview: bool = False
    # how many times faster than recorded
    speed: float = 1.0
    # skeleton (.asf) of the .amc files; by default the one that lies beside each
    skeleton: Path | None = None
    # who may use the motions, to be kept with them; by default as far as the format tells
    terms: str = ""

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation.mocap.command import Order, retarget_files

        if not self.files:
            raise JackError("Name a recording: ./jack mocap retarget FILE ...")
        order = Order(self.out, self.preview, self.speed, self.skeleton, self.terms)
        return FAILED if retarget_files(self.files, order) else OK


@dataclass(frozen=True)
class MocapInfo:
    """Say what a recording is, or a motion that was made of one."""

    # recording, or .safetensors
    file: Positional[Path]
    # skeleton (.asf) of an .amc file; by default the one that lies beside it
    skeleton: Path | None = None

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation.mocap.command import show

        show(self.file, self.skeleton)
        return OK


@dataclass(frozen=True)
class Mocap:
    """Recorded motions of people: have Jack move like them (retarget), or look at one (info)."""

    do: Annotated[
        Annotated[Retarget, tyro.conf.subcommand("retarget", prefix_name=False)]
        | Annotated[MocapInfo, tyro.conf.subcommand("info", prefix_name=False)],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> int:
        """Do it; returns the exit code."""
        return self.do.run()


def _become(spec: NodeSpec) -> NoReturn:
    """Go on as a node, in this process and on this terminal."""
    argv = command(spec)
    sys.stdout.flush()
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted


def arguments(given: Sequence[str]) -> list[str]:
    """The command line, with `--resume` meaning the newest run where none is named."""
    words = list(given)
    for index, word in enumerate(words):
        if word == "--resume" and (index + 1 == len(words) or words[index + 1].startswith("-")):
            words[index] = f"--resume={NEWEST}"
    return words


def parse(
    given: Sequence[str],
) -> Train | Deploy | Evaluate | Status | Report | Diff | View | Teleop | Record | Bags | Mocap:
    """The command that a command line asks for."""
    return tyro.cli(
        Annotated[Train, tyro.conf.subcommand("train")]
        | Annotated[Deploy, tyro.conf.subcommand("deploy")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Status, tyro.conf.subcommand("status")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Diff, tyro.conf.subcommand("diff")]
        | Annotated[View, tyro.conf.subcommand("view")]
        | Annotated[Teleop, tyro.conf.subcommand("teleop")]
        | Annotated[Record, tyro.conf.subcommand("record")]
        | Annotated[Bags, tyro.conf.subcommand("bag")]
        | Annotated[Mocap, tyro.conf.subcommand("mocap")],
        prog="./jack",
        description="Jack: teach him, set him to work, score him, see how it goes.",
        args=arguments(given),
    )


def main() -> NoReturn:
    """Read the command line, do what it asks for, and end with its exit code."""
    try:
        sys.exit(parse(sys.argv[1:]).run())
    except (JackError, LaunchError) as error:
        print(f"jack: {error}", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
