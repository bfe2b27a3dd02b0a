import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.contract import default_contract
from jack_contract.errors import ContractError, ShapeError
from jack_contract.gait import REACH, Beat, GaitSpec, Rhythm, default_gait
from jack_contract.mirror import Mirror
from jack_contract.robot import RobotSpec
from jack_contract.testing import sample_contract, sample_robot

CONTRACT = sample_contract()
ROBOT, GAIT = CONTRACT.robot, replace(CONTRACT.gait, period=0.8, acceleration=2.0)  # whatever Jack's own is
T = ROBOT.control_period
STAND, WALK = np.zeros(3), np.array([0.5, 0.0, -0.2])


def at(phase, pace=STAND) -> Rhythm:
    """A rhythm, or one for each of some phases."""
    phase = np.asarray(phase, float)
    return Rhythm(phase, np.broadcast_to(pace, (*phase.shape, 3)))


def follow(rhythm: Rhythm, command: np.ndarray, ticks: int, gait: GaitSpec = GAIT) -> list[Rhythm]:
    """The rhythm after each of so many control periods."""
    seen = []
    for _ in range(ticks):
        rhythm = gait.advance(rhythm, command, T)
        seen.append(rhythm)
    return seen


def phases(*arguments) -> list[float]:
    return [float(rhythm.phase) for rhythm in follow(*arguments)]


# -- when he steps


@pytest.mark.parametrize("rest", [0.0, 0.5])
def test_he_rests_until_he_is_asked(rest):
    assert phases(at(rest), STAND, 100) == [rest] * 100
    assert not GAIT.stepping(at(rest))
    # 0.04 m/s in the first period are still standing; then 0.02 s of 0.8 s each
    seen = follow(at(rest), np.array([0.5, 0.0, 0.0]), 3)
    assert [float(rhythm.phase) for rhythm in seen] == pytest.approx([rest, rest + 0.025, rest + 0.05])
    assert [bool(GAIT.stepping(rhythm)) for rhythm in seen] == [False, True, True]


@pytest.mark.parametrize(("start", "rest"), [(0.01, 0.5), (0.3, 0.5), (0.49, 0.5), (0.51, 0.0), (0.99, 0.0)])
def test_a_step_under_way_is_finished_and_no_other_begun(start, rest):
    took = math.ceil(((rest or 1.0) - start) / 0.025)
    seen = phases(at(start), STAND, 60)
    assert seen[: took - 1] == pytest.approx([start + 0.025 * k for k in range(1, took)])
    assert seen[took - 1 :] == [rest] * (61 - took)
    assert GAIT.stepping(at(seen[: took - 1])).all()


def test_a_cycle_takes_its_period():
    seen = phases(at(0.0, WALK), WALK, 80)
    assert seen[19] == 0.5 and seen[39] == 0.0 and seen[59] == 0.5
    assert np.all(np.diff(seen[:39]) > 0)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 200])
def test_who_is_told_to_stand_with_both_feet_down_makes_no_step_more(steps):
    """A phase that missed the rest by its last bit would begin one, and after two hundred steps a thousand bits."""
    rhythm = follow(at(0.0, WALK), WALK, 20 * steps)[-1]
    assert phases(replace(rhythm, pace=STAND), STAND, 20) == [0.5 * (steps % 2)] * 20


@given(st.integers(0, 200), st.floats(0.1, 3.0))
def test_whenever_he_is_told_to_stand_he_stands_after_the_step_he_is_in(ticks, period):
    gait = replace(GAIT, period=period)
    told = float(follow(at(0.0, WALK), WALK, ticks + 1, gait)[-1].phase)
    rest = math.ceil(2 * told) / 2
    seen = phases(at(told), STAND, math.ceil(period / 2 / T) + 1, gait)
    assert seen[-1] == rest % 1.0
    assert all(phase == rest % 1.0 or rest - 0.5 < phase < rest for phase in seen)


