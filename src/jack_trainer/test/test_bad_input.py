"""Files that are not what they should be, given to ./jack: one clear error, and nothing half-written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jack_trainer import cli
from jack_trainer.imitation.facts import METADATA

sys.path.insert(0, str(Path(__file__).parent))
from bags_to_read import CONTRACT, ROBOT, command, episode, joints, write_bag

from jack_contract.robot import robot_to_yaml
from jack_contract.testing import sample_robot

NAN = float("nan")


def jack(words, monkeypatch, capsys):
    """What ./jack says, and its exit code."""
    monkeypatch.setattr(sys, "argv", ["jack", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return " ".join((said.out + said.err).split()), end.value.code


def other_joints(folder):
    names = [f"motor_{index}" for index in range(ROBOT.count)]
    zeros = np.zeros(ROBOT.count)
    kinds = {"joint_states": lambda at: joints(at, zeros, zeros, names)}
    kinds["joint_command"] = lambda at: command(at, zeros, names)
    return write_bag(
        folder, [(topic, kinds.get(topic, lambda _, d=data: d)(at), at) for topic, data, at in episode()]
    )


def without(folder, *missing):
    return write_bag(folder, [message for message in episode() if message[0] not in missing])


def not_finite(folder):
    messages = list(episode())
    spoilt = joints(messages[-2][2], np.full(ROBOT.count, NAN), np.zeros(ROBOT.count))
    messages[-2] = ("joint_states", spoilt, messages[-2][2])
    return write_bag(folder, messages)


def another_contract(folder):
    from dataclasses import replace

    other = replace(CONTRACT, camera=replace(CONTRACT.camera, width=8))
    return write_bag(folder, episode(), contract=other)


def torn(folder):
    path = write_bag(folder, episode(60))
    (file,) = path.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (path / METADATA).unlink()
    return path


BAGS = {
    "empty": (lambda folder: write_bag(folder, []), "nothing of joint_states is in it; what is: nothing"),
    "no commands": (
        lambda folder: without(folder, "joint_command"),
        "nothing of joint_command is in it; what is: /cmd_vel, /imu/data, /joint_states",
    ),
    "other joints": (
        other_joints,
        f"it has: motor_0, motor_1, motor_10, motor_11, motor_12, motor_13, and {ROBOT.count - 6}",
    ),
    "another contract": (another_contract, "another contract: robot 'jack', "),
    "torn": (torn, "is torn or spoilt"),
}


@pytest.mark.parametrize("name", BAGS)
def test_a_bag_that_does_not_fit_is_refused_with_what_is_there(name, tmp_path, monkeypatch, capsys):
    make, expected = BAGS[name]
    path = make(tmp_path / "bag")
    said, code = jack(["bag", "check", path], monkeypatch, capsys)
    assert code == 1 and f"{path}: not fit for training: " in said and expected in said
    said, code = jack(["bag", "export", path, "--output", tmp_path / "set"], monkeypatch, capsys)
    assert code == 1 and said.startswith("jack: ") and expected in said
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_number_that_is_none_is_found_by_whoever_learns_from_a_bag(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    path = not_finite(tmp_path / "bag")
    said, code = jack(["bag", "export", path, "--output", tmp_path / "set"], monkeypatch, capsys)
    assert code == 1 and f"{path}: /joint_states: Joint position is not a finite number: " in said
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_bag_of_one_robot_is_not_for_another(tmp_path, monkeypatch, capsys):
    (tmp_path / "bob.yaml").write_text(robot_to_yaml(sample_robot()))
    path = write_bag(tmp_path / "bag", episode())
    said, code = jack(["bag", "check", path, "--robot", tmp_path / "bob.yaml"], monkeypatch, capsys)
    assert code == 1 and "recorded under another contract: robot 'jack'" in said
    assert f"expected: robot '{sample_robot().name}'" in said


@pytest.mark.parametrize("words", ["bag info", "bag check", "bag export", "diff"])
def test_what_is_no_bag_is_refused(words, tmp_path, monkeypatch, capsys):
    for path in (tmp_path / "nowhere", tmp_path / "notes.txt"):
        (tmp_path / "notes.txt").write_text("no bag")
        said, code = jack([*words.split(), path], monkeypatch, capsys)
        assert code == 1 and f"{path} is no bag: expected a file that ends in .mcap or .db3" in said


def test_a_file_of_zeros_or_noise_is_read_to_its_end_and_told(tmp_path, monkeypatch, capsys):
    noise = np.random.default_rng(0).integers(0, 255, 5_000, np.uint8).tobytes()
    for name, data in (
        ("a.mcap", b""),
        ("b.mcap", bytes(5_000)),
        ("c.mcap", noise),
        ("d.db3", b""),
        ("e.db3", noise),
    ):
        (tmp_path / name).write_bytes(data)
        said, code = jack(["bag", "check", tmp_path / name], monkeypatch, capsys)
        assert code == 1 and "nothing of joint_states is in it; what is: nothing" in said, name
        assert jack(["bag", "info", tmp_path / name], monkeypatch, capsys)[1] == 0


# -- clips

ZERO_FRAMES = (
    "ROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Yrotation Xrotation\nEnd Site\n{\nOFFSET 0 0 0\n}\n}"
)


def npz(tmp_path, **changes):
    path = tmp_path / "made.npz"
    arrays = {
        "poses": np.zeros((9, 66)),
        "trans": np.tile([0.0, 0.0, 0.9], (9, 1)),
        "mocap_framerate": np.array(60.0),
    }
    np.savez(path, **arrays | changes)
    return path.read_bytes()


def clips(tmp_path):
    """Name and content of files, and what must be said of them."""
    person = Path(__file__).parent / "test_mocap.py"
    sys.path.insert(0, str(person.parent))
    from test_mocap import PERSON, STILL, bvh

    strange = [(f"b{i}", f"b{[p[0] for p in PERSON].index(parent)}" if parent else "", offset)
               for i, (_, parent, offset) in enumerate(PERSON)]  # fmt: skip
    whole = bvh(STILL)
    return {
        "unknown_bones.bvh": (bvh(STILL, person=strange).encode(), "it lacks"),
        "no_frames.bvh": (f"HIERARCHY\n{ZERO_FRAMES}\nMOTION\nFrames: 0\nFrame Time: 0.02\n".encode(), "found '0'"),
        "empty.bvh": (b"", "is empty"),
        "nan.bvh": (whole.replace("0.850000", "nan", 1).encode(), "found 'nan'; expected a channel's value"),
        "torn.bvh": (whole[: len(whole) // 3].encode(), "found the end of the file"),
        "torn.npz": (npz(tmp_path)[:-300], "no archive of plain arrays"),
        "nan.npz": (npz(tmp_path, trans=np.full((9, 3), NAN)), "numbers in trans that are not finite"),
        "empty.npz": (npz(tmp_path, poses=np.zeros((0, 66)), trans=np.zeros((0, 3))), "poses of shape (0, 66)"),
        "empty.json": (b'{"Loop": "none", "Frames": []}', "found 0 frames; expected 2 to"),
        "nan.json": (
            f'{{"Frames": [[NaN{", 0" * 43}], [0{", 0" * 43}]]}}'.encode(),
            "something in frame 1 that is no number of a motion",
        ),
        "other.fbx": (b"Kaydara FBX Binary", "ending that is not known; known are .bvh, .amc"),
    }


def test_clips_that_are_none_are_refused_one_by_one_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    files = clips(tmp_path)
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in files]
    (tmp_path / "made.npz").unlink()
    said, code = jack(["mocap", "retarget", *paths, "--out", tmp_path / "motions"], monkeypatch, capsys)
    assert code == 1 and said.count("jack: ") == len(files)
    assert not (tmp_path / "motions").exists() and sorted(tmp_path.iterdir()) == sorted(paths)
    for name, (_, expected) in files.items():
        told, code = jack(["mocap", "info", tmp_path / name], monkeypatch, capsys)
        assert code == 1 and name in told and expected in told, told
        assert len(told) < 1_500


def test_the_process_ends_with_one_line_and_no_traceback(tmp_path):
    (tmp_path / "a.bvh").write_text("HIERARCHY\n")
    done = subprocess.run(
        [sys.executable, "-m", "jack_trainer.cli", "mocap", "info", str(tmp_path / "a.bvh")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"jack: {tmp_path / 'a.bvh'}, line ")
