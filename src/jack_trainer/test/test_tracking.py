import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_contract.rotation import wxyz_to_xyzw, yaw
from jack_sim.batch import BatchWorld
from jack_trainer.rl.ppo import PPO, PPOConfig
from jack_trainer.tasks.reference import Reference
from jack_trainer.tasks.tracking import Tracking, TrackingConfig, mean_position_error, score

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import PERIOD, ROBOT, ROWS, walking_clip


def still(environment: Tracking) -> np.ndarray:
    return np.zeros((environment.count, ROBOT.count), np.float32)


@pytest.fixture
def make(model, contract):
    def make(count: int = 3, seed: int = 0, motion=None, **changes) -> Tracking:
        config = replace(TrackingConfig(episode=2.0, start_joint_noise=0.0), **changes)
        return Tracking(BatchWorld(model, ROBOT, count), contract, motion or walking_clip(), config, seed)

    return make


def lead(environment: Tracking, monkeypatch, off: np.ndarray | None = None) -> None:
    """Whatever he does, put him where the clip is next, or beside it, by so much (nq,)."""
    clip, world = environment.clip, environment.world
    joints = []

    def step(targets, delay=None):
        row = environment.state_dict()["row"] + 1
        joints.append(targets.copy())
        world.reset(np.arange(environment.count), clip.qpos[row] + (0.0 if off is None else off), clip.qvel[row])

    monkeypatch.setattr(world, "step", step)
    environment.targets = joints


# -- the clip as a reference


def test_a_loop_goes_on_where_the_last_round_ended(contract):
    clip = Reference(walking_clip(speed=0.8), contract, longest=100)
    assert clip.starts == ROWS and clip.last == 3 * ROWS  # a beginning in the first round and 100 rows more
    np.testing.assert_allclose(clip.base[:, 0], 0.8 * PERIOD * np.arange(3 * ROWS + 1), atol=1e-4)
    np.testing.assert_allclose(clip.joints[ROWS : 2 * ROWS], clip.joints[:ROWS])


def test_a_loop_that_turns_goes_on_in_the_direction_it_has_come_to(contract):
    """A quarter turn to the left in each round, on a circle: after four he is back."""
    motion = walking_clip()
    share = np.arange(motion.periods) / ROWS * np.pi / 2
    circle = np.stack((np.sin(share), 1 - np.cos(share), np.full(len(share), 0.66)), -1)
    ahead = np.zeros_like(motion.base_linear_velocity)
    ahead[:, 0] = np.pi / 2 / (ROWS * PERIOD)
    turning = replace(
        motion,
        base_position=circle.astype(np.float32),
        base_orientation=Rotation.from_euler("z", share[:, None]).as_quat().astype(np.float32),
        base_linear_velocity=ahead,
    )
    clip = Reference(turning, contract, longest=3 * ROWS)
    assert clip.last == 4 * ROWS
    np.testing.assert_allclose(clip.base[-1], clip.base[0], atol=1e-3)
    np.testing.assert_allclose(clip.base[2 * ROWS], [0.0, 2.0, 0.66], atol=1e-3)
    assert abs(float(yaw(wxyz_to_xyzw(clip.qpos[3 * ROWS, 3:7]))) + np.pi / 2) < 1e-4
    speeds = np.diff(clip.base, axis=0)[:, :2] / PERIOD
    np.testing.assert_allclose(clip.qvel[:-1, :2], speeds, atol=0.05)
    expected = [np.pi / 2 / (ROWS * PERIOD), 0.0, np.pi / 2 / (ROWS * PERIOD)]
    np.testing.assert_allclose(clip.command[10:-10], np.tile(expected, (4 * ROWS - 19, 1)), atol=0.03)


def test_a_clip_that_is_no_loop_is_gone_through_once(contract):
    clip = Reference(walking_clip(cycles=2, loop=False), contract, longest=500)
    assert (clip.starts, clip.last) == (2 * ROWS, 2 * ROWS)


