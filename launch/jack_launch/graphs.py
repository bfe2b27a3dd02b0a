"""Jack's two graphs: the school (sim, brain, trainer) and the robot at work (driver, brain, sim if asked for)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from jack_launch.description import (
    Graph,
    LaunchArgument,
    LaunchError,
    NodeSpec,
    Parameter,
    number,
    whole_number,
)

_BOOL = ("true", "false")
#: Policies that have a name instead of a path.
NEWEST, PRETRAINED = "newest", "pretrained"
#: The robot that is simulated.
_JACK = "jack"
#: The scene with a table in it: there he follows sentences.
TABLETOP = "tabletop"
#: How a driver reaches the motors; the first is how a simulation is reached.
INTERFACES = ("joint_command", "forward_command", "joint_trajectory")


def runs_folder() -> Path:
    """Where trainings are kept: in the checkout if its environment is loaded, else below the working directory."""
    return Path(os.environ.get("JACK_ROOT", ".")) / "runs"


def newest_policy(runs: Path) -> Path | None:
    """The policy file that was written last in any run, if there is one."""
    found = [(path.stat().st_mtime_ns, path) for path in runs.glob("*/checkpoints/[0-9]*/policy.onnx")]
    return max(found)[1] if found else None


def pretrained_folder() -> Path:
    """Where the policy that ships with Jack lies, and what is known of it; a copy of him may have neither."""
    brain = find_spec("jack_brain")  # only looked for: nothing of it is imported
    places = brain.submodule_search_locations if brain else None
    return Path(places[0] if places else ".") / "pretrained"


def pretrained_policy() -> Path | None:
    """The policy file that ships with Jack, if this copy of him has one."""
    path = pretrained_folder() / "nano.onnx"
    return path if path.is_file() else None


def named_policy(name: str, runs: Path) -> Path | None:
    """The policy file that somebody means.

    Args:
        name: of a file; or `newest`, the last one written in `runs` and, where none was, the one that ships with
            Jack; or `pretrained`, that one in any case; or nothing.
        runs: folder of the trainings.

    Returns:
        The file; None where nothing was named, or `newest` and there is none at all.

    Raises:
        LaunchError: it is not there.
    """
    if name == NEWEST:
        return newest_policy(runs) or pretrained_policy()
    path = pretrained_policy() if name == PRETRAINED else Path(name) if name else None
    if name == PRETRAINED and path is None:
        raise LaunchError("No policy ships with this copy of Jack. Make one with ./jack train.")
    if path is not None and not path.is_file():
        raise LaunchError(f"There is no policy file {path}.")
    return path


_NAMESPACE = LaunchArgument("namespace", "", "namespace of every node: a second robot beside the first")
_SIMULATION = (
    LaunchArgument("scene", "flat", "the simulated world he lives in"),
    LaunchArgument(
        "gantry",
        "auto",
        "when a gantry holds him: auto, until a policy drives him; always; never",
        ("auto", "always", "never"),
    ),
    LaunchArgument("real_time_factor", "1.0", "simulated seconds per second; 0: as fast as possible"),
    LaunchArgument("sim_seed", "0", "of everything random in the live simulation"),
)
_CAMERA = LaunchArgument(
    "camera",
    "auto",
    "watch camera/image_raw and follow sentences: auto, in a simulation before a table; true; false",
    ("auto", "true", "false"),
)
_RVIZ = LaunchArgument("rviz", "false", "show him in RViz, which comes with ROS 2 from apt", _BOOL)
_RUNS = LaunchArgument("runs", str(runs_folder()), "folder of the trainings")


def _sim(args: Mapping[str, str], required: bool, driven: bool = False) -> NodeSpec:
    return NodeSpec(
        "jack_sim",
        "sim_node",
        "sim",
        namespace=args["namespace"],
        parameters={
            "scene": args["scene"],
            "gantry": args["gantry"],
            "real_time_factor": number("real_time_factor", args["real_time_factor"]),
            "seed": whole_number("sim_seed", args["sim_seed"]),
        },
        remappings=(("joint_command", "hardware/joint_command"),) if driven else (),
        required=required,
    )


def _brain(args: Mapping[str, str], required: bool, **parameters: Parameter) -> NodeSpec:
    return NodeSpec(
        "jack_brain",
        "brain_node",
        "brain",
        namespace=args["namespace"],
        parameters=parameters,
        lifecycle=True,
        required=required,
    )


def _driver(args: Mapping[str, str], **parameters: Parameter) -> NodeSpec:
    joints = tuple(filter(None, (name.strip() for name in args["joints"].split(","))))
    return NodeSpec(
        "jack_brain",
        "driver_node",
        "driver",
        namespace=args["namespace"],
        parameters={
            **parameters,
            "interface": args["interface"],
            "kind": args["kind"],
            **({"joints": joints} if joints else {}),
        },
        lifecycle=True,
        required=True,
    )


def _eyes(args: Mapping[str, str], simulated: bool) -> dict[str, Parameter]:
    """The parameter of a brain that watches a camera; nothing for one that does not."""
    watches = args["camera"] == "true" or (args["camera"] == "auto" and simulated and args["scene"] == TABLETOP)
    return {"camera": True} if watches else {}


def _rviz(args: Mapping[str, str], simulated: bool) -> tuple[NodeSpec, ...]:
    if args["rviz"] != "true":
        return ()
    clock: dict[str, Parameter] = {"use_sim_time": simulated}
    frames = (("/tf", "tf"), ("/tf_static", "tf_static"))
    space = args["namespace"]
    return (
        NodeSpec("jack_operator", "markers_node", "markers", space, clock),
        NodeSpec("jack_operator", "rviz", "rviz", space, clock, frames),
    )


def _trainer(args: Mapping[str, str]) -> NodeSpec:
    return NodeSpec(
        "jack_trainer",
        "trainer_node",
        "trainer",
        namespace=args["namespace"],
        parameters={
            "autostart_phase": (args["phases"] or args["phase"]) if args["autostart"] == "true" else "",
            "runs": _absolute(args["runs"]),
            "resume": _absolute(args["resume"]),
            "parent": _place(args["parent"]),
            "teacher": _place(args["teacher"]),
            **{name: files for name in ("bags", "clips", "scenes") if (files := _files(args[name]))},
            "chunk": args["chunk"],
            "batch": whole_number("batch", args["batch"]),
            "device": args["device"],
            "brain": args["brain"],
            "steps": whole_number("steps", args["steps"]),
            "seed": whole_number("seed", args["seed"]),
            "environments": whole_number("environments", args["environments"]),
            "randomization": args["randomization"],
            "until_passed": args["until_passed"] == "true",
        },
        required=True,
        environment=learning_environment(),
    )


def learning_environment() -> dict[str, str]:
    """Variables for a process that learns, to be set before torch is imported.

    The learner cuts its batches into slices for threads of its own. Torch's OpenMP threads would share every single
    operation instead, wait for each other longer than they compute, and spin while they wait.
    """
    return {"OMP_NUM_THREADS": "1"}


def _train(args: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    # The school goes on without its audience: what shows him living may end, what teaches him may not.
    # Every new policy drives at once: in a simulation nothing breaks.
    heir: dict[str, Parameter] = {"promote": "auto", "trial": 0.0, "probation": 0.0}
    heir |= _eyes(args, True)
    live = (_sim(args, required=False), _brain(args, required=False, use_sim_time=True, **heir))
    return (*_rviz(args, True), *(live if args["live"] == "true" else ()), _trainer(args))


def _deploy(args: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    simulated, driven, policy = args["sim"] == "true", args["driver"] == "true", _policy(args)
    if simulated and (args["robot"], args["interface"], args["prefix"]) != (_JACK, INTERFACES[0], ""):
        raise LaunchError(
            f"The simulation is of {_JACK}, hears {INTERFACES[0]} and knows no prefix; given: robot "
            f"{args['robot']}, interface {args['interface']}, prefix '{args['prefix']}'. Leave these out, or sim."
        )
    both: dict[str, Parameter] = {"use_sim_time": simulated, "robot": _robot(args["robot"])}
    both |= {"prefix": args["prefix"]} if args["prefix"] else {}
    sim = (_sim(args, required=True, driven=driven),) if simulated else ()
    driver = (_driver(args, **both),) if driven else ()
    heir: dict[str, Parameter] = {"promote": args["promote"], "trial": number("trial", args["trial"])}
    heir |= _eyes(args, simulated)
    seen = _rviz(args, simulated)
    return (*seen, *sim, *driver, _brain(args, True, **both, **heir, **({"policy": policy} if policy else {})))


def _robot(name: str) -> str:
    """A robot's name, or the path of its description in a way that means the same in every node."""
    if not name.endswith(".yaml"):
        return name
    if not Path(name).is_file():
        raise LaunchError(f"There is no robot description {name}.")
    return _absolute(name)


