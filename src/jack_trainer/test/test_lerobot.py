"""Bags as LeRobot data sets, and back: by the documented layout, and by LeRobot's own loader where it is."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jack_contract.errors import JackError
from jack_trainer.cli import parse
from jack_trainer.imitation import bag_report, lerobot
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.bag_file import BagFile
from jack_trainer.imitation.facts import read_facts
from jack_trainer.imitation.frames import read_frames
from jack_trainer.imitation.lerobot import ACTION, COMMAND, PICTURE, STATE
from jack_trainer.imitation.lerobot_import import import_dataset
from jack_trainer.imitation.pictures import read_jpegs, seen

sys.path.insert(0, str(Path(__file__).parent))
from bags_to_read import CONTRACT, ROBOT, episode, scene, write_bag

parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: .venv/bin/pip install pyarrow")
arrow = pytest.importorskip("pyarrow")
#: Of the film of a data set: mean difference of a colour from the picture that was recorded, 0 to 255.
CLOSE = 4.0


@pytest.fixture
def bags(tmp_path):
    """Two episodes; in the first a picture every second step, in the other every one."""
    first = write_bag(tmp_path / "bags" / "one", episode(12, pictures=2), "walk [red]on")
    return [first, write_bag(tmp_path / "bags" / "two", episode(7, pictures=1, seed=1))]


def exported(bags, output, **more):
    lerobot.export([(Bag(path), read_facts(path).instruction) for path in bags], CONTRACT, output, **more)
    return output


def table(output):
    return parquet.read_table(output / "data/chunk-000/file-000.parquet", partitioning=None)


def test_numbers_are_those_of_the_bags(bags, tmp_path):
    output = exported(bags, tmp_path / "out", pictures=False)
    rows = table(output)
    assert not (output / "videos").exists()
    info = json.loads((output / "meta/info.json").read_text())
    assert info["video_path"] is None and set(info["features"]) == set(rows.column_names)
    frames = [read_frames(Bag(path), ROBOT) for path in bags]
    target = np.concatenate([part.target for part in frames]).astype(np.float32)
    assert np.array_equal(np.array(rows[ACTION].to_pylist(), dtype=np.float32), target)
    felt = np.array(rows[STATE].to_pylist(), dtype=np.float32)
    n = ROBOT.count
    assert np.array_equal(felt[:12, :n], frames[0].state.joint_position.astype(np.float32))
    assert np.array_equal(felt[12:, 2 * n + 4 : 2 * n + 7], frames[1].state.angular_velocity.astype(np.float32))
    assert np.array_equal(
        np.array(rows[COMMAND].to_pylist()), np.concatenate([f.command for f in frames]).astype("f4")
    )


def test_pictures_are_a_film_with_one_for_each_frame(bags, tmp_path):
    pytest.importorskip("av")
    from jack_trainer.imitation.lerobot_film import read_film

    output = exported(bags, tmp_path / "out")
    info = json.loads((output / "meta/info.json").read_text())
    feature = info["features"][PICTURE]
    assert (feature["dtype"], feature["shape"]) == ("video", [48, 64, 3])
    assert (feature["info"]["video.fps"], feature["info"]["video.codec"]) == (50, "av1")
    film = output / info["video_path"].format(video_key=PICTURE, chunk_index=0, file_index=0)
    rows = parquet.read_table(output / "meta/episodes/chunk-000/file-000.parquet", partitioning=None).to_pydict()
    starts = rows[f"videos/{PICTURE}/from_timestamp"]
    ends = rows[f"videos/{PICTURE}/to_timestamp"]
    assert starts == pytest.approx([0.0, 0.24]) and ends == pytest.approx([0.24, 0.38])
    first, second = (list(read_film(film, begin, end)) for begin, end in zip(starts, ends, strict=True))
    assert (len(first), len(second)) == (12, 7)
    for index, picture in enumerate(first):
        assert np.abs(picture.astype(int) - scene(index // 2 * 2)).mean() < CLOSE, index
    for index, picture in enumerate(second):
        assert np.abs(picture.astype(int) - scene(index)).mean() < CLOSE, index
    stats = json.loads((output / "meta/stats.json").read_text())[PICTURE]
    mean = np.array(stats["mean"])
    assert (
        mean.shape == (3, 1, 1)
        and 0.0 <= np.min(stats["min"]) < mean.min() < mean.max() <= np.max(stats["max"]) <= 1
    )
    assert stats["count"] == [19]


def test_there_and_back_it_is_the_same_robot(bags, tmp_path):
    pytest.importorskip("av")
    output = exported(bags, tmp_path / "out")
    paths = import_dataset(output, ROBOT, tmp_path / "back")
    assert [path.name for path in paths] == ["out-000000", "out-000001"]
    for path, bag in zip(paths, bags, strict=True):
        facts, before, after = read_facts(path), read_frames(Bag(bag), ROBOT), read_frames(Bag(path), ROBOT)
        assert facts.instruction == read_facts(bag).instruction and facts.robot == "jack" and facts.mark == "none"
        for name in ("joint_position", "joint_velocity", "orientation", "angular_velocity", "linear_acceleration"):
            np.testing.assert_allclose(getattr(after.state, name), getattr(before.state, name), atol=1e-6)
        np.testing.assert_allclose(after.target, before.target, atol=1e-6)
        np.testing.assert_allclose(after.command, before.command, atol=1e-6)
        assert (np.diff(after.stamp) == 20_000_000).all()
        jpegs = list(read_jpegs(Bag(path)))
        assert len(jpegs) == len(after)
    shown = seen(jpegs[3].data, replace(CONTRACT.camera, width=64, height=48)).transpose(1, 2, 0)
    assert np.abs(shown.astype(int) - scene(3)).mean() < CLOSE + 2
    assert bag_report.check(paths, "jack", False) == 0, "what comes back can be learnt from"


def test_what_others_read_opens_an_imported_bag(bags, tmp_path):
    from rosbags.rosbag2 import Reader

    (path, _) = import_dataset(exported(bags, tmp_path / "out", pictures=False), ROBOT, tmp_path / "back")
    with Reader(path) as bag:
        assert {connection.topic: connection.msgcount for connection in bag.connections} == {
            "/cmd_vel": 12,
            "/imu/data": 12,
            "/joint_states": 12,
            "/joint_command": 12,
        }


def test_the_commands_go_there_and_back(bags, tmp_path, capsys):
    output, back = tmp_path / "out", tmp_path / "back"
    words = ["bag", "export", *map(str, bags), "--output", str(output), "--no-pictures"]
    assert parse(words).run() == 0 and "2 episodes, 19 frames" in capsys.readouterr().out
    assert parse(["bag", "import", str(output), "--bags", str(back)]).run() == 0
    assert "2 episodes in" in capsys.readouterr().out and len(list(back.iterdir())) == 2
    with pytest.raises(JackError, match=r"is no data set of LeRobot: .*info\.json cannot be read"):
        parse(["bag", "import", str(back), "--bags", str(tmp_path / "more")]).run()
    with pytest.raises(JackError, match="Name a LeRobot data set"):
        parse(["bag", "import"]).run()
    assert not (tmp_path / "more").exists()


def rewritten(output, **changes):
    path = output / "meta/info.json"
    info = json.loads(path.read_text())
    for name, change in changes.items():
        info[name] = change(info[name]) if callable(change) else change
    path.write_text(json.dumps(info))


def other_names(features):
    features[ACTION]["names"] = [f"motor_{index}" for index in range(ROBOT.count)]
    return features


def without_state(features):
    return {name: feature for name, feature in features.items() if name != STATE}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codebase_version": "v2.1"}, "has version v2.1 of LeRobot's layout; known: v3.0"),
        ({"features": other_names}, "'action' lacks left_"),
        ({"features": other_names}, "it has: motor_0, motor_1"),
        ({"features": other_names}, "expected the names of robot 'jack'"),
        ({"features": without_state}, "has no feature 'observation.state'; it has: observation.command, action"),
        ({"fps": 0}, "fps"),
        ({"fps": "fast"}, "fps"),
        ({"features": []}, "features"),
    ],
)
def test_another_robot_or_layout_is_refused_in_words(bags, tmp_path, changes, said):
    output = exported(bags[:1], tmp_path / "out", pictures=False)
    rewritten(output, **changes)
    with pytest.raises(JackError) as error:
        import_dataset(output, ROBOT, tmp_path / "back")
    assert said in str(error.value) and not (tmp_path / "back").exists()


def test_an_order_of_others_is_put_right(bags, tmp_path):
    output = exported(bags[:1], tmp_path / "out", pictures=False)
    before = read_frames(Bag(bags[0]), ROBOT)
    rows = table(output)
    turned = [row[::-1] for row in rows[ACTION].to_pylist()]
    size = ROBOT.count
    column = arrow.FixedSizeListArray.from_arrays(arrow.array(np.array(turned, dtype=np.float32).ravel()), size)
    rows = rows.set_column(rows.column_names.index(ACTION), ACTION, column)
    parquet.write_table(rows, output / "data/chunk-000/file-000.parquet")

    def backwards(features):
        features[ACTION]["names"] = {"motors": features[ACTION]["names"][::-1]}
        return features

    rewritten(output, features=backwards)
    (path,) = import_dataset(output, ROBOT, tmp_path / "back")
    np.testing.assert_allclose(read_frames(Bag(path), ROBOT).target, before.target, atol=1e-6)


def spoil(output, what):
    data = output / "data/chunk-000/file-000.parquet"
    match what:
        case "torn":
            data.write_bytes(data.read_bytes()[:-50])
        case "gone":
            data.unlink()
        case "no episodes":
            (output / "meta/episodes/chunk-000/file-000.parquet").unlink()
        case "nan":
            rows = table(output)
            values = np.array(rows[STATE].to_pylist(), dtype=np.float32)
            values[3, 3] = np.nan
            column = arrow.FixedSizeListArray.from_arrays(arrow.array(values.ravel()), values.shape[1])
            parquet.write_table(rows.set_column(rows.column_names.index(STATE), STATE, column), data)
        case "no info":
            (output / "meta/info.json").unlink()
        case "not json":
            (output / "meta/info.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("torn", "file-000.parquet"),
        ("gone", "file-000.parquet"),
        ("no episodes", "no meta/episodes/chunk-000/file-000.parquet"),
        ("nan", "numbers that are not finite"),
        ("no info", "is no data set of LeRobot"),
        ("not json", "is not what LeRobot writes"),
    ],
)
def test_damaged_data_sets_are_refused_and_nothing_half_written_is_left(bags, tmp_path, what, said):
    output = exported(bags[:1], tmp_path / "out", pictures=False)
    spoil(output, what)
    with pytest.raises(JackError, match=said):
        import_dataset(output, ROBOT, tmp_path / "back")
    assert not list((tmp_path / "back").glob("*")) and not list((tmp_path / "back").glob(".*"))


def test_a_folder_that_is_there_is_not_overwritten(bags, tmp_path):
    output = exported(bags[:1], tmp_path / "out", pictures=False)
    import_dataset(output, ROBOT, tmp_path / "back")
    with pytest.raises(JackError, match="out-000000 is there already; choose another folder"):
        import_dataset(output, ROBOT, tmp_path / "back")


def test_bags_with_and_without_pictures_are_not_mixed(bags, tmp_path):
    blind = write_bag(tmp_path / "bags" / "blind", episode(5))
    with pytest.raises(JackError, match=r"blind has no pictures .*others have\. Add --no-pictures\."):
        exported([*bags, blind], tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))
    assert exported([*bags, blind], tmp_path / "out", pictures=False).is_dir()


def test_a_full_disk_leaves_nothing_half_written(bags, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(JackError, match="No space left on device"):
        exported(bags, tmp_path / "out", pictures=False)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    output = exported(bags, tmp_path / "out", pictures=False)
    monkeypatch.setattr(BagFile, "finish", full)
    with pytest.raises(JackError, match="No space left on device"):
        import_dataset(output, ROBOT, tmp_path / "back")
    assert not list((tmp_path / "back").iterdir())


#: Runs where LeRobot is: loads a data set, and keeps what comes of it.
LOAD = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
data = LeRobotDataset("jack/out", root=sys.argv[1])
items = [data[index] for index in range(len(data))]
seen = [item["observation.images.camera"].numpy() for item in items]
done = [item["action"].numpy() for item in items]
told = {"seen": np.array(seen), "done": np.array(done), "task": np.array([item["task"] for item in items])}
np.savez(sys.argv[2], **told, counts=[data.num_episodes, data.num_frames, data.fps])
"""


@pytest.mark.slow
def test_lerobot_itself_loads_it(bags, tmp_path):
    pytest.importorskip("av")
    python = os.environ.get("JACK_LEROBOT", "")
    if not python:
        pytest.skip("LeRobot needs another torch: install it elsewhere, and name its Python in JACK_LEROBOT.")
    output = exported(bags, tmp_path / "out")
    command = [python, "-c", LOAD, str(output), str(tmp_path / "told.npz")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = np.load(tmp_path / "told.npz", allow_pickle=False)
    assert told["counts"].tolist() == [2, 19, 50]
    targets = np.concatenate([read_frames(Bag(path), ROBOT).target for path in bags])
    np.testing.assert_allclose(told["done"], targets, atol=1e-6)
    assert set(told["task"][:12]) == {"walk [red]on"} and set(told["task"][12:]) == {lerobot.NO_TASK}
    steps = [*(step // 2 * 2 for step in range(12)), *range(7)]
    for index, step in enumerate(steps):
        shown = 255 * told["seen"][index].transpose(1, 2, 0)
        assert np.abs(shown - scene(step)).mean() < CLOSE, index
