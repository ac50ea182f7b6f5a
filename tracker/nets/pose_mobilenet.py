"""The Simple Baselines network on a small trunk, for CPUs."""

from __future__ import annotations

from torch import Tensor, nn

from tracker.nets.mobilenet import OUT_CHANNELS, MobileNetV2
from tracker.nets.upsampling import FusedUpsampling


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
