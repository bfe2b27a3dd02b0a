"""`python -m jack_trainer.ship RUN`: make a run's policy the one that ships with Jack.

A policy ships only if it passes its phase's exam, held with a seed that no training saw. Beside the file lies what
is known of it: what it learnt and how, how well, and what to type for another like it.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import Positional

from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_launch.graphs import pretrained_folder, runs_folder
from jack_trainer import progress_file
from jack_trainer.exam import ExamResult, examine, find_policy
from jack_trainer.files import replace_file
from jack_trainer.page import command_line
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.scorecard import scorecard
from jack_trainer.tasks.lessons import at_beat

#: The size that ships, and so the name of its files.
SIZE = "nano"
EPISODES = 100
#: Of the exam; trainings examine themselves with another.
SEED = 20_262


@dataclass(frozen=True)
class Ship:
    """Make a run's policy the one that ships with Jack, if it passes its exam."""

    # name or folder of the run
    run: Positional[str]
    # folder of the trainings
    runs: Path = runs_folder()
    # where it is put
    into: Path = pretrained_folder()


def ship(run: Path, into: Path) -> Path:
    """Examine the newest policy of a run, and put it and what is known of it into a folder.

    Args:
        run: folder of the run.
        into: the folder; what it holds of an earlier policy is replaced.

    Returns:
        The policy file.

    Raises:
        JackError: it does not pass, is of another size than ships, or cannot be said how it came about.
    """
    path = find_policy(run, run.parent)
    data = path.read_bytes()
    policy = Policy.load(data, default_contract())
    if (size := policy.provenance.get("brain")) != SIZE:
        raise JackError(f"{path} is a brain of size '{size}'; what ships is '{SIZE}'.")
    command = _command(run)
    exam = examine(path, EPISODES, SEED)
    if not exam.passed:
        raise JackError(f"{path} does not pass the exam of '{policy.phase}', and does not ship.\n{exam}")
    known = _known(policy, command, exam)
    into.mkdir(parents=True, exist_ok=True)
    replace_file(into / f"{SIZE}.json", json.dumps(known, indent=1).encode() + b"\n")
    replace_file(into / f"{SIZE}.onnx", data)
    return into / f"{SIZE}.onnx"


def _known(policy: Policy, command: str, exam: ExamResult) -> dict[str, Any]:
    task = at_beat(exam.phase.exam, policy.beat)
    card = scorecard(PolicyActor(exam.policy), policy.contract, task, EPISODES, SEED)
    return {
        "sha256": policy.sha256,
        "contract_digest": policy.contract.digest,
        **policy.provenance,
        "command": command,
        "shipped_by": f"python -m jack_trainer.ship {policy.provenance.get('run', '')}".strip(),
        "revision": _revision(),
        "exam": {"seed": SEED, **asdict(exam.evaluation)},
        "scorecard": [_without_nan(asdict(score)) for score in card.scores],
    }


def _command(run: Path) -> str:
    """What to type for another training like it."""
    path = run / progress_file.RUN
    try:
        return command_line(json.loads(path.read_bytes())["options"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JackError(f"{path} does not say how the policy was made ({error!r}), so it does not ship.") from error


def _revision() -> str:
    """The revision of the code that examined it, `-dirty` if changed since; empty outside a checkout."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON: what does not apply is null."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    asked = tyro.cli(Ship, prog="python -m jack_trainer.ship")
    try:
        path = ship(progress_file.find_run(asked.run, asked.runs), asked.into)
    except JackError as error:
        print(f"ship: {error}", file=sys.stderr)
        return 1
    print(f"{path.absolute()}\n{path.with_suffix('.json').absolute()}\nCommit both.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
