import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from jack_contract.errors import JackError
from jack_contract.gait import REACH, Beat, Rhythm
from jack_contract.rotation import xyzw_to_wxyz
from jack_sim.randomization import OFF, ON, fixed
from jack_trainer.tasks import locomotion
from jack_trainer.tasks.lessons import EXAM
from jack_trainer.tasks.rewards import TERMS

#: What a robot that lies on the ground is allowed.
NEVER_FALLS = {"fall_height": -9.0, "fall_tilt": math.pi}


def still(environment) -> np.ndarray:
    """The action that asks for the default pose."""
    return np.zeros((environment.count, environment.contract.robot.count), np.float32)


def wait(environment, periods: int) -> None:
    """So many control periods in which he only holds the default pose."""
    for _ in range(periods):
        environment.step(still(environment))


def silence(environment) -> np.ndarray:
    """The signal of a rhythm at rest."""
    return np.zeros((environment.count, 2))


def small(environment, seed=0):
    """Actions without end, each a little different."""
    random = np.random.default_rng(seed)
    while True:
        yield (0.3 * random.standard_normal(still(environment).shape)).astype(np.float32)


def put(environment, robot: int, height: float | None = None, roll: float = 0.0) -> None:
    """Hold one robot at a pelvis height [m] and roll [rad], at rest."""
    qpos = environment.world.home.copy()
    qpos[2] = qpos[2] if height is None else height
    qpos[3:7] = xyzw_to_wxyz(np.array([math.sin(roll / 2), 0.0, 0.0, math.cos(roll / 2)]))
    environment.world.reset(np.array([robot]), qpos[None])


def slow(environment, **changes) -> None:
    """A gait cycle of 0.8 s, whatever Jack's own is: what follows was computed for it."""
    contract = environment.contract
    environment.contract = replace(contract, gait=replace(contract.gait, period=0.8, **changes))


def freeze(environment, monkeypatch) -> None:
    """Time goes on and nobody moves: quick, and nobody falls."""
    monkeypatch.setattr(environment.world, "step", lambda *_: None)


