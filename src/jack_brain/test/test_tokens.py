import math

import pytest
import torch

from jack_brain.network.tokens import POINTERS, WAVES, ImageTokens, PointerTokens, places

WIDTH, CHANNELS, GRID = 8, 3, (2, 4)


@pytest.fixture
def pointer() -> PointerTokens:
    """One that matches nothing by itself: all scores are alike."""
    torch.manual_seed(0)
    made = PointerTokens(WIDTH, GRID, CHANNELS)
    for layer in (made.query, made.key, made.detail_query):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return made


def given(batch: int = 1):
    generator = torch.Generator().manual_seed(1)
    shapes = ((batch, 5, WIDTH), (batch, 8, WIDTH), (batch, CHANNELS, 4, 8))
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_places_are_the_middles_of_the_cells_and_waves_of_them():
    found = places((2, 4))
    assert found.shape == (8, 2 + 4 * WAVES)
    torch.testing.assert_close(found[1, :2], torch.tensor([-0.5, -0.25]))  # upper row, second of four columns
    torch.testing.assert_close(found[7, :2], torch.tensor([0.5, 0.75]))
    # the first wave down: sin(2 pi 0.25) = 1 in the upper row, -1 in the lower one
    torch.testing.assert_close(found[[0, 4], 2], torch.tensor([1.0, -1.0]))
    assert found[1, 2 + WAVES] == pytest.approx(math.sin(2 * math.pi * 0.375))


def test_who_matches_nothing_gets_the_mean_of_all(pointer):
    words, patches, detail = given()
    tokens, scores = pointer(words, patches, detail)
    assert scores.shape == (1, POINTERS, 32) and not scores.any()
    expected = patches.mean(1) + pointer.where(pointer.places.mean(0, keepdim=True))
    torch.testing.assert_close(tokens, expected[:, None].expand(-1, POINTERS, -1))


def test_a_quarter_that_matches_is_pointed_at_and_its_patch_is_read(pointer):
    """A single quarter is lit, in the lower right corner of the patch in row 1 and column 2."""
    words, patches, detail = given()
    detail.zero_()
    detail[0, 0, 3, 5] = 100.0
    with torch.no_grad():
        pointer.detail_query.bias.view(POINTERS, CHANNELS)[0, 0] = 10.0
    tokens, scores = pointer(words, patches, detail)
    assert int(scores[0, 0].argmax()) == 3 * 8 + 5
    torch.testing.assert_close(tokens[0, 0], patches[0, 4 + 2] + pointer.where(pointer.places[29]))


def test_a_patch_that_matches_is_pointed_at_with_all_its_quarters_alike(pointer):
    words, patches, detail = given()
    patches[0, 6] *= -1.0
    with torch.no_grad():
        pointer.query.bias[:WIDTH] = 1.0
        pointer.key.weight[:WIDTH] = torch.eye(WIDTH)
    scores = pointer(words, patches, detail)[1][0, 0].view(4, 8)
    quarters = scores.unfold(0, 2, 2).unfold(1, 2, 2).flatten(2)
    assert torch.equal(quarters, quarters[..., :1].expand_as(quarters))
    expected = pointer.patches_norm(patches).sum(-1).view(GRID) * WIDTH**-0.5
    torch.testing.assert_close(quarters[..., 0], expected)


@pytest.mark.parametrize("fine", [False, True])
def test_patches_come_with_what_they_are_made_of(fine):
    image = ImageTokens(64, 48, WIDTH, fine)
    patches, detail = image(torch.zeros(2, 3, 64, 48, dtype=torch.uint8))
    rows, columns = image.grid
    assert patches.shape == (2, rows * columns, WIDTH)
    assert detail.shape[:2] == (2, image.channels)
    assert not fine or detail.shape[2:] == (2 * rows, 2 * columns)
