"""Losses of heatmap regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def joints_mse_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Half the mean squared difference of heatmaps and targets (B, K, h, w), a scalar.

    weights: (B, K), multiplies the difference, so it acts squared; None counts every keypoint alike.
    The mean is over all keypoints, also those of weight 0.
    Source: `JointsMSELoss` of the official code.
    """
    difference = heatmaps - targets
    if weights is not None:
        difference = difference * weights[..., None, None]
    return difference.square().mean() / 2