def watch_pushes(environment, monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """The robots pushed and their push velocities, one entry a step."""
    pushes = []
    original = environment.world.push

    def push(ids, velocity):
        pushes.append((ids.copy(), velocity.copy()))
        original(ids, velocity)

    monkeypatch.setattr(environment.world, "push", push)
    return pushes


# -- beginnings


def test_episodes_begin_near_the_default_pose_each_in_its_own_way(make_locomotion, contract):
    environment = make_locomotion(64, start_joint_noise=0.1, start_velocity=0.3)
    environment.reset()
    state, velocity = environment.world.state(), environment.world.truth().world_velocity
    away = state.joint_position - contract.robot.default_position
    assert np.abs(away).max() <= 0.1 and np.abs(away).max() > 0.09
    assert np.abs(velocity).max() <= 0.3 and np.abs(velocity).max() > 0.27
    assert len(np.unique(away, axis=0)) == 64
    np.testing.assert_array_equal(state.time, 0.0)


def test_the_first_observation_fills_the_history(make_locomotion, contract):
    environment = make_locomotion(3)
    seen = environment.reset().proprioception
    spec = contract.observation
    assert seen.shape == (3, spec.history, spec.frame_size) and seen.dtype == np.float32
    frame = spec.encode(contract.robot, environment.world.state(), still(environment), silence(environment))
    for slot in range(spec.history):
        np.testing.assert_array_equal(seen[:, slot], frame)


def test_each_step_adds_a_frame_with_the_action_in_it(make_locomotion, contract):
    environment = make_locomotion(3)
    before = environment.reset().proprioception.copy()
    action = next(small(environment))
    after = environment.step(action).observation.proprioception
    np.testing.assert_array_equal(after[:, :-1], before[:, 1:])
    state, encode = environment.world.state(), contract.observation.encode
    np.testing.assert_array_equal(after[:, -1], encode(contract.robot, state, action, silence(environment)))
    np.testing.assert_array_equal(after[:, -1, contract.observation.slices()["previous_action"]], action)


def test_staggered_episodes_do_not_end_together(make_locomotion, monkeypatch):
    together = make_locomotion(64, episode=1.0, push_interval=(9.0, 9.0))
    staggered = make_locomotion(64, episode=1.0, push_interval=(9.0, 9.0), staggered=True)
    ends = []
    for environment in (together, staggered):
        freeze(environment, monkeypatch)
        environment.reset()
        steps = [environment.step(still(environment)) for _ in range(50)]
        ends.append([int(step.truncated.sum()) for step in steps])
    assert ends[0] == [0] * 49 + [64]
    assert max(ends[1]) < 10 and sum(ends[1]) == 64


# -- commands and the gait

ASKED = ((0.2, 0.6), (-0.1, 0.1), (-0.5, -0.3))


def test_who_learns_to_stand_is_told_to_stand(make_locomotion):
    environment = make_locomotion(2)
    for seen in (environment.reset(), environment.step(still(environment)).observation):
        assert seen.command.dtype == np.float32
        np.testing.assert_array_equal(seen.command, np.zeros((2, 3)))


def test_a_command_lasts_four_seconds_and_one_in_ten_is_to_stand(make_locomotion, monkeypatch):
    environment = make_locomotion(500, command=ASKED)
    freeze(environment, monkeypatch)
    environment.reset()
    commands, since = [environment.command.copy()], [environment.since_command]
    for _ in range(401):
        environment.step(still(environment))
        commands.append(environment.command.copy())
        since.append(environment.since_command)
    anew = [t + 1 for t, (one, other) in enumerate(itertools.pairwise(commands)) if (one != other).any()]
    assert anew == [200, 400]
    np.testing.assert_array_equal(since, np.repeat([*range(200), *range(200), 0, 1], 500).reshape(402, 500))
    for command in (commands[0], commands[200], commands[400]):
        asked = command[command.any(axis=-1)]
        assert 430 < len(asked) < 470  # a tenth of 500 is told to stand: 450, and its deviation is 7
        low, high = np.array(ASKED).T
        assert (asked >= low).all() and (asked <= high).all()
        assert (np.ptp(asked, axis=0) > 0.95 * (high - low)).all()
    assert not (commands[0] == commands[200])[commands[0].any(axis=-1)].any()


def test_some_commands_are_to_go_straight_ahead(make_locomotion):
    environment = make_locomotion(1000, command=((-0.3, 0.6), (-0.1, 0.1), (-0.5, 0.5)), still=0.0, straight=0.5)
    environment.reset()
    ahead = ~environment.command[:, 1:].any(axis=-1)
    assert 0.4 < ahead.mean() < 0.6
    forward = environment.command[ahead, 0]
    assert 0.0 <= forward.min() < 0.05 and 0.55 < forward.max() <= 0.6
    assert environment.command[~ahead, 0].min() < -0.2


def test_who_starts_anew_is_asked_anew_and_sees_it_at_once(make_locomotion):
    environment = make_locomotion(3, command=ASKED, still=0.0)
    environment.reset()
    for _ in range(8):
        before = environment.step(still(environment)).observation.command
    asked = environment.command.copy()
    assert before.all()
    put(environment, 1, roll=1.5)
    seen = environment.step(still(environment)).observation.command
    assert (environment.command == asked).all(axis=-1).tolist() == [True, False, True]
    assert environment.since_command.tolist() == [9, 0, 9]
    assert seen[[0, 2]].all() and not seen[1].any()  # he stands, and is told the pace from which he sets out


def test_some_are_only_ever_told_to_stand(make_locomotion):
    environment = make_locomotion(400, command=ASKED, still=0.0, standing=0.25, command_interval=0.1)
    environment.reset()
    asked = []
    for _ in range(12):
        environment.step(still(environment))
        asked.append(environment.command.any(axis=-1))
    stands = environment.state_dict()["stands"]
    assert 0.15 < stands.mean() < 0.35
    np.testing.assert_array_equal(np.stack(asked), np.tile(~stands, (12, 1)))


@pytest.mark.parametrize(("alarm", "unpushed"), [(0.2, 0.0), (20.0, 1.0)], ids=["after a push", "always"])
def test_who_stumbles_steps_for_a_while_after_a_push_or_always(
    make_locomotion, contract, monkeypatch, alarm, unpushed
):
    """All tip over all the time; they are pushed after 0.4 s."""
    monkeypatch.setattr(type(contract.observation), "tipping", lambda self, frames: np.ones(len(frames)))
    given = {"alarm": alarm, "push_speed": (0.1, 0.1), "push_interval": (0.4, 0.4)}
    environment = make_locomotion(100, **given, **NEVER_FALLS)
    environment.reset()
    stepping = []
    for _ in range(38):
        environment.step(still(environment))
        stepping.append((environment.state_dict()["phase"] % 0.5 != 0.0).mean())
    assert stepping[:12] == [unpushed] * 12  # a step takes 13
    assert stepping[24] > 0.7
    assert stepping[37] == unpushed  # up to 0.2 s, and what was left of a step


@pytest.mark.parametrize("stumbles", [0.0, 20.0])
def test_who_is_told_to_walk_is_shown_the_rhythm_and_moved_by_it(make_locomotion, contract, monkeypatch, stumbles):
    environment = make_locomotion(8, command=ASKED, still=0.5, alarm=stumbles, **NEVER_FALLS)
    seen, targets = environment.reset(), []
    original, gait, robot = environment.world.step, contract.gait, contract.robot
    monkeypatch.setattr(
        environment.world, "step", lambda t, *delay: (targets.append(t.copy()), original(t, *delay))
    )
    rhythm = replace(Rhythm.at_rest((8,)), phase=environment.state_dict()["phase"])
    assert set(rhythm.phase.tolist()) == {0.0, 0.5}
    at = contract.observation.slices()["gait"]
    for action in itertools.islice(small(environment), 50):  # one second, more than a whole cycle
        np.testing.assert_array_equal(seen.command, rhythm.pace.astype(np.float32))
        np.testing.assert_allclose(seen.proprioception[:, -1, at], gait.signal(rhythm), atol=1e-6)
        offsets = gait.offsets(robot, rhythm)
        tipping = contract.observation.tipping(seen.proprioception) * (stumbles > 0)
        seen, motion = environment.step(action).observation, environment.motion
        np.testing.assert_allclose(targets[-1], contract.action.targets(robot, action, offsets), atol=1e-9)
        np.testing.assert_array_equal(motion.joint_target, robot.default_position + offsets)
        np.testing.assert_allclose(motion.foot_target, 0.09 * gait.lift(rhythm))
        np.testing.assert_array_equal(motion.stepping, gait.stepping(rhythm))
        rhythm = gait.advance(rhythm, environment.command, robot.control_period, tipping)
    now, walking = environment.state_dict(), environment.command.any(axis=-1)
    np.testing.assert_array_equal(now["phase"], rhythm.phase)
    np.testing.assert_array_equal(now["pace"], rhythm.pace)
    assert 2 <= walking.sum() <= 6
    np.testing.assert_array_equal(
        rhythm.pace[walking], environment.command[walking]
    )  # by now he is as fast as asked
    assert (np.abs(offsets[walking]) > 1e-9).any(axis=-1).all()


def test_a_task_may_have_a_beat_of_its_own(make_locomotion, monkeypatch):
    """A cycle of 1.04 s: 52 control periods; he is judged after one."""
    asked = ((0.4, 0.4), (0.0, 0.0), (0.0, 0.0))
    environment = make_locomotion(3, command=asked, still=0.0, curriculum=1.0, beat=Beat(1.04, 0.4))
    freeze(environment, monkeypatch)
    environment.reset()
    begun = environment.state_dict()["phase"].copy()
    seen = [environment.step(still(environment)) for _ in range(15)][-1].observation
    pace = np.minimum(0.4, 0.02 * np.arange(1, 16))  # it grows by 1 m/s^2, and is none up to 0.05 m/s
    lasts = 0.52 + 0.52 * np.exp(-(((0.4 - pace) / REACH) ** 2))
    gait = environment.contract.gait
    assert gait.period == 0.52 and environment.gait.period == 1.04
    walked = (environment.state_dict()["phase"] - begun) % 1.0
    np.testing.assert_allclose(walked, (0.02 / lasts[pace > 0.05]).sum())
    np.testing.assert_array_equal(seen.command[:, 0] > 0, True)
    settled = [environment.step(still(environment)) and environment.settled.all() for _ in range(40)]
    assert settled.index(True) == 52 - 15


@pytest.mark.parametrize(("glide", "period"), [(0.0, 0.52), (0.5, 0.78), (1.0, 1.04)])
def test_the_beat_glides_to_the_tasks_own(make_locomotion, glide, period):
    environment = make_locomotion(1, beat=Beat(1.04, 0.5))
    environment.glide = glide
    assert environment.gait.period == pytest.approx(period)
    assert make_locomotion(1).gait.period == 0.52


# -- what is rewarded


def test_the_drift_by_hand(make_locomotion, monkeypatch):
    """Turned to the left by 90 degrees, 0.5 m/s to the north are 0.5 m/s forwards; 0.6 s are half a cycle and more.

    An average over half a cycle of 0.8 s, in steps of 0.02 s: each leaves 95 % of it, and 1 - 0.95^30 = 0.78536.
    """
    environment = make_locomotion(2, push_interval=(9.0, 9.0))
    slow(environment)
    freeze(environment, monkeypatch)
    environment.reset()
    qpos, qvel = np.tile(environment.world.home, (2, 1)), np.zeros((2, environment.world.batch.model.nv))
    qpos[1, 3:7] = xyzw_to_wxyz(np.array([0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)]))
    qvel[1, :2], qvel[1, 3:6] = (0.1, 0.5), (7.0, 0.0, -0.2)
    environment.world.reset(np.arange(2), qpos, qvel)
    wait(environment, 30)
    expected = 0.78536 * np.array([[0.0, 0.0, 0.0], [0.5, -0.1, -0.2]])
    np.testing.assert_allclose(environment.motion.drift, expected, atol=1e-5)


