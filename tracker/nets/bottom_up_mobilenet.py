"""Heatmaps and tags of everybody in a picture, by a small network for CPUs: MoveNet's in the form of this program."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.nets.mobilenet import MobileNetV2

# Channels of each step of the pyramid from stride 32 to 4, and between the layers of a head.
_PYRAMID_CHANNELS = (64, 32, 24, 24)
_HEAD_CHANNELS = 96
# So many people, the surest ones, are told apart.
_MOST_PEOPLE = 20
# How far a keypoint can be from its place, one sigma: as a share of the person's extent, and beside it in cells.
_PLACE_SIGMA = (0.08, 0.5)
# Two middles are of one person if so much of a keypoint on average is alike, by Gaussians of so many sigmas.
_ALIKE = (0.5, 2.0)
# The score of a middle that does not count.
_NO_SCORE = 1e-6
# A keypoint that is so many sigmas from its place is by a tag of 1 from one that is there.
_REACH = 3.0
# What the tags of two people differ by at least.
_APART = 2.0


class PeopleMaps(NamedTuple):
    """What the network sees, at stride 4.

    heatmaps: logits (B, K, h, w). middles: logits (B, 1, h, w) of the middle of a person, that of the box around the
    keypoints. places: (B, 2K, h, w), where the keypoints of the person are whose middle is here: y and x of each, in
    cells from here.
    """

    heatmaps: Tensor
    middles: Tensor
    places: Tensor


class BottomUpMobileNet(nn.Module):
    """Images (B, 3, H, W) in −1…1 to one map (B, 3 num_keypoints, H / 4, W / 4): heatmaps in 0–1, then tags.

    H and W are multiples of 32; width is the trunk's. A tag has two values, and its second ones come after the first
    ones of all keypoints; they are those of `vote_tags`. Trunk, pyramid and heads are MoveNet MultiPose's, with
    deconvolutions that start as its bilinear upsampling in its place. A cell stands for its middle.
    Source: Google's MoveNet (2021), a CenterNet (Zhou et al. 2019) on a feature pyramid of MobileNetV2; Wang et al.
    2022, section 3, for the deconvolutions, and Newell et al. (NeurIPS 2017) for grouping by tags.
    """

    output_strides = (4,)
    tag_outputs = (True,)

    def __init__(self, num_keypoints: int, width: float = 1.5) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.trunk = MobileNetV2(width)
        self.upsampling = Pyramid(self.trunk.out_channels)
        num_maps = PeopleMaps(num_keypoints, 1, 2 * num_keypoints)._asdict()  # type: ignore[arg-type]
        self.heads = nn.ModuleDict({name: _head(count) for name, count in num_maps.items()})

    def look(self, x: Tensor) -> PeopleMaps:
        """What is seen in images, which is what is learnt."""
        features = self.upsampling(self.trunk(x))
        return PeopleMaps(*(head(features).float() for head in self.heads.values()))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Heatmaps and tags of images."""
        maps = self.look(x)
        return [torch.cat([maps.heatmaps.sigmoid(), vote_tags(maps.middles, maps.places)], dim=1)]


