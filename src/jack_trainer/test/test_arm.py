import mujoco
import numpy as np
import pytest

from jack_contract.contract import default_contract
from jack_sim.scene import SceneOptions, load_model
from jack_trainer.tasks.arm import COUNT, SIDES, Arms, solve

ROBOT = default_contract().robot
MODEL = load_model(SceneOptions(visuals=False))


@pytest.fixture(scope="module")
def arms():
    return Arms(MODEL, ROBOT)


def random_pose(random):
    """A robot in any pose and turn: MuJoCo's own kinematics of it."""
    data = mujoco.MjData(MODEL)
    data.qpos[:3] = random.normal(0.0, 1.0, 3)
    data.qpos[3:7] = random.normal(0.0, 1.0, 4)
    data.qpos[3:7] /= np.linalg.norm(data.qpos[3:7])
    data.qpos[7:] = random.uniform(ROBOT.lower, ROBOT.upper)
    mujoco.mj_kinematics(MODEL, data)
    mujoco.mj_comPos(MODEL, data)
    return data


def reached(arms, data, side):
    torso = MODEL.body("torso").id
    joints = data.qpos[7:][arms.indices[side]][None]
    place, turn = data.xpos[torso][None], data.xmat[torso].reshape(1, 3, 3)
    return arms.reach(np.array([side]), place, turn, joints)


def test_the_hand_is_the_round_end_of_the_forearm(arms):
    # <geom class="body" type="capsule" fromto="0 0 -0.03 0 0 -0.16" size="0.035"/>
    assert arms.radius == pytest.approx(0.035) and arms.length == pytest.approx(0.16)
    assert [ROBOT.joint_names[index] for index in arms.indices[1]] == [
        "right_shoulder_pitch",
        "right_shoulder_roll",
        "right_shoulder_yaw",
        "right_elbow",
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_elbow_hand_and_direction_are_where_mujoco_has_them(arms, side):
    random = np.random.default_rng(side)
    for _ in range(20):
        data = random_pose(random)
        reach, forearm = reached(arms, data, side), MODEL.body(f"{SIDES[side]}_forearm_link").id
        turn = data.xmat[forearm].reshape(3, 3)
        np.testing.assert_allclose(reach.elbow[0], data.xpos[forearm], atol=1e-12)
        np.testing.assert_allclose(reach.direction[0], -turn[:, 2], atol=1e-12)
        np.testing.assert_allclose(reach.hand[0], data.xpos[forearm] - 0.16 * turn[:, 2], atol=1e-12)


@pytest.mark.parametrize("side", [0, 1])
def test_derivatives_are_mujocos_jacobians(arms, side):
    data, jacobian, turning = (
        random_pose(np.random.default_rng(2)),
        np.zeros((3, MODEL.nv)),
        np.zeros((3, MODEL.nv)),
    )
    reach, forearm = reached(arms, data, side), MODEL.body(f"{SIDES[side]}_forearm_link").id
    columns = 6 + arms.indices[side]
    mujoco.mj_jac(MODEL, data, jacobian, turning, reach.hand[0], forearm)
    np.testing.assert_allclose(reach.hand_by_joint[0], jacobian[:, columns], atol=1e-12)
    np.testing.assert_allclose(
        reach.direction_by_joint[0], np.cross(turning[:, columns].T, reach.direction[0]).T, atol=1e-12
    )
    mujoco.mj_jac(MODEL, data, jacobian, None, reach.elbow[0], forearm)
    np.testing.assert_allclose(reach.elbow_by_joint[0], jacobian[:, columns], atol=1e-12)


def test_robots_with_different_arms_do_not_disturb_each_other(arms):
    random = np.random.default_rng(3)
    joints = random.uniform(-0.3, 0.0, (5, COUNT))
    place, turn = random.normal(size=(5, 3)), np.tile(np.eye(3), (5, 1, 1))
    side = np.array([0, 1, 1, 0, 1])
    together = arms.reach(side, place, turn, joints)
    for index in range(5):
        alone = arms.reach(side[index : index + 1], place[[index]], turn[[index]], joints[[index]])
        np.testing.assert_allclose(together.hand[index], alone.hand[0], atol=1e-15)


def test_steps_lead_the_hand_to_a_point_within_its_limits(arms):
    side, place, turn = np.zeros(1, int), np.array([[0.0, 0.0, 0.72]]), np.eye(3)[None]
    goal = np.array([[0.25, 0.12, 0.88]])
    joints = preferred = np.array([[-0.4, 0.6, -0.4, -1.2]])
    for _ in range(40):
        reach = arms.reach(side, place, turn, joints)
        joints = arms.moved(side, reach.hand_by_joint, goal - reach.hand, joints, preferred, 0.3)
    assert np.linalg.norm(goal - arms.reach(side, place, turn, joints).hand) < 0.006
    assert (joints >= ROBOT.lower[arms.indices[0]]).all() and (joints <= ROBOT.upper[arms.indices[0]]).all()


def test_a_step_by_hand():
    """One joint moves the hand by 1 m/rad: of 0.1 m it goes 0.1 / (1 + w), with w the weights of not going."""
    jacobian = np.zeros((1, 3, COUNT))
    jacobian[0, 0, 0] = 1.0
    rest = np.zeros((1, COUNT))
    step = solve(jacobian, np.array([[0.1, 0.0, 0.0]]), rest, rest)
    np.testing.assert_allclose(step, [[0.1 / (1.0 + 0.02**2 + 0.03**2), 0.0, 0.0, 0.0]])
    step = solve(0.0 * jacobian, np.zeros((1, 3)), rest, rest + 1.0)
    np.testing.assert_allclose(step, np.full((1, COUNT), 0.03**2 / (0.02**2 + 0.03**2)))


def test_where_a_joint_is_at_its_limit_the_others_make_up_for_it(arms):
    """Two joints move the hand by 1 m/rad each; one has no way left, so the other goes all of it."""
    side, jacobian = np.zeros(1, int), np.zeros((1, 3, COUNT))
    jacobian[0, 0, :2] = 1.0
    joints = np.array([[0.0, arms.upper[0, 1], 0.0, -1.0]])
    moved = arms.moved(side, jacobian, np.array([[0.1, 0.0, 0.0]]), joints, joints, 0.3)
    assert moved[0, 1] == arms.upper[0, 1]
    np.testing.assert_allclose(moved[0, 0], 0.1 / (1.0 + 0.02**2 + 0.03**2))
    moved = arms.moved(side, jacobian, np.array([[1.0, 0.0, 0.0]]), joints, joints, 0.3)
    assert moved[0, 0] == 0.3
