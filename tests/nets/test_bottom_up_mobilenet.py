"""The bottom-up network of MoveNet's form: its upsampling, whose keypoint is whose, and gradients."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tracker.nets.bottom_up_mobilenet import EdgeDeconvolution


def test_a_deconvolution_starts_as_bilinear_upsampling_borders_included() -> None:
    x = torch.randn(2, 6, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(EdgeDeconvolution(6)(x), expected)