class Pyramid(nn.Module):
    """Features at strides 4, 8, 16 and 32 to features (B, 24, H / 4, W / 4).

    in_channels: of the features, fine to coarse. Each step is a deconvolution, the sum with a 1×1 convolution of the
    features at its stride, and a separable convolution.
    """

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        *fine, coarse = in_channels
        steps = list(pairwise(_PYRAMID_CHANNELS))
        self.reduce = nn.Conv2d(coarse, _PYRAMID_CHANNELS[0], kernel_size=1)
        self.deconvolutions = nn.ModuleList(EdgeDeconvolution(wide) for wide, _ in steps)
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, wide, kernel_size=1) for channels, (wide, _) in zip(reversed(fine), steps, strict=True)
        )
        self.separables = nn.ModuleList(nn.Sequential(_depthwise(wide), *_activated(wide, out)) for wide, out in steps)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The finest features."""
        *fine, coarse = features
        x = self.reduce(coarse)
        layers = zip(self.deconvolutions, self.laterals, self.separables, strict=True)
        for (deconvolution, lateral, separable), finer in zip(layers, reversed(fine), strict=True):
            x = separable(deconvolution(x) + lateral(finer))
        return x


class EdgeDeconvolution(nn.ConvTranspose2d):
    """A depthwise deconvolution 4×4 with stride 2, (B, C, h, w) → (B, C, 2h, 2w), whose input's border is repeated.

    It starts as bilinear upsampling with half-pixel centres.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=4, stride=2, padding=3, groups=channels, bias=False)
        kernel = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        with torch.no_grad():
            self.weight.copy_((kernel[:, None] * kernel).expand_as(self.weight))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x at twice the size."""
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="replicate"))


def vote_tags(middles: Tensor, places: Tensor) -> Tensor:
    """Tags (B, 2K, h, w) of keypoints by the people whose middles and places (`PeopleMaps`) are given.

    A cell belongs, for each keypoint, to the person whose place for it is nearest, in sigmas that grow with the person,
    and a little farther for people who are less sure; of two middles that have nearly the same places the surer counts.
    The tags' first values are how far that is, over the reach; their
    second ones number the people, apart enough for no two to be mixed up. So keypoints of one person have near tags
    where each is about at its place, and else not.
    """
    scores, cells = _surest(middles)
    width = middles.shape[3]
    here = torch.stack([cells // width, cells % width], dim=1).float()
    # (B, K, 2, N): y and x of each person's keypoints.
    wanted = _at(places, cells).reshape(places.shape[0], -1, 2, _MOST_PEOPLE) + here[:, None]
    extents = (wanted.amax(dim=1) - wanted.amin(dim=1)).amax(dim=1)
    share, least = _PLACE_SIGMA
    sharpness = (share * extents + least).pow(-2)[:, None]
    scores = scores.masked_fill(_are_seen_before(wanted, sharpness), _NO_SCORE)
    # The squared distance from every cell, multiplied out: one product of matrices.
    factors = torch.cat([-2 * wanted, wanted.square().sum(dim=2, keepdim=True)], dim=2) * sharpness[:, None]
    rows, columns = _rows_and_columns(middles)
    terms = torch.stack([rows, columns, torch.ones_like(rows)])
    squares = (factors.transpose(2, 3) @ terms) + sharpness[..., None] * (rows.square() + columns.square())
    nearest, person = (squares - 2 * scores.log()[:, None, :, None]).min(dim=2)
    tags = torch.cat([nearest.clamp(min=0).sqrt() / _REACH, person * _APART], dim=1)
    return tags.reshape(places.shape)


def _surest(middles: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, N) and cells (B, N), counted in raster order, of the highest peaks of middles (B, 1, h, w)."""
    scores = middles.float().sigmoid()
    is_peak = scores == F.max_pool2d(scores, 3, stride=1, padding=1)
    surest = torch.topk((scores * is_peak).flatten(1), _MOST_PEOPLE)
    return surest.values.clamp(min=_NO_SCORE), surest.indices


def _are_seen_before(wanted: Tensor, sharpness: Tensor) -> Tensor:
    """Whether each person (B, N), surest first, is like one before; sharpness: (B, 1, N), of one over sigma squared."""
    least, reach = _ALIKE
    squares = (wanted[..., None] - wanted[..., None, :]).square().sum(dim=2)
    alike = (squares * sharpness[..., None] / (-2 * reach**2)).exp().mean(dim=1)
    return (alike * torch.ones_like(alike).triu(diagonal=1)).amax(dim=1) > least


def _at(maps: Tensor, cells: Tensor) -> Tensor:
    """The values (B, C, N) of maps (B, C, h, w) at cells (B, N)."""
    return maps.float().flatten(2).gather(2, cells[:, None].expand(-1, maps.shape[1], -1))


def _rows_and_columns(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each cell (h · w,) of maps (B, C, h, w)."""
    ones = torch.ones_like(maps[0, 0], dtype=torch.float32)
    return (ones.cumsum(0) - 1).flatten(), (ones.cumsum(1) - 1).flatten()


def _head(num_maps: int) -> nn.Sequential:
    channels = _PYRAMID_CHANNELS[-1]
    return nn.Sequential(
        _depthwise(channels), *_activated(channels, _HEAD_CHANNELS), nn.Conv2d(_HEAD_CHANNELS, num_maps, kernel_size=1)
    )


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)


def _activated(in_channels: int, channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(in_channels, channels, kernel_size=1), nn.ReLU(inplace=True)
