"""The node `view` in a process of its own, a robot on topics, and a browser."""

import io
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")
pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")
pytest.importorskip("viser", reason="needs viser: ./jack setup")

from PIL import Image
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import String

from jack_operator.view_node import LATCHED

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser
from robot_to_see import RobotToSee, start, wait

pytestmark = pytest.mark.ros

LISTEN = "0A"
#: Scheduling on a machine that does other things too, and finding the service on it [s].
LATE = 3.5
#: Until a service has met its client too [s]: before, it does what it is asked for and answers to nobody.
SETTLING = 1.0


@pytest.fixture(scope="module")
def robot(shared_ros_domain):
    found = RobotToSee()
    yield found
    found.close()


@pytest.fixture(scope="module")
def view(robot):
    """Two nodes: one to look at, one with controls; their processes and ports."""
    found = {}
    for control in (False, True):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = start("view", {"port": 0, "control": control}, **pipes)
        said = process.stdout.readline()
        port = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert port, said + process.stderr.read()
        found[control] = process, int(port[1])
    time.sleep(SETTLING)
    yield found
    for process, _ in found.values():
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[1]
        assert process.returncode == 0 and "Traceback" not in said, said


@pytest.fixture
def tab(view):
    tabs = []

    def open_tab(control=False):
        tabs.append(Browser(view[control][1]))
        return tabs[-1]

    yield open_tab
    for opened in tabs:
        opened.close()


def listeners(pid):
    """Addresses and ports on which a process listens for TCP, as the kernel writes them."""
    sockets = {
        path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if "socket" in str(path.readlink())
    }
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and f"socket:[{words[9]}]" in sockets:
                found.append(tuple(words[1].split(":")))
    return found


@pytest.mark.parametrize("control", [False, True])
def test_fault_33_nothing_listens_off_loopback(view, control):
    process, port = view[control]
    found = listeners(process.pid)
    assert (f"{0x0100007F:08X}", f"{port:04X}") in found
    assert {address for address, _ in found} == {"0100007F"}  # 127.0.0.1


def test_he_is_seen_as_he_is(robot, tab):
    page = tab()
    page.until(lambda: "a policy drives" in page.texts() and "0.77 m, pose from odometry" in page.texts())

    def knee():
        turned = [m["wxyz"] for m in page.of("SetOrientationMessage") if m["name"].endswith("left_shin_link")]
        return 2 * np.arccos(turned[-1][0]) if turned else 0.0

    for angle in (0.5, 0.9):
        robot.knee = angle
        page.until(lambda angle=angle: knee() == pytest.approx(angle, abs=1e-6))
    robot.fault = 'Tilted <script>alert("x")</script>'
    page.until(lambda: "Tilted &lt;script&gt;" in page.texts())
    assert "<script" not in page.texts()
    robot.fault = ""


def test_only_a_page_with_controls_can_stop_him_and_says_what_came_of_it(robot, tab):
    looking, steering = tab(), tab(control=True)
    looking.until(lambda: looking.of("ReplayDoneMessage"))
    assert not looking.of("GuiButtonMessage")
    robot.asked.clear()
    steering.until(lambda: steering.element("Stop"))
    pressed = time.monotonic()
    steering.change("Stop")
    wait(lambda: robot.asked)
    assert time.monotonic() - pressed < 0.1 + LATE
    steering.until(lambda: "brain/stop was heard" in steering.texts())
    steering.change("Reset the fault")
    wait(lambda: "brain/reset_fault" in robot.asked)
    assert set(robot.asked) == {"brain/stop", "brain/reset_fault"}  # more than once if an answer was lost
    steering.change("Back to the start (simulation)")
    steering.until(lambda: "Nobody answers to sim/reset" in steering.texts())


def test_sliders_send_cmd_vel_until_their_tab_is_closed(robot, tab):
    page = tab(control=True)
    robot.velocities.clear()
    page.change("forwards [m/s]", 0.4)
    page.listen(0.3)
    assert robot.velocities == []
    page.change("send cmd_vel")
    wait(lambda: robot.velocities)
    page.change("forwards [m/s]", 0.4)
    wait(lambda: robot.velocities[-1][1].linear.x == 0.4)
    page.close()
    wait(lambda: robot.velocities[-1][1].linear.x == 0.0)
    time.sleep(0.2)
    before = len(robot.velocities)
    time.sleep(0.5)
    assert len(robot.velocities) == before  # others may steer now


def pictures(page):
    """The camera's pictures that a tab was sent, as arrays; before the first it shows an empty one."""
    packed = [m["updates"]["_data"] for m in page.of("GuiUpdateMessage") if "_data" in m["updates"]]
    return [image for image in (np.asarray(Image.open(io.BytesIO(each))) for each in packed) if len(image) == 24]


def test_the_camera_is_listened_to_while_somebody_looks(robot, tab, view):
    listening = robot.images.get_subscription_count
    wait(lambda: listening() == 0)
    page = tab()
    wait(lambda: page.listen(0.02) or listening() == 1)
    data = io.BytesIO()
    Image.new("RGB", (32, 24), (0, 200, 0)).save(data, "JPEG")
    robot.images.publish(CompressedImage(data=b"no picture", format="jpeg"))

    def shown():
        robot.images.publish(CompressedImage(data=data.getvalue(), format="jpeg"))
        page.listen(0.2)
        return pictures(page)

    wait(shown)
    page.change("show", False)
    wait(lambda: page.listen(0.02) or listening() == 0)
    page.change("show", True)
    wait(lambda: page.listen(0.02) or listening() == 1)


def test_what_is_typed_is_said_to_him(robot, tab):
    heard = []
    robot.node.create_subscription(String, "instruction", lambda message: heard.append(message.data), LATCHED)
    page = tab(control=True)
    page.change("sentence", "touch the red cube")
    page.change("Say")
    wait(lambda: page.listen(0.02) or heard == ["touch the red cube"])
    page.change("sentence", "x" * 10_000)
    page.change("Say")
    wait(lambda: page.listen(0.02) or heard[-1] == "x" * 500)


def test_where_a_sentence_points_is_seen_in_the_picture(robot, tab):
    weights = robot.node.create_publisher(ImageMessage, "brain/attention", 10)
    page, data = tab(), io.BytesIO()
    Image.new("RGB", (32, 24), (0, 200, 0)).save(data, "JPEG")

    def shown(red):
        robot.images.publish(CompressedImage(data=data.getvalue(), format="jpeg"))
        if red:
            weights.publish(ImageMessage(height=1, width=1, encoding="mono8", step=1, data=bytes([255])))
            weights.publish(ImageMessage(height=9, width=9, encoding="mono8", step=9, data=b"short"))
        page.listen(0.1)
        pixel = pictures(page)[-1][12, 16] if pictures(page) else np.zeros(3)
        return pixel[1] > 50 and (pixel[0] > 120) == red

    wait(lambda: shown(red=False))
    wait(lambda: shown(red=True))
    wait(lambda: shown(red=False))  # a second after the last one


def test_fault_31_a_bad_parameter_is_refused(ros_domain):
    process = start("view", {"port": 70000}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 1 and "port" in said and "Traceback" not in said