def _policy(args: Mapping[str, str]) -> str:
    found = named_policy(args["policy"], Path(args["runs"]))
    return str(found.absolute()) if found else ""


def _files(paths: str) -> tuple[str, ...]:
    """Paths with commas between, as a parameter."""
    return tuple(_absolute(path.strip()) for path in paths.split(",") if path.strip())


def _place(name: str) -> str:
    """What there is under a name, as an absolute path; a name of something else stays as it is."""
    return _absolute(name) if Path(name).exists() else name


def _absolute(path: str) -> str:
    """A path that means the same in a node, wherever that runs; an empty one stays empty."""
    return str(Path(path).absolute()) if path else ""


TRAIN = Graph(
    "Teach Jack, and watch him in a live simulation: sim, brain, trainer.",
    (
        LaunchArgument("phase", "stand", "what he is taught"),
        LaunchArgument("phases", "", "instead: several, one after the other, as in stand,walk,natural"),
        LaunchArgument("steps", "0", "environment steps of each phase; 0: as many as it gets"),
        LaunchArgument("seed", "0", "of everything random in the training"),
        LaunchArgument("resume", "", "folder of a run to go on with; empty: start anew"),
        LaunchArgument("parent", "", "checkpoint or run that the first phase goes on from; empty: a new brain"),
        LaunchArgument("bags", "", "demonstrations, with commas between, for the phases that learn from some"),
        LaunchArgument("clips", "", "motions, with commas between, for the phases that learn from some"),
        LaunchArgument("scenes", "", "folders of scenes, with commas between, for the phases that learn from some"),
        LaunchArgument("teacher", "", "checkpoint, run or policy that corrects who clones demonstrations"),
        LaunchArgument(
            "chunk",
            "",
            "how action chunks are learnt: squared, flow or tokens; empty: as the phase has it",
            ("", "squared", "flow", "tokens"),
        ),
        LaunchArgument("batch", "0", "samples of one step of learning from scenes; 0: as many as the phase takes"),
        LaunchArgument(
            "device",
            "auto",
            "where he learns from scenes: cpu, cuda, or auto, which is cuda where there is one",
            ("auto", "cpu", "cuda"),
        ),
        LaunchArgument("environments", "0", "simulations that he learns in side by side; 0: as the phase has it"),
        LaunchArgument("brain", "nano", "size of the brain: nano, small or base"),
        LaunchArgument(
            "randomization",
            "on",
            "bodies and sensors that he learns in: off, as modelled; on; wide; he is pushed in any case",
            ("off", "on", "wide"),
        ),
        LaunchArgument(
            "until_passed", "true", "end a phase when it is passed, not when its steps are used up", _BOOL
        ),
        LaunchArgument(
            "autostart", "true", "start training at once, or wait for a goal on the action `train`", _BOOL
        ),
        LaunchArgument("live", "true", "show him living on every new policy, in a simulation of his own", _BOOL),
        _RUNS,
        *_SIMULATION,
        _CAMERA,
        _RVIZ,
        _NAMESPACE,
    ),
    _train,
)

