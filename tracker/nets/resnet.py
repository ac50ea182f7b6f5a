"""ResNet trunk (He et al., CVPR 2016), with the parameter names of torchvision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from torch import Tensor, nn

Style: TypeAlias = Literal["pytorch", "caffe"]

# Blocks per stage, and whether they are bottlenecks.
STAGES: dict[int, tuple[tuple[int, int, int, int], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; (B, C_in, H, W) → (B, C, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Residual of x, added to its shortcut."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut; (B, C_in, H, W) → (B, 4C, H / stride, W / stride).

    The stride is on the 3×3 convolution, in the caffe style on the first 1×1.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, style: Style = "pytorch") -> None:
        super().__init__()
        first, second = (stride, 1) if style == "caffe" else (1, stride)
        out_channels = channels * self.expansion
        self.conv1 = _conv(in_channels, channels, 1, first)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, second)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Residual of x, added to its shortcut."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out)) + self.downsample(x)
        return self.relu(out)


_Block: TypeAlias = Callable[..., BasicBlock | Bottleneck]


class ResNet(nn.Module):
    """Images (B, 3, H, W) to features (B, out_channels, H / 32, W / 32), the C5 of the literature.

    depth: 18, 34, 50, 101 or 152. In the caffe style every depth has bottlenecks, also 18 and 34, as in
    `get_pose_net` of the official code.
    """

    def __init__(self, depth: int, style: Style = "pytorch") -> None:
        if depth not in STAGES:
            raise ValueError(f"ResNet depth must be one of {tuple(STAGES)}, got {depth}")
        super().__init__()
        (n1, n2, n3, n4), bottlenecks = STAGES[depth]
        block: _Block = BasicBlock
        expansion = BasicBlock.expansion
        if bottlenecks or style == "caffe":
            block, expansion = partial(Bottleneck, style=style), Bottleneck.expansion
        self.conv1 = _conv(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(block, n1, 64, 64, stride=1)
        self.layer2 = _stage(block, n2, 64 * expansion, 128, stride=2)
        self.layer3 = _stage(block, n3, 128 * expansion, 256, stride=2)
        self.layer4 = _stage(block, n4, 256 * expansion, 512, stride=2)
        self.out_channels = 512 * expansion
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """C5 features of normalised images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


def _stage(block: _Block, num_blocks: int, in_channels: int, channels: int, *, stride: int) -> nn.Sequential:
    first = block(in_channels, channels, stride)
    out_channels = channels * first.expansion
    return nn.Sequential(first, *(block(out_channels, channels) for _ in range(num_blocks - 1)))