def test_the_pace_follows_the_command_as_fast_as_a_body_can():
    command = np.array([0.1, -0.06, 0.03])  # by 2 m/s^2 in 0.02 s, each for itself
    seen = [rhythm.pace for rhythm in follow(at(0.0), command, 4)]
    expected = [[0.04, -0.04, 0.03], [0.08, -0.06, 0.03], [0.1, -0.06, 0.03], [0.1, -0.06, 0.03]]
    np.testing.assert_allclose(seen, expected, atol=1e-15)
    stopping = follow(at(0.0, command), STAND, 3)
    np.testing.assert_allclose(stopping[0].pace, [0.06, -0.02, 0.0], atol=1e-15)
    np.testing.assert_array_equal(stopping[2].pace, 0.0)


@pytest.mark.parametrize(
    ("pace", "walks"),
    [
        ([0.05, 0.0, 0.0], False),
        ([0.051, 0.0, 0.0], True),
        ([0.0, -0.051, 0.0], True),
        ([0.0, 0.0, 0.051], True),
        ([0.03, 0.03, 0.0], False),  # 0.042
        ([0.03, 0.03, -0.03], True),  # 0.052
    ],
)
def test_what_is_hardly_a_pace_is_standing(pace, walks):
    rhythm = at(0.0, np.array(pace))
    assert GAIT.stepping(rhythm) == walks
    assert (GAIT.advance(rhythm, rhythm.pace, T).phase > 0) == walks


@pytest.mark.parametrize("rest", [0.0, 0.5])
def test_who_stumbles_takes_a_step_and_another_while_he_stumbles(rest):
    assert GAIT.advance(at(rest), STAND, T, GAIT.stumble).phase == rest  # just not
    rhythm = GAIT.advance(at(rest), STAND, T, 0.9)
    assert rhythm.phase == pytest.approx(rest + 0.025) and GAIT.stepping(rhythm) and not rhythm.pace.any()
    assert phases(rhythm, STAND, 40)[-1] == (rest + 0.5) % 1.0
    for _ in range(20):
        rhythm = GAIT.advance(rhythm, STAND, T, 0.9)
    assert rhythm.phase % 0.5 == pytest.approx(0.025)


@pytest.mark.parametrize("rest", [0.0, 0.5])
def test_who_has_taken_a_step_comes_to_rest_before_as_little_makes_him_take_another(rest):
    """Half a cycle, 0.4 s, are 20 control periods: so long a step takes, and the rest after it."""
    shaken, seen = 2 * GAIT.stumble, []
    rhythm = at(rest)
    for _ in range(40):
        rhythm = GAIT.advance(rhythm, STAND, T, shaken)
        seen.append(bool(GAIT.stepping(rhythm)))
    assert seen == [True] * 19 + [False] * 20 + [True]
    assert rhythm.phase == pytest.approx((rest + 0.5) % 1.0 + 0.025)  # with the other foot
    landed = follow(at(rest + 0.45), STAND, 2)[-1]
    for tipping, steps in ((shaken, False), (shaken + 0.01, True)):
        assert GAIT.stepping(GAIT.advance(landed, STAND, T, tipping)) == steps
    assert GAIT.stepping(GAIT.advance(landed, np.array([0.5, 0.0, 0.0]), 2 * T))  # told to, he walks


def test_each_of_many_comes_to_rest_for_himself():
    many = GAIT.advance(at([0.0, 0.49, 0.49]), STAND, T)
    assert many.settling.tolist() == pytest.approx([0.0, 0.0, 0.0])
    many = follow(at([0.0, 0.45, 0.46]), STAND, 2)[-1]
    assert many.settling.tolist() == pytest.approx([0.0, 0.38, 0.38])
    assert many.rows(np.array([2, 0])).settling.tolist() == pytest.approx([0.38, 0.0])
    many.begin(np.array([1, 2]), np.array([0.0, 0.5]))
    assert many.settling.tolist() == [0.0] * 3 and many.phase.tolist() == [0.0, 0.0, 0.5] and not many.pace.any()