DEPLOY = Graph(
    "Drive Jack with a policy: brain, driver, and a live simulation with sim:=true.",
    (
        LaunchArgument("sim", "false", "simulate the robot; otherwise its hardware must be there", _BOOL),
        LaunchArgument(
            "policy",
            NEWEST,
            f"policy file (.onnx); {NEWEST}: the last one written in `runs`, or else the one that ships with Jack; "
            f"{PRETRAINED}: that one; empty: wait for the topic `policy`",
        ),
        LaunchArgument(
            "promote",
            "manual",
            "when a policy that is offered while another one drives takes over, after its trial: manual, when the "
            "service brain/promote is called; auto, by itself",
            ("manual", "auto"),
        ),
        LaunchArgument("trial", "10", "for how long it is tried beside the one that drives [s]"),
        LaunchArgument("robot", _JACK, "which robot: one that ships with Jack, or the path of a .yaml file"),
        LaunchArgument(
            "driver",
            "true",
            "put a driver between brain and motors, which damps them when the brain is gone",
            _BOOL,
        ),
        LaunchArgument(
            "interface",
            INTERFACES[0],
            "how the driver reaches the motors: joint_command, Jack's own message; forward_command and "
            "joint_trajectory, for the controllers of ros2_control",
            INTERFACES,
        ),
        LaunchArgument("kind", "position", "what a forward_command_controller commands", ("position", "effort")),
        LaunchArgument("joints", "", "joints in the order of the controller, with commas; empty: the robot's"),
        LaunchArgument("prefix", "", "what the hardware puts before each joint name"),
        _RUNS,
        *_SIMULATION,
        _CAMERA,
        _RVIZ,
        _NAMESPACE,
    ),
    _deploy,
)
