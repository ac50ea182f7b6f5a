"""The Simple Baselines network on a small trunk, for CPUs: for one person, and for everybody in a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.nets.mobilenet import OUT_CHANNELS, MobileNetV2
from tracker.nets.upsampling import FusedUpsampling

# Pixels in half a cell.
HALF_CELL = 2
# How much tags rise from one cell of 4 px to the next, to the right and down: by 1, which tells people apart, in 32 and
# in 96 px. People are higher than wide, and more often side by side.
_SLOPE = (1 / 8, 1 / 24)


class PoseMobileNet(nn.Module):
    """Images (B, 3, H, W) in −1…1 to heatmaps (B, num_keypoints, H / 4, W / 4), H and W multiples of 32.

    channels: of each of the three deconvolutions.
    Source: Xiao et al. 2018, section 2, with MobileNetV2 in place of the ResNet and lateral convolutions.
    """

    def __init__(self, num_keypoints: int, channels: int = 96) -> None:
        super().__init__()
        self.trunk = MobileNetV2()
        self.upsampling = FusedUpsampling(OUT_CHANNELS, channels, num_deconvolutions=3)
        self.final_layer = nn.Conv2d(channels, num_keypoints, kernel_size=1)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Heatmaps of images."""
        return self.final_layer(self.upsampling(self.trunk(x))[-1])


class BottomUpMobileNet(PoseMobileNet):
    """Images (B, 3, H, W) in −1…1 to one map (B, 2 num_keypoints, H / 4, W / 4): heatmaps, then tags, of everybody.

    H and W are multiples of 32. The layers and their names are those of PoseMobileNet, so that training goes on from
    its weights. A cell stands for its middle, as LitePose's do, where PoseMobileNet's stand for their first pixel: the
    picture is moved by half a cell. Tags have a slope across the picture: people who stand apart differ from the start,
    and what is learnt is how far a keypoint is from the rest of its person, which can be seen where it is.
    Source: Wang et al. 2022, section 3, and Newell et al. (NeurIPS 2017) for the tags; the slope is ours.
    """

    output_strides = (4,)
    tag_outputs = (True,)

    def __init__(self, num_keypoints: int, channels: int = 96) -> None:
        super().__init__(2 * num_keypoints, channels)
        self.num_keypoints = num_keypoints

    @property
    def arguments(self) -> dict[str, int]:
        """What the same network is built with."""
        return {"num_keypoints": self.num_keypoints, "channels": self.final_layer.in_channels}

    def forward(self, x: Tensor) -> list[Tensor]:  # type: ignore[override]
        """Heatmaps and tags of images."""
        moved = F.pad(x[..., HALF_CELL:, HALF_CELL:], (0, HALF_CELL, 0, HALF_CELL))
        return [slope_tags(super().forward(moved), self.num_keypoints)]


def slope_tags(maps: Tensor, num_keypoints: int) -> Tensor:
    """Maps (B, 2 num_keypoints, h, w) whose tags, the second half, rise by _SLOPE a cell to the right and down."""
    tags = maps[:, num_keypoints:]
    ones = torch.ones_like(tags[:, :1], dtype=torch.float32)
    across, down = (ones.cumsum(axis) * slope for axis, slope in zip((3, 2), _SLOPE, strict=True))
    return torch.cat([maps[:, :num_keypoints].float(), tags + across + down], dim=1)
