"""The Simple Baselines network on Lite-HRNet, for CPUs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tracker.nets import UPSAMPLINGS
from tracker.nets.depthwise import depthwise_conv
from tracker.nets.lite_hrnet import WIDTHS, LiteHRNet

# Of the head for further keypoints: channels at strides 16, 8 and 4, and the side of its kernels at the first two, by
# which the top of a head sees the shoulders.
_FURTHER_CHANNELS = (96, 64, 16)
_FURTHER_KERNEL = 5


class PoseLiteHRNet(nn.Module):
    """Images (B, 3, H, W), RGB, normalised, to heatmaps (B, num_keypoints, H / 4, W / 4), H and W multiples of 32.

    further: how many of the keypoints, the last ones, have a head of their own, to learn at its rate. upsampling: of
    the decoder. With 17 keypoints, none of them further, and bilinear upsampling it is PP-TinyPose.
    Source: Xiao et al. 2018, section 2, with the trunk and the head of PP-TinyPose in place of the ResNet's.
    """

    def __init__(self, num_keypoints: int, further: int = 0, upsampling: str = "bilinear") -> None:
        super().__init__()
        if not 0 <= further < num_keypoints:
            raise ValueError(f"further must be fewer than the {num_keypoints} keypoints, not {further}")
        self.num_keypoints = num_keypoints
        self.trunk = LiteHRNet()
        self.decoder = Decoder(num_keypoints - further, upsampling)
        self.further = FurtherHead(further) if further else None

    def forward(self, x: Tensor) -> Tensor:
        """Heatmaps of images."""
        features = self.trunk(x)
        heatmaps, sums = self.decoder(features)
        return heatmaps if self.further is None else torch.cat([heatmaps, self.further(*sums, features[0])], dim=1)


class Decoder(nn.Module):
    """Features of Lite-HRNet's branches to heatmaps (B, num_keypoints, H / 4, W / 4), and the sums on the way.

    From the coarsest branch on, three times: a separable convolution, upsampling, and the sum with the trunk's features
    at that stride; then one more separable convolution and the 1×1 layer. upsampling: one of UPSAMPLINGS: bilinear with
    the corner cells' centres in place, as published, or a 4×4 deconvolution with stride 2 of each channel by itself,
    which starts as bilinear.
    Source: Wang et al. 2022, section 3.2, for the fusion.
    """

    def __init__(self, num_keypoints: int, upsampling: str = "bilinear") -> None:
        super().__init__()
        if upsampling not in UPSAMPLINGS:
            raise ValueError(f"upsampling must be one of {', '.join(UPSAMPLINGS)}, not {upsampling!r}")
        outputs = (*WIDTHS[-2::-1], WIDTHS[0])
        self.mixers = nn.ModuleList(mixer(*pair) for pair in zip(WIDTHS[::-1], outputs, strict=True))
        self.upsamplings = nn.ModuleList(
            nn.UpsamplingBilinear2d(scale_factor=2) if upsampling == "bilinear" else deconvolution(width)
            for width in outputs[:-1]
        )
        self.last = nn.Conv2d(WIDTHS[0], num_keypoints, kernel_size=1)
        nn.init.normal_(self.last.weight, std=0.001)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Heatmaps of features, fine to coarse, and the sums (B, 160, H / 16, W / 16) and (B, 80, H / 8, W / 8)."""
        *finer, x = features
        sums = []
        for mix, upsample, feature in zip(self.mixers, self.upsamplings, reversed(finer), strict=False):
            x = upsample(mix(x)) + feature
            sums.append(x)
        return self.last(self.mixers[-1](x)), sums[:2]


class FurtherHead(nn.Module):
    """Heatmaps (B, count, H / 4, W / 4) from what the decoder knows at strides 16 and 8 and the trunk at stride 4."""

    def __init__(self, count: int) -> None:
        super().__init__()
        wide, narrow, thin = _FURTHER_CHANNELS
        self.first = mixer(WIDTHS[2], wide, _FURTHER_KERNEL)
        self.coarse_blocks = nn.Sequential(MixerBlock(wide), MixerBlock(wide), nn.Conv2d(wide, narrow, 1))
        self.to_middle = deconvolution(narrow)
        self.middle = nn.Conv2d(WIDTHS[1], narrow, 1)
        self.middle_blocks = nn.Sequential(MixerBlock(narrow), nn.Conv2d(narrow, thin, 1))
        self.to_fine = deconvolution(thin)
        self.fine = nn.Conv2d(WIDTHS[0], thin, 1)
        self.second = mixer(thin, thin)
        self.last = nn.Conv2d(thin, count, 1)
        nn.init.normal_(self.last.weight, std=0.001)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, coarse: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        """Heatmaps of features at strides 16, 8 and 4."""
        x = self.coarse_blocks(self.first(coarse))
        x = self.middle_blocks(torch.relu(self.to_middle(x) + self.middle(middle)))
        return self.last(self.second(torch.relu(self.to_fine(x) + self.fine(fine))))


class MixerBlock(nn.Module):
    """Features (B, channels, h, w) and what a mixer makes of them, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = mixer(channels, channels, _FURTHER_KERNEL)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        return x + self.mix(x)


def mixer(in_channels: int, channels: int, kernel: int = 3) -> nn.Sequential:
    """A depthwise and a 1×1 convolution, activated."""
    depthwise = depthwise_conv(in_channels, kernel=kernel)
    return nn.Sequential(depthwise, nn.Conv2d(in_channels, channels, 1), nn.ReLU(inplace=True))


@torch.no_grad()
def deconvolution(channels: int) -> nn.ConvTranspose2d:
    """Doubles the resolution, each channel by itself; from the start bilinearly."""
    layer = nn.ConvTranspose2d(channels, channels, 4, 2, padding=1, groups=channels, bias=False)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    layer.weight.copy_((line[:, None] * line).expand_as(layer.weight))
    return layer
