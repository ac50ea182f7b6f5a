"""What happens to training pictures on the device: cutting by a similarity, colour, blur, noise, occlusion."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tracker.pose.networks import Normalization
from tracker.training.recipes import Appearance
from tracker.types import Image


def in_rgb(images: Image, device: torch.device) -> Tensor:
    """Pictures (B, 3, H, W) uint8 RGB on a device, of images (B, H, W, 3) BGR."""
    return torch.from_numpy(images).to(device).flip(-1).permute(0, 3, 1, 2)


def warp(pictures: Tensor, matrices: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """Cut-outs (B, 3, h, w) in 0–255 of pictures (B, 3, H, W) uint8, bilinear, black outside.

    matrices: (B, 2, 3) from pixels of the cut-out to pixels of the picture, index coordinates.
    """
    width, height = size_wh
    device = pictures.device
    columns = torch.arange(width, device=device, dtype=torch.float32)
    rows = torch.arange(height, device=device, dtype=torch.float32)
    matrices = matrices.to(device, torch.float32)[..., None, None]
    grid = matrices[:, :, 0] * columns + matrices[:, :, 1] * rows[:, None] + matrices[:, :, 2]
    # grid_sample counts from −1 to 1 between the outer pixels' centres.
    last = torch.tensor([pictures.shape[3] - 1, pictures.shape[2] - 1], device=device)
    grid = grid.movedim(1, -1) * (2 / last) - 1
    return F.grid_sample(pictures.float(), grid, align_corners=True)


def normalise(pictures: Tensor, normalization: Normalization) -> Tensor:
    """Network input, channels last, of RGB pictures (B, 3, H, W) in 0–255."""
    mean = torch.tensor(normalization.mean, device=pictures.device)[:, None, None]
    std = torch.tensor(normalization.std, device=pictures.device)[:, None, None]
    if normalization.color == "bgr":
        pictures = pictures.flip(1)
    return ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)


def vary(pictures: Tensor, how: Appearance, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, H, W) in 0–255 with other light, colour and sharpness, and things in front of people."""
    pictures = _occlude(pictures, how.occlusion, generator)
    pictures = _blur(pictures, how.blur, generator)
    pictures = _sharpen(pictures, how.sharp, generator)
    pictures = _recolour(pictures, how, generator)
    pictures = _add_noise(pictures, how.noise, generator)
    return pictures.clamp_(0, 255)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    """Indices of a random share of so many."""
    return torch.nonzero(_uniform((count,), 0, 1, generator) < share)[:, 0]


def _recolour(pictures: Tensor, how: Appearance, generator: torch.Generator) -> Tensor:
    """One affine map of colours per picture: saturation, then a cast, then contrast about grey and brightness."""
    count = len(pictures)
    saturation = 1 + _uniform((count, 1, 1), -how.saturation, how.saturation, generator)
    cast = 1 + _uniform((count, 3, 1), -how.cast, how.cast, generator)
    contrast = 1 + _uniform((count, 1, 1), -how.contrast, how.contrast, generator)
    brightness = 1 + _uniform((count, 1, 1), -how.brightness, how.brightness, generator)
    identity = torch.eye(3, device=pictures.device)
    colours = (saturation * identity + (1 - saturation) / 3) * cast * contrast * brightness
    offset = 128 * (1 - contrast) * brightness
    return torch.baddbmm(offset, colours, pictures.flatten(2)).view_as(pictures)


def _blur(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Lost detail, as of a small or a shaky picture: shrunk by 1.5 to 4, differently in x and y, and grown again."""
    for i in _chosen(len(pictures), share, generator).tolist():
        shrinking = _uniform((2,), 1, 4, generator).tolist()
        size = [max(8, int(side / factor)) for side, factor in zip(pictures.shape[2:], shrinking, strict=True)]
        small = F.interpolate(pictures[i : i + 1], size, mode="bilinear", antialias=True)
        pictures[i : i + 1] = F.interpolate(small, pictures.shape[2:], mode="bilinear", align_corners=False)
    return pictures


def _sharpen(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Stressed detail, as of a large picture that was shrunk: up to twice the difference from the blurred one added."""
    chosen = _chosen(len(pictures), share, generator)
    sharp = pictures[chosen]
    bell = torch.tensor([1.0, 2.0, 1.0], device=pictures.device) / 4
    kernel = (bell[:, None] * bell).expand(3, 1, 3, 3)
    blurred = F.conv2d(F.pad(sharp, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    pictures[chosen] += (sharp - blurred) * _uniform((len(chosen), 1, 1, 1), 0, 2, generator)
    return pictures


def _add_noise(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chosen = _chosen(len(pictures), share, generator)
    noise = torch.randn((len(chosen), *pictures.shape[1:]), generator=generator, device=generator.device)
    pictures[chosen] += noise * _uniform((len(chosen), 1, 1, 1), 2, 20, generator)
    return pictures


def _occlude(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A rectangle of another picture of the batch in front of some."""
    count, _, height, width = pictures.shape
    others = pictures.roll(1, 0)
    pictures = pictures.clone()
    for i in _chosen(count, share, generator).tolist():
        h, w, y, x = _uniform((4,), 0, 1, generator).tolist()
        h, w = int(height * (0.1 + 0.3 * h)), int(width * (0.1 + 0.4 * w))
        y, x = int(y * (height - h)), int(x * (width - w))
        pictures[i, :, y : y + h, x : x + w] = others[i, :, y : y + h, x : x + w]
    return pictures
