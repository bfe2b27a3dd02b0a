"""Arms that somebody else has, while their owner learns to walk."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from jack_brain.chunk import arm_columns, arm_joints
from jack_contract.contract import default_contract
from jack_sim.randomization import OFF
from jack_trainer.tasks.busy_arms import BusyArms

CONTRACT = default_contract()
ROBOT = CONTRACT.robot
ARMS, COLUMNS = arm_joints(ROBOT), arm_columns(CONTRACT)
LEGS = np.setdiff1d(np.arange(ROBOT.count), ARMS)
REST = np.tile(ROBOT.default_position, (4, 1))


@pytest.fixture
def arms():
    """Of four robots; the first two have busy arms."""
    made = BusyArms(CONTRACT, 4, np.random.default_rng(0))
    made.begin(np.array([0, 1]), 1.0)
    return made


def actions(environment, seed=0):
    """Actions without end, each a little different."""
    random = np.random.default_rng(seed)
    while True:
        yield (0.3 * random.standard_normal((environment.count, ROBOT.count))).astype(np.float32)


def test_busy_arms_are_led_all_over_and_not_in_leaps_and_nobody_elses(arms):
    led = np.stack([arms.lead(REST) for _ in range(2000)])
    steps = np.abs(np.diff(np.concatenate([REST[None], led]), axis=0))
    assert steps.max() <= 2.5 * ROBOT.control_period + 1e-12
    assert (led >= ROBOT.lower - 1e-12).all() and (led <= ROBOT.upper + 1e-12).all()
    room = (ROBOT.upper - ROBOT.lower)[ARMS]
    assert (np.ptp(led[:, :2, ARMS], axis=0) > 0.4 * room).all()
    assert (led[:, 0, ARMS] != led[:, 1, ARMS]).any()
    np.testing.assert_array_equal(led[:, 2:], np.broadcast_to(REST[2:], led[:, 2:].shape))
    np.testing.assert_array_equal(led[:, :, LEGS], np.broadcast_to(REST[:, LEGS], led[:, :, LEGS].shape))


def test_a_pose_is_held_for_a_while(arms):
    led = np.stack([arms.lead(REST)[0, ARMS] for _ in range(2000)])
    rests = (np.diff(led, axis=0) == 0.0).all(axis=-1)
    stays = [sum(1 for _ in run) for still, run in itertools.groupby(rests) if still]
    assert len(stays) > 5 and max(stays) * ROBOT.control_period <= 2.5


def test_a_new_episode_begins_with_the_arms_at_rest(arms):
    for _ in range(50):
        led = arms.lead(REST)
    assert (led[0] != REST[0]).any()
    arms.begin(np.array([0]), 1.0)
    assert np.abs(arms.lead(REST)[0] - REST[0]).max() <= 2.5 * ROBOT.control_period + 1e-12
    arms.begin(np.array([0, 1]), 0.0)
    np.testing.assert_array_equal(arms.lead(REST), REST)


def test_so_many_have_busy_arms():
    arms = BusyArms(CONTRACT, 2000, np.random.default_rng(0))
    arms.begin(np.arange(2000), 0.25)
    assert arms.arrays()["busy"].mean() == pytest.approx(0.25, abs=0.04)


def test_who_walks_is_neither_shown_them_nor_judged_by_them(make_locomotion):
    environment = make_locomotion(64, busy=0.5)
    environment.reset()
    busy = environment.state_dict()["busy"].astype(bool)
    assert 16 < busy.sum() < 48
    for action in itertools.islice(actions(environment), 30):
        frames = environment.step(action).observation.proprioception
    state, motion = environment.world.state(), environment.motion
    assert np.abs(state.joint_position - ROBOT.default_position)[busy][:, ARMS].max() > 0.5
    assert (frames[busy][..., COLUMNS] == 0.0).all()
    assert (frames[~busy][:, -1, COLUMNS] != 0.0).all()
    np.testing.assert_array_equal(motion.joint_position[busy][:, ARMS], REST[:1, ARMS].repeat(busy.sum(), axis=0))
    assert (motion.joint_velocity[busy][:, ARMS] == 0.0).all()
    for name in ("joint_position", "joint_velocity"):
        seen, true = getattr(motion, name), getattr(state, name)
        np.testing.assert_array_equal(seen[~busy], true[~busy])
        np.testing.assert_array_equal(seen[:, LEGS], true[:, LEGS])


def test_where_nobody_has_them_nothing_is_drawn(make_locomotion):
    """So that the exam's episodes are the same as ever."""
    environment = make_locomotion(4)
    environment.reset()
    before = environment.random.bit_generator.state
    arms = BusyArms(CONTRACT, 4, environment.random)
    arms.begin(np.arange(4), 0.0)
    targets = REST.copy()
    assert arms.lead(targets) is targets
    assert environment.random.bit_generator.state == before


def test_they_go_on_as_they_were(make_locomotion):
    settings = {"count": 8, "busy": 0.5, "episode": 0.8, "staggered": True}
    settings["randomization"] = replace(OFF, push_interval=(9.0, 9.0))
    original, copy = make_locomotion(seed=1, **settings), make_locomotion(seed=2, **settings)
    original.reset()
    stream = actions(original)
    for action in itertools.islice(stream, 30):
        original.step(action)
    copy.load_state_dict(original.state_dict())
    copy.random.bit_generator.state = original.random.bit_generator.state
    for action in itertools.islice(stream, 60):
        one, other = original.step(action), copy.step(action)
        np.testing.assert_array_equal(one.observation.proprioception, other.observation.proprioception)
        np.testing.assert_array_equal(one.reward, other.reward)
    assert len(np.unique(original.world.state().joint_position[:, ARMS], axis=0)) == 8
