"""The page in the browser: the robot in three dimensions, figures and curves, and controls where they are wanted.

It is served on this machine's loopback interface and nowhere else, to pages that came from there: a browser sends
along where a page came from, and a page from elsewhere that reaches for this one is turned away.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import trimesh
import viser
from numpy.typing import NDArray
from viser.infra import WebsockClientConnection, WebsockServer

from jack_contract.arrays import Float64
from jack_contract.instruction import MAX_CHARACTERS
from jack_contract.rotation import xyzw_to_wxyz
from jack_operator import panel
from jack_operator.limits import LIMITS, limited
from jack_operator.scene import SPAN, Frame, Scene
from jack_operator.urdf import Description, Shape

LOOPBACK = "127.0.0.1"
#: Where pages may come from: this machine, by whatever name and through whatever tunnel.
_AT_HOME = {LOOPBACK, "localhost", "::1"}
#: How often figures and curves change, every so many frames [1].
PANEL_EVERY, CURVES_EVERY = 5, 4
ASKED, MEASURED = (217, 72, 15), (11, 94, 215)
_TOUCHES, _LIFTED, _UNKNOWN = (43, 138, 62), (173, 181, 189), (173, 181, 189)
#: Darker than the curves: they lie in bright light.
_ARROWS = {"asked": (150, 42, 2), "measured": (2, 50, 150)}
#: Arrows shorter than this are not drawn [m].
_SHORT = 0.03
#: Of the edges of boxes, as a share of the shortest [1].
_ROUNDING = 0.25
_ZENITH, _HORIZON = (116, 133, 152), (206, 214, 222)
_CURVE_HEIGHT = 150


class Wish(Enum):
    """A button that was pressed."""

    STOP = auto()
    RESET_FAULT = auto()
    RESTART = auto()


class LocalServer(viser.ViserServer):
    """A viser server for this machine alone."""

    def __init__(self, port: int) -> None:
        """Listen on the loopback interface, on the first free port from `port` on; 0: on any."""
        with contextlib.redirect_stdout(io.StringIO()):  # the address is said by whoever starts it
            super().__init__(host=LOOPBACK, port=port, label="Jack", verbose=False)
        web: WebsockServer = self._websock_server
        web.on_client_connect(lambda connection: _turn_strangers_away(web, connection))
        web.disconnect_all_clients()  # who came before anybody looked comes again

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Nothing: a page could ask the server to show itself on the internet, and is not heard."""
        return None


def _turn_strangers_away(web: WebsockServer, connection: WebsockClientConnection) -> None:
    """Raise before a word is read or said, unless the page that opened a connection came from this machine."""
    request = web._live_connections[connection.client_id].request  # viser has no other way to the header
    origin = request.headers.get("Origin") if request is not None else None
    if not at_home(origin):
        web._client_state_from_id.pop(connection.client_id)
        web._live_connections.pop(connection.client_id)
        raise PermissionError(f"A page from {str(origin)[:100]} reached for Jack's, and was turned away.")


def at_home(origin: str | None) -> bool:
    """Whether a page came from this machine; programs that are no browsers say nothing, and are on it."""
    if origin is None:
        return True
    try:
        return urlsplit(origin).hostname in _AT_HOME
    except ValueError:
        return False


