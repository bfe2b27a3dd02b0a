import numpy as np

from jack_contract.overlay import pointed


def test_where_a_sentence_points_is_red_in_the_middle_part_that_a_policy_sees():
    image = np.full((24, 32, 3), 100, np.uint8)
    shown = pointed(image, np.array([[0, 0], [0, 255]]))
    assert shown.shape == image.shape and (image == 100).all()
    np.testing.assert_array_equal(shown[:, :4], 100)  # a policy sees the square in the middle
    np.testing.assert_array_equal(shown[:, 28:], 100)
    np.testing.assert_array_equal(shown[0, 4], 100)
    assert shown[23, 27].tolist() == [193, 76, 40]  # 100 + 0.6 (255, 60, 0 - 100)
    assert shown[20, 24, 0] > 150 > shown[11, 15, 0] > 100  # it fades


def test_where_it_points_nowhere_the_picture_is_as_it_was():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pointed(image, np.zeros((4, 4))), image)
