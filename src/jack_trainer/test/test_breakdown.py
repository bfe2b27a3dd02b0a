import json
import math

import pytest
import torch

from jack_contract.errors import JackError
from jack_trainer import breakdown
from jack_trainer.breakdown import STORY, TENSORS, keep, live_again, main, read
from jack_trainer.rl.ppo import BreakdownError


@pytest.fixture
def broken(make_learner, tmp_path):
    """What is kept of a learner to whom one reward was no number."""
    learner = make_learner()
    learner.iterate()
    last = learner.collect()
    learner.rollout.reward[3, 5] = math.nan
    with pytest.raises(BreakdownError) as raised:
        learner.update(learner.rollout.finish(last, 0.9, 0.95))
    folder = keep(tmp_path / "breakdown", raised.value, phase="stand", seed=3, step=256, update=1)
    return folder, raised.value


def strictly(text):
    """JSON that every reader takes."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_what_broke_down_breaks_down_again(broken, capsys):
    folder, error = broken
    now = live_again(folder)
    assert math.isnan(now["policy_loss"]) and repr(now) == repr(error.measured)
    assert main([str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "stand, seed 3, update 2, after 256 steps" in shown and "breaks down again" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("policy_loss")]
    assert line.split() == ["policy_loss", "nan", "nan"]


def test_it_is_kept_as_strict_json_and_tensors(broken):
    folder, error = broken
    assert sorted(path.name for path in folder.iterdir()) == [STORY, TENSORS]
    story = strictly((folder / STORY).read_text())
    assert (story["phase"], story["seed"], story["step"], story["update"]) == ("stand", 3, 256, 1)
    assert story["measured"]["policy_loss"] == "NaN" and story["ppo"]["gamma"] == 0.98
    _, tensors = read(folder)
    assert tensors["samples.advantage"].isnan().any() and "samples.command" not in tensors
    assert torch.equal(tensors["old_log_std"], error.old_log_std)
    assert {"brain.action_head.log_std", "brain.value_normaliser.mean"} <= set(tensors)


def test_where_it_is_mended_it_says_so(broken, capsys, monkeypatch):
    def mended(folder):
        story, tensors = read(folder)
        return story, {name: tensor.nan_to_num() for name, tensor in tensors.items()}

    monkeypatch.setattr(breakdown, "read", mended)
    assert main([str(broken[0])]) == 1
    assert "does not break down any more" in capsys.readouterr().out


def test_what_is_no_breakdown_is_refused_in_words(broken, tmp_path, capsys):
    folder, _ = broken
    with pytest.raises(JackError, match="holds no breakdown"):
        live_again(tmp_path / "nothing")
    assert main([str(tmp_path / "nothing")]) == 1 and "holds no breakdown" in capsys.readouterr().err
    assert main([]) == 2
    story = json.loads((folder / STORY).read_text())
    (folder / STORY).write_text(json.dumps(story | {"size": story["size"] | {"width": 32}}))
    with pytest.raises(JackError, match="a brain of another version"):
        live_again(folder)
    (folder / TENSORS).write_bytes(b"torn")
    with pytest.raises(JackError, match="holds no breakdown"):
        live_again(folder)
