"""Training of bottom-up networks: batches of scenes, targets for each output, the loss, and accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tracker.pose.heatmaps import encode_people, tag_positions
from tracker.training.augmentation import in_rgb, normalise, vary
from tracker.training.litepose_views import Scene, ScenePictures
from tracker.training.loop import Validate
from tracker.training.losses import MapTargets, bottom_up_loss
from tracker.training.recipes import LitePoseRecipe
from tracker.training.stream import rows_of_step
from tracker.types import DoubleArray, Image

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
