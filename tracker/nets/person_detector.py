"""PersonDetector: one score and one box per cell, at three strides, on MobileNetV2 and two deconvolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tracker.nets.mobilenet import OUT_CHANNELS, MobileNetV2
from tracker.nets.upsampling import FusedUpsampling

STRIDES = (8, 16, 32)
# What a score starts from, since hardly any cell is a person (Lin et al., ICCV 2017, section 4.1).
_PRIOR = 0.01


class PersonDetector(nn.Module):
    """Images (B, 3, H, W) in −1…1 to one map (B, 5, H / stride, W / stride) per stride of STRIDES.

    H and W are multiples of 32. The channels of a cell: the logit of its score, then the distances from the
    cell's point (column × stride, row × stride) to the left, top, right and bottom of the box, in pixels of
    the input. channels: of the deconvolutions and heads.
    Source: anchor points with side distances as in FCOS (Tian et al., ICCV 2019), on the deconvolutions of
    Xiao et al. 2018.
    """

    def __init__(self, channels: int = 96) -> None:
        super().__init__()
        self.trunk = MobileNetV2()
        self.upsampling = FusedUpsampling(OUT_CHANNELS, channels, num_deconvolutions=2)
        self.heads = nn.ModuleList(
            _head(wide, channels, stride)
            for wide, stride in zip((channels, channels, OUT_CHANNELS[-1]), STRIDES, strict=True)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and distances, from stride 8 to stride 32."""
        features = self.trunk(x)
        coarse, fine = self.upsampling(features)
        return self.heads[0](fine), self.heads[1](coarse), self.heads[2](features[-1])


class _Scaled(nn.Module):
    """Turns (B, 5, h, w) of any sign into logits and positive distances in pixels."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        # Four cells to each side where the head gives 0; the bounds keep the exponential finite.
        distances = x[:, 1:].clamp(-5, 5).exp() * (4 * self.stride)
        return torch.cat([x[:, :1], distances], dim=1)


def _head(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    last = nn.Conv2d(channels, 5, kernel_size=1)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        last.bias[0] = -math.log((1 - _PRIOR) / _PRIOR)  # type: ignore[index]
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        last,
        _Scaled(stride),
    )
