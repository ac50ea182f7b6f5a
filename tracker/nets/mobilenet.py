"""MobileNetV2 trunk (Sandler et al., CVPR 2018) without its 1280-channel layer, and with batch norm folded."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Stage(NamedTuple):
    """A row of table 2 of the paper: blocks that share a width; the first one has the stride."""

    expansion: int
    channels: int
    num_blocks: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
# Channels of the four outputs.
OUT_CHANNELS = (24, 32, 96, 320)


class SameConv(nn.Conv2d):
    """A convolution with bias and TensorFlow's padding: at stride 2 the odd pixel is at the bottom and right.

    (B, C_in, H, W) → (B, C, H / stride, W / stride), H and W multiples of the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups
        )

    def forward(self, x: Tensor) -> Tensor:
        """The convolved x."""
        if self.stride[0] == 1:
            return super().forward(x)
        if self.groups > 1 and torch.is_grad_enabled() and self.weight.requires_grad:
            # The backward pass of strided depthwise convolutions is slow on the CPU: 2 to 6 times as long as
            # that of all pixels, of which every second one is taken.
            return F.conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)[..., 1::2, 1::2]
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class InvertedResidual(nn.Module):
    """1×1 up, 3×3 depthwise, 1×1 down without activation; the shortcut where shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = nn.Identity() if expansion == 1 else _activated(SameConv(in_channels, width, 1))
        self.depthwise = _activated(SameConv(width, width, 3, stride, groups=width))
        self.project = SameConv(width, out_channels, 1)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's features of x."""
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.has_shortcut else out


class MobileNetV2(nn.Module):
    """Images (B, 3, H, W) to features at strides 4, 8, 16 and 32, H and W multiples of 32.

    The channels of the features are OUT_CHANNELS. Pixels are in −1…1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _activated(SameConv(3, 32, 3, stride=2))
        stages, channels = [], 32
        for stage in STAGES:
            stages.append(_stage(channels, stage))
            channels = stage.channels
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features of images, from stride 4 to stride 32."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1], features[2], features[4], features[6]


def _activated(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.ReLU6(inplace=True))


def _stage(in_channels: int, stage: Stage) -> nn.Sequential:
    first = InvertedResidual(in_channels, stage.channels, stage.expansion, stage.stride)
    others = (InvertedResidual(stage.channels, stage.channels, stage.expansion, 1) for _ in range(stage.num_blocks - 1))
    return nn.Sequential(first, *others)
