"""LitePose: heatmaps and tags of everybody in a picture, in one pass (Wang et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from tracker.nets import LITEPOSE_INPUT_SIZES
from tracker.nets.depthwise import DepthwiseConv

# Channels of the stem's first two convolutions.
_STEM = 32


@dataclass(frozen=True)
class LitePoseConfig:
    """Widths and depths of a LitePose; ValueError for a network that cannot be built.

    stem: channels at stride 2. channels, num_blocks: of each stage; all stages halve the size but the last.
    deconvolutions: channels of each, fewer than there are stages. expansion, kernel: of every block, the kernel odd.
    num_outputs: how many of the last deconvolutions have an output. tags_at_each_scale: tags at every output instead
    of the coarsest alone.
    """

    stem: int
    channels: tuple[int, ...]
    deconvolutions: tuple[int, ...]
    num_blocks: tuple[int, ...] = (6, 8, 10, 10)
    expansion: int = 6
    kernel: int = 7
    num_outputs: int = 2
    tags_at_each_scale: bool = False

    def __post_init__(self) -> None:
        numbers = (self.stem, *self.channels, *self.deconvolutions, *self.num_blocks, self.expansion, self.kernel)
        if min(numbers) < 1 or self.kernel % 2 == 0 or len(self.channels) != len(self.num_blocks):
            raise ValueError(f"positive numbers, an odd kernel, and as many channels as num_blocks, not {self}")
        if not 0 < self.num_outputs <= len(self.deconvolutions) < len(self.channels):
            raise ValueError(f"num_outputs ≤ deconvolutions < stages, not {self}")

    @property
    def output_strides(self) -> tuple[int, ...]:
        """Of the outputs, coarse to fine, in pixels of the input."""
        finest = 2 ** (len(self.channels) - len(self.deconvolutions))
        return tuple(finest * 2**i for i in reversed(range(self.num_outputs)))


# The released networks (LitePose-Auto).
LITEPOSE_SIZES: Mapping[str, LitePoseConfig] = MappingProxyType(
    {
        "XS": LitePoseConfig(16, (16, 32, 48, 80), (16, 24, 24)),
        "S": LitePoseConfig(16, (16, 32, 48, 120), (32, 24, 32)),
        "M": LitePoseConfig(16, (24, 48, 72, 120), (64, 40, 32)),
        "L": LitePoseConfig(24, (24, 64, 96, 160), (64, 40, 32)),
    }
)
# That of the published networks with other widths.
_OTHER_INPUT_SIZE = 512


class LitePose(nn.Module):
    """Normalised images (B, 3, H, W) to one map (B, C, H / s, W / s) per output, coarse to fine.

    H and W are multiples of the trunk's stride, 2 to the number of stages: 16 as released, with outputs at strides 4
    and 2. C is num_keypoints heatmaps, followed by as many tags where tag_outputs says so. Each deconvolution is
    fused with the trunk's features of its stride; each output adds what is refined and what the trunk has there.
    Parameter names and shapes are those of the published checkpoints, and so is the start: torch's defaults.
    """

    def __init__(self, num_keypoints: int, config: LitePoseConfig) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.config = config
        self.arguments = {"num_keypoints": num_keypoints, **asdict(config)}
        self.num_outputs = config.num_outputs
        self.output_strides = config.output_strides
        self.tag_outputs = tuple(config.tags_at_each_scale or i == 0 for i in range(config.num_outputs))
        widths = (config.stem, *config.channels)
        self.first = _stem(config.stem)
        self.stage = nn.ModuleList(_stage(config, i, *pair) for i, pair in enumerate(pairwise(widths)))
        self._add_deconvolutions(widths[::-1])
        self._add_heads(widths[::-1])

    @classmethod
    def from_arguments(cls, num_keypoints: int, **config: Any) -> LitePose:
        """The network with these `arguments`, which may come from JSON."""
        settings: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}
        return cls(num_keypoints, LitePoseConfig(**settings))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heatmaps and tags of normalised images, coarse to fine."""
        features = [self.first(images)]
        for stage in self.stage:
            features.append(stage(features[-1]))
        x, *skips = reversed(features)
        outputs = []
        first = len(self.deconv_refined) - self.num_outputs
        for i, activate in enumerate(self.deconv_bnrelu):
            x = activate(self.deconv_refined[i](x) + self.deconv_raw[i](skips[i]))
            if i >= first:
                outputs.append(self.final_refined[i - first](x) + self.final_raw[i - first](skips[i + 1]))
        return outputs

    def _add_deconvolutions(self, widths: Sequence[int]) -> None:
        """widths: of the trunk's features, coarse to fine."""
        planes = self.config.deconvolutions
        refined = zip((widths[0], *planes), planes, strict=False)
        raw = zip(widths[1:], planes, strict=False)
        self.deconv_refined = nn.ModuleList(_deconvolution(*pair) for pair in refined)
        self.deconv_raw = nn.ModuleList(_deconvolution(*pair) for pair in raw)
        self.deconv_bnrelu = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(inplace=True)) for n in planes)

    def _add_heads(self, widths: Sequence[int]) -> None:
        planes = self.config.deconvolutions
        first = len(planes) - self.num_outputs
        num_maps = [self.num_keypoints * (2 if has_tags else 1) for has_tags in self.tag_outputs]
        self.final_refined = nn.ModuleList(map(_SeparableConv, planes[first:], num_maps))
        self.final_raw = nn.ModuleList(map(_SeparableConv, widths[first + 2 :], num_maps))