def test_the_signal_tells_every_row_from_every_other_and_is_never_taken_for_a_mirror_image(contract):
    brain = Brain(contract)
    for loop in (True, False):
        clip = Reference(walking_clip(loop=loop), contract, longest=60)
        signal = clip.signal(np.arange(ROWS))
        assert len(np.unique(signal.round(6), axis=0)) == ROWS
        frames = np.zeros((ROWS, contract.observation.history, contract.observation.frame_size), np.float32)
        frames[:, -1, contract.observation.slices()["gait"]] = signal
        assert not brain.symmetry.right(torch.from_numpy(frames)).any()
    np.testing.assert_allclose(clip.signal(np.array([0, ROWS // 2])), [[0, 1], [1, 0]], atol=1e-9)


def test_a_clip_of_two_rows_is_refused(contract):
    motion = walking_clip()
    short = replace(motion, **{name: array[:2] for name, array in motion.arrays().items()})
    with pytest.raises(JackError, match="2 rows"):
        Reference(short, contract, 10)


# -- reward and endings


def test_who_does_as_the_clip_earns_all_there_is(make, monkeypatch):
    environment = make()
    environment.reset()
    lead(environment, monkeypatch)
    for _ in range(5):
        step = environment.step(still(environment))
    np.testing.assert_allclose(step.reward, 10.0 * PERIOD, rtol=1e-4)  # 6.5 + 1 + 1.5 + 1 a second
    np.testing.assert_allclose(environment.error, 0.0, atol=1e-5)
    assert step.terms["mpjpe"] < 1e-5 and not step.terminated.any()


def test_a_joint_that_is_off_by_hand(make, monkeypatch):
    environment = make()
    environment.reset()
    off = np.zeros(7 + ROBOT.count)
    off[7 + ROBOT.index("waist_yaw")] = 0.5
    lead(environment, monkeypatch, off)
    step = environment.step(still(environment))
    assert step.terms["pose"] == pytest.approx(6.5 * np.exp(-2 * 0.25), rel=1e-4)
    assert step.terms["root"] == pytest.approx(1.0, rel=1e-4)
    assert 0.005 < step.terms["mpjpe"] < 0.2  # the arms turn with the torso


def test_a_pelvis_that_is_off_by_hand(make, monkeypatch):
    environment = make()
    environment.reset()
    off = np.zeros(7 + ROBOT.count)
    off[:2] = 0.1, 0.2  # 0.05 m^2: e^-0.5
    lead(environment, monkeypatch, off)
    step = environment.step(still(environment))
    assert step.terms["root"] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert step.terms["mpjpe"] < 1e-5  # seen from the pelvis all is as it should be
    assert step.terms["ends"] == pytest.approx(1.5, rel=1e-4)


def test_the_mean_position_error_by_hand():
    # the pelvis is 1 m off along x; one part moved along with it, the other one is 0.3, 0.4 off as well
    apart = np.array([[[1.0, 0.0, 0.0], [1.0, 0.3, 0.4]]])
    np.testing.assert_allclose(mean_position_error(apart, np.array([[1.0, 0.0, 0.0]])), [0.25])


@pytest.mark.parametrize("where", ["pose", "place"])
def test_who_is_lost_begins_anew(make, monkeypatch, where):
    environment = make(lost=0.1)
    environment.reset()
    off = np.zeros(7 + ROBOT.count)
    if where == "place":
        off[0] = 0.51
    else:
        off[7:] = 1.5 * np.where(np.arange(ROBOT.count) % 2, 1.0, -1.0)
    lead(environment, monkeypatch, off)
    step = environment.step(still(environment))
    assert step.terminated.all() and not step.truncated.any() and step.final is None
    assert (environment.state_dict()["age"] == 0).all() and step.episode_lengths.tolist() == [1, 1, 1]


def test_an_episode_ends_with_its_time_or_with_the_clip(make, monkeypatch):
    for motion, expected in ((walking_clip(), 100), (walking_clip(cycles=2, loop=False), 2 * ROWS - 30)):
        environment = make(motion=motion)
        environment.reset(first=30)
        lead(environment, monkeypatch)
        for k in range(expected):
            step = environment.step(still(environment))
            assert step.truncated.all() == (k == expected - 1)
        assert step.final is not None and len(step.final.proprioception) == 3


def test_episodes_begin_anywhere_in_the_clip_as_fast_as_it_is_there(make):
    environment = make(count=200)
    seen = environment.reset()
    row, state = environment.state_dict()["row"], environment.world.state()
    assert row.min() <= 2 and row.max() >= ROWS - 3 and row.max() < ROWS
    np.testing.assert_allclose(state.joint_position, environment.clip.joints[row])
    np.testing.assert_allclose(state.joint_velocity, environment.clip.speeds[row])
    np.testing.assert_allclose(seen.command, environment.clip.command[row], atol=1e-6)
    np.testing.assert_allclose(seen.command[:, 0], 0.8, atol=0.01)


def test_the_clip_goes_into_the_targets_and_the_policy_corrects_it(make, contract, monkeypatch):
    environment = make()
    environment.reset(first=10)
    lead(environment, monkeypatch)
    action = np.full((3, ROBOT.count), 0.5, np.float32)
    environment.step(action)
    expected = environment.clip.joints[11] + 0.5 * np.array(contract.action.scale)
    np.testing.assert_allclose(environment.targets[0][0], expected.clip(ROBOT.lower, ROBOT.upper), atol=1e-6)


def test_it_goes_on_bit_for_bit_as_if_nothing_had_happened(make):
    first, second = make(seed=1), make(seed=2)
    first.reset()
    second.reset()
    action = 0.1 * np.random.default_rng(0).standard_normal((3, ROBOT.count)).astype(np.float32)
    for _ in range(7):
        first.step(action)
    seen = second.load_state_dict(first.state_dict())
    second.random.bit_generator.state = first.random.bit_generator.state
    np.testing.assert_array_equal(seen.proprioception, first._seen().proprioception)
    for _ in range(30):
        one, other = first.step(action), second.step(action)
        np.testing.assert_array_equal(one.reward, other.reward)
        np.testing.assert_array_equal(one.observation.proprioception, other.observation.proprioception)


def test_the_score_is_that_of_the_whole_clip_from_its_beginning(make, monkeypatch):
    environment = make()
    off = np.zeros(7 + ROBOT.count)
    off[7 + ROBOT.index("left_elbow")] = -0.3
    lead(environment, monkeypatch, off)
    found = score(lambda seen: still(environment), environment)
    # one hand of fourteen places, 0.18 m from its elbow, turned by 0.3 rad: 2 * 0.18 * sin(0.15) / 14
    assert found.mpjpe == pytest.approx(2 * 0.18 * np.sin(0.15) / 14, rel=1e-3)
    assert found.survival == 1.0


def test_ppo_takes_it_for_an_environment(make, contract):
    torch.manual_seed(0)
    environment = make(count=32)
    learner = PPO(Brain(contract, std=0.3), environment, PPOConfig(rollout=8, noise=0.1), 0, threads=1)
    told = [learner.iterate() for _ in range(3)]
    assert all(np.isfinite(list(row.values())).all() for row in told)
    assert {"pose", "speed", "ends", "root", "mpjpe"} <= set(learner.episodes.terms)
