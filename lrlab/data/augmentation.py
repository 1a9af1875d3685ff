"""Augmentation of a whole batch at once, on the device, with draws of its own for each sample.

The draws are a pure function of (seed, epoch, index of the sample). So a sample looks the same in any batch, process
or rank.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lrlab.system import randomness

# The streams of an epoch, and how many uniform numbers each has for a sample. They are apart so that a new stream, or
# one that is not used, leaves the others as they are.
_STREAMS = {"augment": 3, "cutout": 2, "crop": 4}
_LOG_RATIO = math.log(4 / 3)  # a crop's width over its height is between 3/4 and 4/3


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images; nothing by default."""

    shift: int = 0
    flip: bool = False
    cutout: int = 0
    resized_crop: float | None = None

    def __bool__(self) -> bool:
        return self != Augmentation()

    def draws(self, samples: int, *, seed: int, epoch: int) -> Tensor:
        """Uniform numbers (samples, 9) in [0, 1) that decide what happens to each sample; zeros where none do."""
        used = {"augment": self.shift or self.flip, "cutout": self.cutout, "crop": self.resized_crop is not None}
        columns = []
        for name, count in _STREAMS.items():
            if used[name]:
                generator = randomness.generator(seed, name, epoch)
                columns.append(torch.rand(samples, count, generator=generator))
            else:
                columns.append(torch.zeros(samples, count))
        return torch.cat(columns, 1)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """`images` (B, C, H, W), each changed as its row of `draws` (B, 9) says.

        uint8 stays uint8. Only a resized crop makes floats, of the same scale 0..255.
        """
        if not len(images):
            return images
        moves, squares, crops = draws.split(list(_STREAMS.values()), 1)
        if self.resized_crop is not None:
            images = resized_crop(images, crops, self.resized_crop)
        if self.shift:
            images = shift(images, moves[:, :2], self.shift)
        if self.flip:
            images = flip(images, moves[:, 2])
        if self.cutout:
            images = cutout(images, squares, self.cutout)
        return images


def shift(images: Tensor, draws: Tensor, pixels: int) -> Tensor:
    """Move each image down and right by -`pixels` to `pixels`, as its row of `draws` (B, 2) says.

    It is a crop of the image padded with black, as in He et al., 2015, arXiv:1512.03385, section 4.2.
    """
    count, channels, height, width = images.shape
    padded = F.pad(images, [pixels] * 4).contiguous()
    high, wide = padded.shape[-2:]
    top, left = (draws * (2 * pixels + 1)).long().view(-1, 2, 1, 1).unbind(1)
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1)
    starts = (planes * high + top + torch.arange(height, device=images.device)) * wide + left
    # Every run of `width` pixels is a row of this view, so the rows of all crops are copied whole, not by pixel.
    runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    return runs.index_select(0, starts.flatten()).view(images.shape)


def flip(images: Tensor, draws: Tensor) -> Tensor:
    """Mirror each image whose number in `draws` (B,) is below one half."""
    both = torch.cat([images, images.flip(3)])
    chosen = torch.arange(len(images), device=images.device) + len(images) * (draws < 0.5)
    return both.index_select(0, chosen)


def cutout(images: Tensor, draws: Tensor, pixels: int) -> Tensor:
    """Blacken a square of `pixels` x `pixels` in each image.

    Its centre is any pixel, as the image's row of `draws` (B, 2) says, so the edges may clip it.
    Source: DeVries and Taylor, 2017, arXiv:1708.04552.
    """
    inside = []
    for axis, size in enumerate(images.shape[-2:]):
        first = (draws[:, axis, None] * size).long() - pixels // 2
        place = torch.arange(size, device=images.device)
        inside.append((place >= first) & (place < first + pixels))
    rows, columns = inside
    square = rows[:, None, :, None] & columns[:, None, None, :]
    return images * (~square).to(images.dtype)


def resized_crop(images: Tensor, draws: Tensor, smallest: float) -> Tensor:
    """Cut a part out of each image and scale it, bilinearly, to the size of the whole: floats (B, C, H, W).

    The part has `smallest` to 1 of the image's area. Its width over its height is 3/4 to 4/3, log-uniform among the
    ratios with which it fits in. `draws` (B, 4) decide area, ratio, and where it lies.
    Source: Szegedy et al., 2014, arXiv:1409.4842, section 6.
    """
    height, width = images.shape[-2:]
    area = smallest + (1 - smallest) * draws[:, 0]  # as a share of the image's
    shape = math.log(width / height)
    low = (area.log() + shape).clamp(min=-_LOG_RATIO)  # below it the part would be higher than the image
    high = (shape - area.log()).clamp(max=_LOG_RATIO)  # above it, wider
    half = (low + (high - low) * draws[:, 1] - shape) / 2
    across = (area.sqrt() * half.exp()).clamp(max=1)  # as a share of the image's width
    down = (area.sqrt() * (-half).exp()).clamp(max=1)  # and of its height
    # Affine maps (B, 2, 3) from places in the result to places in the image, both from -1 to 1.
    theta = images.new_zeros((len(images), 2, 3), dtype=torch.float32)
    theta[:, 0, 0] = across
    theta[:, 0, 2] = (1 - across) * (2 * draws[:, 2] - 1)
    theta[:, 1, 1] = down
    theta[:, 1, 2] = (1 - down) * (2 * draws[:, 3] - 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
