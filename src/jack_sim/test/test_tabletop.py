import copy
import math

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from jack_contract.contract import default_contract
from jack_contract.errors import JackError, UnknownNameError
from jack_sim.batch import BatchWorld
from jack_sim.layout import (
    APART,
    COLOURS,
    HEIGHTS,
    REGION,
    SHAPES,
    SIZES,
    SLOTS,
    Layout,
    Looks,
    Thing,
    draw_layout,
    held_out,
)
from jack_sim.physics import World
from jack_sim.robot_model import JointFrames, robot_spec
from jack_sim.scene import TRAINING, SceneOptions, load_model, load_spec, scene_names
from jack_sim.tabletop import EDGE, TABLETOP, Table, slot_name

SCENE = SceneOptions(TABLETOP)
ROBOT = default_contract().robot
LAYOUT = Layout(
    (
        Thing("red", "cube", (0.24, 0.12), size=0.029, turn=0.5),
        Thing("blue", "ball", (0.25, 0.0), size=0.025),
        Thing("green", "cylinder", (0.23, -0.14), size=0.027),
    ),
    height=0.775,
)


@pytest.fixture(scope="module")
def model():
    return load_model(SCENE)


def laid(model, layout):
    """A copy of the model with a layout, and data that have its pose."""
    copied, data = copy.copy(model), mujoco.MjData(model)
    table = Table(copied)
    mujoco.mj_resetDataKeyframe(copied, data, copied.key("home").id)
    table.lay(layout, lambda field: getattr(copied, field))
    table.place(layout, data.qpos)
    mujoco.mj_forward(copied, data)
    return copied, data


def test_it_is_a_scene_among_the_others():
    assert TABLETOP in scene_names() and "flat" in scene_names()


def test_he_is_the_same_robot_before_a_table(model):
    assert robot_spec(model) == ROBOT == robot_spec(load_model(TRAINING))
    assert JointFrames(model).names == JointFrames(load_model(TRAINING)).names
    flat = load_model(SceneOptions())
    np.testing.assert_array_equal(model.key("home").qpos[: flat.nq], flat.key("home").qpos)


def test_a_robot_with_a_joint_that_nothing_drives_is_still_refused():
    spec = load_spec(SCENE)
    spec.delete(spec.actuator("right_elbow"))
    for key in spec.keys:
        key.ctrl = list(key.ctrl)[:-1]
    with pytest.raises(JackError, match="must drive all joints"):
        robot_spec(spec.compile())


def test_everything_rests_where_it_was_put(model):
    copied, data = laid(model, LAYOUT)
    mujoco.mj_step(copied, data, nstep=200)
    for slot, thing in enumerate(LAYOUT.things):
        place = data.body(slot_name(slot)).xpos
        np.testing.assert_allclose(place, [*thing.place, LAYOUT.height + thing.size], atol=2e-3)
    assert data.body(slot_name(3)).xpos[0] < -10.0
    assert np.abs(data.qvel[6 + ROBOT.count :]).max() < 1e-2


def test_slots_become_things_of_their_kind_size_and_colour(model):
    copied, _ = laid(model, LAYOUT)
    for slot, thing in enumerate(LAYOUT.things):
        geom = copied.geom(slot_name(slot))
        assert geom.type[0] == SHAPES[thing.shape] and geom.size[0] == thing.size
        np.testing.assert_allclose(geom.rgba[:3], COLOURS[thing.colour], atol=1e-6)
    assert model.geom(slot_name(0)).type[0] == mujoco.mjtGeom.mjGEOM_BOX.value  # the model itself is untouched


def test_a_slot_is_found_by_contacts_whatever_it_is(model):
    """Bounds are compiled for a cube of the greatest size; a ball and a cylinder must lie within them."""
    for shape in SHAPES:
        thing = Thing("red", shape, (0.24, 0.0), size=SIZES[1])
        copied, data = laid(model, Layout((thing,)))
        geom = copied.geom(slot_name(0)).id
        mujoco.mj_step(copied, data, nstep=4)
        lowest = {contact.geom1 for contact in data.contact} | {contact.geom2 for contact in data.contact}
        assert geom in lowest
        half = copied.geom_aabb[geom, 3:]
        np.testing.assert_allclose(half, SIZES[1], atol=1e-6)


def test_a_ball_that_is_rolled_comes_to_rest_on_the_table(model):
    copied, data = laid(model, Layout((Thing("red", "ball", (0.25, 0.0)),)))
    velocity = Table(copied).velocities[0]
    data.qvel[velocity : velocity + 2] = [0.05, 0.15]
    mujoco.mj_step(copied, data, nstep=600)
    assert np.linalg.norm(data.qvel[velocity : velocity + 6]) < 0.02
    assert data.body(slot_name(0)).xpos[2] > HEIGHTS[0]
    assert 0.004 < data.body(slot_name(0)).xpos[1] < 0.1