def test_drift_is_from_the_pace_and_starts_at_nothing(make_locomotion, monkeypatch):
    asked = ((0.4, 0.4), (0.0, 0.0), (0.0, 0.0))
    environment = make_locomotion(1, command=asked, still=0.0, start_velocity=0.0, episode=0.1)
    slow(environment, acceleration=2.0)
    freeze(environment, monkeypatch)
    environment.reset()
    drifts = []
    for _ in range(6):
        environment.step(still(environment))
        drifts.append(environment.motion.drift[0, 0])
    # 2 m/s^2: the pace was 0, 0.04, 0.08, 0.12, 0.16 m/s; each step takes 5 % of it and leaves 95 %
    expected = [0.0, -0.002, -0.0059, -0.011605, -0.01902475]
    np.testing.assert_allclose(drifts, [*expected, 0.0], atol=1e-12)


def test_where_he_rests_is_an_average_that_starts_at_nothing(make_locomotion, monkeypatch):
    """Over half a second, in steps of 0.02 s: each leaves 96 % of it. Swings to both sides hardly count."""
    still_start = {"start_velocity": 0.0, "start_joint_noise": 0.0}
    environment = make_locomotion(2, push_interval=(9.0, 9.0), episode=0.1, **still_start)
    freeze(environment, monkeypatch)
    environment.reset()
    ahead = environment._lean
    for swing in (0.3, -0.3, 0.3, -0.3):
        qvel = np.zeros((2, environment.world.batch.model.nv))
        qvel[1, 0] = swing
        environment.world.reset(np.arange(2), np.tile(environment.world.home, (2, 1)), qvel)
        wait(environment, 1)
    # of the weight's place 1 - 0.96^4 = 0.15065; of the swings 0.04 (-0.96^3 + 0.96^2 - 0.96 + 1) v sqrt(h / g)
    swung = 0.04 * (0.9216 - 0.884736 + 0.04) * -0.3 * math.sqrt(environment.motion.height[1] / 9.81)
    expected = [0.15065 * np.linalg.norm(ahead), np.linalg.norm(0.15065 * ahead + [swung, 0.0])]
    np.testing.assert_allclose(environment.motion.resting_error, expected, atol=1e-6)
    wait(environment, 2)  # the second one begins a new episode
    np.testing.assert_allclose(environment.motion.resting_error[0], 0.04 * np.linalg.norm(ahead), rtol=1e-3)


