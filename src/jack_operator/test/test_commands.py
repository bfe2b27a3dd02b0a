"""What a person types: ./jack view, ./jack teleop, and the programs behind rviz:=true and the picture."""

import os
import sys
from pathlib import Path

import pytest

from jack_contract.errors import JackError
from jack_operator import picture, rviz

PACKAGE = Path(__file__).parents[1]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with the package's programs, and what was started instead of this process."""
    started = []
    programs = tmp_path / "lib" / "jack_operator"
    programs.mkdir(parents=True)
    for name in ("view_node", "teleop_node", "say_node"):
        (programs / name).touch(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setattr(os, "execv", lambda program, argv: started.append(argv))
    return tmp_path, started


def test_view_becomes_its_node_and_only_shows_unless_it_is_asked_to_control(workspace):
    cli = pytest.importorskip("jack_trainer.cli")
    folder, started = workspace
    cli.parse(["view"]).run()
    cli.parse(["view", "--control", "--port", "9000", "--namespace", "second"]).run()
    program = str(folder / "lib/jack_operator/view_node")
    assert started == [
        [program, "--ros-args", "-r", "__node:=view", "-p", "port:=8080", "-p", "control:=false"],
        [
            program,
            "--ros-args",
            *("-r", "__node:=view", "-r", "__ns:=/second"),
            *("-p", "port:=9000", "-p", "control:=true"),
        ],
    ]


def test_teleop_becomes_its_node(workspace):
    cli = pytest.importorskip("jack_trainer.cli")
    _, started = workspace
    cli.parse(["teleop", "--axes", "1", "0", "2", "--buttons", "5", "0"]).run()
    given = [word for word in started[0] if ":=" in word and "__" not in word]
    expected = ["axis_forward:=1", "axis_left:=0", "axis_turn:=2", "deadman_button:=5", "stop_button:=0"]
    assert given == expected


def test_both_say_what_to_type_where_they_are_not_built(tmp_path, monkeypatch):
    cli = pytest.importorskip("jack_trainer.cli")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    for word in ("view", "teleop"):
        with pytest.raises(JackError, match=r"\./jack setup"):
            cli.parse([word]).run()


def test_a_sentence_is_a_text_whatever_it_says(workspace):
    cli = pytest.importorskip("jack_trainer.cli")
    folder, started = workspace
    cli.parse(["say", "touch the red cube"]).run()
    cli.parse(["say", "yes", "--patience", "3"]).run()
    program = [str(folder / "lib/jack_operator/say_node"), "--ros-args", "-r", "__node:=say", "-p"]
    assert started == [
        [*program, "text:='touch the red cube'", "-p", "patience:=10.0"],
        [*program, "text:='yes'", "-p", "patience:=3.0"],
    ]


def test_what_the_commands_set_are_parameters_of_the_nodes():
    cli = pytest.importorskip("jack_trainer.cli")
    from jack_operator.parameters import TeleopParameters, ViewParameters

    view, teleop = cli.View(), cli.Teleop()
    assert (view.port, view.control) == (ViewParameters().port, ViewParameters().control)
    own = TeleopParameters()
    assert teleop.axes == (own.axis_forward, own.axis_left, own.axis_turn)
    assert teleop.buttons == (own.deadman_button, own.stop_button)


def test_rviz_is_started_with_jacks_view(workspace, monkeypatch):
    folder, started = workspace
    (folder / "share/jack_operator/rviz").mkdir(parents=True)
    config = folder / "share/jack_operator/rviz/jack.rviz"
    monkeypatch.setattr(rviz.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(sys, "argv", ["rviz", "--ros-args", "-r", "__node:=rviz"])
    with pytest.raises(SystemExit, match=r"\./jack setup"):
        rviz.main()
    config.write_text((PACKAGE / "rviz/jack.rviz").read_text())
    rviz.main()
    assert started == [["/bin/rviz2", "-d", str(config), "--ros-args", "-r", "__node:=rviz"]]
    monkeypatch.setattr(rviz.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get install ros-jazzy-rviz2"):
        rviz.main()


def test_a_picture_needs_a_browser_and_says_so(monkeypatch):
    monkeypatch.setattr(picture.shutil, "which", lambda name: None)
    with pytest.raises(JackError, match="apt-get install chromium"):
        picture.main(picture.Options())
