import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_brain.pictures import read_picture, read_sentence
from jack_contract.contract import CameraSpec
from jack_contract.errors import MessageError

sys.path.insert(0, str(Path(__file__).parent))
from sample_pictures import image, noise

CAMERA = CameraSpec(width=4, height=4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("frame", ["", "a", "ab", "abc", "head_camera"])
@pytest.mark.parametrize("step", [0, 17])
def test_a_picture_is_read_whatever_its_byte_order_frame_and_rows(order, frame, step):
    pixels = noise(5, 4)
    picture = read_picture(image(pixels, order=order, frame=frame, step=step))
    assert picture.stamp == 17.25
    assert np.array_equal(picture.pixels, pixels)


def test_of_its_size_a_picture_is_seen_as_it_is_in_both_encodings():
    pixels = noise(4, 4)
    assert np.array_equal(read_picture(image(pixels)).seen(CAMERA), pixels)
    assert np.array_equal(read_picture(image(pixels[..., ::-1], "bgr8")).seen(CAMERA), pixels)


def test_a_larger_picture_is_averaged_down():
    pixels = noise(12, 12)
    expected = pixels.reshape(4, 3, 4, 3, 3).mean(axis=(1, 3))
    assert np.abs(read_picture(image(pixels)).seen(CAMERA) - expected).max() <= 0.5


def test_sizes_that_do_not_divide_are_averaged_by_area():
    """Six columns become four: each of 1.5, so the first is (2 a + b) / 3."""
    pixels = noise(6, 6).astype(float)
    seen = read_picture(image(pixels.astype(np.uint8))).seen(CAMERA)
    rows = (2 * pixels[0] + pixels[1]) / 3
    assert np.abs(seen[0, 0] - (2 * rows[0] + rows[1]) / 3).max() <= 0.5


def test_of_another_shape_the_middle_is_seen():
    pixels = np.full((4, 8, 3), 200, np.uint8)
    pixels[:, 2:6] = noise(4, 4)
    assert np.array_equal(read_picture(image(pixels)).seen(CAMERA), pixels[:, 2:6])


@pytest.mark.parametrize("brightness", [0, 128, 255])
def test_a_picture_of_one_brightness_shows_nothing(brightness):
    with pytest.raises(MessageError, match="shows nothing"):
        read_picture(image(np.full((8, 8, 3), brightness, np.uint8))).seen(CAMERA)


def test_one_that_is_too_small_is_named_with_what_is_allowed():
    with pytest.raises(MessageError, match="3 x 4 pixels is too small; at least: 4 x 4"):
        read_picture(image(noise(4, 3))).seen(CAMERA)


@pytest.mark.parametrize("encoding", ["mono8", "rgba8", "16UC1", "", "x" * 200])
def test_another_encoding_is_named_with_those_that_are_read(encoding):
    with pytest.raises(MessageError, match="allowed: rgb8, bgr8"):
        read_picture(image(noise(4, 4), encoding))


def test_a_picture_whose_pixels_are_not_all_there_is_refused():
    data = image(noise(4, 4))
    for length in range(len(data)):
        with pytest.raises(MessageError):
            read_picture(data[:length])


@given(st.binary(max_size=200) | st.builds(lambda tail: b"\0\1\0\0" + tail, st.binary(max_size=200)))
def test_fault_29_any_bytes_are_a_picture_or_a_message_error(data):
    for read in (read_picture, read_sentence):
        try:
            read(data)
        except MessageError as error:
            assert str(error)


@given(st.data())
def test_a_picture_with_spoilt_bytes_is_read_or_refused(data):
    spoilt = bytearray(image(noise(6, 6)))
    for at in data.draw(st.lists(st.integers(0, len(spoilt) - 1), max_size=4)):
        spoilt[at] = data.draw(st.integers(0, 255))
    try:
        assert read_picture(bytes(spoilt)).seen(CAMERA).shape == (4, 4, 3)
    except MessageError as error:
        assert str(error)


def test_sentences_come_as_they_were_sent():
    assert read_sentence(b"\0\1\0\0" + struct.pack("<I", 5) + b"wave\0") == b"wave"
    assert read_sentence(b"\0\0\0\0" + struct.pack(">I", 3) + b"\xff\xfe\0") == b"\xff\xfe"
    with pytest.raises(MessageError, match="too long"):
        read_sentence(b"\0\1\0\0" + struct.pack("<I", 2_000_000) + b"x" * 2_000_000)