def test_the_truth_is_velocity_drift_and_slope_as_they_are_now(make_locomotion):
    environment = make_locomotion(incline=0.1)
    environment.reset()
    actions = small(environment)
    for _ in range(5):
        seen = environment.step(next(actions)).observation
    truth, drift = environment.world.truth(), environment.motion.drift
    expected = np.concatenate((truth.velocity, drift, truth.slope), axis=-1)
    np.testing.assert_allclose(seen.truth, expected, rtol=1e-6)
    assert seen.truth.dtype == np.float32 and np.abs(seen.truth).min(axis=0).all()


def test_the_motion_stays_as_it_was_rewarded(make_locomotion):
    environment = make_locomotion(2)
    environment.reset()
    first, second = itertools.islice(small(environment), 2)
    environment.step(first)
    environment.step(second)
    np.testing.assert_array_equal(environment.motion.previous_action, first)
    np.testing.assert_array_equal(environment.motion.action, second)


# -- the curriculum


def test_the_curriculum_grows_with_who_follows_and_shrinks_with_falls(make_locomotion, monkeypatch):
    for name, value in {"_GROWTH": 0.05, "_FOLLOWING": 0.5, "_FALL": 10.0}.items():
        monkeypatch.setattr(locomotion, name, value)
    environment = make_locomotion(4, curriculum=0.3, start_velocity=0.0, push_interval=(9.0, 9.0))
    slow(environment)
    freeze(environment, monkeypatch)
    environment.reset()

    def after(level: float, drift: float = 0.0, fallen: int = 0) -> float:
        state = environment.state_dict()
        state |= {"level": np.array([level]), "drift": np.tile([drift, 0.0, 0.0], (4, 1))}
        environment.load_state_dict(state)
        for robot in range(fallen):
            put(environment, robot, roll=1.5)
        return environment.step(still(environment)).terms["curriculum"]

    # all follow and stand, nearness 1, twice what is asked for: 0.05 a second, 0.001 a step
    assert after(0.3) == pytest.approx(0.301)
    # 0.2 m/s off (of a drift, 95 % are left): nearness 1/2, neither way; 0.4 m/s: 1/5, and (1/5) / (1/2) - 1 = -0.6
    assert after(0.5, drift=0.2 / 0.95) == pytest.approx(0.5)
    assert after(0.5, drift=0.4 / 0.95) == pytest.approx(0.4994)
    # one of four falls, 10 s of growth each: 0.05 * 10 / 4 = 0.125
    assert after(0.9, fallen=1) == pytest.approx(0.9 + 0.001 - 0.125)
    assert after(0.5, fallen=4) == 0.3 and after(0.9995) == 1.0  # no less, and no more