def test_a_hand_pushes_a_thing(model):
    """The forearm, swept along the table, takes a cube with it."""
    copied, data = laid(model, Layout((Thing("red", "cube", (0.24, 0.16)),)))
    pairs = set()
    left = copied.body("left_forearm_link").id
    for pitch in np.linspace(0.0, -1.0, 200):
        data.ctrl[ROBOT.index("left_shoulder_pitch")] = pitch
        data.ctrl[ROBOT.index("left_elbow")] = -0.9
        data.qpos[:7] = copied.key("home").qpos[:7]
        data.qvel[:6] = 0.0
        mujoco.mj_step(copied, data, nstep=2)
        for contact in data.contact:
            pairs.add((copied.geom_bodyid[contact.geom1], copied.geom_bodyid[contact.geom2]))
    bodies = {frozenset(pair) for pair in pairs}
    touched = {frozenset((left, copied.body(name).id)) for name in (slot_name(0), "table")}
    assert touched & bodies  # he has met the cube, or the table under it


def test_the_table_stands_before_him_within_reach(model):
    copied, data = laid(model, LAYOUT)
    top = copied.geom("table").id
    assert data.geom_xpos[top, 2] + copied.geom_size[top, 2] == pytest.approx(LAYOUT.height)
    assert data.geom_xpos[top, 0] - copied.geom_size[top, 0] == pytest.approx(EDGE)
    touching = [(contact.geom1, contact.geom2) for contact in data.contact]
    robot = {geom for geom in range(copied.ngeom) if copied.body_rootid[copied.geom_bodyid[geom]] == 1}
    table = {geom for geom in range(copied.ngeom) if copied.geom_bodyid[geom] == copied.body("table").id}
    assert not [pair for pair in touching if set(pair) & robot and set(pair) & table]


def test_what_lies_on_the_table_is_in_the_middle_of_his_view(model):
    """Every corner of the region, projected by hand through the head's camera, is in a square picture."""
    copied, data = laid(model, LAYOUT)
    camera = copied.camera("head").id
    half = math.tan(math.radians(copied.cam_fovy[camera]) / 2)
    for x in REGION[0]:
        for y in REGION[1]:
            point = np.array([x, y, LAYOUT.height + 0.03])
            seen = data.cam_xmat[camera].reshape(3, 3).T @ (point - data.cam_xpos[camera])
            assert seen[2] < 0 and abs(seen[0] / seen[2]) < half and abs(seen[1] / seen[2]) < half


