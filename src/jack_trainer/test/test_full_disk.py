"""A disk that is really full: a file system of a few megabytes, in a mount namespace of the test's own."""

import json
import shutil
import subprocess
import sys

import pytest

MOUNT = 'mount -t tmpfs -o size="$2" tmpfs "$1" && shift 2 && exec "$@"'

TRAINING = """
import errno, json, sys
from pathlib import Path
from jack_contract.errors import JackError
from jack_trainer import school
from jack_trainer.checkpoint import checkpoints, newest_checkpoint
from jack_trainer.school import School
from jack_trainer.training import TrainOptions

disk = Path(sys.argv[1])
filler, told = disk / "filler", {"steps": []}

class Exporter:
    def __init__(self, brain, *, command): pass
    def export(self, provenance): return bytes(50_000)

class Listener:
    def on_progress(self, progress): told["steps"].append(progress.step)
    def on_policy(self, policy):
        if policy.step == 2 * update and not filler.exists():
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(1000)): pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC

def train(updates, **more):
    options = TrainOptions(steps=updates * update, environments=2, runs=disk / "runs", checkpoint_interval=0.0,
                           until_passed=False, **more)
    student = School(options, Listener())
    try:
        student.run()
        return ""
    except JackError as error:
        return str(error)
    finally:
        told["run"] = student.run_folder

school.PolicyExporter, school.PolicyActor = Exporter, lambda policy: policy
school.evaluate = lambda *_: school.Evaluation(100, 0, 0.5, -1.0)
update = 2 * school.phase("stand").ppo.rollout
told["full"] = train(5)
run = told["run"]
told["newest"] = newest_checkpoint(run / "checkpoints").numbers.update
told["left"] = sorted(path.name for path in (run / "checkpoints").iterdir())
told["anew"] = train(5)
filler.unlink()
told["again"] = train(5, resume=run)
told["last"] = newest_checkpoint(run / "checkpoints").numbers.update
told["steps"] = [step // update for step in told["steps"]]
print(json.dumps(told, default=str))
"""


@pytest.mark.slow
def test_fault_23_a_full_disk_ends_a_training_in_words_and_loses_nothing_that_was_whole(tmp_path):
    unshare = shutil.which("unshare")
    words = [unshare or "", "-rm", "sh", "-c", MOUNT, "sh", str(tmp_path), "32m"]
    if unshare is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("This user may not mount a file system of his own.")
    done = subprocess.run(
        [*words, sys.executable, "-c", TRAINING, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert "could not be written (No space left on device); the one before it is untouched" in told["full"]
    assert "./jack train --resume" in told["full"]
    assert told["newest"] == 2 and len(told["left"]) == 2  # nothing half-written is left
    assert "run.json could not be written (No space left on device). Make room" in told["anew"]
    assert told["again"] == "" and told["last"] == 5
    assert told["steps"] == [1, 2, 3, 3, 4, 5]