def test_who_begins_is_asked_for_less_and_pushed_less(make_locomotion, monkeypatch):
    settings = {"command": ASKED, "still": 0.0, "push_interval": (0.1, 0.1), "push_speed": (0.5, 0.5)}
    environment = make_locomotion(100, curriculum=0.3, start_velocity=0.0, **settings)
    freeze(environment, monkeypatch)
    environment.reset()
    low, high = 0.3 * np.array(ASKED).T
    assert (environment.command >= low).all() and (environment.command <= high).all()
    assert (np.ptp(environment.command, axis=0) > 0.9 * (high - low)).all()
    pushes = watch_pushes(environment, monkeypatch)
    levels = [environment.step(still(environment)).terms["curriculum"] for _ in range(5)]
    assert 0.3 < levels[3] < 0.35
    np.testing.assert_allclose(np.linalg.norm(pushes[4][1], axis=-1), levels[3] * 0.5)


# -- bodies of their own


def test_encoders_are_read_and_obeyed_with_their_offset(make_locomotion, contract, monkeypatch):
    environment, targets = make_locomotion(2, randomization=fixed(joint_offset=0.1)), []
    original = environment.world.step
    monkeypatch.setattr(
        environment.world, "step", lambda t, *delay: (targets.append(t.copy()), original(t, *delay))
    )
    seen = environment.reset().proprioception
    joints = contract.observation.slices()["joint_position"]
    for _ in range(2):
        true = environment.world.state().joint_position - contract.robot.default_position
        np.testing.assert_allclose(seen[:, -1, joints], true + 0.1, atol=1e-6)
        seen = environment.step(still(environment)).observation.proprioception
    np.testing.assert_allclose(targets[0], np.tile(contract.robot.default_position - 0.1, (2, 1)))


def test_targets_arrive_late(make_locomotion, monkeypatch):
    environment, delays = make_locomotion(2, randomization=fixed(latency=0.01)), []
    monkeypatch.setattr(environment.world, "step", lambda _, delay: delays.append(delay.tolist()))
    environment.reset()
    environment.step(still(environment))
    assert delays == [[2, 2]]  # physics steps of 5 ms


def test_who_starts_anew_gets_another_body(make_locomotion):
    environment = make_locomotion(3, randomization=ON)
    environment.reset()
    before = environment.state_dict()
    put(environment, 1, roll=1.5)
    environment.step(still(environment))
    after = environment.state_dict()
    bodies = [name for name in before if name.startswith("body.")]
    assert {"body.mass", "body.friction", "body.latency", "body.gyro_bias"} <= set(bodies)
    for name in bodies:
        old, new = before[name].reshape(3, -1), after[name].reshape(3, -1)
        assert len(np.unique(old)) == old.size
        np.testing.assert_array_equal(old == new, np.array([[True], [False], [True]]) & np.ones(old.shape, bool))


# -- ends


@pytest.mark.parametrize(
    ("place", "limits"),
    [
        ({"height": 0.3}, {"fall_height": 0.42, "fall_tilt": 3.1}),
        ({"height": 1.5, "roll": 1.1}, {"fall_height": -9.0, "fall_tilt": 1.0}),
        ({"height": 1.5, "roll": -1.1}, {"fall_height": -9.0, "fall_tilt": 1.0}),
    ],
)
def test_a_fall_ends_the_episode_of_the_one_that_fell(make_locomotion, monkeypatch, place, limits):
    environment = make_locomotion(4, **limits)
    environment.reset()
    wait(environment, 3)
    feet = environment.world.truth()
    if "roll" not in place:  # sunk into the ground he would be thrown out: low over the lower foot is what counts
        feet.feet[2, :, 2] += 0.4
        monkeypatch.setattr(environment.world, "truth", lambda: feet)
    else:
        put(environment, 2, **place)
    step = environment.step(still(environment))
    assert step.terminated.tolist() == [False, False, True, False]
    assert not step.truncated.any() and step.final is None
    assert step.episode_lengths.tolist() == [4] and step.episode_returns.shape == (1,)
    assert step.terms["fall"] == pytest.approx(environment.config.weights.fall / 4)
    assert step.reward[2] < step.reward[[0, 1, 3]].min()


@pytest.mark.parametrize("place", [{}, {"height": 1.5, "roll": 0.9}])
def test_less_than_that_is_no_fall(make_locomotion, place):
    environment = make_locomotion(2, fall_tilt=1.0, fall_height=0.42 if not place else -9.0)
    environment.reset()
    put(environment, 1, **place)
    assert not environment.step(still(environment)).terminated.any()


