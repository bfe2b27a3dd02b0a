import numpy as np
import pytest

from jack_contract.contract import default_contract
from jack_contract.gait import Rhythm
from jack_contract.mirror import Mirror
from jack_contract.robot import robot_names
from jack_contract.state import Command, RobotState
from jack_contract.testing import sample_contract, sample_state


@pytest.fixture(
    params=[sample_contract, default_contract, lambda: default_contract("g1")], ids=["sample", "jack", "g1"]
)
def contract(request):
    return request.param()


def test_mirrored_twice_is_the_same(contract):
    mirror, rng = Mirror.of(contract), np.random.default_rng(0)
    for reflection, size in (
        (mirror.frame, contract.observation.frame_size),
        (mirror.command, 3),
        (mirror.action, contract.robot.count),
    ):
        x = rng.normal(size=(4, size)).astype(np.float32)
        assert not np.array_equal(reflection(x), x)
        assert np.array_equal(reflection(reflection(x)), x)


def reflected(contract, state: RobotState) -> RobotState:
    """The state of a robot in the mirror, worked out from the geometry: y -> -y."""
    robot = contract.robot
    swap, sign = np.array(robot.mirror_index), robot.mirror_sign
    return RobotState(
        time=state.time,
        joint_position=state.joint_position[..., swap] * sign,
        joint_velocity=state.joint_velocity[..., swap] * sign,
        joint_effort=state.joint_effort[..., swap] * sign,
        orientation=state.orientation * [-1, 1, -1, 1],  # the axis is a pseudo-vector
        angular_velocity=state.angular_velocity * [-1, 1, -1],
        linear_acceleration=state.linear_acceleration * [1, -1, 1],
    )


def test_encoding_the_mirrored_state_is_mirroring_the_encoded_state(contract):
    rng, mirror = np.random.default_rng(0), Mirror.of(contract)
    robot, spec = contract.robot, contract.observation
    # symmetric default poses only: a bent left elbow has a bent right elbow
    default = robot.default_position
    symmetric = np.allclose(default[np.array(robot.mirror_index)] * robot.mirror_sign, default)
    state = sample_state(robot, rng, (20,))
    action = rng.normal(size=(20, robot.count)).astype(np.float32)
    gait, phase, pace = contract.gait, rng.random(20), rng.normal(size=(20, 3)).astype(np.float32)
    phase[:4], pace[:3] = (0.0, 0.5, 0.2, 0.0), 0.0
    half_a_cycle_later = gait.signal(Rhythm((phase + 0.5) % 1.0, mirror.command(pace)))
    ours = spec.encode(robot, reflected(contract, state), mirror.action(action), half_a_cycle_later)
    theirs = mirror.frame(spec.encode(robot, state, action, gait.signal(Rhythm(phase, pace))))
    kept = np.ones(spec.frame_size, bool)
    kept[spec.slices()["joint_position"]] = symmetric
    np.testing.assert_allclose(ours[:, kept], theirs[:, kept], atol=1e-5)


@pytest.mark.parametrize("name", robot_names())
def test_robots_that_ship_stand_symmetrically(name):
    robot = default_contract(name).robot
    swap, sign = np.array(robot.mirror_index), robot.mirror_sign
    np.testing.assert_array_equal(robot.default_position[swap] * sign, robot.default_position)
    mirrored = np.where(sign > 0, robot.lower[swap], -robot.upper[swap])
    np.testing.assert_allclose(mirrored, robot.lower, atol=1e-12)
    for field in ("velocity_limit", "effort_limit", "stiffness", "damping"):
        assert np.array_equal(getattr(robot, field)[swap], getattr(robot, field))


def test_command_to_the_left_becomes_command_to_the_right():
    mirror = Mirror.of(sample_contract())
    command = Command(np.array([0.5, 0.2, 1.0]))
    np.testing.assert_allclose(mirror.command(command.velocity.astype(np.float32)), [0.5, -0.2, -1.0])
