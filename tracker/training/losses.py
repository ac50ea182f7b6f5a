"""Losses of heatmap regression, of tags that tell people apart, and of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tracker.training.recipes import BottomUpWeights


@dataclass(frozen=True, eq=False)
class MapTargets:
    """What an output of a bottom-up network shall be for B pictures.

    heatmaps: (B, K, h, w) in 0–1. mask: (B, h, w), 1 where the heatmaps count and 0 where people are unlabelled.
    tag_positions: (B, P, K, 2), for each of P people where the tags of their keypoints are read, an index into the
    flattened tags (K, h, w) and 1, or 0 for none.
    """

    heatmaps: Tensor
    mask: Tensor
    tag_positions: Tensor


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


def masked_mse_loss(heatmaps: Tensor, targets: Tensor, mask: Tensor, background: float = 1.0) -> Tensor:
    """Mean squared difference (B,) of heatmaps and targets (B, K, h, w) where the mask (B, h, w) is 1.

    What is masked out counts as no difference, and in the number that the sum is divided by. background: what cells
    with the target 0 count.
    Source: `HeatmapLoss` of the official LitePose code.
    """
    errors = (heatmaps - targets).square() * mask[:, None]
    if background != 1:
        errors = errors.where(targets > 0, errors * background)
    return errors.flatten(1).mean(dim=1)


def associative_embedding_losses(tags: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """How far tags are from those of the same person (pull) and how near to those of others (push), two scalars.

    tags: (B, n), those of a picture flattened. positions: (B, P, K, 2), of `MapTargets`. Pull is the variance of a
    person's tags, averaged over the N people of a picture. Push is the sum over pairs of two people, with d the
    difference of their mean tags, of exp(−d²) / 2N(N − 1), the form of the published recipes. Both are averaged over
    the pictures, where one without people counts 0.
    Source: `AELoss` of the official LitePose code (after Newell et al., NeurIPS 2017).
    """
    is_labelled = positions[..., 1].to(tags.dtype)
    values = tags.gather(1, positions[..., 0].long().flatten(1)).view_as(is_labelled)
    counts = is_labelled.sum(dim=2)
    shares = is_labelled / counts.clamp(min=1)[..., None]
    means = (values * shares).sum(dim=2)
    variances = ((values - means[..., None]).square() * shares).sum(dim=2)
    is_person = (counts > 0).to(tags.dtype)
    num_people = is_person.sum(dim=1)
    pull = variances.sum(dim=1) / num_people.clamp(min=1)
    differences = means[:, :, None] - means[:, None, :]
    is_pair = is_person[:, :, None] * is_person[:, None, :]
    is_pair = is_pair * (1 - torch.eye(is_pair.shape[1], device=tags.device, dtype=tags.dtype))
    num_pairs = 2 * num_people * (num_people - 1)
    push = ((-differences.square()).exp() * is_pair).sum(dim=(1, 2)) / num_pairs.clamp(min=1)
    return pull.mean(), push.mean()


def bottom_up_loss(outputs: Sequence[Tensor], targets: Sequence[MapTargets], weights: BottomUpWeights) -> Tensor:
    """Loss of a bottom-up network's outputs, a scalar: heatmaps of each, pull and push of each that has tags.

    outputs: (B, C, h, w) each, with K heatmaps and then no tags or as many.
    Source: `MultiLossFactory` of the official LitePose code.
    """
    total = outputs[0].new_zeros(())
    for output, target, weight in zip(outputs, targets, weights.heatmaps, strict=True):
        num_keypoints = target.heatmaps.shape[1]
        heatmaps, tags = output[:, :num_keypoints], output[:, num_keypoints:]
        total = total + weight * masked_mse_loss(heatmaps, target.heatmaps, target.mask, weights.background).mean()
        if tags.shape[1]:
            pull, push = associative_embedding_losses(tags.flatten(1), target.tag_positions)
            total = total + weights.pull * pull + weights.push * push
    return total


def quality_focal_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Sum of cross-entropies of logits and soft targets in 0–1, each times its weight and the squared error.

    Source: Li et al. (NeurIPS 2020), equation 4, with β = 2.
    """
    entropies = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (entropies * weights * (logits.sigmoid() - targets).square()).sum()


def giou_loss(distances: Tensor, targets: Tensor) -> Tensor:
    """1 − generalised IoU (N,) of boxes given by distances (N, 4) to the left, top, right and bottom of a point.

    Source: Rezatofighi et al. (CVPR 2019).
    """
    inner, outer = torch.minimum(distances, targets), torch.maximum(distances, targets)
    # A box turned inside out has no area.
    sides = ((d[:, :2] + d[:, 2:]).clamp(min=0) for d in (inner, outer, distances, targets))
    areas = [side.prod(dim=1) for side in sides]
    intersection, hull, found, wanted = areas
    union = found + wanted - intersection
    return 1 - intersection / union.clamp(min=1e-6) + (hull - union) / hull.clamp(min=1e-6)
