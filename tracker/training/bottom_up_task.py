"""Training of a BottomUpMobileNet: where keypoints and the middles of people are, and what keypoints a middle has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet, PeopleMaps
from tracker.pose.heatmaps import encode_people
from tracker.training.litepose_task import SceneTask
from tracker.training.litepose_views import Scene
from tracker.training.losses import quality_focal_loss
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray

# Sigma of the Gaussians on keypoints and on middles, in cells: at least so much, and so much more for each cell of a
# person's size, the root of the area that the keypoints span. MoveNet's heatmaps look so.
_KEYPOINT_SIGMA = (0.7, 0.019)
_MIDDLE_SIGMA = (0.7, 0.038)
# A person with fewer keypoints in sight has no middle that could be learnt.
_LEAST_KEYPOINTS = 4
# What middles and the places of keypoints count in the loss.
_MIDDLES_WEIGHT, _PLACES_WEIGHT = 0.2, 10.0
# Where a missing keypoint of a person may be: in the box around the others, grown by this share of its sides.
_MARGIN = 0.25


@dataclass(frozen=True, eq=False)
class PeopleTargets:
    """What the `PeopleMaps` of B pictures shall be.

    heatmaps: (B, K, h, w) in 0–1. middles: (B, 1, h, w). weights, middle_weights: like them, 0 where it is not known.
    pictures, cells: (P,), the picture of each person and the middle's cell, counted in raster order. places: (P, 2K),
    y and x of each keypoint in cells from there, NaN where it is not known. sizes: (P,), of the people in cells.
    """

    heatmaps: Tensor
    weights: Tensor
    middles: Tensor
    middle_weights: Tensor
    pictures: Tensor
    cells: Tensor
    places: Tensor
    sizes: Tensor


class BottomUpTask(SceneTask[PeopleTargets]):
    """That of a BottomUpMobileNet, which has one output."""

    def targets(self, scenes: Sequence[Scene]) -> PeopleTargets:
        """What is to be seen in scenes."""
        return people_targets(scenes)

    def cost(self, model: nn.Module, inputs: Tensor, targets: PeopleTargets) -> Tensor:
        """The loss of what is seen."""
        moved = PeopleTargets(*(value.to(inputs.device) for value in vars(targets).values()))
        return people_loss(cast(BottomUpMobileNet, model).look(inputs), moved)


def people_loss(maps: PeopleMaps, targets: PeopleTargets) -> Tensor:
    """Loss of what a network sees, a scalar: heatmaps and middles as soft classes, places by their distance.

    Distances count in sizes of the person.
    Source: Zhou et al. 2019, section 4, with the focal loss of Li et al. 2020 for soft targets.
    """
    num_keypoints = (targets.heatmaps == 1).sum().clamp(min=1)
    num_people = max(1, len(targets.sizes))
    heatmaps = quality_focal_loss(maps.heatmaps, targets.heatmaps, targets.weights) / num_keypoints
    middles = quality_focal_loss(maps.middles, targets.middles, targets.middle_weights) / num_people
    found = maps.places.flatten(2)[targets.pictures, :, targets.cells]
    errors = (found - targets.places).abs() / targets.sizes[:, None]
    is_known = ~targets.places.isnan()
    places = errors.where(is_known, errors.new_zeros(())).sum() / is_known.sum().clamp(min=1)
    return heatmaps + _MIDDLES_WEIGHT * middles + _PLACES_WEIGHT * places


def people_targets(scenes: Sequence[Scene]) -> PeopleTargets:
    """What is to be seen in scenes, on their first maps."""
    parts = [_targets(scene.keypoints[0], scene.masks[0]) for scene in scenes]
    pictures = np.repeat(np.arange(len(parts)), [len(part["sizes"]) for part in parts])
    maps = {name: np.stack([part[name] for part in parts]) for name in ("heatmaps", "weights")}
    rows = {name: np.concatenate([part[name] for part in parts]) for name in ("cells", "places", "sizes")}
    middles = {name: np.stack([part[name] for part in parts])[:, None] for name in ("middles", "middle_weights")}
    values = maps | rows | middles | {"pictures": pictures}
    return PeopleTargets(**{name: torch.from_numpy(value) for name, value in values.items()})


def _targets(keypoints: DoubleArray, mask: BoolArray) -> dict[str, FloatArray | IntArray]:
    """The same of one map (s, s): people (N, K, 2) in its cells, and where all are labelled."""
    side = len(mask)
    is_inside = ~np.isnan(keypoints[..., 0]) & ((keypoints >= 0) & (keypoints < side)).all(axis=2)
    keypoints = np.where(is_inside[..., None], keypoints, np.nan)[is_inside.any(axis=1)]
    count = (~np.isnan(keypoints[..., 0])).sum(axis=1)
    low, high = (np.reshape([f(person, axis=0) for person in keypoints], (-1, 2)) for f in (np.nanmin, np.nanmax))
    sizes = np.sqrt(np.maximum(high - low, 1).prod(axis=1))
    has_middle = count >= _LEAST_KEYPOINTS
    middles = np.floor((low + high) / 2)[has_middle]
    weights, middle_weights = _weights(keypoints, low, high, has_middle, mask)
    return {
        "heatmaps": _encode(np.floor(keypoints), sizes, side, _KEYPOINT_SIGMA),
        "weights": weights,
        "middles": _encode(middles[:, None], sizes[has_middle], side, _MIDDLE_SIGMA)[0],
        "middle_weights": middle_weights,
        "cells": (middles @ [1, side]).astype(np.int64),
        "places": _from_middles(keypoints[has_middle], middles),
        "sizes": sizes[has_middle].astype(np.float32),
    }


def _encode(cells: DoubleArray, sizes: DoubleArray, side: int, sigma: tuple[float, float]) -> FloatArray:
    """Heatmaps (K, side, side) of whole cells (N, K, 2) of people of these sizes (N,)."""
    sigmas = np.broadcast_to((sigma[0] + sigma[1] * sizes)[:, None], cells.shape[:2])
    return encode_people(cells + 0.5, (side, side), sigmas, whole_cells=False)


def _from_middles(keypoints: DoubleArray, middles: DoubleArray) -> FloatArray:
    """Places (N, 2K) of keypoints (N, K, 2): y and x from the cells of middles (N, 2)."""
    from_middle = keypoints - 0.5 - middles[:, None]
    return from_middle[..., ::-1].reshape(len(keypoints), keypoints.shape[1] * 2).astype(np.float32)


def _weights(
    keypoints: DoubleArray, low: DoubleArray, high: DoubleArray, has_middle: BoolArray, mask: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Weights (K, s, s) of heatmaps and (s, s) of middles: 0 where a person's keypoint or middle may be unseen."""
    of_keypoints = np.repeat(mask[None].astype(np.float32), keypoints.shape[1], axis=0)
    of_middles = mask.astype(np.float32)
    margin = _MARGIN * (high - low) + 1
    first, end = np.floor(low - margin).clip(0).astype(int), np.ceil(high + margin).astype(int)
    is_missing = np.isnan(keypoints[..., 0])
    for person in range(len(keypoints)):
        box = tuple(slice(first[person, axis], end[person, axis]) for axis in (1, 0))
        of_keypoints[is_missing[person], *box] = 0
        if not has_middle[person]:
            of_middles[box] = 0
    return of_keypoints, of_middles
