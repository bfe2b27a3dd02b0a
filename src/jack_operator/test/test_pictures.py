import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jack_contract.errors import MessageError
from jack_operator.pictures import MAX_BYTES, MAX_EDGE, attention, unpack


def packed(kind, size=(32, 24), **options):
    data = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_are_unpacked(kind):
    image = unpack(packed(kind))
    assert image.shape == (24, 32, 3) and image.dtype == np.uint8
    assert image.mean(axis=(0, 1)) == pytest.approx([200, 100, 50], abs=3)


def test_what_is_too_large_or_something_else_is_refused():
    with pytest.raises(MessageError, match="bytes; allowed"):
        unpack(bytes(MAX_BYTES + 1))
    with pytest.raises(MessageError, match="an edge"):  # a small file that unpacks to a large picture
        unpack(packed("PNG", (MAX_EDGE + 1, 1)))
    with pytest.raises(MessageError, match="no JPEG or PNG"):
        unpack(packed("GIF"))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), st.sampled_from(["JPEG", "PNG"]), st.booleans())
def test_no_damage_does_more_than_be_refused(place, bytes_, kind, cut):
    good = packed(kind)
    damaged = good[:place] + (b"" if cut else bytes_ + good[place + len(bytes_) :])
    with contextlib.suppress(MessageError):
        assert unpack(damaged).shape[2] == 3


@pytest.mark.parametrize(
    ("data", "height", "width"), [(b"", 0, 0), (b"123", 2, 2), (b"", 1, 0), (bytes(300), 300, 1)]
)
def test_what_is_no_map_of_attention_is_refused(data, height, width):
    with pytest.raises(MessageError, match="map of attention"):
        attention(data, height, width)
