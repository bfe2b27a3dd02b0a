import math
from dataclasses import fields, replace
from functools import cache

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mujoco.batch import MODEL_FIELDS
from scipy.spatial.transform import Rotation

from jack_contract.errors import JackError
from jack_contract.robot import load_robot
from jack_contract.rotation import projected_gravity
from jack_contract.state import RobotState
from jack_sim.batch import BatchWorld
from jack_sim.randomization import OFF, ON, WIDE, Randomization, fixed
from jack_sim.randomizer import Randomizer, sole_friction, tilted
from jack_sim.scene import TRAINING, load_model

ROBOT = load_robot("jack")
N = 6
ALL = np.arange(N)
HOME = np.tile(ROBOT.default_position, (N, 1))
#: What each quantity writes into the model; what MuJoCo derives from it is checked by itself.
FIELDS = {
    "mass": {"body_mass", "body_inertia"},
    "payload": {"body_mass", "body_inertia"},
    "centre_of_mass": {"body_ipos"},
    "friction": {"geom_friction"},
    "strength": {"actuator_forcerange", "jnt_actfrcrange"},
    "stiffness": {"actuator_gainprm", "actuator_biasprm"},
    "damping": {"actuator_biasprm"},
    "armature": {"dof_armature"},
}
NAMES = [row.name for row in fields(Randomization)]


@cache
def training_model():
    return load_model(TRAINING)


@pytest.fixture
def model():
    return training_model()


def only(*names: str) -> Randomization:
    """ON for these, OFF for all others."""
    return replace(OFF, **{name: getattr(ON, name) for name in names})


def build(model, table, seed=0, count=N):
    world = BatchWorld(model, ROBOT, count, threads=1)
    randomizer = Randomizer(world.batch, ROBOT, table, np.random.default_rng(seed))
    return world, randomizer


def start(model, table, seed=0, count=N):
    world, randomizer = build(model, table, seed, count)
    randomizer.draw(np.arange(count))
    world.reset()
    return world, randomizer


def run(world, randomizer, steps=15, seed=1):
    noise = np.random.default_rng(seed).normal(0.0, 0.15, (steps, world.count, ROBOT.count))
    for target in ROBOT.default_position + noise:
        world.step(randomizer.targets(target), randomizer.delay)
    return world.batch.state.copy()


def written(batch) -> set[str]:
    """Fields of the model that differ between the simulations, or from the nominal one."""
    names = [name for name in MODEL_FIELDS if batch.expanded(name) is not None]
    return {n for n in names if (batch.expanded(n) != getattr(batch.model, n)).any()}


# What each quantity touches, and what it leaves alone


def test_off_is_no_randomizer_at_all(model):
    plain = BatchWorld(model, ROBOT, N, threads=1)
    world, randomizer = start(model, OFF)
    nothing = Randomizer(plain.batch, ROBOT, OFF, np.random.default_rng(0))
    np.testing.assert_array_equal(run(world, randomizer), run(plain, nothing))
    assert not any(world.batch.expanded(name) is not None for name in MODEL_FIELDS)
    state = world.state()
    assert randomizer.sense(state) is state
    assert randomizer.targets(HOME) is HOME
    assert randomizer.delay is None and randomizer.state_dict() == {}
    assert randomizer.next_push(3).min() > 10**15