def architecture_of(state: Mapping[str, Tensor]) -> tuple[int, LitePoseConfig]:
    """Number of keypoints and configuration of the LitePose with these weights; ValueError for another network."""
    try:
        num_stages, num_deconvolutions, num_outputs = (
            _count(state, prefix) for prefix in ("stage.", "deconv_refined.", "final_refined.")
        )
        num_maps = [state[f"final_refined.{i}.conv.3.weight"].shape[0] for i in range(num_outputs)]
        wide, narrow = state["stage.0.0.inv.0.weight"].shape[:2]
        config = LitePoseConfig(
            stem=state["first.2.weight"].shape[0],
            channels=tuple(state[f"stage.{i}.0.point_conv.0.weight"].shape[0] for i in range(num_stages)),
            deconvolutions=tuple(state[f"deconv_refined.{i}.weight"].shape[1] for i in range(num_deconvolutions)),
            num_blocks=tuple(_count(state, f"stage.{i}.") for i in range(num_stages)),
            expansion=wide // narrow,
            kernel=state["stage.0.0.depth_conv.0.weight"].shape[-1],
            num_outputs=num_outputs,
            tags_at_each_scale=num_maps[-1] == num_maps[0] and num_outputs > 1,
        )
    except (KeyError, IndexError, ArithmeticError) as error:
        raise ValueError(f"no weights of a LitePose ({error})") from error
    return num_maps[0] // 2, config


def published_input_size(config: LitePoseConfig) -> int:
    """The short side in pixels of the pictures that the published network of this configuration was trained on."""
    sizes = (LITEPOSE_INPUT_SIZES[name] for name, released in LITEPOSE_SIZES.items() if released == config)
    return next(sizes, _OTHER_INPUT_SIZE)


class _SeparableConv(nn.Module):
    """Depthwise 5×5, then 1×1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            DepthwiseConv(in_channels, 5),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            _pointwise(in_channels, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _InvertedBottleneck(nn.Module):
    """1×1 up, depthwise with a large kernel, 1×1 down without activation; the shortcut where shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.inv = _activated(_pointwise(in_channels, width))
        self.depth_conv = _activated(DepthwiseConv(width, kernel, stride))
        self.point_conv = nn.Sequential(_pointwise(width, out_channels), nn.BatchNorm2d(out_channels))
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.point_conv(self.depth_conv(self.inv(x)))
        return x + out if self.has_shortcut else out


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        _activated(nn.Conv2d(3, _STEM, kernel_size=3, stride=2, padding=1, bias=False)),
        _activated(DepthwiseConv(_STEM, 3)),
        _pointwise(_STEM, channels),
        nn.BatchNorm2d(channels),
    )


def _stage(config: LitePoseConfig, i: int, in_channels: int, channels: int) -> nn.Sequential:
    stride = 1 if i == len(config.channels) - 1 else 2
    of_all = config.expansion, config.kernel
    first = _InvertedBottleneck(in_channels, channels, stride, *of_all)
    others = (_InvertedBottleneck(channels, channels, 1, *of_all) for _ in range(config.num_blocks[i] - 1))
    return nn.Sequential(first, *others)


def _activated(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6(inplace=True))


def _pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, kernel_size=1, bias=False)


def _deconvolution(in_channels: int, channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, channels, kernel_size=4, stride=2, padding=1, bias=False)


def _count(names: Mapping[str, Any], prefix: str) -> int:
    """How many different numbers follow the prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})
