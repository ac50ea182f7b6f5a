"""Lite-HRNet without weighting: branches at four resolutions, of shuffled half-convolutions, that exchange features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.nets.depthwise import depthwise_conv

# Channels of the branches, at strides 4, 8, 16 and 32.
WIDTHS = (40, 80, 160, 320)
# Exchanges of each stage, of two, three and four branches.
_NUM_MODULES = (2, 4, 2)
# Channels of the stem.
STEM_CHANNELS = 32
# Blocks of a branch before each exchange.
_NUM_BLOCKS = 2


class LiteHRNet(nn.Module):
    """Images (B, 3, H, W) to features of WIDTHS channels at strides 4, 8, 16 and 32, H and W multiples of 32.

    Batch norm is part of the convolutions' weights.
    Source: Yu et al. (CVPR 2021), the naive form with shuffle blocks, as PP-TinyPose of PaddleDetection has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.transitions = nn.ModuleList(
            nn.Sequential(*_separable(wide, width, stride), nn.ReLU(inplace=True))
            for wide, width, stride in zip(
                (STEM_CHANNELS, STEM_CHANNELS, *WIDTHS[1:]), WIDTHS, (1, 2, 2, 2), strict=False
            )
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Exchange(WIDTHS[:num_branches]) for _ in range(num_modules)))
            for num_branches, num_modules in enumerate(_NUM_MODULES, start=2)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of images, from stride 4 to stride 32."""
        x = self.stem(x)
        branches = [self.transitions[0](x)]
        for transition, stage in zip(self.transitions[1:], self.stages, strict=True):
            branches.append(transition(x))
            branches = stage(branches)
            x = branches[-1]
        return branches


class Exchange(nn.Module):
    """Blocks in each branch, then the sum of all branches in each, activated.

    What goes from the finest branch counts twice, and to coarser ones it goes as it is after the sum: both as
    published, where the weights were learnt so.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(ShuffleBlock(width) for _ in range(_NUM_BLOCKS))) for width in widths
        )
        self.fuse = nn.ModuleList(
            nn.ModuleList(_resample(source, target, widths) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Features of the same shapes."""
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        totals: list[Tensor] = []
        rows: Any = self.fuse
        for target, (first, *others) in enumerate(rows):
            total = 2 * first(totals[0] if totals else branches[0])
            for source, resample in enumerate(others, start=1):
                moved = resample(branches[source])
                total = total + (F.interpolate(moved, total.shape[2:]) if source > target else moved)
            totals.append(total)
        return [torch.relu(total) for total in totals]


class ShuffleBlock(nn.Module):
    """Half the channels through 1×1, depthwise 3×3 and 1×1; then both halves, channel by channel in turns.

    (B, channels, h, w) to the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            nn.Conv2d(half, half, 1), nn.ReLU(inplace=True), *_separable(half, half), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's features of x."""
        kept, changed = x.chunk(2, dim=1)
        return _take_turns(kept, self.layers(changed))


class Stem(nn.Module):
    """Images to 32 channels at stride 4, by two paths that take turns."""

    def __init__(self) -> None:
        super().__init__()
        half = STEM_CHANNELS // 2
        self.first = nn.Conv2d(3, STEM_CHANNELS, 3, 2, padding=1)
        self.left = nn.Sequential(*_separable(half, half, stride=2), nn.ReLU(inplace=True))
        self.right = nn.Sequential(
            nn.Conv2d(half, STEM_CHANNELS, 1),
            nn.ReLU(inplace=True),
            *_separable(STEM_CHANNELS, half, stride=2),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.relu(self.first(x)).chunk(2, dim=1)
        return _take_turns(self.left(left), self.right(right))


def _take_turns(a: Tensor, b: Tensor) -> Tensor:
    """Channels of both (B, C, h, w), one of a, one of b and so on: (B, 2C, h, w)."""
    return torch.stack([a, b], dim=2).flatten(1, 2)


def _resample(source: int, target: int, widths: Sequence[int]) -> nn.Module:
    """From a branch to the width of another, and to its resolution where that is coarser."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Conv2d(widths[source], widths[target], 1)
    steps: list[nn.Module] = []
    for _ in range(target - source - 1):
        steps += [*_separable(widths[source], widths[source], stride=2), nn.ReLU(inplace=True)]
    return nn.Sequential(*steps, *_separable(widths[source], widths[target], stride=2))


def _separable(in_channels: int, channels: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """A depthwise 3×3 and a 1×1 convolution, not activated."""
    return depthwise_conv(in_channels, stride), nn.Conv2d(in_channels, channels, 1)
