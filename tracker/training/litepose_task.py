"""Training of LitePose: batches of scenes, targets for each output, the loss, and accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tracker.pose.heatmaps import encode_people, tag_positions
from tracker.pose.networks import Normalization
from tracker.training.augmentation import Appearance, vary
from tracker.training.litepose_views import Scene, ScenePictures, SceneViews, compose_scenes
from tracker.training.losses import BottomUpWeights, MapTargets, bottom_up_loss
from tracker.training.pose_task import normalise
from tracker.types import DoubleArray, Image


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Scenes (B, S, S, 3) uint8 BGR, and the targets of each output of the network, coarse to fine."""

    images: Image
    targets: tuple[MapTargets, ...]


@dataclass(frozen=True, eq=False)
class LitePoseTask:
    """What a training run needs to know of a LitePose.

    size: side of the scenes, pixels. output_sides: of the network's outputs, cells. sigma, whole_cells: of the targets,
    in cells of any output. max_people: in a scene whose tags are trained. batch_size: pictures per batch.
    """

    pictures: ScenePictures
    size: int
    output_sides: tuple[int, ...]
    normalization: Normalization
    sigma: float
    max_people: int
    views: SceneViews
    appearance: Appearance
    weights: BottomUpWeights
    batch_size: int
    seed: int
    validate: Callable[[nn.Module], dict[str, float]]
    whole_cells: bool = True

    def make_batch(self, step: int) -> SceneBatch:
        """The batch of a step, always the same one."""
        sides = self.output_sides
        scenes = compose_scenes(self.pictures, self.views, self.size, sides, self.batch_size, self.seed, step)
        images = np.stack([scene.image for scene in scenes])
        return SceneBatch(images, tuple(self._targets(scenes, i) for i in range(len(self.output_sides))))

    def _targets(self, scenes: list[Scene], output: int) -> MapTargets:
        size_wh = (self.output_sides[output],) * 2
        keypoints = [scene.keypoints[output] for scene in scenes]
        tables = [tag_positions(_on_map(people, size_wh[0]), size_wh, self.max_people) for people in keypoints]
        heatmaps = [encode_people(people, size_wh, self.sigma, whole_cells=self.whole_cells) for people in keypoints]
        return MapTargets(
            torch.from_numpy(np.stack(heatmaps)),
            torch.from_numpy(np.stack([scene.masks[output] for scene in scenes])),
            torch.from_numpy(np.stack(tables)),
        )

    def loss(self, model: nn.Module, batch: SceneBatch, generator: torch.Generator) -> Tensor:
        """The loss of a batch, on the generator's device."""
        device = generator.device
        images = torch.from_numpy(batch.images).to(device).flip(-1).permute(0, 3, 1, 2).float()
        outputs = model(normalise(vary(images, self.appearance, generator), self.normalization))
        targets = [
            MapTargets(t.heatmaps.to(device), t.mask.to(device), t.tag_positions.to(device)) for t in batch.targets
        ]
        return bottom_up_loss([output.float() for output in outputs], targets, self.weights)


def _on_map(keypoints: DoubleArray, side: int) -> DoubleArray:
    """The people (N, K, 2) of whom some keypoint is on a map of that side, so that nobody else takes a row of tags."""
    low, high = keypoints.min(axis=2), keypoints.max(axis=2)
    return keypoints[((low > -1) & (high < side)).any(axis=1)]
