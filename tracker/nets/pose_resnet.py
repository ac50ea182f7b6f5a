"""PoseResNet: a ResNet, three deconvolutions and a 1×1 head (Xiao et al., ECCV 2018, section 2)."""

from __future__ import annotations

from torch import Tensor, nn

from tracker.nets.resnet import ResNet, Style


class PoseResNet(ResNet):
    """Normalised images (B, 3, H, W) to heatmaps (B, num_keypoints, H / 4, W / 4), H and W multiples of 32.

    depth: 18, 34, 50, 101 or 152. arguments: what `build_network` builds it by. Parameter names and shapes are those of
    the published checkpoints. The head starts as published: N(0, 0.001²), biases 0 (`init_weights` of the official
    code).
    """

    def __init__(self, depth: int, num_keypoints: int, style: Style = "pytorch") -> None:
        super().__init__(depth, style)
        self.num_keypoints = num_keypoints
        self.arguments = {"depth": depth, "num_keypoints": num_keypoints, "style": style}
        self.deconv_layers = nn.Sequential(
            *_upsampling(self.out_channels, 256), *_upsampling(256, 256), *_upsampling(256, 256)
        )
        self.final_layer = nn.Conv2d(256, num_keypoints, kernel_size=1)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Heatmaps of normalised images."""
        return self.final_layer(self.deconv_layers(super().forward(x)))


def _upsampling(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    deconvolution = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False)
    nn.init.normal_(deconvolution.weight, std=0.001)
    return deconvolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
