from dataclasses import replace

import numpy as np
import pytest

from jack_contract.gait import GaitSpec, Rhythm
from jack_sim.batch import Truth
from jack_trainer.tasks.capture import APART, landing_error, landing_margins, standing_point

#: A body this high falls with a time constant of sqrt(0.981 / 9.81) = 0.31623 s [m].
HEIGHT = 0.981
GAIT = GaitSpec(0.8, (0.0,), ((0.0, 0.0, 0.0),))
AHEAD, OUTSIDE = landing_margins(0.8)


def standing(count: int = 1) -> Truth:
    """At rest at (1, 2), looking along x, the feet 0.2 m apart beneath; where the pelvis is does not matter."""
    nothing = np.zeros((count, 3))
    return Truth(
        position=np.full((count, 3), 7.0),
        heading=np.zeros(count),
        velocity=nothing,
        world_velocity=nothing,
        centre_of_mass=np.tile([1.0, 2.0, 0.9], (count, 1)),
        feet=np.tile([[1.0, 2.1, 0.0], [1.0, 1.9, 0.0]], (count, 1, 1)),
        sole_height=np.zeros((count, 2)),
        torque=np.zeros((count, 1)),
        slope=np.zeros((count, 2)),
    )


def turned(truth: Truth, angle: float) -> Truth:
    """The same robots in a world that is turned about its z axis by an angle [rad]."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    world = {name: getattr(truth, name) @ turn.T for name in ("world_velocity", "centre_of_mass", "feet")}
    return replace(truth, heading=truth.heading + angle, **world)


def walking(phase: np.ndarray, pace: np.ndarray) -> Rhythm:
    return Rhythm(phase, pace)


def stepping(phase: float, *pace: float) -> Rhythm:
    """One robot at a phase of its step."""
    return walking(np.array([phase]), np.array([[*pace, 0.0]]))


def test_at_rest_the_capture_point_is_where_he_is():
    truth = standing(2)
    truth.world_velocity = np.array([[0.0, 0.0, 5.0], [0.6, -0.8, 0.0]])
    # rising does not count; at 1 m/s it is a time constant away
    found = standing_point(truth, np.full(2, HEIGHT))
    np.testing.assert_allclose(found, [[0.0, 0.0], [0.18974, -0.25298]], atol=1e-5)


def test_the_capture_point_of_who_leans_is_as_far_from_his_feet():
    truth = standing(2)
    truth.centre_of_mass[0, 0] += 0.1
    np.testing.assert_allclose(standing_point(truth, np.full(2, HEIGHT)), [[0.1, 0.0], [0.0, 0.0]], atol=1e-9)


def test_lying_deeper_than_the_feet_is_a_number_too():
    assert standing_point(standing(), np.array([-0.5])).tolist() == [[0.0, 0.0]]
    assert np.isfinite(landing_error(standing(), np.array([-0.5]), GAIT, stepping(0.4))).all()


def test_margins_of_a_landing_by_hand():
    # half a cycle in time constants of 0.26 s: 1, and ln 2; e - 1 = 1.71828, e + 1 = 3.71828
    assert landing_margins(0.52) == pytest.approx((0.26 / 1.71828, 0.2 / 3.71828), rel=1e-5)
    assert landing_margins(0.52 * np.log(2.0)) == pytest.approx((0.26 * np.log(2.0), 0.2 / 3.0))
    # between two slow steps one falls far, and has to land nearly on the line that one falls along
    assert landing_margins(0.9)[1] < 0.6 * landing_margins(0.52)[1]


def test_a_foot_that_lands_by_hand():
    # the left foot is down (phase just before 0.5, nothing grows any more); the right one stands at (1, 1.9)
    truth = standing()
    # beneath a body at rest at (1, 2) it belongs OUTSIDE of it, to the left; it is at 2.1
    height, landed = np.array([HEIGHT]), np.nextafter(0.5, 0.0)
    assert landing_error(truth, height, GAIT, stepping(landed)) == pytest.approx(abs(0.1 - OUTSIDE))
    # at 0.5 m/s the body may be ahead of it
    truth.centre_of_mass[0, 0] += 0.5 * AHEAD
    assert landing_error(truth, height, GAIT, stepping(landed, 0.5, 0.0)) == pytest.approx(abs(0.1 - OUTSIDE))


def test_what_is_left_of_the_step_lets_the_capture_point_run_away():
    # 0.2 s before the step ends, 0.1 m ahead of the standing foot: by then it is 0.1 e^(0.2 / 0.31623) = 0.18822 m
    truth = standing()
    truth.centre_of_mass[0] = 1.1, 1.9, 0.9
    truth.feet[0, 0] = 1.18822, 1.9 + APART, 0.05
    assert landing_error(truth, np.array([HEIGHT]), GAIT, stepping(0.25)) == pytest.approx(0.0, abs=1e-5)


def test_a_foot_never_lands_across_the_other_one():
    truth, height, landed = standing(), np.array([HEIGHT]), np.nextafter(0.5, 0.0)
    truth.centre_of_mass[0, 1] = 1.7  # far to the right of the standing foot, where the left one cannot get
    truth.feet[0, 0, 1] = 1.9 + APART
    assert landing_error(truth, height, GAIT, stepping(landed)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("angle", [0.5, -2.0, np.pi])
def test_which_way_he_looks_does_not_matter(angle):
    random = np.random.default_rng(0)
    truth = standing(8)
    truth.world_velocity = random.normal(size=(8, 3))
    truth.centre_of_mass += random.normal(size=(8, 3))
    rhythm, height = walking(random.uniform(size=8), random.normal(size=(8, 3))), np.full(8, 0.6)
    other = turned(truth, angle)
    np.testing.assert_allclose(standing_point(other, height), standing_point(truth, height))
    np.testing.assert_allclose(
        landing_error(other, height, GAIT, rhythm), landing_error(truth, height, GAIT, rhythm)
    )


def test_left_and_right_are_one():
    random = np.random.default_rng(1)
    truth = standing(8)
    truth.world_velocity = random.normal(size=(8, 3))
    truth.feet = truth.feet + 0.1 * random.normal(size=(8, 2, 3))
    flip = np.array([1.0, -1.0, 1.0])
    mirrored = replace(
        truth,
        world_velocity=truth.world_velocity * flip,
        centre_of_mass=truth.centre_of_mass * flip,
        feet=truth.feet[:, ::-1] * flip,
    )
    phase, pace = random.uniform(size=8), random.normal(size=(8, 3))
    error = landing_error(truth, np.full(8, 0.6), GAIT, walking(phase, pace))
    reflected = landing_error(
        mirrored, np.full(8, 0.6), GAIT, walking((phase + 0.5) % 1.0, pace * [1.0, -1.0, -1.0])
    )
    np.testing.assert_allclose(reflected, error)
