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


def quality_focal_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Sum of cross-entropies of logits and soft targets in 0–1, each times its weight and the squared error.

    Source: Li et al. (NeurIPS 2020), equation 4, with β = 2.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits

    entropies = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (entropies * weights * (logits.sigmoid() - targets).square()).sum()


def giou_loss(distances: Tensor, targets: Tensor) -> Tensor:
    """1 − generalised IoU (N,) of boxes given by distances (N, 4) to the left, top, right and bottom of a point.

    Source: Rezatofighi et al. (CVPR 2019).
    """
    import torch

    inner, outer = torch.minimum(distances, targets), torch.maximum(distances, targets)
    areas = [(d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (inner, outer, distances, targets)]
    intersection, hull, found, wanted = areas
    union = found + wanted - intersection
    return 1 - intersection / union.clamp(min=1e-6) + (hull - union) / hull.clamp(min=1e-6)
