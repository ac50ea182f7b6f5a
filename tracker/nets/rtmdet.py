"""RTMDet-nano for people: CSPNeXt, a feature pyramid that goes up and down, one score and one box per cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.nets.depthwise import depthwise_conv

# Pixels of the input between the cells of each map, fine to coarse.
STRIDES = (8, 16, 32)
# Channels after the stem and after each of the four stages, and of the maps that the heads see.
_STEM, _STAGES, _OUT = 16, (32, 64, 128, 256), 64
# Blocks of each stage.
_DEPTHS = (1, 2, 2, 1)
# Sides of the windows whose largest values are joined before the last stage.
_POOLS = (5, 9, 13)


class RTMDetNano(nn.Module):
    """Images (B, 3, H, W), BGR, normalised, to one map (B, 5, H / stride, W / stride) per stride of STRIDES.

    H and W are multiples of 32. The channels of a cell: the logit of its score, then the distances from the cell's
    point (column × stride, row × stride) to the left, top, right and bottom of the box, in pixels of the input.
    Batch norm is part of the convolutions' weights.
    Source: Lyu et al. 2022, "RTMDet", sections 3.1 and 3.2, in the size nano and with one class.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = CSPNeXt()
        self.neck = _Pyramid()
        self.heads = nn.ModuleList(_Head(stride) for stride in STRIDES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits and distances, from stride 8 to stride 32."""
        features = self.neck(self.trunk(x))
        return [head(part) for head, part in zip(self.heads, features, strict=True)]


class CSPNeXt(nn.Module):
    """Images (B, 3, H, W) to features of 64, 128 and 256 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        half = _STEM // 2
        self.stem = nn.Sequential(_conv(3, half, 3, stride=2), _conv(half, half, 3), _conv(half, _STEM, 3))
        stages, wide = [], _STEM
        for channels, depth in zip(_STAGES, _DEPTHS, strict=True):
            is_last = channels == _STAGES[-1]
            pools = [_Pools(channels)] if is_last else []
            layer = CSPLayer(channels, channels, depth, has_shortcuts=not is_last, has_attention=True)
            stages.append(nn.Sequential(_separable(wide, channels, 3, stride=2), *pools, layer))
            wide = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of images, fine to coarse."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1], features[2], features[3]


class CSPLayer(nn.Module):
    """Two halves, one of them through blocks of separable 3×3 and 5×5 convolutions, joined by a 1×1.

    has_shortcuts: add to each block's output its input. has_attention: weigh the joined channels by their means.
    """

    def __init__(
        self, in_channels: int, channels: int, depth: int, *, has_shortcuts: bool = False, has_attention: bool = False
    ) -> None:
        super().__init__()
        half = channels // 2
        self.short_conv = _conv(in_channels, half, 1)
        self.main_conv = _conv(in_channels, half, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(*_separable(half, half, 3), *_separable(half, half, 5)) for _ in range(depth)
        )
        self.attention = _ChannelAttention(channels) if has_attention else nn.Identity()
        self.final_conv = _conv(channels, channels, 1)
        self._has_shortcuts = has_shortcuts

    def forward(self, x: Tensor) -> Tensor:
        """The layer's features of x."""
        short, main = self.short_conv(x), self.main_conv(x)
        for block in self.blocks:
            main = block(main) + main if self._has_shortcuts else block(main)
        return self.final_conv(self.attention(torch.cat([main, short], dim=1)))


class _ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))


class _Pools(nn.Module):
    """Joins features with their largest values over windows of several sizes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = _conv(channels, half, 1)
        self.conv2 = _conv(half * (1 + len(_POOLS)), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(F.max_pool2d(x, side, 1, side // 2) for side in _POOLS)], dim=1))


class _Pyramid(nn.Module):
    """Features at three strides, told of each other from coarse to fine and back, to 64 channels each."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = _STAGES[1:]
        self.reduce_layers = nn.ModuleList([_conv(coarse, middle, 1), _conv(middle, fine, 1)])
        self.top_down_blocks = nn.ModuleList([CSPLayer(2 * middle, middle, 1), CSPLayer(2 * fine, fine, 1)])
        self.downsamples = nn.ModuleList(_separable(wide, wide, 3, stride=2) for wide in (fine, middle))
        self.bottom_up_blocks = nn.ModuleList([CSPLayer(2 * fine, middle, 1), CSPLayer(2 * middle, coarse, 1)])
        self.out_convs = nn.ModuleList(_separable(wide, _OUT, 3) for wide in _STAGES[1:])

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        fine, middle, coarse = features
        down = [self.reduce_layers[0](coarse)]
        middle = self.top_down_blocks[0](torch.cat([_double(down[0]), middle], dim=1))
        down.append(self.reduce_layers[1](middle))
        outputs = [self.top_down_blocks[1](torch.cat([_double(down[1]), fine], dim=1))]
        for downsample, block, other in zip(self.downsamples, self.bottom_up_blocks, reversed(down), strict=True):
            outputs.append(block(torch.cat([downsample(outputs[-1]), other], dim=1)))
        return [conv(output) for conv, output in zip(self.out_convs, outputs, strict=True)]


class _Head(nn.Module):
    """Features (B, 64, h, w) to logits and distances (B, 5, h, w)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.cls_convs = nn.Sequential(*(_separable(_OUT, _OUT, 3) for _ in range(2)))
        self.rtm_cls = nn.Conv2d(_OUT, 1, kernel_size=1)
        self.reg_convs = nn.Sequential(*(_separable(_OUT, _OUT, 3) for _ in range(2)))
        self.rtm_reg = nn.Conv2d(_OUT, 4, kernel_size=1)
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        logits = self.rtm_cls(self.cls_convs(x))
        return torch.cat([logits, self.rtm_reg(self.reg_convs(x)) * self._stride], dim=1)


def _double(x: Tensor) -> Tensor:
    """Each cell twice on both axes."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return _activated(nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2))


def _separable(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A depthwise and a 1×1 convolution, both activated."""
    return nn.Sequential(_activated(depthwise_conv(in_channels, stride, kernel)), _conv(in_channels, channels, 1))


def _activated(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.SiLU(inplace=True))