def test_the_one_that_fell_starts_anew(make_locomotion, contract):
    environment = make_locomotion(3)
    environment.reset()
    for _ in range(3):
        environment.step(next(small(environment)))
    put(environment, 1, roll=1.5)
    seen = environment.step(next(small(environment))).observation.proprioception
    state = environment.world.state()
    assert state.time.tolist() == pytest.approx([0.08, 0.0, 0.08])
    assert np.abs(state.joint_position[1] - contract.robot.default_position).max() <= 0.1
    frame = contract.observation.encode(contract.robot, state, still(environment), silence(environment))
    for slot in range(contract.observation.history):  # nothing of the old life, nor of its last action
        np.testing.assert_array_equal(seen[1, slot], frame[1])
    assert not np.array_equal(seen[0, -2], seen[0, -1])
    lengths = [environment.step(still(environment)) for _ in range(2)]
    assert all(len(step.episode_lengths) == 0 for step in lengths)


def test_time_that_is_over_is_no_fall(make_locomotion):
    environment = make_locomotion(3, episode=0.1)
    environment.reset()
    assert environment.limit == 5
    steps = [environment.step(still(environment)) for _ in range(10)]
    assert [step.truncated.tolist() for step in steps] == ([[False] * 3] * 4 + [[True] * 3]) * 2
    assert not any(step.terminated.any() for step in steps)
    assert [step.final is not None for step in steps] == ([False] * 4 + [True]) * 2
    assert steps[4].episode_lengths.tolist() == [5, 5, 5]
    rewards = np.sum([step.reward for step in steps[:5]], axis=0)
    np.testing.assert_allclose(steps[4].episode_returns, rewards, rtol=1e-5)


def test_the_final_observation_is_from_before_the_reset(make_locomotion):
    """A twin whose time is not over sees at that moment what the final observation says, bit for bit."""
    short, long = make_locomotion(3, seed=4, episode=0.1), make_locomotion(3, seed=4, episode=1.0)
    short.reset(), long.reset()
    for action in itertools.islice(small(short), 5):
        ended, going_on = short.step(action), long.step(action)
    np.testing.assert_array_equal(ended.final.proprioception, going_on.observation.proprioception)
    assert not np.array_equal(ended.final.proprioception, ended.observation.proprioception)
    kept = ended.final.proprioception.copy()
    short.step(still(short))
    np.testing.assert_array_equal(ended.final.proprioception, kept)  # it is a copy


def test_only_those_cut_off_are_in_the_final_observation(make_locomotion):
    environment = make_locomotion(4, episode=0.1)
    environment.reset()
    wait(environment, 2)
    put(environment, 1, roll=1.5)  # falls in step 3 of 5, so its time is over later
    steps = [environment.step(still(environment)) for _ in range(3)]
    assert steps[2].truncated.tolist() == [True, False, True, True]
    assert len(steps[2].final.proprioception) == 3


def test_a_fall_as_time_runs_out_is_a_fall(make_locomotion):
    environment = make_locomotion(2, episode=0.1)
    environment.reset()
    wait(environment, 4)
    put(environment, 0, roll=1.5)
    step = environment.step(still(environment))
    assert step.terminated.tolist() == [True, False] and step.truncated.tolist() == [False, True]
    assert len(step.final.proprioception) == 1


# -- physics that breaks down


