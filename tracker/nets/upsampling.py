"""Deconvolutions that raise features to a finer stride, joined by what the trunk knew there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FusedUpsampling(nn.Module):
    """Deconvolutions 4×4 with stride 2, each summed with a 1×1 convolution of the trunk's features at its stride.

    in_channels: of the trunk's features, fine to coarse, of which the finest may stay unused.
    num_deconvolutions: each halves the stride. A lateral convolution starts at zero, so that a network
    trained without it goes on from where it was.
    Source: Xiao et al. 2018, section 2, for the deconvolutions; Wang et al. 2022, section 3.2, for the fusion.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_deconvolutions: int) -> None:
        super().__init__()
        coarse_first = tuple(reversed(in_channels))
        inputs = (coarse_first[0], *(channels,) * (num_deconvolutions - 1))
        self.deconvolutions = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(wide, channels, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
            )
            for wide in inputs
        )
        self.laterals = nn.ModuleList(
            nn.Conv2d(wide, channels, kernel_size=1) for wide in coarse_first[1 : num_deconvolutions + 1]
        )
        for lateral in self.laterals:
            for parameter in lateral.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The features (B, channels, h, w) after each deconvolution, coarse to fine."""
        x, outputs = features[-1], []
        for i, (deconvolution, lateral) in enumerate(zip(self.deconvolutions, self.laterals, strict=True)):
            x = torch.relu(deconvolution(x) + lateral(features[-2 - i]))
            outputs.append(x)
        return outputs
