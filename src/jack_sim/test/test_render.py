import numpy as np
import pytest
from mujoco.batch import Batch

from jack_contract.contract import CameraSpec, default_contract
from jack_contract.errors import UnknownNameError
from jack_contract.gait import Rhythm
from jack_sim.batch import BatchWorld
from jack_sim.camera import Camera
from jack_sim.errors import CameraError
from jack_sim.layout import COLOURS, Layout, Looks, Thing
from jack_sim.render import BatchCamera, shrink
from jack_sim.scene import SceneOptions, load_model
from jack_sim.tabletop import TABLETOP, Table

SIZE = CameraSpec(64, 48)
ROBOT = default_contract().robot
PLACE = (0.24, 0.0)


@pytest.fixture(scope="module")
def world():
    """Three worlds: a red cube, a blue ball, and the same ball in another light."""
    model = load_model(SceneOptions(TABLETOP))
    world, table = BatchWorld(model, ROBOT, 3, threads=1), Table(model)
    ball = Thing("blue", "ball", PLACE)
    layouts = [
        Layout((Thing("red", "cube", PLACE),)),
        Layout((ball,)),
        Layout((ball,), looks=Looks(light=(0.3, 0.3), table=(0.2, 0.2, 0.2))),
    ]
    qpos = np.tile(world.home, (3, 1))
    for index, layout in enumerate(layouts):
        table.lay(layout, lambda field, index=index: world.batch.expand(field)[index])
        table.place(layout, qpos[index])
    world.reset(np.arange(3), qpos)
    return world


@pytest.fixture(scope="module")
def camera(world):
    try:
        with BatchCamera(world.batch, SIZE) as camera:
            yield camera
    except CameraError as error:
        pytest.skip(str(error))


def test_each_sees_its_own_table(world, camera):
    pictures = camera.render(np.array([0, 1, 2]))
    assert pictures.shape == (3, 48, 64, 3) and pictures.dtype == np.uint8
    middle = pictures[:, :, 28:36].reshape(3, -1, 3).astype(int)
    for index, colour in ((0, "red"), (1, "blue")):
        strongest = int(np.argmax(COLOURS[colour]))
        rest = [channel for channel in range(3) if channel != strongest]
        assert ((middle[index, :, strongest] - middle[index][:, rest].max(axis=1)) > 60).sum() > 10
    assert pictures[2].mean() < 0.8 * pictures[1].mean()


def test_pictures_come_in_the_order_asked_for_and_leave_no_trace(world, camera):
    before = world.batch.state.copy()
    first, again = camera.render(np.array([2, 0])), camera.render(np.array([0, 2]))
    np.testing.assert_array_equal(first[::-1], again)
    np.testing.assert_array_equal(world.batch.state, before)
    assert camera.render(np.zeros(0, int)).shape == (0, 48, 64, 3)


def test_it_sees_what_the_live_camera_sees(world, camera):
    """A picture four times as large through the other class, shrunk likewise: the same but for edges."""
    model = world.batch.get_model(1)
    with Camera(model, 4 * SIZE.width, 4 * SIZE.height) as live:
        large = live.render(world.batch.bind("qpos")[1])
    difference = np.abs(shrink(large, 4).astype(int) - camera.render(np.array([1]))[0])
    assert difference.mean() < 2.0


@pytest.mark.parametrize("phase", [0.25, 0.4, 0.75])
def test_what_is_not_drawn_is_out_of_his_sight(world, camera, phase):
    """In the middle of a step, on his way to the table, the picture is the one with all of him in it."""
    gait, robot = default_contract().gait, ROBOT
    rhythm = Rhythm(np.array(phase), np.array([0.6, 0.0, 0.3]))
    qpos = world.batch.bind("qpos")
    before = qpos[1].copy()
    try:
        qpos[1, :2] = -0.3, 0.05
        qpos[1, 7 : 7 + robot.count] += gait.offsets(robot, rhythm)
        with Camera(world.batch.get_model(1), 2 * SIZE.width, 2 * SIZE.height) as whole:
            expected = shrink(whole.render(qpos[1]), 2)
        np.testing.assert_array_equal(camera.render(np.array([1]))[0], expected)
    finally:
        qpos[1] = before


def test_shrinking_by_hand():
    image = np.zeros((2, 4, 3), np.uint8)
    image[0, 0] = image[0, 1] = (255, 100, 3)
    image[1, 2] = (1, 2, 255)
    np.testing.assert_array_equal(shrink(image, 2), [[[128, 50, 2], [0, 1, 64]]])  # halves are rounded up
    assert shrink(image, 1) is image


def test_a_camera_that_is_not_there_is_named(world):
    with pytest.raises(UnknownNameError, match="camera 'tail'"):
        BatchCamera(Batch(world.batch.model, 1, 1), SIZE, "tail")