@pytest.mark.parametrize("what", ["position", "velocity", "action", "drift", "reward"])
@pytest.mark.parametrize("curriculum", [1.0, 0.3])
def test_numbers_that_are_none_end_one_episode_and_touch_no_other(
    make_locomotion, what, curriculum, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file where it stands
    environment, twin = (make_locomotion(4, seed=2, curriculum=curriculum) for _ in range(2))
    environment.reset(), twin.reset()
    actions = list(itertools.islice(small(environment), 4))
    for action in actions[:3]:
        environment.step(action), twin.step(action)
    last = actions[3].copy()
    if what == "action":
        last[2, 5] = np.nan
    elif what == "drift":
        environment._drift[2, 0] = np.nan
    elif what == "reward":
        pose, nobody = TERMS["pose"], np.array([0.0, 0.0, np.nan, 0.0])
        of_it = lambda m: pose(m) + (nobody if m.action is last else 0.0)  # noqa: E731
        monkeypatch.setitem(TERMS, "pose", of_it)
    else:
        name = {"position": "qpos", "velocity": "qvel"}[what]
        environment.world.batch.bind(name)[2, 12] = np.nan
    broken, sound = environment.step(last), twin.step(actions[3])
    assert broken.terminated.tolist() == [False, False, True, False] and not broken.truncated.any()
    assert broken.reward[2] == 0.0
    assert broken.episode_lengths.tolist() == [4] and np.isfinite(broken.episode_returns).all()
    others = [0, 1, 3]
    np.testing.assert_array_equal(broken.reward[others], sound.reward[others])
    seen = broken.observation.proprioception
    np.testing.assert_array_equal(seen[others], sound.observation.proprioception[others])
    assert np.isfinite(seen).all()
    assert environment.world.state().time[2] == 0.0
    assert all(np.isfinite(array).all() for array in environment.state_dict().values())
    assert not environment.step(still(environment)).terminated.any()
    assert (environment.broken, twin.broken) == (1, 0)


# -- pushes


def test_pushes_come_when_they_are_planned(make_locomotion, monkeypatch):
    environment = make_locomotion(3, push_interval=(0.1, 0.1), push_speed=(0.5, 0.5), episode=10.0)
    environment.reset()
    pushes = watch_pushes(environment, monkeypatch)
    wait(environment, 17)
    assert [len(ids) for ids, _ in pushes] == ([0] * 4 + [3]) * 3 + [0, 0]
    for _, velocity in pushes[4::5]:
        np.testing.assert_allclose(np.linalg.norm(velocity, axis=-1), 0.5)


def test_a_push_is_felt_in_any_direction(make_locomotion):
    """Against a twin that is pushed by nothing: the pelvis' velocity differs by the push, and by nothing else."""
    pushed = make_locomotion(64, push_interval=(0.1, 0.1), push_speed=(0.5, 0.5))
    spared = make_locomotion(64, push_interval=(0.1, 0.1), push_speed=(0.0, 0.0))
    for environment in (pushed, spared):
        environment.reset()
        wait(environment, 5)
    difference = pushed.world.batch.bind("qvel") - spared.world.batch.bind("qvel")
    np.testing.assert_allclose(np.linalg.norm(difference[:, :2], axis=-1), 0.5)
    np.testing.assert_allclose(difference[:, 2:], 0.0, atol=1e-12)
    angles = np.arctan2(difference[:, 1], difference[:, 0])
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() > 4


def test_times_and_strengths_are_drawn_anew(make_locomotion, monkeypatch):
    environment = make_locomotion(16, push_interval=(0.1, 0.3), push_speed=(0.2, 0.4), **NEVER_FALLS)
    environment.reset()
    pushes = watch_pushes(environment, monkeypatch)
    wait(environment, 100)
    steps = [[t for t, (ids, _) in enumerate(pushes) if robot in ids] for robot in range(16)]
    gaps = np.concatenate([np.diff(times) for times in steps])
    assert gaps.min() >= 5 and gaps.max() <= 15 and len(np.unique(gaps)) > 5
    speeds = np.concatenate([np.linalg.norm(velocity, axis=-1) for _, velocity in pushes])
    assert 0.2 <= speeds.min() < 0.25 and 0.35 < speeds.max() <= 0.4


def test_the_exam_is_what_was_promised():
    """A push of 0.5 m/s every 4 s over 20 s, and no mercy about ages."""
    assert (EXAM.episode, EXAM.randomization) == (20.0, fixed(push_interval=4.0, push_speed=0.5))
    assert not EXAM.staggered
    assert EXAM.fall_tilt <= 1.0  # further than that the brain itself gives up, and damps


def test_a_push_ends_nothing(make_locomotion):
    """Who stands so that a push does not fell him is to be paid for it: what follows counts."""
    environment = make_locomotion(3, push_interval=(0.1, 0.1), **NEVER_FALLS)
    environment.reset()
    steps = [environment.step(still(environment)) for _ in range(6)]
    assert not any(step.truncated.any() or step.terminated.any() or len(step.episode_lengths) for step in steps)
    assert all(step.final is None for step in steps)


def test_the_push_that_felled_him_comes_again(make_locomotion, monkeypatch):
    environment = make_locomotion(2, push_interval=(0.1, 0.1), push_speed=(0.1, 0.5), again=1.0)
    environment.reset()
    pushes = watch_pushes(environment, monkeypatch)
    wait(environment, 5)
    put(environment, 0, roll=1.5)
    assert environment.step(still(environment)).terminated.tolist() == [True, False]
    wait(environment, 5)
    (ids, before), (first, again), (other, anew) = [push for push in pushes if len(push[0])]
    assert (ids.tolist(), other.tolist(), first.tolist()) == ([0, 1], [0], [1])
    assert np.linalg.norm(anew) == pytest.approx(np.linalg.norm(before[0]))
    np.testing.assert_allclose(anew[0], before[0], atol=0.1)  # he turned a little as he was pushed
    assert np.linalg.norm(again) != pytest.approx(np.linalg.norm(before[1]))  # nothing has felled this one


def test_who_falls_is_not_pushed_as_well(make_locomotion, monkeypatch):
    environment = make_locomotion(2, push_interval=(0.1, 0.1))
    environment.reset()
    pushes = watch_pushes(environment, monkeypatch)
    wait(environment, 4)
    put(environment, 0, roll=1.5)
    step = environment.step(still(environment))
    assert step.terminated.tolist() == [True, False] and not step.truncated.any()
    assert pushes[-1][0].tolist() == [1]


# -- going on


@pytest.mark.parametrize("bodies", [OFF, ON])
def test_a_state_dict_has_the_same_future_bit_for_bit(make_locomotion, bodies):
    settings = {"count": 6, "episode": 0.5, "staggered": True, "curriculum": 0.3}
    settings |= {"randomization": replace(bodies, push_interval=(0.1, 0.2), push_speed=(0.3, 0.6))}
    settings |= {"command": ASKED, "command_interval": 0.2}
    original, copy = make_locomotion(seed=1, **settings), make_locomotion(seed=2, **settings)
    original.reset()
    actions = small(original)
    for action in itertools.islice(actions, 20):
        seen = original.step(action).observation
    put(original, 3, roll=1.5)  # a fall still to come
    state, chance = original.state_dict(), original.random.bit_generator.state
    going_on = copy.load_state_dict(state)
    copy.random.bit_generator.state = chance
    np.testing.assert_array_equal(going_on.proprioception, seen.proprioception)
    np.testing.assert_array_equal(going_on.command, seen.command)
    ends = 0
    for action in itertools.islice(actions, 40):
        one, other = original.step(action), copy.step(action)
        for name in ("reward", "terminated", "truncated", "episode_returns", "episode_lengths"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.observation.proprioception, other.observation.proprioception)
        np.testing.assert_array_equal(one.observation.command, other.observation.command)
        assert one.terms == other.terms
        ends += len(one.episode_lengths)
    assert ends >= 7


def test_what_another_version_put_away_is_refused_with_a_sentence(make_locomotion):
    environment = make_locomotion(count=2)
    environment.reset()
    state = environment.state_dict()
    del state["push.felling"]
    state["age"] = np.zeros(3, np.int64)
    before = environment.state_dict()
    with pytest.raises(JackError, match=r"another version of Jack: .*age, push\.felling .*--from"):
        environment.load_state_dict(state)
    np.testing.assert_equal(environment.state_dict(), before)


def test_a_state_dict_holds_what_an_end_with_the_last_step_left(make_locomotion):
    environment = make_locomotion(3, episode=0.1, command=ASKED, still=0.0)
    environment.reset()
    for _ in range(5):  # the fifth ends all episodes
        seen = environment.step(still(environment)).observation
    again = environment.load_state_dict(environment.state_dict())
    np.testing.assert_array_equal(again.command, seen.command)
    np.testing.assert_array_equal(again.proprioception, seen.proprioception)


def test_a_state_dict_is_a_copy(make_locomotion):
    environment = make_locomotion(2, randomization=ON)
    environment.reset()
    state = environment.state_dict()
    before = {name: array.copy() for name, array in state.items()}
    environment.step(still(environment))
    for name, array in state.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_seed_decides_everything(make_locomotion):
    first, same, other = (make_locomotion(4, seed=seed, push_interval=(0.1, 0.2)) for seed in (5, 5, 6))
    frames = []
    for environment in (first, same, other):
        environment.reset()
        for action in itertools.islice(small(environment), 30):
            seen = environment.step(action).observation.proprioception
        frames.append(seen)
    np.testing.assert_array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_the_ground_is_inclined_anew_in_every_episode_and_goes_with_the_state(make_locomotion):
    environment = make_locomotion(64, incline=0.1, episode=0.1, start_joint_noise=0.0, start_velocity=0.0)
    environment.reset()
    slope = environment.world.slope.copy()
    rise = np.linalg.norm(slope, axis=-1)
    assert 0.0 <= rise.min() < 0.02 and 0.08 < rise.max() <= np.tan(0.1)
    assert (slope > 0).any(axis=0).all() and (slope < 0).any(axis=0).all()  # in any direction
    for _ in range(5):
        environment.step(still(environment))
        assert np.abs(environment.motion.foot_height).max() < 0.05
    assert (environment.world.slope != slope).any(axis=-1).all()
    other = make_locomotion(64, incline=0.1, episode=0.1, start_joint_noise=0.0, start_velocity=0.0)
    other.reset()
    other.random.bit_generator.state = environment.random.bit_generator.state
    other.load_state_dict(environment.state_dict())
    for _ in range(3):
        seen = [e.step(still(e)).observation.proprioception.copy() for e in (environment, other)]
        np.testing.assert_array_equal(*seen)
