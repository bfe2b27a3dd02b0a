import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jack_contract.errors import JackError
from jack_launch import graphs
from jack_launch.description import LaunchError
from jack_trainer import gymnasium_training
from jack_trainer.cli import arguments, parse
from jack_trainer.commands import deploy as deploying
from jack_trainer.commands import train as training
from jack_trainer.commands.deploy import Deploy
from jack_trainer.commands.evaluate import Evaluate
from jack_trainer.commands.train import Train


def test_a_bare_train_teaches_him_to_stand_beside_a_live_jack():
    command = parse(["train"])
    assert isinstance(command, Train)
    assert (command.taught, command.steps, command.seed, command.live, command.resume) == ("stand", 0, 0, True, "")
    assert command.report and parse(["train", "--no-report"]) == replace(command, report=False)


def test_options_arrive():
    command = parse(["train", "walk", "--steps", "10", "--no-live", "--seed", "4", "--stand-for", "60"])
    assert isinstance(command, Train)
    assert (command.taught, command.steps, command.live, command.seed, command.stand_for) == (
        "walk",
        10,
        False,
        4,
        60.0,
    )
    deploy = parse(["deploy", "--sim", "--policy", "a.onnx"])
    assert isinstance(deploy, Deploy) and deploy.sim and deploy.policy == "a.onnx"
    assert parse(["evaluate", "--episodes", "7"]) == Evaluate(episodes=7, runs=Evaluate().runs)


@pytest.mark.parametrize(
    ("words", "taught"),
    [
        (["walk"], "walk"),
        (["--phase", "walk"], "walk"),
        (["--phases", "stand,walk,natural"], "stand,walk,natural"),
        (["stand,walk"], "stand,walk"),
        (["--resume=mine"], ""),  # what the run was begun with
        (["--resume=mine", "--phases", "stand,walk"], "stand,walk"),
    ],
)
def test_what_he_is_taught_is_said_once(words, taught):
    assert parse(["train", *words]).taught == taught


def test_what_is_said_twice_is_refused():
    with pytest.raises(JackError, match="Say once what he is to be taught: 'walk' or --phases stand"):
        parse(["train", "walk", "--phases", "stand"]).run()


def test_what_a_phase_learns_from_arrives_in_every_way_to_train(tmp_path, monkeypatch):
    from jack_trainer import alone

    asked, started = [], []
    monkeypatch.setattr(alone, "train_alone", lambda options, report: asked.append(options) or 0)
    monkeypatch.setattr(training, "run_graph", lambda specs, runs, act: started.append(specs[-1].parameters) or 0)
    monkeypatch.chdir(tmp_path)
    words = ["train", "--phases", "walk,natural", "--from", "mine", "--clips", "a.safetensors", "b.safetensors"]
    assert parse([*words, "--bags", "bags/one", "--no-live"]).run() == 0
    assert parse([*words, "--bags", "bags/one"]).run() == 0
    (alone_options,), (live,) = asked, started
    assert (alone_options.phase, alone_options.parent, alone_options.bags) == (
        "walk,natural", Path("mine"), (Path("bags/one"),),
    )  # fmt: skip
    assert alone_options.clips == (Path("a.safetensors"), Path("b.safetensors"))
    assert (live["parent"], live["bags"]) == ("mine", (str(tmp_path / "bags/one"),))
    assert live["clips"] == (str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"))


def test_a_simulated_jack_can_be_asked_to_walk_and_a_real_one_not(tmp_path):
    deploy = parse(["deploy", "--sim", "--walk", "0.5", "0", "-0.2", "--runs", str(tmp_path)])
    assert isinstance(deploy, Deploy) and deploy.walk == (0.5, 0.0, -0.2)
    with pytest.raises(JackError, match="topic cmd_vel"):
        Deploy(walk=(0.5, 0.0, 0.0), runs=tmp_path).run()


def test_an_env_is_trained_instead_of_jack(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(gymnasium_training, "train_gymnasium", lambda options: asked.append(options) or 0)
    words = ["train", "--env", "gymnasium:Humanoid-v5", "--runs", str(tmp_path)]
    assert parse([*words, "--steps", "10", "--environments", "4", "--seed", "3"]).run() == 0
    assert parse([*words, "--seconds", "60"]).run() == 0
    assert parse(words).run() == 0
    assert [(o.env, o.steps, o.seconds, o.seed, o.environments) for o in asked] == [
        ("gymnasium:Humanoid-v5", 10, 0.0, 3, 4),
        ("gymnasium:Humanoid-v5", 10**12, 60.0, 0, 16),
        ("gymnasium:Humanoid-v5", 1_000_000, 0.0, 0, 16),
    ]
    with pytest.raises(JackError, match="without --resume"):
        parse([*words, "--resume"]).run()


def test_a_live_training_gets_all_that_a_lonely_one_gets(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(training, "run_graph", lambda specs, runs, act: started.append(specs) or 0)
    words = ["train", "--randomization", "wide", "--environments", "8", "--brain", "small", "--runs", str(tmp_path)]
    assert parse([*words, "--no-until-passed"]).run() == 0
    parameters = started[0][-1].parameters
    names = ("randomization", "environments", "brain", "runs", "until_passed")
    assert {name: parameters[name] for name in names} == {
        "randomization": "wide",
        "environments": 8,
        "brain": "small",
        "runs": str(tmp_path),
        "until_passed": False,
    }
    with pytest.raises(LaunchError, match="allowed: off, on, wide"):
        parse(["train", "--randomization", "much"]).run()


def test_resume_without_a_name_means_the_newest_run():
    assert arguments(["train", "--resume"]) == ["train", "--resume=newest"]
    assert arguments(["train", "--resume", "--seed", "1"]) == ["train", "--resume=newest", "--seed", "1"]
    assert arguments(["train", "--resume", "mine"]) == ["train", "--resume", "mine"]


def test_deploy_reaches_the_hardware_that_is_described(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(deploying, "run_graph", lambda specs, runs, act: started.extend(specs) or 0)
    words = ["--robot", "g1", "--interface", "forward_command", "--kind", "effort", "--prefix", "g1/"]
    assert parse(["deploy", "--policy", "", "--runs", str(tmp_path), *words, "--joints", "a,b"]).run() == 0
    driver, brain = started
    assert (driver.name, brain.name) == ("driver", "brain")
    assert driver.parameters["joints"] == ("a", "b") and brain.parameters["robot"] == "g1"
    assert (brain.parameters["promote"], brain.parameters["trial"]) == ("manual", 10.0)
    started.clear()
    words = ["--no-driver", "--promote", "auto", "--trial", "3"]
    assert parse(["deploy", "--policy", "", "--runs", str(tmp_path), *words]).run() == 0
    assert (started[0].parameters["promote"], started[0].parameters["trial"]) == ("auto", 3.0)
    assert [spec.name for spec in started] == ["brain"]
    with pytest.raises(LaunchError, match="interface is 'serial'"):
        parse(["deploy", "--policy", "", "--runs", str(tmp_path), "--interface", "serial"]).run()


def test_without_a_policy_deploy_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "pretrained_folder", lambda: tmp_path)
    with pytest.raises(JackError, match=r"\./jack train"):
        Deploy(runs=tmp_path).run()


def test_help_needs_neither_torch_nor_ros(tmp_path):
    script = (
        "import sys; from jack_trainer.cli import parse\n"
        "try: parse(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'rclpy', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "what he is taught" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
