"""Networks: torch modules only. What recipes name of them without torch stands here."""

from collections.abc import Mapping
from types import MappingProxyType

# ImageNet's mean and standard deviation of 0–255 values, RGB, which most networks take.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
# How the decoder of PoseLiteHRNet doubles the resolution.
UPSAMPLINGS = ("bilinear", "deconvolution")
# The short side in pixels of the pictures that each size of LitePose was trained on.
LITEPOSE_INPUT_SIZES: Mapping[str, int] = MappingProxyType({"XS": 256, "S": 448, "M": 448, "L": 512})
