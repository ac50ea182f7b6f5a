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
from tracker.training.validation import measure_detector

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


def test_figures_of_a_detector(tmp_path: Path) -> None:
    sets = [write_set(tmp_path, "street")]
    figures = measure_detector(AlwaysThere(), sets, write_set(tmp_path, "nobody", nobody=True), "cpu")
    assert {name: figures[f"street_{name}"] for name in ("ap", "ap50", "ar")} == pytest.approx(
        {"ap": 1, "ap50": 1, "ar": 1}
    )
    for name in ("false", "street_recall"):
        assert [figures[f"{name}_at_{score}"] for score in (0.3, 0.4, 0.5)] == [1, 1, 0]
    assert "street_ap_small" not in figures