@pytest.mark.parametrize("ticks", [13, 16, 35])
def test_a_step_takes_half_a_period_to_the_tick(ticks):
    """Fractions that no float holds add up to exactly one half, ten times over."""
    gait = replace(GAIT, period=2 * ticks * T)
    walking = follow(at(0.0), WALK, 20 * ticks, gait)
    changes = [k for k, rhythm in enumerate(walking, start=1) if rhythm.phase in (0.0, 0.5)]
    assert changes == list(range(ticks, 20 * ticks + 1, ticks))
    last = follow(walking[-1], STAND, 100, gait)
    assert last[-1].phase in (0.0, 0.5) and not gait.stepping(last[-1])


def test_each_of_many_stumbles_for_himself():
    many = GAIT.advance(at([0.0, 0.5, 0.25]), STAND, T, np.array([0.9, 0.1, 0.0]))
    assert many.phase.tolist() == pytest.approx([0.025, 0.5, 0.275])


# -- what the policy sees


def test_the_signal_by_hand():
    half = math.sqrt(0.5)
    for phase, signal in ((0.0, (0, 1)), (0.125, (half, half)), (0.25, (1, 0)), (0.5, (0, -1)), (0.75, (-1, 0))):
        np.testing.assert_allclose(GAIT.signal(at(phase, WALK)), signal, atol=1e-12)


def test_the_signal_is_silent_at_rest_and_only_there():
    assert not GAIT.signal(at([0.0, 0.5])).any()
    np.testing.assert_allclose(GAIT.signal(at(0.25)), [1, 0], atol=1e-12)  # a step under way


# -- what the joints do


def test_lift_by_hand():
    # sin 18 degrees = 0.309017, sin 30 degrees = 0.5
    left = [0, 0.309017, 0.5, 1, 0, 0, 0]
    right = [0, 0, 0, 0, 0, 0.309017, 1]
    lift = GAIT.lift(at([0.0, 0.05, 1 / 12, 0.25, 0.5, 0.55, 0.75]))
    np.testing.assert_allclose(lift, np.stack((left, right), axis=-1), atol=1e-6)


def test_a_step_in_place_by_hand():
    """Joint i swings by 0.01 (i + 1): the waist, then nine joints on the left, then the same on the right."""
    left_knee, right_knee, left_roll, right_roll = (
        ROBOT.index(f"{side}_{part}") for part in ("knee", "hip_roll") for side in ("left", "right")
    )
    first, second = GAIT.offsets(ROBOT, at([1 / 12, 0.75]))
    np.testing.assert_allclose(first, 0.5 * 0.01 * np.arange(1, 20))
    assert second[right_knee] == pytest.approx(0.01 * (left_knee + 1))
    assert second[left_knee] == pytest.approx(0.01 * (right_knee + 1))
    assert second[right_roll] == pytest.approx(-0.01 * (left_roll + 1))
    assert second[left_roll] == pytest.approx(-0.01 * (right_roll + 1))
    assert second[0] == pytest.approx(-0.01)  # the waist turns the other way


def test_a_stride_by_hand():
    """0.01, 0.02 and 0.04 rad for each 1 m/s and 1 rad/s, the first joint; the other way half a cycle later."""
    gait = replace(GAIT, swing=(0.0,) * 19, stride=((0.01, 0.02, 0.04), *((0.0, 0.0, 0.0),) * 18))
    offsets = gait.offsets(ROBOT, at([0.0, 1 / 6, 0.25, 0.5], np.array([1.0, -0.5, 2.0])))
    np.testing.assert_allclose(offsets[:, 0], [0.08, 0.04, 0.0, -0.08], atol=1e-12)  # 0.01 - 0.01 + 0.08
    assert not offsets[:, 1:].any()


def test_at_rest_nothing_is_offset():
    np.testing.assert_allclose(GAIT.offsets(ROBOT, at([0.0, 0.5])), 0.0, atol=1e-12)
    hardly = np.array([0.04, 0.0, 0.0])
    np.testing.assert_allclose(GAIT.offsets(ROBOT, at([0.0, 0.5], hardly)), 0.0, atol=1e-12)