def test_the_head_is_turned_50_degrees_down_and_level(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    axes = data.cam_xmat[model.camera("head").id].reshape(3, 3)
    np.testing.assert_allclose(-axes[:, 2], [0.642788, 0.0, -0.766044], atol=1e-6)
    np.testing.assert_allclose(axes[:, 0], [0.0, -1.0, 0.0], atol=1e-6)


def test_looks_change_what_they_say_and_can_be_undone(model):
    looks = Looks(
        material=2,
        table=(0.1, 0.2, 0.3),
        floor=(0.4, 0.5, 0.6),
        light=(0.5, 2.0),
        sun=(0.0, 1.0, -1.0),
        camera_turn=(10.0, 0.0, 0.0),
        camera_place=(0.01, 0.0, 0.0),
        camera_angle=5.0,
    )
    copied, data = laid(model, Layout((), looks=looks))
    np.testing.assert_allclose(copied.geom("table").rgba[:3], looks.table, atol=1e-6)
    np.testing.assert_allclose(copied.geom("floor").rgba[:3], looks.floor, atol=1e-6)
    assert copied.mat(copied.geom("table").matid[0]).name == "table_checker"
    np.testing.assert_allclose(copied.light("sun").diffuse, 2.0 * model.light("sun").diffuse, atol=1e-6)
    np.testing.assert_allclose(copied.light("sky").diffuse, 0.5 * model.light("sky").diffuse, atol=1e-6)
    np.testing.assert_allclose(copied.light("sun").dir, [0, math.sqrt(0.5), -math.sqrt(0.5)], atol=1e-6)
    assert copied.camera("head").fovy[0] == pytest.approx(70.0)
    ahead = -data.cam_xmat[copied.camera("head").id].reshape(3, 3)[:, 2]
    assert math.degrees(math.asin(-ahead[2])) == pytest.approx(60.0, abs=1e-4)
    table = Table(model)
    table.lay(Layout(()), lambda field: getattr(copied, field))
    for name in ("cam_fovy", "cam_quat", "cam_pos", "light_diffuse", "geom_matid"):
        np.testing.assert_allclose(getattr(copied, name), getattr(model, name), atol=1e-6)


def test_layouts_keep_to_the_rules():
    random, counts = np.random.default_rng(0), set()
    for _ in range(300):
        layout = draw_layout(random, held_out=None)
        places = np.array([thing.place for thing in layout.things])
        counts.add(len(places))
        assert ((places >= np.array(REGION)[:, 0]) & (places <= np.array(REGION)[:, 1])).all()
        for index, place in enumerate(places):
            assert (np.linalg.norm(np.delete(places, index, 0) - place, axis=1) >= APART).all()
        assert HEIGHTS[0] <= layout.height <= HEIGHTS[1]
    assert counts == {2, 3, 4}


def test_a_seed_is_a_layout():
    assert draw_layout(np.random.default_rng(5)) == draw_layout(np.random.default_rng(5))
    assert draw_layout(np.random.default_rng(5)) != draw_layout(np.random.default_rng(6))


def test_one_of_five_sets_of_things_is_kept_for_examinations():
    assert not held_out(["blue ball", "red cube"]) or held_out(["red cube", "blue ball"])  # the order is none
    kinds = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    pairs = [(a, b) for a in kinds for b in kinds if a < b]
    share = np.mean([held_out(pair) for pair in pairs])
    assert 0.1 < share < 0.3
    random = np.random.default_rng(1)
    assert all(draw_layout(random, held_out=True).held_out for _ in range(20))
    assert not any(draw_layout(random, held_out=False).held_out for _ in range(50))


def test_layouts_that_make_no_sense_are_refused():
    red = Thing("red", "cube", (0.25, 0.0))
    with pytest.raises(JackError, match="no two of a kind; given: red cube, red cube"):
        Layout((red, red))
    with pytest.raises(JackError, match=r"height is 0\.5 m; allowed: 0\.77 to 0\.79"):
        Layout((red,), height=0.5)
    with pytest.raises(UnknownNameError, match="no colour 'pink'"):
        Thing("pink", "cube", (0.25, 0.0))
    with pytest.raises(UnknownNameError, match="no shape 'cone'"):
        Thing("red", "cone", (0.25, 0.0))
    with pytest.raises(JackError, match=r"size is 0\.5 m"):
        Thing("red", "cube", (0.25, 0.0), size=0.5)
    with pytest.raises(UnknownNameError, match="Valid: red cube"):
        Layout((red,)).slot("blue cube")
    with pytest.raises(JackError, match="This scene has no table"):
        Table(load_model(TRAINING))


# -- one world, and many


def test_the_live_world_lays_another_table_for_each_seed():
    world = World(SCENE)
    layouts = []
    for seed in (0, 1, 2, 1):
        world.reset(seed)
        layouts.append(world.layout)
        place = world.data.body(slot_name(0)).xpos
        np.testing.assert_allclose(place[:2], world.layout.things[0].place, atol=1e-6)
        assert world.model.geom(slot_name(0)).type[0] == SHAPES[world.layout.things[0].shape]
        assert world.state().joint_position.shape == (ROBOT.count,)
    assert layouts[1] == layouts[3] and layouts[0] != layouts[1] != layouts[2]
    assert layouts[0].looks == Looks()


def test_laying_a_table_where_there_is_none_says_so():
    with pytest.raises(JackError, match="There is no table"):
        World(SceneOptions()).lay(LAYOUT)


def test_each_world_of_a_batch_has_its_own_table(model):
    """Two worlds with other things on other tables fall, roll and rest as each would alone."""
    random = np.random.default_rng(3)
    layouts = [draw_layout(random) for _ in range(3)]
    world = BatchWorld(model, ROBOT, 3, threads=1)
    table, qpos = Table(model), np.tile(world.home, (3, 1))
    for index, layout in enumerate(layouts):
        table.lay(layout, lambda field, index=index: world.batch.expand(field)[index])
        table.place(layout, qpos[index])
    world.reset(np.arange(3), qpos)
    assert world.state().joint_position.shape == (3, ROBOT.count)
    for _ in range(10):
        world.step(np.tile(ROBOT.default_position, (3, 1)))
    for index, layout in enumerate(layouts):
        alone, data = laid(model, layout)
        data.ctrl[:] = ROBOT.default_position
        mujoco.mj_step(alone, data, nstep=40)
        np.testing.assert_allclose(world.batch.bind("qpos")[index], data.qpos, atol=1e-9)


def test_the_batch_takes_every_field_that_a_layout_changes(model):
    batch, touched = Batch(model, 2, 1), []
    Table(model).lay(LAYOUT, lambda field: touched.append(field) or batch.expand(field)[0])
    assert {"geom_type", "geom_size", "geom_rgba", "cam_quat", "light_dir", "geom_matid"} <= set(touched)
    assert batch.expand("geom_type")[1].tolist() == model.geom_type.tolist()
    assert SLOTS == 4
