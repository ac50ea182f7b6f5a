"""Training of bottom-up networks: of a LitePose, by heatmaps and tags; of a BottomUpMobileNet, by where people are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet, PeopleMaps
from tracker.pose.heatmaps import encode_people, tag_positions
from tracker.training.augmentation import in_rgb, normalise, vary
from tracker.training.litepose_views import Scene, ScenePictures
from tracker.training.loop import Validate
from tracker.training.losses import MapTargets, bottom_up_loss, quality_focal_loss
from tracker.training.recipes import LitePoseRecipe
from tracker.training.stream import rows_of_step
from tracker.types import BoolArray, DoubleArray, FloatArray, Image, IntArray

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

Targets = TypeVar("Targets")


@dataclass(frozen=True, eq=False)
class SceneBatch(Generic[Targets]):
    """Scenes (B, S, S, 3) uint8 BGR, and what a network shall see in them."""

    images: Image
    targets: Targets


@dataclass(frozen=True, eq=False)
class SceneTask(ABC, Generic[Targets]):
    """What a training run needs to know of bottom-up networks: a `Task`.

    output_sides: of the network's outputs, cells. validate: accuracy by name.
    """

    recipe: LitePoseRecipe
    pictures: ScenePictures
    output_sides: tuple[int, ...]
    validate: Validate

    def make_batch(self, step: int) -> SceneBatch[Targets]:
        """The batch of a step, always the same one."""
        recipe, pictures = self.recipe, self.pictures
        rng = np.random.default_rng([recipe.seed, 3, step])
        rows = rows_of_step(len(pictures.with_people), recipe.part_size, recipe.seed, step)
        scenes = [pictures.compose(int(row), recipe, recipe.side, self.output_sides, rng) for row in rows]
        return SceneBatch(np.stack([scene.image for scene in scenes]), self.targets(scenes))

    def loss(self, model: nn.Module, batch: SceneBatch[Targets], generator: torch.Generator) -> Tensor:
        """The loss of a batch, on the generator's device."""
        pictures = vary(in_rgb(batch.images, generator.device).float(), self.recipe, generator)
        return self.cost(model, normalise(pictures, self.recipe.normalization), batch.targets)

    @abstractmethod
    def targets(self, scenes: Sequence[Scene]) -> Targets:
        """What the network shall see in scenes."""

    @abstractmethod
    def cost(self, model: nn.Module, inputs: Tensor, targets: Targets) -> Tensor:
        """What it costs that the network sees something else in its input (B, 3, S, S)."""


class LitePoseTask(SceneTask[tuple[MapTargets, ...]]):
    """That of a LitePose, with targets for each output, coarse to fine."""

    def targets(self, scenes: Sequence[Scene]) -> tuple[MapTargets, ...]:
        """Heatmaps, masks and places of tags of each output."""
        return tuple(self._targets(scenes, i) for i in range(len(self.output_sides)))

    def cost(self, model: nn.Module, inputs: Tensor, targets: tuple[MapTargets, ...]) -> Tensor:
        """The loss of the outputs."""
        moved = [MapTargets(*(value.to(inputs.device) for value in vars(target).values())) for target in targets]
        return bottom_up_loss([output.float() for output in model(inputs)], moved, self.recipe)

    def _targets(self, scenes: Sequence[Scene], output: int) -> MapTargets:
        recipe, size_wh = self.recipe, (self.output_sides[output],) * 2
        keypoints = [scene.keypoints[output] for scene in scenes]
        tables = [tag_positions(_on_map(people, size_wh[0]), size_wh, recipe.max_people) for people in keypoints]
        heatmaps = [
            encode_people(people, size_wh, recipe.sigma, whole_cells=recipe.whole_cells) for people in keypoints
        ]
        masks = [scene.masks[output] for scene in scenes]
        return MapTargets(*(torch.from_numpy(np.stack(maps)) for maps in (heatmaps, masks, tables)))


def _on_map(keypoints: DoubleArray, side: int) -> DoubleArray:
    """The people (N, K, 2) of whom some keypoint is on a map of that side, so that nobody else takes a row of tags."""
    low, high = keypoints.min(axis=2), keypoints.max(axis=2)
    return keypoints[((low > -1) & (high < side)).any(axis=1)]


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
    parts = [_map_targets(scene.keypoints[0], scene.masks[0]) for scene in scenes]
    pictures = np.repeat(np.arange(len(parts)), [len(part["sizes"]) for part in parts])
    maps = {name: np.stack([part[name] for part in parts]) for name in ("heatmaps", "weights")}
    rows = {name: np.concatenate([part[name] for part in parts]) for name in ("cells", "places", "sizes")}
    middles = {name: np.stack([part[name] for part in parts])[:, None] for name in ("middles", "middle_weights")}
    values = maps | rows | middles | {"pictures": pictures}
    return PeopleTargets(**{name: torch.from_numpy(value) for name, value in values.items()})


def _map_targets(keypoints: DoubleArray, mask: BoolArray) -> dict[str, FloatArray | IntArray]:
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