@pytest.mark.parametrize("contract", [CONTRACT, default_contract()], ids=["sample", "jack"])
def test_half_a_cycle_later_and_mirrored_is_the_mirror_image(contract):
    gait, robot, mirror, rng = contract.gait, contract.robot, Mirror.of(contract), np.random.default_rng(0)
    now = Rhythm(rng.random(50), rng.normal(size=(50, 3)))
    now.phase[:4], now.pace[1:8] = (0.0, 0.0, 0.5, 0.25), 0.0
    later = replace(now, phase=(now.phase + 0.5) % 1.0, pace=mirror.command(now.pace))
    np.testing.assert_allclose(gait.offsets(robot, later), mirror.action(gait.offsets(robot, now)), atol=1e-12)
    np.testing.assert_allclose(gait.signal(later), -gait.signal(now), atol=1e-12)
    np.testing.assert_allclose(gait.lift(later), gait.lift(now)[:, ::-1], atol=1e-12)
    command = rng.normal(size=(50, 3))
    one, other = gait.advance(now, command, T), gait.advance(later, mirror.command(command), T)
    np.testing.assert_allclose((one.phase + 0.5) % 1.0, other.phase, atol=1e-8)
    np.testing.assert_allclose(mirror.command(one.pace), other.pace, atol=1e-12)


# -- many at once


def test_a_batch_is_its_rows():
    rng = np.random.default_rng(0)
    many, command = Rhythm(rng.random(40), rng.normal(size=(40, 3))), rng.normal(size=(40, 3))
    tipping = rng.random(40)
    many.phase[:10], many.phase[10:20], many.pace[5:30:2], command[5:15] = 0.0, 0.5, 0.0, 0.0
    stepping, signal, following = GAIT.stepping(many), GAIT.signal(many), GAIT.advance(many, command, T, tipping)
    lift, offsets = GAIT.lift(many), GAIT.offsets(ROBOT, many)
    assert 0 < stepping.sum() < 40
    assert signal.shape == (40, 2) and offsets.shape == (40, ROBOT.count)
    for row, asked in enumerate(command):
        one = many.rows(row)
        assert stepping[row] == GAIT.stepping(one)
        then = GAIT.advance(one, asked, T, tipping[row])
        assert following.phase[row] == then.phase
        np.testing.assert_array_equal(following.pace[row], then.pace)
        np.testing.assert_array_equal(signal[row], GAIT.signal(one))
        np.testing.assert_array_equal(lift[row], GAIT.lift(one))
        np.testing.assert_allclose(offsets[row], GAIT.offsets(ROBOT, one), rtol=1e-12, atol=1e-15)


def test_all_begin_with_both_feet_down():
    rhythm = Rhythm.at_rest((4, 5))
    assert rhythm.phase.shape == (4, 5) and rhythm.pace.shape == (4, 5, 3)
    assert not GAIT.stepping(rhythm).any() and GAIT.offsets(ROBOT, rhythm).shape == (4, 5, ROBOT.count)


def test_nothing_is_changed_in_place():
    rhythm = Rhythm.at_rest((3,))
    GAIT.advance(rhythm, np.ones((3, 3)), T)
    assert not rhythm.phase.any() and not rhythm.pace.any()


# -- what there is, and what there is not


@pytest.mark.parametrize(
    "change",
    [
        {"period": 0.09},
        {"period": 10.1},
        {"period": math.nan},
        {"swing": (math.nan,) * 19},
        {"swing": (-math.inf,) * 19},
        {"stride": ((0.0, math.nan, 0.0),) * 19},
        {"stride": ((0.0, 0.0),) * 19},
        {"acceleration": 0.0},
        {"acceleration": math.inf},
        {"stumble": 0.0},
        {"stumble": math.inf},
        {"still": -0.01},
        {"still": math.nan},
        {"still": math.inf},
    ],
)
def test_impossible_gaits_are_refused(change):
    with pytest.raises(ContractError, match="A gait needs a period of"):
        replace(GAIT, **change)


