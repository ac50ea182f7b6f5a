"""What is measured in training, with networks that always give the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.people import annotate
from tracker.skeletons import COCO_17
from tracker.training.datasets import ValidationSet, truth_of
from tracker.training.recipes import LitePoseRecipe, PoseRecipe
from tracker.training.validation import measure_bottom_up, measure_detector, measure_pose

BOX = (100, 120, 180, 320)


def write_set(folder: Path, name: str, *, nobody: bool = False) -> ValidationSet:
    """A grey picture of 416 pixels with one person, or with nobody."""
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), np.full((416, 416, 3), 90, np.uint8))
    # where the middle of the padded box is
    points = dict.fromkeys(COCO_17.keypoint_names, (140.0, 220.0))
    people = [] if nobody else [(0, BOX, points)]
    return ValidationSet(name, truth_of(annotate([path], people), folder), Path())


class AlwaysThere(nn.Module):
    """One person in every picture, whom seven cells show with a score of 0.45."""

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [torch.full((len(x), 5, 416 // stride, 416 // stride), -9.0) for stride in (8, 16, 32)]
        box = torch.tensor(BOX)
        for column in range(14, 21):
            point = torch.tensor([column, 27.0]) * 8
            maps[0][:, :, 27, column] = torch.cat([torch.tensor([-0.2]), point - box[:2], box[2:] - point])
        return maps


class InTheMiddle(nn.Module):
    """Every keypoint in the middle of the crop."""

    def forward(self, x: Tensor) -> Tensor:
        heatmaps = torch.zeros(len(x), 17, 16, 16)
        heatmaps[:, :, 8, 8] = 1
        return heatmaps


class InThePlace(nn.Module):
    """Every keypoint where that of the person is, at strides 4 and 2, with equal tags."""

    tag_outputs = (True, False)

    def forward(self, x: Tensor) -> list[Tensor]:
        height, width = x.shape[2:]
        maps = [torch.zeros(len(x), n, height // s, width // s) for s, n in ((4, 34), (2, 17))]
        # 140, 220 of 416 pixels
        for stride, heatmaps in zip((4, 2), maps, strict=True):
            heatmaps[:, :17, round(220 / 416 * height) // stride, round(140 / 416 * width) // stride] = 1
        return maps


def test_figures_of_a_bottom_up_network(tmp_path: Path) -> None:
    sets = [write_set(tmp_path, "street")]
    figures = measure_bottom_up(InThePlace(), sets, LitePoseRecipe(input_size=128), "cpu")
    assert figures["street_ap50"] == pytest.approx(1)
    assert figures["street_mean_oks"] > 0.75


def test_figures_of_a_detector(tmp_path: Path) -> None:
    sets = [write_set(tmp_path, "street")]
    figures = measure_detector(AlwaysThere(), sets, write_set(tmp_path, "nobody", nobody=True), "cpu")
    assert {name: figures[f"street_{name}"] for name in ("ap", "ap50", "ar")} == pytest.approx(
        {"ap": 1, "ap50": 1, "ar": 1}
    )
    for name in ("false", "street_recall"):
        assert [figures[f"{name}_at_{score}"] for score in (0.3, 0.4, 0.5)] == [1, 1, 0]
    assert "street_ap_small" not in figures


def test_figures_of_a_pose_network(tmp_path: Path) -> None:
    recipe = PoseRecipe(skeleton="coco17", input_size=(64, 64))
    figures = measure_pose(InTheMiddle(), [write_set(tmp_path, "street")], recipe, "cpu")
    assert figures["street_ap"] == pytest.approx(1)
    # without a torso there is no PCK
    assert "street_pck" not in figures
