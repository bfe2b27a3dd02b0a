import hashlib
import json
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain
from jack_brain.network.export import PolicyExporter
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.errors import JackError
from jack_launch.graphs import pretrained_folder
from jack_trainer import ship as module
from jack_trainer.evaluate import Evaluation
from jack_trainer.exam import ExamResult
from jack_trainer.phases import PHASES
from jack_trainer.scorecard import Score, Scorecard
from jack_trainer.ship import main, ship

TOLD = {"phase": "walk", "step": 1234, "seed": 3, "code": "0.1.0", "run": "20260101-walk", "brain": "nano"}
GOOD = Evaluation(100, 97, 19.8, 60.0, 0.12, 0.2)
load = partial(Policy.load, limits=PolicyLimits(period_share=100.0))


def require_sound(folder: Path, contract) -> None:
    """What ships must load, be made for this robot, and be the file that is written about."""
    policy = load(folder / "nano.onnx", contract)
    known = json.loads((folder / "nano.json").read_text())
    assert known["sha256"] == hashlib.sha256((folder / "nano.onnx").read_bytes()).hexdigest() == policy.sha256
    assert known["contract_digest"] == contract.digest
    assert {key: known.get(key) for key in policy.provenance} == policy.provenance
    assert {"phase", "step", "seed", "code", "run", "brain"} <= set(policy.provenance)
    assert known["command"].startswith(f"./jack train {policy.phase}")
    evaluation = {key: value for key, value in known["exam"].items() if key != "seed"}
    assert PHASES[policy.phase].passes(Evaluation(**evaluation)) and evaluation["episodes"] >= 100
    assert known["scorecard"][0]["name"] == "nominal"
    assert (folder / "nano.onnx").stat().st_size < 4_000_000


@pytest.mark.skipif(not pretrained_folder().is_dir(), reason="no policy ships with this copy of Jack")
def test_the_policy_that_ships_with_jack_is_sound(contract):
    require_sound(pretrained_folder(), contract)
    scores = json.loads((pretrained_folder() / "nano.json").read_text())["scorecard"]
    assert all(row["knee"] > 0.35 for row in scores)  # he does not shuffle, in any world


@pytest.fixture(scope="module")
def exporter(contract):
    torch.manual_seed(0)
    return PolicyExporter(Brain(contract), command=True)


@pytest.fixture
def run(tmp_path, exporter):
    """A run with one policy; it may be given other things to say of itself."""

    def make(**told):
        folder = tmp_path / "runs" / TOLD["run"]
        newest = folder / "checkpoints" / "000000001234"
        newest.mkdir(parents=True)
        (newest / "policy.onnx").write_bytes(exporter.export({**TOLD, **told}))
        (folder / "run.json").write_text(json.dumps({"options": {"phase": "walk", "steps": 0, "seed": 3}}))
        return folder

    return make


@pytest.fixture
def examined(monkeypatch):
    """Examiners that take no time; what they are to find may be changed."""
    found, asked = {"evaluation": GOOD}, []

    def examine(path, episodes, seed):
        asked.append((episodes, seed))
        return ExamResult(path, 1234, found["evaluation"], PHASES["walk"])

    row = Score(**{field.name: 0.1 for field in fields(Score)} | {"name": "nominal", "transport": np.nan})
    monkeypatch.setattr(module, "examine", examine)
    monkeypatch.setattr(module, "scorecard", lambda *_: Scorecard([row], found["evaluation"]))
    monkeypatch.setattr(Policy, "load", load)
    found["asked"] = asked
    return found


def test_a_policy_that_passes_ships_with_all_that_is_known_of_it(run, examined, contract, tmp_path):
    folder, into = run(), tmp_path / "pretrained"
    assert ship(folder, into) == into / "nano.onnx"
    require_sound(into, contract)
    known = json.loads((into / "nano.json").read_text())
    assert known["command"] == "./jack train walk --seed 3"
    assert known["shipped_by"] == "python -m jack_trainer.ship 20260101-walk"
    assert known["exam"]["survived"] == 97 and known["exam"]["seed"] == module.SEED != 1
    assert known["scorecard"][0]["velocity"] == 0.1 and known["scorecard"][0]["transport"] is None
    assert examined["asked"] == [(100, module.SEED)]
    assert sorted(path.name for path in into.iterdir()) == ["nano.json", "nano.onnx"]


@pytest.mark.parametrize(
    "found", [Evaluation(100, 94, 19.0, 50.0, 0.1, 0.1), Evaluation(100, 100, 20.0, 50.0, 0.3, 0.1)]
)
def test_a_policy_that_does_not_pass_does_not_ship(run, examined, tmp_path, found):
    examined["evaluation"] = found
    with pytest.raises(JackError, match=r"does not pass the exam of 'walk', and does not ship\.\n.*episodes ended"):
        ship(run(), tmp_path / "pretrained")
    assert not (tmp_path / "pretrained").exists()


def test_only_one_size_ships(run, examined, tmp_path):
    with pytest.raises(JackError, match="size 'base'; what ships is 'nano'"):
        ship(run(brain="base"), tmp_path / "pretrained")


def test_what_cannot_be_said_how_it_came_about_does_not_ship(run, examined, tmp_path):
    folder = run()
    for text in ("{", "{}", None):
        (folder / "run.json").unlink() if text is None else (folder / "run.json").write_text(text)
        with pytest.raises(JackError, match=r"run\.json does not say how the policy was made"):
            ship(folder, tmp_path / "pretrained")
    assert not (tmp_path / "pretrained").exists()


def test_as_a_person_types_it(run, examined, tmp_path, monkeypatch, capsys):
    folder, into = run(), tmp_path / "pretrained"
    words = ["ship", folder.name, "--runs", str(folder.parent), "--into", str(into)]
    monkeypatch.setattr("sys.argv", words)
    assert main() == 0 and str(into / "nano.json") in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["ship", "yours", *words[2:]])
    assert main() == 1 and "There is no run 'yours'" in capsys.readouterr().err