@pytest.mark.parametrize("change", [{"swing": (0.1,)}, {"stride": ()}, {"swing": (), "stride": ()}])
def test_a_gait_for_no_joints_or_for_half_of_them_is_refused(change):
    with pytest.raises(ContractError, match="offsets for each joint"):
        replace(GAIT, **change)


def test_a_gait_of_another_robot_is_refused():
    robot = sample_robot()
    with pytest.raises(ShapeError, match="Gait"):
        GAIT.offsets(replace(robot, joints=robot.joints[1:]), at(0.25))


def jacks_offsets(rhythm: Rhythm) -> dict[str, float]:
    contract = default_contract()
    offsets = contract.gait.offsets(contract.robot, rhythm).round(9)
    return {name: at for name, at in zip(contract.robot.joint_names, offsets.tolist(), strict=True) if at}


def test_jack_lifts_a_foot_and_leans_over_the_other():
    for side, phase, left in (("left", 0.25, 0.1), ("right", 0.75, -0.1)):
        lifted = {f"{side}_hip_pitch": -0.4, f"{side}_knee": 0.8, f"{side}_ankle_pitch": -0.4}
        # a positive roll moves what hangs to the left: feet that stand move the body to the right
        leaning = {f"{leg}_hip_roll": left for leg in ("left", "right")}
        level = {f"{leg}_ankle_roll": -left for leg in ("left", "right")}
        assert jacks_offsets(at(phase)) == lifted | leaning | level


def test_the_left_foot_leaves_the_ground_behind_and_lands_in_front_and_the_arms_swing_against_the_legs():
    forward = np.array([0.5, 0.0, 0.0])
    leaving, landing = jacks_offsets(at(0.0, forward)), jacks_offsets(at(0.5, forward))
    # a positive pitch moves what hangs backwards
    assert leaving["left_hip_pitch"] > 0 > leaving["left_shoulder_pitch"]
    assert leaving["right_hip_pitch"] < 0 < leaving["right_shoulder_pitch"]
    assert landing == {joint: -offset for joint, offset in leaving.items()}


def test_sideways_and_turning_move_other_joints():
    sideways, turning = (jacks_offsets(at(0.0, pace)) for pace in np.eye(3)[1:])
    assert set(sideways) == {f"{side}_{joint}_roll" for side in ("left", "right") for joint in ("hip", "ankle")}
    assert sideways["left_hip_roll"] < 0 < sideways["right_hip_roll"]  # to the left: the feet are together
    assert set(turning) == {"left_hip_yaw", "right_hip_yaw"}
    assert turning["left_hip_yaw"] < 0 < turning["right_hip_yaw"]


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.25, 0.6])
def test_the_soles_of_jack_stay_level(phase):
    contract = default_contract()
    robot = contract.robot
    offsets = contract.gait.offsets(robot, at(phase, np.array([0.7, -0.3, 0.5])))
    for side in ("left", "right"):
        leg = {part: offsets[robot.index(f"{side}_{part}")] for part in _LEVELLED}
        assert leg["hip_pitch"] + leg["knee"] + leg["ankle_pitch"] == pytest.approx(0.0)
        assert leg["hip_roll"] + leg["ankle_roll"] == pytest.approx(0.0)


_LEVELLED = ("hip_pitch", "knee", "ankle_pitch", "hip_roll", "ankle_roll")


def test_the_same_steps_at_another_beat():
    slow = GAIT.paced(Beat(1.6, 0.5))
    assert slow.period == 1.6
    others = [entry.name for entry in fields(GaitSpec) if entry.name != "period"]
    assert [getattr(slow, name) for name in others] == [getattr(GAIT, name) for name in others]
    assert GAIT.paced(None) is GAIT and GAIT.paced(Beat(GAIT.period, 0.5)) is GAIT
    walking = Rhythm(np.array(0.1), np.array([0.5, 0.0, 0.0]))
    assert slow.advance(walking, walking.pace, 0.16).phase == pytest.approx(0.2)


