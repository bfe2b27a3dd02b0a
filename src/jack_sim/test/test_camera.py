import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

import jack_sim.camera
from jack_contract.errors import JackError, UnknownNameError
from jack_sim.camera import Camera, Intrinsics
from jack_sim.errors import CameraError
from jack_sim.scene import VISUAL_GROUP, SceneOptions, load_model, load_spec

WIDTH, HEIGHT = 160, 120


@pytest.fixture(scope="module")
def model():
    return load_model(SceneOptions())


@pytest.fixture
def camera(model):
    with _open(model) as camera:
        yield camera


def _open(model, **options):
    try:
        return Camera(model, WIDTH, HEIGHT, **options)
    except CameraError as error:
        pytest.skip(str(error))


def _with_ball(position):
    """The scene with a glowing pure red ball."""
    spec = load_spec(SceneOptions())
    spec.add_material(name="red", rgba=[1, 0, 0, 1], emission=1)
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[0.03, 0, 0],
        pos=position,
        material="red",
        group=VISUAL_GROUP,
        contype=0,
        conaffinity=0,
    )
    return spec.compile()


def _project(model, qpos, intrinsics, point):
    """A world point in pixels, from the pose that MuJoCo gives the camera and the intrinsics."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    camera = model.camera("head").id
    x, y, z = data.cam_xmat[camera].reshape(3, 3).T @ (point - data.cam_xpos[camera])
    return intrinsics.fx * x / -z + intrinsics.cx, intrinsics.fy * -y / -z + intrinsics.cy


def test_intrinsics_by_hand(model):
    # A vertical field of view of 65 degrees: 240 / 2 / tan(32.5 degrees) = 120 / 0.637070 = 188.362
    intrinsics = Intrinsics.of(model, "head", 320, 240)
    assert intrinsics.fx == intrinsics.fy == pytest.approx(188.362, abs=1e-3)
    assert (intrinsics.cx, intrinsics.cy) == (159.5, 119.5)


def test_an_image_is_rgb_bytes_with_the_sky_on_top(camera, model):
    image = camera.render(model.key("home").qpos)
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    assert image.flags["C_CONTIGUOUS"]
    sky, floor = image[:5].mean((0, 1)), image[-5:].mean((0, 1))
    assert sky[2] > sky[0] + 20
    assert abs(floor[2] - floor[0]) < 20


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.3, 0.2), (-0.35, -0.1)])
def test_a_ball_appears_where_the_intrinsics_say(offset):
    ball = np.array([1.2, offset[0], 0.8 + offset[1]])
    model = _with_ball(ball)
    qpos = model.key("home").qpos
    with _open(model) as camera:
        image = camera.render(qpos).astype(int)
        u, v = _project(model, qpos, camera.intrinsics, ball)
    rows, columns = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 60) & (image[..., 2] < 60))
    assert len(rows) > 5
    assert (columns.mean(), rows.mean()) == pytest.approx((u, v), abs=0.7)


def test_the_view_turns_with_the_waist(camera, model):
    home = model.key("home").qpos
    turned = home.copy()
    turned[model.joint("waist_yaw").qposadr] = 0.5
    assert not np.array_equal(camera.render(home), camera.render(turned))


def test_the_same_position_gives_the_same_image(camera, model):
    home = model.key("home").qpos
    np.testing.assert_array_equal(camera.render(home), camera.render(home))


def test_jack_is_in_his_portrait(model):
    with _open(model, name="portrait", shadows=True) as camera:
        image = camera.render(model.key("home").qpos).astype(int)
    accent = (image[..., 0] > 150) & (image[..., 1] < 130) & (image[..., 2] < 90)
    assert accent.sum() > 20


def test_the_models_quality_is_left_as_it_was(model):
    before = model.vis.quality.shadowsize, model.vis.quality.offsamples, model.vis.global_.offwidth
    _open(model).close()
    assert before == (model.vis.quality.shadowsize, model.vis.quality.offsamples, model.vis.global_.offwidth)


def test_a_closed_camera_says_so(model):
    camera = _open(model)
    camera.close()
    camera.close()
    with pytest.raises(CameraError, match="closed"):
        camera.render(model.key("home").qpos)


def test_an_unknown_camera_lists_the_valid_ones(model):
    with pytest.raises(UnknownNameError, match=r"'haed'.*Did you mean 'head'"):
        Camera(model, WIDTH, HEIGHT, name="haed")


@pytest.mark.parametrize("size", [(0, 10), (10, 5000)])
def test_impossible_sizes_are_refused(model, size):
    with pytest.raises(JackError, match="pixels"):
        Camera(model, *size)


@pytest.mark.parametrize("failure", [ImportError("no libEGL"), AttributeError("eglQueryString"), RuntimeError("")])
def test_whatever_the_driver_raises_becomes_a_camera_error(model, monkeypatch, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr(jack_sim.camera, "_gl_context", fail)
    with pytest.raises(CameraError, match="libegl1"):
        Camera(model, WIDTH, HEIGHT)


def test_without_any_display_physics_goes_on():
    script = """
from jack_sim.camera import Camera
from jack_sim.errors import CameraError
from jack_sim.physics import World
world = World()
try:
    Camera(world.model, 64, 64)
except CameraError:
    world.step()
    print("stepped to", world.time)
"""
    # GLFW needs a screen, and there is none.
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"MUJOCO_GL": "glfw", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "stepped to 0.02", result.stderr
