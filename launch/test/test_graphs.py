import os

import pytest

from jack_launch import graphs
from jack_launch.description import LaunchError
from jack_launch.graphs import DEPLOY, TRAIN, newest_policy, pretrained_folder


def names(nodes):
    return [node.full_name for node in nodes]


def policy(runs, run, step, age):
    path = runs / run / "checkpoints" / f"{step:012d}" / "policy.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"policy")
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    """The place of the policy that ships with this Jack, who has none."""
    monkeypatch.setattr(graphs, "pretrained_folder", lambda: tmp_path / "pretrained")
    return tmp_path / "pretrained" / "nano.onnx"


def test_training_is_a_school_with_an_audience_that_may_leave():
    nodes = TRAIN.nodes()
    assert names(nodes) == ["/sim", "/brain", "/trainer"]
    assert [node.required for node in nodes] == [False, False, True]
    assert [node.lifecycle for node in nodes] == [False, True, False]
    assert nodes[1].parameters["use_sim_time"] is True
    assert names(TRAIN.nodes({"live": "false"})) == ["/trainer"]


def test_the_process_that_learns_shares_its_work_itself():
    assert [node.environment for node in TRAIN.nodes()] == [{}, {}, {"OMP_NUM_THREADS": "1"}]


def test_the_trainer_starts_by_itself_unless_it_is_told_to_wait():
    assert TRAIN.nodes()[-1].parameters["autostart_phase"] == "stand"
    assert TRAIN.nodes({"autostart": "false"})[-1].parameters["autostart_phase"] == ""


def test_paths_mean_the_same_wherever_a_node_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = TRAIN.nodes({"runs": "mine", "resume": "mine/run"})[-1].parameters
    assert parameters["runs"] == str(tmp_path / "mine")
    assert parameters["resume"] == str(tmp_path / "mine" / "run")
    assert TRAIN.nodes()[-1].parameters["resume"] == ""


def test_what_he_learns_in_is_chosen_by_name():
    assert TRAIN.nodes()[-1].parameters["randomization"] == "on"
    trainer = TRAIN.nodes({"randomization": "off"})[-1]
    assert trainer.parameters["randomization"] == "off"
    assert "randomization:='off'" in trainer.ros_arguments()  # a bare off would be a boolean
    with pytest.raises(LaunchError, match="randomization is 'much'; allowed: off, on, wide"):
        TRAIN.nodes({"randomization": "much"})


def test_a_namespace_makes_a_second_robot():
    assert names(DEPLOY.nodes({"sim": "true", "namespace": "twin", "policy": ""})) == ["/twin/sim", "/twin/brain"]


def test_a_real_robot_has_no_simulation_and_keeps_its_own_clock(tmp_path):
    (brain,) = DEPLOY.nodes({"runs": str(tmp_path)})
    assert brain.name == "brain" and brain.required
    assert brain.parameters == {"use_sim_time": False}


def test_the_policy_that_was_written_last_is_deployed(tmp_path):
    policy(tmp_path, "old", 900, age=100)
    newest = policy(tmp_path, "new", 100, age=10)
    policy(tmp_path, "new", 200, age=50)
    assert newest_policy(tmp_path) == newest
    assert DEPLOY.nodes({"runs": str(tmp_path)})[0].parameters["policy"] == str(newest)


def test_where_nothing_was_trained_the_policy_that_ships_with_jack_is_deployed(tmp_path, shipped):
    assert "policy" not in DEPLOY.nodes({"runs": str(tmp_path)})[0].parameters
    shipped.parent.mkdir()
    shipped.write_bytes(b"policy")
    assert DEPLOY.nodes({"runs": str(tmp_path)})[0].parameters["policy"] == str(shipped)
    newest = policy(tmp_path, "mine", 100, age=10)
    assert DEPLOY.nodes({"runs": str(tmp_path)})[0].parameters["policy"] == str(newest)
    named = DEPLOY.nodes({"runs": str(tmp_path), "policy": "pretrained"})
    assert named[0].parameters["policy"] == str(shipped)
    assert "policy" not in DEPLOY.nodes({"runs": str(tmp_path), "policy": ""})[0].parameters


def test_a_copy_without_the_policy_that_ships_with_jack_says_so():
    with pytest.raises(LaunchError, match="No policy ships with this copy of Jack"):
        DEPLOY.nodes({"policy": "pretrained"})


def test_what_ships_with_jack_lies_beside_his_brain():
    assert pretrained_folder().parent.name == "jack_brain" and (pretrained_folder().parent / "policy.py").is_file()


def test_a_policy_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LaunchError, match=r"no policy file .*gone\.onnx"):
        DEPLOY.nodes({"policy": str(tmp_path / "gone.onnx")})


def test_unreadable_numbers_are_refused_before_anything_starts():
    with pytest.raises(LaunchError, match="steps is 'many'"):
        TRAIN.nodes({"steps": "many"})
    with pytest.raises(LaunchError, match="real_time_factor is '-1'"):
        TRAIN.nodes({"real_time_factor": "-1"})


def test_every_argument_is_described():
    for graph in (TRAIN, DEPLOY):
        assert all(argument.description for argument in graph.arguments)
        assert len({argument.name for argument in graph.arguments}) == len(graph.arguments)