def test_a_beat_is_that_of_a_speed_ahead_and_less_so_the_further_the_pace_is_from_it():
    """1.6 s at 0.5 m/s, 0.8 s far from it: REACH away, whichever way, e times less of the difference is left."""
    slow, share = GAIT.paced(Beat(1.6, 0.5)), np.exp(-1.0)
    away = REACH * np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 0.6, -0.8], [-4, 0, 0], [0, 0, 1.6]])
    paces = np.array([0.5, 0.0, 0.0]) + away
    lasts = 0.8 + 0.8 * np.array([1.0, share, share, share, np.exp(-16.0), np.exp(-2.56)])
    np.testing.assert_allclose(slow.cycle(paces), lasts)
    walking = Rhythm(np.full(6, 0.1), paces)
    np.testing.assert_allclose(slow.advance(walking, paces, 0.01).phase[[0, 3]], 0.1 + 0.01 / lasts[[0, 3]])
    assert GAIT.cycle(paces) == GAIT.period
    resting = slow.advance(Rhythm(np.full(6, 0.45), paces), paces, 0.01)
    np.testing.assert_allclose(resting.settling[[1, 4]], lasts[[1, 4]] / 2)


def test_who_walks_slowly_hurries_when_he_tips_over():
    """At twice what makes him stumble he begins to, at three times that he is as quick as the contract has it."""
    slow, walking = GAIT.paced(Beat(1.6, 0.5)), Rhythm(np.full(6, 0.1), np.tile([0.5, 0.0, 0.0], (6, 1)))
    tipping = GAIT.stumble * np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0])
    passed = slow.advance(walking, walking.pace, 0.16, tipping).phase - 0.1
    # 0.16 s of 1.6 s are 0.1, of 0.8 s 0.2
    np.testing.assert_allclose(passed, [0.1, 0.1, 0.1, 0.15, 0.2, 0.2])
    np.testing.assert_allclose(GAIT.advance(walking, walking.pace, 0.16, tipping).phase, 0.3)


def test_who_walks_quickly_does_not_dawdle_when_he_tips_over():
    quick, walking = GAIT.paced(Beat(0.4, 0.5)), Rhythm(np.array(0.1), np.array([0.5, 0.0, 0.0]))
    assert quick.advance(walking, walking.pace, 0.04, 9.0).phase == pytest.approx(0.2)


@pytest.mark.parametrize(
    "period", [0.29, 2.01, -1.0, float("nan"), float("inf"), 10**400, "0.9", True, [0.9], None]
)
def test_a_beat_beyond_reason_is_refused_with_what_is_allowed(period):
    with pytest.raises(ContractError, match=r"period of a beat is 0\.3 to 2, given"):
        Beat(period, 1.0)
    with pytest.raises(ContractError, match=r"speed of a beat is 0\.1 to 3, given"):
        Beat(0.9, 0.09 if period == 0.29 else 3.01 if period == 2.01 else period)


def test_a_beat_is_read_from_plain_data():
    assert Beat.read(None) is None
    assert Beat.read({"period": 0.9, "speed": 1}) == Beat(0.9, 1)


@pytest.mark.parametrize(
    "given", [0.9, True, [], {}, {"period": 0.9}, {"period": 0.9, "speed": 1, "more": 1}, "beat"]
)
def test_what_is_no_beat_is_refused(given):
    with pytest.raises(ContractError, match="a period and a speed"):
        Beat.read(given)


def test_no_zero_of_the_default_gait_has_a_sign():
    gait = default_gait(default_contract().robot)
    numbers = np.array([*gait.swing, *np.ravel(gait.stride)])
    assert not np.signbit(numbers[numbers == 0.0]).any()


def test_a_robot_without_legs_gets_a_rhythm_without_offsets():
    joint = sample_robot().joints[0]
    crane = RobotSpec("crane", (replace(joint, name="left_winch"), replace(joint, name="right_winch")), 0.02)
    assert default_gait(crane) == GaitSpec(0.52, (0.0, 0.0), ((0.0, 0.0, 0.0),) * 2)
