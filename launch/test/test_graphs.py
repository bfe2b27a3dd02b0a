import os

import pytest

from jack_brain import interfaces
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


def test_several_phases_are_one_argument_and_what_they_learn_from_are_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    given = {"phases": "stand,walk,natural", "clips": "a.safetensors, b.safetensors", "parent": "mine"}
    trainer = TRAIN.nodes(given)[-1].parameters
    assert trainer["autostart_phase"] == "stand,walk,natural"
    assert trainer["clips"] == (str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"))
    assert trainer["parent"] == str(tmp_path / "mine")
    assert "bags" not in trainer  # ROS cannot tell of what an empty list is empty
    assert TRAIN.nodes({"parent": "newest"})[-1].parameters["parent"] == "newest"
    assert TRAIN.nodes()[-1].parameters["parent"] == ""


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
    nodes = DEPLOY.nodes({"sim": "true", "namespace": "twin", "policy": ""})
    assert names(nodes) == ["/twin/sim", "/twin/driver", "/twin/brain"]


def test_a_real_robot_has_no_simulation_and_keeps_its_own_clock(tmp_path):
    driver, brain = DEPLOY.nodes({"runs": str(tmp_path)})
    assert [node.name for node in (driver, brain)] == ["driver", "brain"]
    assert all(node.required and node.lifecycle for node in (driver, brain))
    assert brain.parameters == {"use_sim_time": False, "robot": "jack", "promote": "manual", "trial": 10.0}
    hardware = {"use_sim_time": False, "robot": "jack", "interface": "joint_command", "kind": "position"}
    assert driver.parameters == hardware


def test_who_learns_takes_over_at_once_and_who_works_is_asked():
    assert {"promote": "auto", "trial": 0.0}.items() <= TRAIN.nodes()[1].parameters.items()
    asked = DEPLOY.nodes({"policy": "", "promote": "auto", "trial": "3"})[-1].parameters
    assert {"promote": "auto", "trial": 3.0}.items() <= asked.items()


def test_the_driver_stands_between_the_brain_and_the_simulated_motors():
    sim, driver, brain = DEPLOY.nodes({"sim": "true", "policy": ""})
    assert sim.remappings == (("joint_command", "hardware/joint_command"),)
    assert driver.remappings == brain.remappings == ()
    assert driver.parameters["use_sim_time"] is True
    sim, brain = DEPLOY.nodes({"sim": "true", "policy": "", "driver": "false"})
    assert sim.remappings == ()
    assert TRAIN.nodes()[0].remappings == ()  # while he learns nobody stands in between


def test_hardware_is_described_to_the_driver():
    given = {"policy": "", "robot": "g1", "interface": "forward_command", "kind": "effort"}
    driver, brain = DEPLOY.nodes(given | {"joints": "g1/a, g1/b,", "prefix": "g1/"})
    assert driver.parameters["joints"] == ("g1/a", "g1/b")
    assert "joints:=['g1/a','g1/b']" in driver.ros_arguments()
    assert {"use_sim_time": False, "robot": "g1", "prefix": "g1/"}.items() <= brain.parameters.items()
    assert {"robot": "g1", "interface": "forward_command", "kind": "effort"}.items() <= driver.parameters.items()
    with pytest.raises(LaunchError, match="interface is 'serial'; allowed: joint_command, forward_command"):
        DEPLOY.nodes({"interface": "serial"})


def test_both_lists_of_interfaces_are_the_same():
    assert graphs.INTERFACES == interfaces.INTERFACES
    assert next(argument.choices for argument in DEPLOY.arguments if argument.name == "kind") == interfaces.KINDS


@pytest.mark.parametrize("given", [{"robot": "g1"}, {"interface": "joint_trajectory"}, {"prefix": "a/"}])
def test_what_the_simulation_is_not_is_refused(given):
    with pytest.raises(LaunchError, match="The simulation is of jack"):
        DEPLOY.nodes({"sim": "true", "policy": ""} | given)


def test_a_robot_of_ones_own_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LaunchError, match=r"no robot description mine\.yaml"):
        DEPLOY.nodes({"policy": "", "robot": "mine.yaml"})
    (tmp_path / "mine.yaml").touch()
    for node in DEPLOY.nodes({"policy": "", "robot": "mine.yaml"}):
        assert node.parameters["robot"] == str(tmp_path / "mine.yaml")


def test_the_policy_that_was_written_last_is_deployed(tmp_path):
    policy(tmp_path, "old", 900, age=100)
    newest = policy(tmp_path, "new", 100, age=10)
    policy(tmp_path, "new", 200, age=50)
    assert newest_policy(tmp_path) == newest
    assert DEPLOY.nodes({"runs": str(tmp_path)})[-1].parameters["policy"] == str(newest)


def test_where_nothing_was_trained_the_policy_that_ships_with_jack_is_deployed(tmp_path, shipped):
    assert "policy" not in DEPLOY.nodes({"runs": str(tmp_path)})[-1].parameters
    shipped.parent.mkdir()
    shipped.write_bytes(b"policy")
    assert DEPLOY.nodes({"runs": str(tmp_path)})[-1].parameters["policy"] == str(shipped)
    newest = policy(tmp_path, "mine", 100, age=10)
    assert DEPLOY.nodes({"runs": str(tmp_path)})[-1].parameters["policy"] == str(newest)
    named = DEPLOY.nodes({"runs": str(tmp_path), "policy": "pretrained"})
    assert named[-1].parameters["policy"] == str(shipped)
    assert "policy" not in DEPLOY.nodes({"runs": str(tmp_path), "policy": ""})[-1].parameters


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


@pytest.mark.parametrize(("graph", "given"), [(TRAIN, {}), (DEPLOY, {"policy": "", "sim": "true"})])
def test_rviz_comes_with_markers_and_nobody_depends_on_it(graph, given):
    markers, rviz, *others = graph.nodes(given | {"rviz": "true", "namespace": "twin"})
    assert names([markers, rviz]) == ["/twin/markers", "/twin/rviz"]
    assert not markers.required and not rviz.required
    assert rviz.remappings == (("/tf", "tf"), ("/tf_static", "tf_static"))
    assert names(others) == names(graph.nodes(given | {"namespace": "twin"}))


def test_before_a_simulated_table_he_watches_his_camera_and_elsewhere_if_he_is_told_to():
    def watches(graph, **given):
        (brain,) = [node for node in graph.nodes(given) if node.name == "brain"]
        return brain.parameters.get("camera", False)

    assert watches(DEPLOY, sim="true", scene="tabletop", policy="") and watches(TRAIN, scene="tabletop")
    assert not watches(DEPLOY, sim="true", policy="") and not watches(TRAIN)
    assert not watches(DEPLOY, scene="tabletop", policy="")  # who knows whether a robot has a camera
    assert watches(DEPLOY, camera="true", policy="")
    assert not watches(DEPLOY, sim="true", scene="tabletop", camera="false", policy="")


def test_scenes_are_a_list_like_bags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TRAIN.nodes({"scenes": "one, two"})[-1].parameters["scenes"] == (
        str(tmp_path / "one"),
        str(tmp_path / "two"),
    )
