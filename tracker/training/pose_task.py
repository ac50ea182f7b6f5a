"""Training of a top-down pose network: batches of views, the loss, and accuracy on validation people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tracker.errors import ModelError
from tracker.pose.crops import invert_matrices
from tracker.pose.family import OutputReader, TopDownFamily
from tracker.pose.heatmap_family import HEATMAPS
from tracker.pose.heatmaps import encode_heatmaps
from tracker.pose.networks import load_pose_network
from tracker.skeletons import Skeleton
from tracker.training.augmentation import in_rgb, normalise, vary, warp
from tracker.training.loop import Validate
from tracker.training.losses import joints_mse_loss
from tracker.training.pose_views import PersonCrops
from tracker.training.recipes import PoseRecipe
from tracker.training.stream import rows_of_step
from tracker.types import DoubleArray, FloatArray, Image, IntArray


@dataclass(frozen=True, eq=False)
class PoseBatch:
    """People of a step.

    crops: (B, H, W, 3) uint8 BGR, as stored. matrices: (B, 2, 3), from pixels of the network's input to those of
    the crops. targets: (B, K, h, w) in 0–1. weights: (B, K), of the targets.
    """

    crops: Image
    matrices: DoubleArray
    targets: FloatArray
    weights: FloatArray


class HeatmapTeacher:
    """A pose network whose heatmaps are learnt where no true label stands.

    Its input must be as large as that of the network in training, and its crops those of Simple Baselines. Raises
    ModelError for a file that is none.
    """

    def __init__(self, path: Path, skeleton: Skeleton, input_wh: tuple[int, int]) -> None:
        self._network = load_pose_network(path, "cpu", num_threads=1)
        height, width = self._network.input_size_hw
        if (width, height) != input_wh:
            raise ModelError(f"{path} takes {width}×{height} px, not {input_wh[0]}×{input_wh[1]}; name another teacher")
        family = self._network.family
        if not isinstance(family, TopDownFamily) or family.udp or family.draw is not HEATMAPS.draw:
            raise ModelError(f"{path} gives no heatmaps of the crops of Simple Baselines; name another teacher")
        self._reader = OutputReader(self._network, family)
        known = self._network.skeleton.keypoint_names
        pairs = [(i, known.index(name)) for i, name in enumerate(skeleton.keypoint_names) if name in known]
        self._ours, self._theirs = map(list, zip(*pairs, strict=True))

    def correct(
        self, pictures: Tensor, targets: Tensor, weights: Tensor, share: float, true_share: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Targets (B, K, h, w) and weights (B, K) with what the teacher sees in RGB pictures (B, 3, H, W) in 0–255.

        Beside a label the teacher's heatmap is that share of the target, and `true_share` beside a true one, of weight
        1; where none is, it is the target.
        """
        crops = pictures.round().clamp(0, 255).byte().permute(0, 2, 3, 1).flip(-1).cpu().numpy()
        (heatmaps,) = self._reader.read(crops).values()
        seen = torch.from_numpy(heatmaps[:, self._theirs]).to(targets.device)
        own, counts = targets[:, self._ours], weights[:, self._ours]
        is_labelled = own.flatten(2).amax(dim=2) > 0
        shares = torch.where(counts < 1, torch.where(is_labelled, share, 1.0), true_share)
        targets, weights = targets.clone(), weights.clone()
        targets[:, self._ours] = torch.lerp(own, seen, shares[..., None, None])
        weights[:, self._ours] = torch.maximum(counts, shares)
        return targets, weights


@dataclass(frozen=True, eq=False)
class PoseTask:
    """What a training run needs to know of pose networks: a `Task`.

    rows: those of `crops` to draw from; repeated ones come more often. validate: accuracy by name. teacher: sees every
    view.
    """

    recipe: PoseRecipe
    crops: PersonCrops
    rows: IntArray
    validate: Validate
    teacher: HeatmapTeacher | None = None

    def make_batch(self, step: int) -> PoseBatch:
        """The batch of a step, always the same one."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, 1, step])
        rows = self.rows[rows_of_step(len(self.rows), recipe.part_size, recipe.seed, step)]
        views = [self.crops.view(int(row), recipe, recipe.input_wh, rng) for row in rows]
        targets, weights = self._targets(np.stack([v.keypoints for v in views]), np.stack([v.weights for v in views]))
        matrices = invert_matrices(np.stack([v.matrix for v in views]))
        return PoseBatch(np.stack([v.crop for v in views]), matrices, targets, weights)

    def _targets(self, keypoints: DoubleArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        width, height = self.recipe.input_wh
        sigma, whole_cells = self.recipe.target_sigma, self.recipe.whole_cells
        targets, on_map = encode_heatmaps(
            keypoints, np.ones_like(weights), (width // 4, height // 4), sigma=sigma, whole_cells=whole_cells
        )
        # What has no keypoint but a weight is known to be absent: its heatmap is to be empty.
        is_missing = np.isnan(keypoints[..., 0])
        return targets, np.where(is_missing, weights, weights * on_map).astype(np.float32)

    def loss(self, model: nn.Module, batch: PoseBatch, generator: torch.Generator) -> Tensor:
        """The loss of a batch, on the generator's device."""
        recipe, device = self.recipe, generator.device
        seen = warp(in_rgb(batch.crops, device), torch.from_numpy(batch.matrices), recipe.input_wh)
        pictures = vary(seen, recipe, generator)
        heatmaps = model(normalise(pictures, recipe.normalization))
        targets, weights = torch.from_numpy(batch.targets).to(device), torch.from_numpy(batch.weights).to(device)
        if self.teacher:
            shares = recipe.teacher_share, recipe.teacher_true_share
            targets, weights = self.teacher.correct(pictures, targets, weights, *shares)
        return joints_mse_loss(heatmaps.float(), targets, weights)
