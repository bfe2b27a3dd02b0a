"""Pictures and sentences to a real brain over DDS, and what he does about those that are none."""

import struct
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String

from jack_brain.chunk import ChunkSpec
from jack_brain.network.export import PolicyExporter
from jack_contract.contract import default_contract
from jack_contract.testing import ros_domain
from jack_contract.wire import fill_stamp

sys.path.insert(0, str(Path(__file__).parent))
from robot_on_topics import LATCHED, RobotOnTopics, end, start_brain, wait

pytestmark = [pytest.mark.ros, pytest.mark.slow]

RUN = 1
CONTRACT = default_contract()
#: As in test_brain_node.
EASY = {"stale_time": 0.8, "missed_limit": 100, "blend": 0.2, "camera_timeout": 0.5}
EXAMINED = 40.0
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


class Seeing(RobotOnTopics):
    """A robot with a camera at 10 Hz, and somebody who talks to it."""

    def __init__(self, domain: int) -> None:
        super().__init__(CONTRACT, domain)
        self._images = self.node.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
        self._says = self.node.create_publisher(String, "instruction", LATCHED)
        self.attention: list[Image] = []
        self.node.create_subscription(Image, "brain/attention", self.attention.append, 10)
        self.picture: Image | None = None
        self._films = threading.Thread(target=self._film, daemon=True)
        self._films.start()

    def _film(self) -> None:
        while not self._closed:
            if self.picture is not None:
                fill_stamp(self.picture.header.stamp, time.time())
                self._images.publish(self.picture)
            time.sleep(0.1)

    def shows(self, pixels: np.ndarray, encoding: str = "rgb8") -> None:
        """Film this from now on."""
        height, width = pixels.shape[:2]
        picture = Image(height=height, width=width, encoding=encoding, step=3 * width)
        picture.data = pixels.tobytes()
        self.picture = picture

    def says(self, text: bytes) -> None:
        """Say it, whether it is UTF-8 or not."""
        self._says.publish(b"\0\1\0\0" + struct.pack("<I", len(text) + 1) + text + b"\0")

    def sight(self, key: str = "") -> str:
        """What the brain tells of it; without a key, in words."""
        if not key:
            status = self.health.get("brain: sight")
            return status.message if status else ""
        return self.told("sight", key)


@pytest.fixture(scope="module")
def robot(make_brain, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    brain = make_brain(CONTRACT, chunk=ChunkSpec())
    held = brain.chunk_head.normaliser  # whatever it sees: the arms are to follow
    held.mean[-1], held.var[-1] = 1.0, 0.0
    path.write_bytes(PolicyExporter(brain, command=True).export({"phase": "manipulation", "step": 1}))
    with ros_domain() as domain:
        process = start_brain(domain, autostart=True, policy=path, camera=True, action_limit=1000.0, **EASY)
        robot = Seeing(domain)
        robot.sending.set()
        robot.shows(NOISE)
        wait(lambda: robot.mode() == RUN, EXAMINED)
        yield robot
        robot.close()
        said = end(process)
    assert process.returncode == 0 and "Traceback" not in said, said


@pytest.fixture
def following(robot):
    """He sees, and follows a sentence."""
    robot.shows(NOISE)
    robot.says(b"touch the red cube")
    wait(lambda: robot.sight("arms follow it [share]") == "1.00", 20.0)
    return robot


def test_a_sentence_is_followed_while_control_goes_on(following):
    assert following.sight("sentence") == "touch the red cube"
    begun, commands = time.monotonic(), len(following.commands)
    wait(lambda: len(following.commands) > commands + 100)
    assert set(following.modes(begun)) == {RUN}
    assert time.monotonic() - begun < 2.0 * 2.0  # 100 control periods, on a busy machine
    picture = following.attention[-1]
    assert (picture.height, picture.width, picture.encoding) == (16, 16, "mono8") and max(picture.data) == 255
    assert float(following.sight("from picture to intent [ms]")) < 100


def test_a_picture_is_seen_ten_times_a_second_and_none_is_lost(following):
    before = int(following.sight("pictures seen"))
    wait(lambda: int(following.sight("pictures seen")) >= before + 20)
    assert following.sight("pictures refused") == "0" or int(following.sight("pictures refused")) < before


@pytest.mark.parametrize(
    ("said", "odd"),
    [
        (b"", "nothing"),
        (b"please " * 1500, "too long"),
        (b"\xff\xfe\xfd", "nothing"),
        (b"xylophone", "knows no word"),
    ],
    ids=["empty", "long", "no UTF-8", "unknown"],
)
def test_what_is_no_sentence_is_not_followed_and_he_walks_on(following, said, odd):
    begun = time.monotonic()
    following.says(said)
    wait(lambda: following.sight("sentence") == "none")
    assert odd in following.sight("misheard")
    wait(lambda: following.sight("arms follow it [share]") == "0.00")
    assert set(following.modes(begun)) == {RUN} and following.settled().fault == ""


@pytest.mark.parametrize(
    ("pixels", "encoding", "trouble"),
    [
        (np.zeros((64, 64, 3), np.uint8), "rgb8", "shows nothing"),
        (NOISE[:32], "rgb8", "64 x 32 pixels is too small"),
        (NOISE, "yuv422", "encoding 'yuv422'"),
        (NOISE[:, :, :2], "rgb8", "is none"),
    ],
    ids=["black", "small", "encoding", "torn"],
)
def test_what_is_no_picture_is_told_and_the_arms_go_back(following, pixels, encoding, trouble):
    begun = time.monotonic()
    following.shows(pixels, encoding)
    if trouble == "is none":
        following.picture.step, trouble = 2 * 64, "bytes a row is none"
    wait(lambda: trouble in following.sight())
    wait(lambda: following.sight("arms follow it [share]") == "0.00")
    wait(lambda: following.told("safety", "readings and pictures") == "no current picture")
    assert set(following.modes(begun)) == {RUN} and following.settled().fault == ""
    following.shows(NOISE)
    wait(lambda: following.sight("arms follow it [share]") == "1.00")


def test_fault_07_the_camera_is_lost_while_he_follows_and_he_walks_on(following):
    begun, following.picture = time.monotonic(), None
    wait(lambda: following.sight() == "no current picture")
    wait(lambda: following.sight("arms follow it [share]") == "0.00")
    assert set(following.modes(begun)) == {RUN}
    following.shows(255 - NOISE)
    wait(lambda: following.sight("arms follow it [share]") == "1.00")
