"""Pictures of a bag: what they look like when they are looked at again, and what becomes of those that are none."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_brain.pictures import Picture
from jack_contract.contract import CameraSpec
from jack_contract.errors import JackError
from jack_trainer.imitation import pictures as pictures_module
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.frames import read_frames
from jack_trainer.imitation.pictures import MAX_SIDE, jpeg_size, pictures_of, seen

sys.path.insert(0, str(Path(__file__).parent))
from bags_to_read import PICTURES, ROBOT, SECOND, episode, picture, scene, write_bag

CAMERA = CameraSpec(width=32, height=24)


def jpeg(shown, *options):
    done, data = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95, *options])
    assert done
    return data.tobytes()


def small(shown, camera=CAMERA):
    return Picture(0.0, shown, "rgb8").seen(camera).transpose(2, 0, 1).astype(int)


def test_pictures_are_those_of_the_bag_as_large_as_the_policy_sees_them(tmp_path):
    bag = Bag(write_bag(tmp_path / "a", episode(40, pictures=4)))
    found = pictures_of(bag, CAMERA, tmp_path / "cache", threads=2)
    assert found.pixels.shape == (10, 3, 24, 32) and found.pixels.dtype == np.uint8
    for index in range(10):
        off = np.abs(found.pixels[index].astype(int) - small(scene(4 * index)))
        assert off.mean() < 2.5, index
    frames = read_frames(bag, ROBOT)
    rows = found.rows(frames.received)
    assert rows.tolist() == [step // 4 for step in range(40)]
    assert found.rows(np.array([0, SECOND])).tolist() == [-1, -1]
    batch = found.batch(rows[[39, 0, 39]])
    assert batch.shape == (3, 3, 24, 32) and np.array_equal(batch[0], batch[2])


def test_they_are_decoded_once_and_again_only_for_another_bag_or_size(tmp_path, monkeypatch):
    bag = Bag(write_bag(tmp_path / "a", episode(8, pictures=2)))
    first = pictures_of(bag, CAMERA, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert bag.sha256 in file.name
    with monkeypatch.context() as patch:
        patch.setattr(pictures_module, "seen", lambda *_: pytest.fail("it was decoded once more"))
        again = pictures_of(Bag(tmp_path / "a"), CAMERA, tmp_path / "cache")
    assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.times, again.times)
    pictures_of(bag, CameraSpec(16, 16), tmp_path / "cache")
    pictures_of(Bag(write_bag(tmp_path / "b", episode(8, pictures=2, seed=1))), CAMERA, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 3


@pytest.mark.parametrize(("width", "height"), [(320, 240), (64, 64), (640, 480), (33, 47), (2000, 600)])
def test_detail_that_is_left_out_in_decoding_is_not_missed(width, height):
    shown = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8), (0, 0), 3)
    found = seen(jpeg(shown), CAMERA)
    assert found.shape == (3, 24, 32)
    assert np.abs(found.astype(int) - small(shown)).mean() < 3.0
    assert seen(jpeg(shown[:20]), CAMERA) is None  # too small, as it is for a brain


def test_what_is_no_picture_is_counted_and_left_out(tmp_path):
    messages = list(episode(6, pictures=1))
    odd = [
        picture(0, None, b""),
        picture(0, None, b"\xff\xd8 and nothing more"),
        picture(0, None, jpeg(scene(0))[:60]),
        picture(0, None, b"\x89PNG\r\n\x1a\n" + bytes(40)),
        picture(0, scene(0))[:30],
    ]
    messages[3:3] = [(PICTURES, data, SECOND + 5) for data in odd]
    bag = Bag(write_bag(tmp_path / "a", messages))
    found = pictures_of(bag, CAMERA, tmp_path / "cache")
    assert len(found.times) == len(found.pixels) == 6 and sum(bag.undecodable.values()) == len(odd)
    assert (np.diff(found.times) > 0).all()
    assert np.abs(found.pixels[5].astype(int) - small(scene(5))).mean() < 2.5


def test_a_few_bytes_that_claim_to_be_a_huge_picture_are_not_decoded(monkeypatch):
    data = bytearray(jpeg(scene(0)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (60_000).to_bytes(2, "big") * 2
    assert jpeg_size(bytes(data)) == (60_000, 60_000)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    assert seen(bytes(data), CAMERA) is None
    assert MAX_SIDE < 60_000


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
def test_the_size_is_read_from_the_header(options):
    assert jpeg_size(jpeg(scene(0, 70, 50), *options)) == (70, 50)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_bytes_break_the_eye(data):
    whole = bytearray(jpeg(scene(3)))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = seen(bytes(whole[: data.draw(st.integers(0, len(whole)))]), CAMERA)
    assert found is None or (found.shape, found.dtype) == ((3, 24, 32), np.uint8)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_size_or_none(data):
    assert jpeg_size(b"\xff\xd8" + data) is None or len(data) > 7


def test_a_bag_without_pictures_says_what_is_in_it(tmp_path):
    with pytest.raises(
        JackError, match=r"nothing of camera/image_raw/compressed is in it; what is: /cmd_vel, /imu"
    ):
        pictures_of(Bag(write_bag(tmp_path / "a", episode())), CAMERA, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_file_that_is_spoilt_is_named_and_nothing_half_written_is_left(tmp_path, monkeypatch):
    bag = Bag(write_bag(tmp_path / "a", episode(8, pictures=2)))
    pictures_of(bag, CAMERA, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(JackError, match="Remove it: it is made again"):
        pictures_of(bag, CAMERA, tmp_path / "cache")
    file.unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures_module.os, "posix_fallocate", full)
    with pytest.raises(JackError, match=r"cannot be written \(No space left on device\)"):
        pictures_of(bag, CAMERA, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