class Page:
    """What the browser shows, and what was pressed there."""

    def __init__(self, port: int, control: bool) -> None:
        """Serve it.

        Args:
            port: to listen on; if it is taken the next free one; 0: any.
            control: whether there is anything to press.
        """
        self.server = LocalServer(port)
        self._wishes: SimpleQueue[Wish] = SimpleQueue()
        self._sentences: SimpleQueue[str] = SimpleQueue()
        self._drawn: list[viser.SceneNodeHandle] = []
        self._links: dict[str, viser.FrameHandle] = {}
        self._frames = 0
        #: the tab that switched the sliders on
        self._holder: int | None = None
        self._make_world()
        self._make_panel(control)

    @property
    def address(self) -> str:
        """What to type into a browser."""
        return f"http://{LOOPBACK}:{self.server.get_port()}"

    @property
    def watched(self) -> bool:
        """Whether somebody looks."""
        return bool(self.server.get_clients())

    @property
    def wants_camera(self) -> bool:
        """Whether somebody looks at the camera's pictures."""
        return self.watched and bool(self._camera_on.value)

    def wishes(self) -> Iterator[Wish]:
        """The buttons that were pressed since the last call."""
        with contextlib.suppress(Empty):
            while True:
                yield self._wishes.get_nowait()

    def sentences(self) -> Iterator[str]:
        """What he was told since the last call."""
        with contextlib.suppress(Empty):
            while True:
                yield self._sentences.get_nowait()

    @property
    def drive(self) -> Float64 | None:
        """What the sliders ask for, (3,) [m/s, m/s, rad/s], while whoever took hold of them is there."""
        if self._holder is not None and self._holder not in self.server.get_clients():
            self._holder = None
            self._driving.value = False
        return None if self._holder is None else limited([slider.value for slider in self._sliders])

    def close(self) -> None:
        """Serve nothing any more."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    # -- what is made once

    def _make_world(self) -> None:
        scene = self.server.scene
        self.server.initial_camera.position = (1.75, -1.55, 1.2)
        self.server.initial_camera.look_at = (0.0, 0.0, 0.62)
        self.server.initial_camera.fov = 0.75
        scene.configure_environment_map("studio", environment_intensity=0.6)
        scene.set_background_image(_sky(), format="png")
        scene.world_axes.visible = False
        self._ground = scene.add_grid(
            "/ground",
            infinite_grid=True,
            fade_distance=14.0,
            shadow_opacity=0.35,
            plane_color=(190, 198, 206),
            plane_opacity=1.0,
            cell_color=(168, 177, 186),
            section_color=(134, 142, 150),
        )
        self._robot = scene.add_frame("/robot", show_axes=False)
        none = np.zeros((1, 2, 3))
        self._arrows = {
            name: scene.add_arrows(f"/{name}", none, colour, shaft_radius=0.012, head_radius=0.035, visible=False)
            for name, colour in _ARROWS.items()
        }
        self._feet: dict[str, viser.CylinderHandle] = {}

    def _make_panel(self, control: bool) -> None:
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        gui.main_panel.dock_right()
        self._headline, self._table = gui.add_html(""), gui.add_html("")
        self._sliders: list[viser.GuiSliderHandle[float]] = []
        if control:
            self._make_controls()
        with gui.add_folder("Curves"):
            self._value = self._curve({"label": "value of the state", "stroke": _css(MEASURED)})
            joints: list[str] = ["none"]
            self._joint = gui.add_dropdown("joint", joints)
            asked = {"label": "target [rad]", "stroke": _css(ASKED)}
            self._joint_curve = self._curve({"label": "position [rad]", "stroke": _css(MEASURED)}, asked)
        with gui.add_folder("Camera"):
            self._camera_on = gui.add_checkbox("show", True)
            self._camera = gui.add_image(np.zeros((3, 4, 3), np.uint8), format="jpeg", visible=False)

    def _curve(self, *series: dict[str, Any]) -> viser.GuiUplotHandle:
        shown: Any = ({"label": "time [s]"}, *({"width": 1.5, **one} for one in series))
        scales: Any = {"x": {"time": False, "range": (-SPAN, 0.0)}}
        data = tuple(np.zeros(1) for _ in shown)
        return self.server.gui.add_uplot(data, shown, scales=scales, height=_CURVE_HEIGHT)

    def _make_controls(self) -> None:
        gui = self.server.gui
        stop = gui.add_button("Stop", color="red", hint="damp the joints at once; he may fall")
        reset = gui.add_button("Reset the fault", color="gray")
        restart = gui.add_button("Back to the start (simulation)", color="gray")
        for button, wish in ((stop, Wish.STOP), (reset, Wish.RESET_FAULT), (restart, Wish.RESTART)):
            button.on_click(lambda _, wish=wish: self._wishes.put(wish))
        self._outcome = gui.add_html("")
        with gui.add_folder("Tell him"):
            told = gui.add_text("sentence", "", hint="touch the red cube; nothing: follow nothing any more")
            say = gui.add_button("Say", color="blue")
            say.on_click(lambda _: self._sentences.put(told.value[:MAX_CHARACTERS]))
        with gui.add_folder("Drive"):
            self._driving = gui.add_checkbox("send cmd_vel", False)
            self._driving.on_update(self._take_hold)
            names = ("forwards [m/s]", "to the left [m/s]", "turn left [rad/s]")
            self._sliders = [
                gui.add_slider(name, float(low), float(high), 0.05, 0.0)
                for name, low, high in zip(names, *LIMITS, strict=True)
            ]

    def _take_hold(self, event: viser.GuiEvent) -> None:
        """Somebody switches the sliders on, which begin in the middle, or off."""
        if event.client_id is not None:
            self._holder = None
            for slider in self._sliders:
                slider.value = 0.0
            self._holder = event.client_id if event.target.value else None

    # -- what changes

    def draw(self, description: Description) -> None:
        """Draw another robot."""
        for node in self._drawn:
            node.remove()
        scene, paths = self.server.scene, {description.root: "/robot"}
        self._drawn, self._links = [], {}
        for joint in description.joints:
            path = paths[joint.child] = f"{paths[joint.parent]}/{joint.child}"
            frame = scene.add_frame(
                path,
                show_axes=False,
                position=np.array(joint.position),
                wxyz=xyzw_to_wxyz(np.array(joint.orientation)),
            )
            if joint.axis is not None:
                self._links[joint.child] = frame
            if joint.parent == description.root:
                self._drawn.append(frame)  # the others go with it
        for link, shapes in description.shapes.items():
            for number, shape in enumerate(shapes):
                node = self._shape(f"{paths[link]}/shape_{number}", shape)
                if link == description.root:
                    self._drawn.append(node)
        names = tuple(joint.name for joint in description.joints if joint.axis is not None)
        self._joint.options = names or ("none",)
        if (wanted := next((name for name in names if "knee" in name), None)) is not None:
            self._joint.value = wanted

    def _shape(self, name: str, shape: Shape) -> viser.SceneNodeHandle:
        scene = self.server.scene
        given: dict[str, Any] = {
            "color": tuple(round(255 * value) for value in shape.colour),
            "position": shape.position,
            "wxyz": xyzw_to_wxyz(np.array(shape.orientation)),
        }
        if shape.kind == "box":
            solid = rounded_box(np.array(shape.size))
            return scene.add_mesh_simple(name, solid.vertices, solid.faces, flat_shading=True, **given)
        if shape.kind == "cylinder":
            return scene.add_cylinder(name, radius=shape.size[0], height=shape.size[1], **given)
        return scene.add_icosphere(name, radius=shape.size[0], **given)

    def show(self, scene: Scene, frame: Frame, now: float) -> None:
        """Show a moment [s]. The robot stays in the middle; the ground moves beneath him."""
        with self.server.atomic():
            self._pose(scene, frame)
            self._point(frame)
            self._step(frame)
        if self._frames % PANEL_EVERY == 0:
            self._headline.content = panel.headline(panel.state(scene.brain.get(now)))
            self._table.content = panel.page(panel.rows(scene, frame, now))
        if self._frames % CURVES_EVERY == 0:
            self._draw_curves(scene, now)
        self._frames += 1

    def show_image(self, image: NDArray[np.uint8]) -> None:
        """Show a picture of the camera, (height, width, 3), red, green, blue [0 to 255]."""
        self._camera.image = image
        self._camera.visible = True

    def say(self, text: str, good: bool) -> None:
        """Say what came of a button."""
        self._outcome.content = panel.page([panel.Row("", text, "good" if good else "bad")])

    def _pose(self, scene: Scene, frame: Frame) -> None:
        x, y, z = frame.position
        self._ground.position = (-(x % 1.0), -(y % 1.0), 0.0)
        self._robot.position, self._robot.wxyz = (0.0, 0.0, z), xyzw_to_wxyz(frame.orientation)
        if scene.skeleton is not None:
            for link, orientation in scene.skeleton.orientations(frame.angles).items():
                if link in self._links:
                    self._links[link].wxyz = xyzw_to_wxyz(orientation)

    def _point(self, frame: Frame) -> None:
        for name, velocity in {"asked": frame.command, "measured": frame.velocity}.items():
            arrow = self._arrows[name]
            long = velocity is not None and np.hypot(velocity[0], velocity[1]) > _SHORT
            if velocity is not None and long:
                start, end = frame.arrow(velocity)
                lift = np.array([0.0, 0.0, 0.012 if name == "asked" else 0.024])
                arrow.points = (np.array([[start, end]]) - start + lift).astype(np.float32)
            arrow.visible = bool(long)

    def _step(self, frame: Frame) -> None:
        here = np.array([frame.position[0], frame.position[1], 0.0])
        for foot in frame.feet:
            if foot.name not in self._feet:
                self._feet[foot.name] = self.server.scene.add_cylinder(
                    f"/feet/{foot.name}", radius=0.1, height=0.004, color=_UNKNOWN, opacity=0.8, cast_shadow=False
                )
            spot = self._feet[foot.name]
            spot.position = (foot.position - here) * [1.0, 1.0, 0.0] + [0.0, 0.0, 0.003]
            spot.color = _UNKNOWN if foot.contact is None else _TOUCHES if foot.contact else _LIFTED

    def _draw_curves(self, scene: Scene, now: float) -> None:
        times, rows = scene.values.columns(now)
        self._value.data = (times, rows[0])
        self._joint_curve.data = scene.joint_curves(self._joint.value, now)


def rounded_box(size: Float64) -> trimesh.Trimesh:
    """A box with edges (3,) [m], rounded: the hull of eight balls in its corners."""
    radius = _ROUNDING * float(size.min())
    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius).vertices
    corners = np.array(np.meshgrid(*[(-1.0, 1.0)] * 3)).reshape(3, -1).T * (size / 2 - radius)
    return trimesh.convex.convex_hull((corners[:, None] + ball).reshape(-1, 3))


def _sky() -> NDArray[np.uint8]:
    """What is behind everything, from above down, (n, 1, 3)."""
    share = np.linspace(0.0, 1.0, 64)[:, None, None]
    return (np.array(_ZENITH) * (1 - share) + np.array(_HORIZON) * share).astype(np.uint8)


def _css(colour: tuple[int, int, int]) -> str:
    return f"rgb{colour}"
