import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jack_contract.rotation import projected_gravity, turned, wxyz_to_xyzw, xyzw_to_wxyz, yaw


def test_orders_by_hand():
    assert wxyz_to_xyzw(np.array([0.1, 0.2, 0.3, 0.4])).tolist() == [0.2, 0.3, 0.4, 0.1]
    assert xyzw_to_wxyz(np.array([0.1, 0.2, 0.3, 0.4])).tolist() == [0.4, 0.1, 0.2, 0.3]


def test_orders_are_inverse_and_keep_batches():
    q = np.random.default_rng(0).normal(size=(3, 5, 4))
    assert np.array_equal(wxyz_to_xyzw(xyzw_to_wxyz(q)), q)


@pytest.mark.parametrize(
    ("orientation", "gravity"),
    [
        ([0, 0, 0, 1], [0, 0, -1]),  # upright
        ([1, 0, 0, 0], [0, 0, 1]),  # upside down
        ([0, np.sqrt(0.5), 0, np.sqrt(0.5)], [1, 0, 0]),  # pitched 90 degrees forward: down is ahead
        ([np.sqrt(0.5), 0, 0, np.sqrt(0.5)], [0, -1, 0]),  # rolled 90 degrees to the right: down is right
    ],
)
def test_gravity_by_hand(orientation, gravity):
    np.testing.assert_allclose(projected_gravity(np.array(orientation, float)), gravity, atol=1e-12)


def test_gravity_and_yaw_as_scipy_computes_them():
    rotations = Rotation.random(200, random_state=np.random.default_rng(1))
    q = rotations.as_quat()
    np.testing.assert_allclose(projected_gravity(q), rotations.inv().apply([0, 0, -1.0]), atol=1e-12)
    np.testing.assert_allclose(yaw(q), rotations.as_euler("ZYX")[:, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(projected_gravity(q), axis=-1), 1.0)


def test_a_vector_is_turned_to_the_left_by_its_own_angle():
    ahead = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        turned(ahead, np.array([np.pi / 2, -np.pi / 2, np.pi])), [[0, 2], [0, -2], [0, -1]], atol=1e-12
    )


def test_turning_back_undoes_it_and_keeps_batches():
    random = np.random.default_rng(0)
    vectors, angles = random.normal(size=(3, 5, 2)), random.uniform(-np.pi, np.pi, (3, 1))
    np.testing.assert_allclose(turned(turned(vectors, angles), -angles), vectors)
