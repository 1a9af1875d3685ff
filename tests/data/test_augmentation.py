"""Augmentation is a pure function of an image and its own draws, whatever batch the image is in."""

import pytest
import torch

from lrlab.data.augmentation import Augmentation, cutout, flip, resized_crop, shift

N, SHAPE = 23, (2, 6, 5)
IMAGES = torch.arange(N * 2 * 6 * 5).remainder(251).add(1).to(torch.uint8).view(N, *SHAPE)
EVERYTHING = Augmentation(shift=2, flip=True, cutout=3, resized_crop=0.3)
EACH = {
    "shift": Augmentation(shift=2),
    "flip": Augmentation(flip=True),
    "cutout": Augmentation(cutout=3),
    "resized_crop": Augmentation(resized_crop=0.3),
    "everything": EVERYTHING,
}


@pytest.mark.parametrize("augmentation", EACH.values(), ids=EACH)
def test_a_sample_is_changed_alike_in_any_batch(augmentation):
    draws = augmentation.draws(N, seed=0, epoch=3)
    together = augmentation(IMAGES, draws)
    alone = torch.cat([augmentation(IMAGES[i : i + 1], draws[i : i + 1]) for i in range(N)])
    assert torch.equal(together, alone)
    assert augmentation(IMAGES[:0], draws[:0]).shape == (0, *SHAPE)


@pytest.mark.parametrize("augmentation", EACH.values(), ids=EACH)
def test_draws_differ_by_sample_epoch_and_seed_and_are_the_same_for_the_same_address(augmentation):
    draws = augmentation.draws(N, seed=0, epoch=3)
    assert torch.equal(draws, augmentation.draws(N, seed=0, epoch=3))
    assert len(draws.unique(dim=0)) == N
    for other in ({"seed": 1, "epoch": 3}, {"seed": 0, "epoch": 4}):
        assert not torch.equal(draws, augmentation.draws(N, **other))


def test_no_augmentation_moves_the_draws_of_another():
    together = EVERYTHING.draws(N, seed=0, epoch=0)
    for name in ("shift", "flip", "cutout", "resized_crop"):
        alone = EACH[name].draws(N, seed=0, epoch=0)
        used = alone.any(0)
        assert used.any()
        assert torch.equal(alone[:, used], together[:, used])


def test_no_augmentation_is_none():
    assert not Augmentation()
    assert all(EACH.values())


def test_a_shift_is_a_crop_of_the_padded_image_in_either_direction():
    image = IMAGES[:1]
    top_left, middle, bottom_right = (shift(image, torch.tensor([[draw, draw]]), 1) for draw in (0.0, 0.5, 0.99))
    assert torch.equal(middle, image)
    assert torch.equal(top_left[:, :, 1:, 1:], image[:, :, :-1, :-1])
    assert torch.equal(bottom_right[:, :, :-1, :-1], image[:, :, 1:, 1:])
    assert not top_left[:, :, 0].any()


def test_each_sample_is_moved_by_its_own_draws():
    draws = torch.rand(N, 2, generator=torch.Generator().manual_seed(0))
    moved, padded = shift(IMAGES, draws, 2), torch.nn.functional.pad(IMAGES, [2] * 4)
    for index, (top, left) in enumerate((draws * 5).long().tolist()):
        assert torch.equal(moved[index], padded[index, :, top : top + 6, left : left + 5])


def test_each_sample_is_mirrored_as_its_own_draw_says():
    flipped = flip(IMAGES[:2], torch.tensor([0.4, 0.6]))
    assert torch.equal(flipped[0], IMAGES[0].flip(2))
    assert torch.equal(flipped[1], IMAGES[1])


@pytest.mark.parametrize(("pixels", "clipped"), [(1, 1), (2, 1), (3, 4), (4, 4)])
def test_cutout_is_a_black_square_that_only_the_edges_clip(pixels, clipped):
    centre, corner = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 0.0]])
    for draws, area in ((centre, pixels**2), (corner, clipped)):
        black = cutout(IMAGES[:1], draws, pixels) == 0
        assert black.sum((1, 2, 3)).item() == 2 * area
        assert torch.equal(black[:, 0], black[:, 1])
    kept = cutout(IMAGES, torch.rand(N, 2), pixels)
    assert torch.equal(kept[kept > 0], IMAGES[kept > 0])


def test_any_pixel_can_be_the_centre_of_a_cutout():
    draws = torch.cartesian_prod((torch.arange(6) + 0.5) / 6, (torch.arange(5) + 0.5) / 5)
    black = cutout(torch.ones(30, 1, 6, 5), draws, 1) == 0
    assert torch.equal(black.sum(0)[0], torch.ones(6, 5, dtype=torch.int64))


def test_a_crop_of_the_whole_area_is_the_image_itself():
    draws = torch.rand(N, 4, generator=torch.Generator().manual_seed(0))
    square = IMAGES[..., :5, :]
    torch.testing.assert_close(resized_crop(square, draws, 1.0), square.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (40, 32)])
def test_a_crop_has_the_area_and_the_ratio_that_are_asked_for_and_lies_inside(size):
    height, width = size
    rows = torch.arange(height).float().view(1, 1, -1, 1).expand(2000, 1, height, width)
    columns = torch.arange(width).float().view(1, 1, 1, -1).expand(2000, 1, height, width)
    draws = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0))
    places = resized_crop(torch.cat([rows, columns], 1), draws, 0.25)
    # In the middle of a crop nothing is cut off, so the slope of the places there is the crop's share of a side.
    high = (places[:, 0, height // 2 + 4, 0] - places[:, 0, height // 2 - 4, 0]) * height / 8
    wide = (places[:, 1, 0, width // 2 + 4] - places[:, 1, 0, width // 2 - 4]) * width / 8
    share, ratio = high * wide / (height * width), wide / high
    assert 0.249 < share.min() < 0.26
    assert 0.95 < share.max() < 1.001
    assert abs(share.mean() - 0.625) < 0.02
    assert 0.749 < ratio.min() < 0.77
    assert 1.30 < ratio.max() < 1.334
    assert places[:, 0].max() <= height - 1
    assert places[:, 1].max() <= width - 1


def test_a_crop_of_uint8_keeps_their_scale():
    cropped = resized_crop(torch.full((3, 1, 4, 4), 200, dtype=torch.uint8), torch.rand(3, 4), 0.1)
    torch.testing.assert_close(cropped, torch.full((3, 1, 4, 4), 200.0))
