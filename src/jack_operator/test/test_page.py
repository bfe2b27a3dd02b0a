"""The page itself, without a robot: who is let in, what is drawn, what can be pressed."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser", reason="needs viser: ./jack setup")

from viser import _messages

sys.path.insert(0, str(Path(__file__).parent))
import sample_messages as messages
from browser import Browser

from jack_operator.limits import LIMITS
from jack_operator.page import Page, Wish, at_home, rounded_box
from jack_operator.scene import Scene

JACK = (Path(__file__).parents[2] / "jack_sim/jack_sim/models/jack.urdf").read_text()


@pytest.fixture
def page():
    pages = []

    def make(control=False):
        pages.append(Page(0, control))
        return pages[-1], pages[-1].server.get_port()

    yield make
    for made in pages:
        made.close()


@pytest.fixture
def visit():
    tabs = []

    def open_tab(port, origin=None):
        tabs.append(Browser(port, origin))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.close()


def walking(now=0.0):
    scene = Scene()
    scene.on_description(JACK)
    scene.on_joint_states(messages.joints(left_knee=0.5), now)
    scene.on_odometry(messages.odometry((2.3, -1.2, 0.77), velocity=(0.4, 0.0, 0.0)), now)
    scene.on_velocity(messages.twist(0.5), now)
    scene.on_brain(messages.brain(), now)
    return scene


def test_he_is_drawn_in_the_middle_and_the_ground_moves(page, visit):
    served, port = page()
    scene, tab = walking(), visit(port)
    served.draw(scene.description)
    served.show(scene, scene.frame(0.0), 0.0)
    tab.until(lambda: "a policy drives" in tab.texts())
    kinds = {message["type"] for message in tab.heard}
    assert {"MeshMessage", "CylinderMessage", "IcosphereMessage", "ArrowMessage", "GridMessage"} <= kinds
    turned = {message["name"]: message["wxyz"] for message in tab.of("SetOrientationMessage")}
    (knee,) = (name for name in turned if name.endswith("/left_shin_link"))
    assert knee.startswith("/robot/pelvis/") and turned[knee] == pytest.approx([np.cos(0.25), 0, np.sin(0.25), 0])
    placed = {message["name"]: message["position"] for message in tab.of("SetPositionMessage")}
    assert placed["/robot"] == pytest.approx([0.0, 0.0, 0.77])
    assert placed["/ground"] == pytest.approx([-0.3, -0.8, 0.0])
    assert served.watched and "walk, step 4,000,000" in tab.texts()


def test_boxes_are_rounded_and_as_large_as_they_are():
    solid = rounded_box(np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(np.ptp(solid.vertices, axis=0), [0.1, 0.2, 0.3], rtol=0.02)
    assert solid.is_watertight and 0.8 < solid.volume / 0.006 < 1.0


def test_another_robot_takes_his_place(page, visit):
    served, port = page()
    scene = Scene()
    for text in (JACK, '<robot name="r"><link name="a"/></robot>', JACK):
        assert scene.on_description(text)
        served.draw(scene.description)
        served.show(scene, scene.frame(0.0), 0.0)
    tab = visit(port)
    tab.until(lambda: tab.of("ReplayDoneMessage"))
    assert len(tab.of("MeshMessage")) + len(tab.of("CylinderMessage")) > 20


def test_fault_33_a_page_from_elsewhere_is_turned_away_unheard(page, visit, caplog):
    served, port = page(control=True)
    scene = walking()
    served.show(scene, scene.frame(0.0), 0.0)
    for origin in ("http://evil.example", f"http://evil.example:{port}", "null"):
        stranger = visit(port, origin)
        for gui in list(served.server.gui._gui_input_handle_from_uuid):
            stranger.send(_messages.GuiUpdateMessage(gui, {"value": True}))
        stranger.listen(3.0)
        assert stranger.closed and stranger.heard == [] and not served.watched
    assert list(served.wishes()) == [] and served.drive is None
    assert served.server._websock_server._client_state_from_id == {}
    for origin in (None, f"http://localhost:{port}", "http://127.0.0.1:9999"):
        visit(port, origin).until(lambda: served.watched)


@pytest.mark.parametrize(
    ("origin", "home"),
    [
        (None, True),
        ("http://localhost:8080", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example:8080", False),
        ("http://192.168.0.7:8080", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("file://", False),
    ],
)
def test_who_comes_from_this_machine(origin, home):
    assert at_home(origin) is home


def test_fault_33_the_page_cannot_be_shown_to_the_internet(page, visit, monkeypatch):
    import viser._viser

    served, port = page()
    opened = []
    monkeypatch.setattr(viser._viser, "ViserTunnel", lambda *given: opened.append(given))
    tab = visit(port)
    tab.until(lambda: served.watched)
    tab.send(_messages.ShareUrlRequest())
    tab.listen(0.5)
    assert opened == []


def test_without_control_there_is_nothing_to_press(page, visit):
    _, port = page()
    tab = visit(port)
    tab.until(lambda: tab.of("ReplayDoneMessage"))
    assert not tab.of("GuiButtonMessage") and not tab.of("GuiSliderMessage")
    assert tab.element("show") and not tab.element("Stop")


def test_buttons_are_wishes(page, visit):
    served, port = page(control=True)
    tab = visit(port)
    wished = []
    for label in ("Stop", "Reset the fault", "Back to the start (simulation)"):
        tab.change(label)
        tab.until(lambda: wished.extend(served.wishes()) or len(wished) == len(set(wished)) > 0)
        tab.listen(0.2)
    wished += served.wishes()
    assert wished == [Wish.STOP, Wish.RESET_FAULT, Wish.RESTART]
    served.say("brain/stop: <b>damped</b>", True)
    tab.until(lambda: "&lt;b&gt;damped" in tab.texts())


def test_sliders_drive_only_when_they_are_switched_on_within_limits_and_while_who_holds_them_is_there(page, visit):
    served, port = page(control=True)
    holder, onlooker = visit(port), visit(port)
    onlooker.until(lambda: len(served.server.get_clients()) == 2)
    holder.change("forwards [m/s]", 0.9)
    holder.listen(0.3)
    assert served.drive is None
    holder.change("send cmd_vel")
    holder.until(lambda: served.drive is not None)
    assert served.drive == pytest.approx([0.0, 0.0, 0.0])  # from the middle on
    holder.change("forwards [m/s]", 0.5)
    holder.until(lambda: served.drive[0] == 0.5)
    for wild, limit in ((1e9, LIMITS[1]), (-1e9, LIMITS[0])):
        holder.change("turn left [rad/s]", wild)
        holder.until(lambda limit=limit: served.drive[2] == limit[2])
    holder.change("turn left [rad/s]", float("nan"))
    holder.until(lambda: served.drive[2] == 0.0)
    holder.close()
    onlooker.until(lambda: served.drive is None)
    assert served.watched


def test_pictures_are_shown_and_the_camera_can_be_switched_off(page, visit):
    served, port = page()
    assert not served.wants_camera  # nobody looks
    tab = visit(port)
    tab.until(lambda: served.wants_camera)
    served.show_image(np.full((24, 32, 3), 100, np.uint8))
    tab.until(lambda: any("_data" in m["updates"] for m in tab.of("GuiUpdateMessage")))
    tab.change("show", False)
    tab.until(lambda: not served.wants_camera)


def test_who_leaves_is_forgotten_and_memory_stays_flat(page, visit):
    served, port = page()
    scene = walking()
    served.draw(scene.description)
    visit(port).until(lambda: served.watched)
    sizes = []
    for k in range(300):
        scene.on_odometry(messages.odometry((0.01 * k, 0.0, 0.77)), 0.0)
        served.show(scene, scene.frame(0.0), 0.01 * k)
        if k in (100, 299):
            time.sleep(0.2)
            sizes.append(len(served.server._websock_server._broadcast_buffer.message_from_id))
    assert sizes[1] <= sizes[0] + 10