@pytest.mark.parametrize("name", NAMES)
def test_each_alone_writes_only_its_own_fields(model, name):
    world, _ = start(model, only(name))
    derived = {"body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "dof_length", "actuator_acc0"}
    derived |= {"cam_poscom0", "light_poscom0"}
    assert written(world.batch) - derived == FIELDS.get(name, set())
    if name not in {"mass", "payload", "centre_of_mass", "armature"}:
        assert not written(world.batch) & derived


@pytest.mark.parametrize("name", NAMES)
def test_each_alone_changes_what_it_is_to_change(model, name):
    """The physics, what is commanded, or what is read; and of what is read, only its own sensor."""
    plain, nothing = start(model, OFF)
    world, randomizer = start(model, only(name))
    before, after = run(plain, nothing), run(world, randomizer)
    expected = np.full(N, name in FIELDS or name == "joint_offset")
    if name == "latency":
        expected = randomizer.delay > 0
        assert 0 < expected.sum() < N
    np.testing.assert_array_equal((after != before).any(axis=1), expected)
    reads = {
        "joint_offset": "joint_position",
        "position_noise": "joint_position",
        "velocity_noise": "joint_velocity",
        "gyro_bias": "angular_velocity",
        "gyro_noise": "angular_velocity",
        "tilt_bias": "orientation",
        "tilt_noise": "orientation",
    }
    true = world.state()
    copies = {key: value.copy() for key, value in vars(true).items()}
    read = randomizer.sense(true)
    changed = {key for key, value in vars(read).items() if not np.array_equal(value, copies[key])}
    assert changed == ({reads[name]} if name in reads else set())
    for key, value in vars(true).items():
        np.testing.assert_array_equal(value, copies[key])  # nothing was written to


def test_every_field_takes_effect_as_if_the_model_had_been_compiled_so(model):
    """A loop of mj_step over a model edited by hand walks the same path."""
    world, randomizer = start(model, replace(ON, latency=(0.0, 0.0), joint_offset=(0.0, 0.0)), count=2)
    i, got = 1, {name: value[1] for name, value in randomizer.values.items()}
    own = load_model(TRAINING)
    own.body_mass[1:] *= got["mass"]
    own.body_inertia[1:] *= got["mass"][:, None]
    torso, before = own.body("torso").id, own.body("torso").mass[0]
    own.body_mass[torso] += got["payload"]
    own.body_inertia[torso] *= own.body_mass[torso] / before
    own.body_ipos[[torso, 1]] += got["centre_of_mass"]
    own.geom_friction[:, 0] *= got["friction"]  # the model's own coefficient is 1
    own.actuator_forcerange *= got["strength"][:, None]
    own.jnt_actfrcrange[1:] *= got["strength"][:, None]
    own.actuator_gainprm[:, 0] *= got["stiffness"]
    own.actuator_biasprm[:, 1] *= got["stiffness"]
    own.actuator_biasprm[:, 2] *= got["damping"]
    own.dof_armature[6:] *= got["armature"]
    data = mujoco.MjData(own)
    mujoco.mj_setConst(own, data)
    mujoco.mj_resetData(own, data)
    derived = ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0")
    for name in derived:
        np.testing.assert_allclose(world.batch.expanded(name)[i], getattr(own, name), rtol=1e-9)
    data.qpos[:], data.ctrl[:] = world.home, world.home[7:]
    for target in ROBOT.default_position + np.random.default_rng(3).normal(0, 0.3, (20, ROBOT.count)):
        world.step(np.tile(target, (2, 1)))
        data.ctrl[:] = target
        mujoco.mj_step(own, data, nstep=4)
    np.testing.assert_allclose(world.state().joint_position[i], data.qpos[7:], atol=1e-6)
    assert np.abs(world.state().joint_position[0] - data.qpos[7:]).max() > 1e-3  # the other robot is another


# By the laws of physics


def weight(world) -> np.ndarray:
    """Vertical force of the ground on robots that stand, (N,) [N]."""
    force = world.batch.bind("qfrc_constraint")
    total = np.zeros(world.count)
    for step in range(100):
        world.step(np.tile(ROBOT.default_position, (world.count, 1)))
        total += force[:, 2] * (step >= 60)
    return total / 40


def test_the_ground_bears_what_was_added(model):
    nominal = model.body_subtreemass[1] * 9.81
    plain = weight(start(model, OFF, count=1)[0])
    np.testing.assert_allclose(plain, nominal, rtol=0.01)
    np.testing.assert_allclose(weight(start(model, fixed(payload=3.0), count=1)[0]) - plain, 3 * 9.81, rtol=0.1)
    np.testing.assert_allclose(weight(start(model, fixed(mass=0.9), count=1)[0]), 0.9 * plain, rtol=0.01)


def test_the_centre_of_mass_moves_by_the_moved_shares(model):
    plain, _ = start(model, OFF)
    world, randomizer = start(model, only("centre_of_mass"))
    mass = np.array([model.body("torso").mass[0], model.body("pelvis").mass[0]])
    shift = np.einsum("b,nbi->ni", mass, randomizer.values["centre_of_mass"]) / model.body_subtreemass[1]
    moved = world.truth().centre_of_mass - plain.truth().centre_of_mass
    np.testing.assert_allclose(moved, shift, atol=1e-12)
    assert np.abs(shift).max() > 1e-3


def test_slippery_soles_slide_and_grippy_ones_hold(model):
    """On a slope of 10 degrees, made by turning gravity; tan = 0.176 lies between the coefficients."""
    slope = math.radians(10)
    slid, travelled = {}, {}
    for friction in (0.1, 0.4, 1.0):
        world, _ = start(model, fixed(friction=friction), count=1)
        for _ in range(10):
            world.step(HOME[:1])
        world.batch.expand("opt.gravity")[:] = 9.81 * np.array([0, math.sin(slope), -math.cos(slope)])
        feet, centre = world.truth().feet.copy(), world.truth().centre_of_mass.copy()
        for _ in range(30):
            world.step(HOME[:1])
        slid[friction] = (world.truth().feet - feet)[0, :, 1].mean()
        travelled[friction] = (world.truth().centre_of_mass - centre)[0, 1]
    assert slid[0.4] == pytest.approx(slid[1.0], abs=6e-3)  # he leans, and rolls on the edges of his feet
    # However his legs give way, nothing but friction holds what slides, and the less the more he sinks.
    friction_only, none = (0.5 * 9.81 * (math.sin(slope) - k * math.cos(slope)) * 0.6**2 for k in (0.1, 0.0))
    assert friction_only < travelled[0.1] < none


def test_the_named_friction_is_that_of_the_soles_on_the_ground(model):
    world, _ = start(model, fixed(friction=0.4))
    assert sole_friction(model) == 1.0
    own = world.batch.get_model(3)
    assert sole_friction(own) == pytest.approx(0.4)
    data = mujoco.MjData(own)
    data.qpos[:] = world.home
    data.qpos[2] -= 0.005
    mujoco.mj_forward(own, data)
    assert data.ncon > 0
    np.testing.assert_allclose(data.contact.friction[:, 0], 0.4)


def test_gains_make_torques_and_strength_limits_them(model):
    """kp (target - q) - kd dq, within the limit."""
    world, randomizer = start(model, only("stiffness", "damping", "strength"))
    effort, joint = world.batch.bind("actuator_force"), world.batch.bind("qfrc_actuator")[:, 6:]
    ctrl, qvel = world.batch.bind("ctrl"), world.batch.bind("qvel")
    ctrl[:], qvel[:, 6:] = HOME + 0.01, 0.2
    world.batch.forward()
    values = randomizer.values
    wanted = values["stiffness"] * ROBOT.stiffness * 0.01 - values["damping"] * ROBOT.damping * 0.2
    np.testing.assert_allclose(effort, wanted)
    low = np.tile(ROBOT.lower, (N, 1))
    ctrl[:], qvel[:] = low, 0.0
    world.batch.bind("qpos")[:, 7:] = ROBOT.upper
    world.batch.forward()
    limit = values["strength"] * ROBOT.effort_limit
    strong = values["stiffness"] * ROBOT.stiffness * (ROBOT.upper - ROBOT.lower) > limit
    assert strong.sum() > 10 * N
    np.testing.assert_allclose(effort[strong], -limit[strong])
    np.testing.assert_allclose(joint[strong], -limit[strong])  # the joint's own limit has moved along


def test_a_heavier_rotor_answers_more_slowly(model):
    answers = []
    for armature in (0.8, 1.0, 1.2):
        world, _ = start(model, fixed(armature=armature), count=1)
        acceleration = world.batch.bind("qacc")
        world.batch.bind("ctrl")[:, -1] += 0.1  # an elbow
        world.batch.forward()
        answers.append(acceleration[0, -1])
    assert answers[0] > answers[1] > answers[2] > 0


def test_targets_are_meant_as_the_encoders_read(model):
    """Held against gravity's small pull, the joint comes to rest where the encoder reads the target."""
    world, randomizer = start(model, only("joint_offset"))
    offset = randomizer.values["joint_offset"]
    for _ in range(50):
        world.step(randomizer.targets(HOME))
    plain, _ = start(model, OFF)
    for _ in range(50):
        plain.step(HOME)
    arms = slice(13, None)  # the legs lean with the body
    read = randomizer.sense(world.state()).joint_position
    np.testing.assert_allclose(read[:, arms], plain.state().joint_position[:, arms], atol=5e-3)  # offsets: 0.015
    true = world.state().joint_position - plain.state().joint_position
    np.testing.assert_allclose(true[:, arms], -offset[:, arms], atol=5e-3)
    assert np.abs(offset[:, arms]).max() > 0.01


# Latency


@pytest.mark.parametrize("timestep", [0.005, 0.002])
def test_late_targets_wait_their_steps(timestep):
    """Each robot is a loop of mj_step whose control changes after its own delay."""
    model = load_model(replace(TRAINING, timestep=timestep))
    substeps = round(0.02 / timestep)
    delay = np.array([0, 1, substeps - 1, substeps])
    world = BatchWorld(model, ROBOT, 4, threads=1)
    alone = [mujoco.MjData(model) for _ in delay]
    for data in alone:
        data.qpos[:], data.ctrl[:] = world.home, world.home[7:]
    held = np.tile(world.home[7:], (4, 1))
    for target in ROBOT.default_position + np.random.default_rng(0).normal(0.0, 0.1, (10, 4, ROBOT.count)):
        world.step(target, delay)
        for i, data in enumerate(alone):
            data.ctrl[:] = held[i]
            for substep in range(substeps):
                if substep == delay[i]:
                    data.ctrl[:] = target[i]
                mujoco.mj_step(model, data)
        held = target
    state, truth = world.state(), world.truth()
    for i, data in enumerate(alone):
        np.testing.assert_array_equal(state.joint_position[i], data.qpos[7:])
        np.testing.assert_array_equal(state.linear_acceleration[i], data.sensor("imu_linear_acceleration").data)
        np.testing.assert_array_equal(truth.feet[i, 0], data.site("left_foot").xpos)
        np.testing.assert_array_equal(truth.torque[i], data.actuator_force)


def test_no_delay_is_no_delay_bit_for_bit(model):
    worlds = [BatchWorld(model, ROBOT, N, threads=1) for _ in range(3)]
    late = np.array([1] + [0] * (N - 1))
    for target in HOME + np.random.default_rng(0).normal(0.0, 0.1, (10, *HOME.shape)):
        for world, delay in zip(worlds, (None, np.zeros(N, int), late), strict=True):
            world.step(target, delay)
    plain, zeros, mixed = (world.batch.state for world in worlds)
    np.testing.assert_array_equal(plain, zeros)
    np.testing.assert_array_equal(plain[1:], mixed[1:])
    assert (plain[0] != mixed[0]).any()


def test_after_a_reset_a_late_robot_holds_its_pose(model):
    world = BatchWorld(model, ROBOT, 2, threads=1)
    world.step(HOME[:2] + 0.3)
    world.reset(np.array([0]))
    plain = BatchWorld(model, ROBOT, 1, threads=1)
    world.step(HOME[:2] - 0.3, np.array([4, 4]))
    plain.step(HOME[:1])
    np.testing.assert_array_equal(world.state().joint_position[0], plain.state().joint_position[0])


def test_what_diverges_is_told_though_targets_are_late(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = BatchWorld(model, ROBOT, N, threads=1)
    world.batch.bind("qvel")[2, 7] = np.inf
    world.step(HOME, np.full(N, 2))
    assert world.diverged().tolist() == [i == 2 for i in range(N)]
    assert world.state().is_finite()
    world.reset(np.array([2]))
    world.step(HOME, np.full(N, 2))
    assert not world.diverged().any()


def test_latency_is_spread_over_the_steps_of_a_period(model):
    _, randomizer = start(model, only("latency"), count=400)
    assert sorted(set(randomizer.delay.tolist())) == [0, 1, 2, 3, 4]
    _, randomizer = start(model, fixed(latency=0.01))
    assert randomizer.delay.tolist() == [2] * N


# Sensors


def test_a_bias_stays_for_the_episode_and_noise_does_not(model):
    world, randomizer = start(model, only("gyro_bias", "tilt_bias", "joint_offset"))
    first, second = (randomizer.sense(world.state()) for _ in range(2))
    for key, value in vars(first).items():
        np.testing.assert_array_equal(value, vars(second)[key])
    np.testing.assert_allclose(first.angular_velocity, randomizer.values["gyro_bias"], atol=1e-9)
    randomizer.draw(np.array([2]))
    third = randomizer.sense(world.state())
    assert (third.angular_velocity != first.angular_velocity).all(axis=1).tolist() == [i == 2 for i in range(N)]
    world, randomizer = start(model, only("gyro_noise", "tilt_noise", "position_noise", "velocity_noise"))
    first, second = (randomizer.sense(world.state()) for _ in range(2))
    for key in ("angular_velocity", "orientation", "joint_position", "joint_velocity"):
        assert (getattr(first, key) != getattr(second, key)).any(axis=-1).all()


def test_noise_fills_its_range_and_no_more(model):
    _, randomizer = start(model, WIDE, count=300)
    true = RobotState.at_rest(ROBOT, (300,))
    read = randomizer.sense(true)
    noise = read.joint_velocity
    assert 1.4 < noise.max() <= 1.5 and -1.5 <= noise.min() < -1.4 and abs(noise.mean()) < 0.05
    gyro = read.angular_velocity - randomizer.values["gyro_bias"]
    assert 0.28 < np.abs(gyro).max() <= 0.3
    angle = read.joint_position - true.joint_position - randomizer.values["joint_offset"]
    assert 0.029 < np.abs(angle).max() <= 0.03 + 1e-12
    gravity = projected_gravity(read.orientation)
    assert 0.08 < np.abs(gravity[:, :2]).max() < 0.13
    np.testing.assert_allclose(np.linalg.norm(read.orientation, axis=-1), 1.0)


def test_some_robots_are_read_with_their_own_biases(model):
    world, randomizer = start(model, only("gyro_bias", "tilt_bias", "joint_offset"))
    ids = np.array([4, 1])
    whole, some = randomizer.sense(world.state()).rows(ids), randomizer.sense(world.state().rows(ids), ids)
    for key, value in vars(whole).items():
        np.testing.assert_array_equal(value, vars(some)[key])


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(float, (4,), elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1),
    arrays.arrays(float, (2,), elements=st.floats(-0.05, 0.05)),
)
def test_a_tilt_turns_about_the_bodys_own_axes(quaternion, tilt):
    quaternion = quaternion / np.linalg.norm(quaternion)
    wanted = Rotation.from_quat(quaternion) * Rotation.from_rotvec([*tilt, 0.0])
    error = (Rotation.from_quat(tilted(quaternion, tilt)).inv() * wanted).magnitude()
    assert error < 5e-5


def test_leaning_forward_gravity_moves_forward_in_the_body(model):
    upright = np.array([0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(projected_gravity(tilted(upright, np.array([0.0, 0.05]))), [0.05, 0, -1], atol=2e-3)
    np.testing.assert_allclose(projected_gravity(tilted(upright, np.array([0.05, 0.0]))), [0, -0.05, -1], atol=2e-3)


# A share of the table, for a curriculum


def test_a_share_of_the_table_reaches_that_far_from_the_model(model):
    table = replace(OFF, friction=(0.4, 1.2), payload=(-1.0, 3.0), gyro_noise=(-0.2, 0.2), push_speed=(0.3, 0.6))
    _, randomizer = build(model, table, count=500)
    randomizer.share = 0.5
    randomizer.draw(np.arange(500))
    # friction is 1 as modelled, all else 0
    for name, low, high in (("friction", 0.7, 1.1), ("payload", -0.5, 1.5)):
        drawn = randomizer.values[name]
        assert low <= drawn.min() < low + 0.03 * (high - low) and high - 0.03 * (high - low) < drawn.max() <= high
    rest = RobotState.at_rest(ROBOT, (500,))
    assert 0.09 < np.abs(randomizer.sense(rest).angular_velocity).max() <= 0.1
    speed = np.linalg.norm(randomizer.pushes(500), axis=1)
    assert 0.15 <= speed.min() < 0.16 and 0.29 < speed.max() <= 0.3


def test_no_share_is_the_model(model):
    _, randomizer = build(model, ON)
    randomizer.share = 0.0
    randomizer.draw(ALL)
    assert all((value == getattr(OFF, name)[0]).all() for name, value in randomizer.values.items())


# Pushes


def test_pushes_come_in_their_time_at_their_speed_from_everywhere(model):
    _, randomizer = build(model, ON)
    speed = randomizer.pushes(2000)
    norm = np.linalg.norm(speed, axis=1)
    assert 0.3 <= norm.min() < 0.31 and 0.59 < norm.max() <= 0.6
    assert (np.abs(speed.mean(axis=0)) < 0.03).all()
    steps = randomizer.next_push(2000)
    assert 50 <= steps.min() < 55 and 195 < steps.max() <= 200


# Draws


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(0, 2**32))
def test_draws_stay_within_their_ranges(data, seed):
    table = {}
    for row in fields(Randomization):
        low, high = getattr(WIDE, row.name)
        table[row.name] = tuple(sorted(data.draw(st.tuples(*[st.floats(low, high)] * 2))))
    _, randomizer = start(training_model(), Randomization(**table), seed, count=3)
    for name, value in randomizer.values.items():
        assert (table[name][0] <= value).all() and (value <= table[name][1]).all(), name
    assert randomizer.delay is None or set(randomizer.delay.tolist()) <= {0, 1, 2, 3, 4}


def test_the_seed_decides(model):
    first, same, other = (start(model, ON, seed)[1] for seed in (7, 7, 8))
    for name, value in first.values.items():
        np.testing.assert_array_equal(value, same.values[name])
        assert (value != other.values[name]).any()
        assert len({row.tobytes() for row in value}) == N  # no two robots alike


def test_some_are_drawn_anew_and_the_others_and_all_states_stay(model):
    world, randomizer = start(model, ON)
    run(world, randomizer)
    physics, values = world.batch.state.copy(), randomizer.state_dict()
    models = {name: world.batch.expanded(name).copy() for name in written(world.batch)}
    randomizer.draw(np.array([1, 4]))
    np.testing.assert_array_equal(world.batch.state, physics)
    kept = [0, 2, 3, 5]
    for name, value in values.items():
        np.testing.assert_array_equal(randomizer.values[name][kept], value[kept])
        assert (randomizer.values[name][[1, 4]] != value[[1, 4]]).reshape(2, -1).any(axis=1).all()
    for name, value in models.items():
        np.testing.assert_array_equal(world.batch.expanded(name)[kept], value[kept])
    randomizer.draw(np.array([], int))


def test_a_robots_past_leaves_no_trace(model):
    """Drawn many times, it is as if drawn once: nothing piles up."""
    world, randomizer = start(model, ON)
    for _ in range(20):
        randomizer.draw(ALL)
    fresh, once = build(model, ON)
    once.load_state_dict(randomizer.state_dict())
    for name in written(world.batch):
        np.testing.assert_array_equal(world.batch.expanded(name), fresh.batch.expanded(name))


def test_a_resumed_batch_goes_on_bit_for_bit(model):
    random = np.random.default_rng(5)
    world = BatchWorld(model, ROBOT, N, threads=1)
    randomizer = Randomizer(world.batch, ROBOT, WIDE, random)
    randomizer.draw(ALL)
    world.reset()
    run(world, randomizer)
    saved = randomizer.state_dict(), world.batch.state.copy(), random.bit_generator.state
    ends = []
    for resumed in (False, True):
        if resumed:
            random = np.random.default_rng(99)
            random.bit_generator.state = saved[2]
            world = BatchWorld(model, ROBOT, N, threads=1)
            randomizer = Randomizer(world.batch, ROBOT, WIDE, random)
            randomizer.load_state_dict(saved[0])
            world.batch.state[:] = saved[1]
        run(world, randomizer, seed=2)
        randomizer.draw(np.array([3]))
        world.reset(np.array([3]))
        ends.append((run(world, randomizer, seed=3), randomizer.sense(world.state())))
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    for key, value in vars(ends[0][1]).items():
        np.testing.assert_array_equal(value, vars(ends[1][1])[key])


def test_a_state_of_another_table_or_size_is_refused(model):
    _, randomizer = build(model, ON)
    with pytest.raises(JackError, match="Resume with"):
        randomizer.load_state_dict(build(model, only("mass"))[1].state_dict())
    with pytest.raises(JackError, match="Resume with"):
        randomizer.load_state_dict(build(model, ON, count=2)[1].state_dict())


def test_what_cannot_be_is_refused(model):
    with pytest.raises(JackError, match="one control period"):
        build(model, fixed(latency=0.03))
    light = load_model(TRAINING)
    light.body_mass[light.body("torso").id] = 2.0
    with pytest.raises(JackError, match="torso"):
        build(light, fixed(payload=-2.0))
