"""Batches and loss of pose networks."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tests.onnx_graphs import write_constant_graph
from tests.training.people import annotate, assert_batches_depend_on_seed_and_step_alone
from tracker.errors import ModelError
from tracker.pose.networks import Normalization
from tracker.runtime import TensorInfo
from tracker.skeletons import BODY_19, COCO_17, Skeleton
from tracker.training.augmentation import normalise
from tracker.training.pose_task import HeatmapTeacher, PoseTask
from tracker.training.pose_views import store_crops
from tracker.training.recipes import PoseRecipe, Views, without_augmentation

RECIPE = PoseRecipe(
    skeleton="coco17", input_size=(64, 32), mean=(127.5,) * 3, std=(127.5,) * 3, sigma=1.0, batch_size=4, repeats=()
)
# Views as they are, in light that varies.
STILL = {name: getattr(without_augmentation(RECIPE), name) for name in (f.name for f in fields(Views))}
BOX = (20, 10, 50, 60)


def make_task(folder: Path, teacher: HeatmapTeacher | None = None, **changes: Any) -> PoseTask:
    """Four people with a nose at different heights, in noise."""
    path = folder / "noise.png"
    if not path.is_file():
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    people = annotate([path], [(0, BOX, {"nose": (35, 20 + 8 * i)}) for i in range(4)])
    crops = store_crops(people, (42, 84), folder / "cache")
    return PoseTask(replace(RECIPE, **changes), crops, np.arange(4), lambda _: {}, teacher)


class Remember(nn.Module):
    """Gives empty heatmaps and keeps its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return torch.zeros(len(x), COCO_17.num_keypoints, 16, 8)


def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    assert_batches_depend_on_seed_and_step_alone(make_task(tmp_path), make_task(tmp_path, seed=1))


def test_rows_that_are_repeated_come_more_often(tmp_path: Path) -> None:
    task = replace(make_task(tmp_path, **STILL), rows=np.array([0, 1, 1, 1]))
    rows = [(*tuple(matrix.ravel()), target.argmax()) for matrix, target in _people(task.make_batch(0))]
    assert sorted(rows.count(row) for row in set(rows)) == [1, 3]


def _people(batch: Any) -> Any:
    return zip(batch.matrices, batch.targets[:, 0], strict=True)


def test_targets_have_the_published_form_or_lie_between_cells(tmp_path: Path) -> None:
    whole = make_task(tmp_path, **STILL, whole_cells=True).make_batch(0)
    between = make_task(tmp_path, **STILL).make_batch(0)
    assert (whole.targets[:, 0].max(axis=(1, 2)) == 1).all()
    assert (between.targets[:, 0].max(axis=(1, 2)) < 1).any()
    assert (between.targets[:, 0].max(axis=(1, 2)) > 0.7).all()
    assert whole.targets.shape == (4, 17, 16, 8)


def test_what_is_absent_trains_an_empty_map_and_what_is_unlabelled_none(tmp_path: Path) -> None:
    task = make_task(tmp_path, **STILL)
    absent, unlabelled = COCO_17.index("left_ear"), COCO_17.index("right_ear")
    task.crops.weights[:, absent] = 0.3
    batch = task.make_batch(0)
    assert batch.weights[:, absent].tolist() == pytest.approx([0.3] * 4)
    assert not batch.targets[:, absent].any()
    heatmaps = torch.zeros(4, 17, 16, 8, requires_grad=True)
    task.loss(_Constant(heatmaps + 1), batch, torch.Generator()).backward()
    assert heatmaps.grad is not None
    assert (heatmaps.grad[:, absent] > 0).all()
    assert not heatmaps.grad[:, unlabelled].any()


class _Constant(nn.Module):
    def __init__(self, heatmaps: torch.Tensor) -> None:
        super().__init__()
        self.heatmaps = heatmaps

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.heatmaps


def test_a_keypoint_out_of_sight_counts_nothing(tmp_path: Path) -> None:
    task = make_task(tmp_path, **STILL)
    task.crops.keypoints[:, 0] = 1000
    batch = task.make_batch(0)
    assert not batch.weights.any()
    assert task.loss(Remember(), batch, torch.Generator()).item() == 0


def test_the_network_sees_normalised_pictures(tmp_path: Path) -> None:
    task, network = make_task(tmp_path), Remember()
    task = replace(task, recipe=without_augmentation(task.recipe))
    batch = task.make_batch(0)
    task.loss(network, batch, torch.Generator())
    assert network.seen.shape == (4, 3, 64, 32)
    assert network.seen.is_contiguous(memory_format=torch.channels_last)
    assert -1 <= network.seen.min() < -0.5
    assert 0.5 < network.seen.max() <= 1
    batch.crops[:] = 0, 51, 255
    task.loss(network, batch, torch.Generator())
    assert network.seen[0, :, 32, 16].tolist() == pytest.approx([1, -0.6, -1])


def test_colours_come_in_the_order_of_the_network() -> None:
    pictures = torch.tensor([10.0, 20, 30]).reshape(1, 3, 1, 1)
    rgb = normalise(pictures, Normalization("rgb", (0, 10, 20), (1, 2, 5)))
    assert rgb.flatten().tolist() == [10, 5, 2]
    assert normalise(pictures, Normalization("bgr", (0, 0, 0), (1, 1, 1))).flatten().tolist() == [30, 20, 10]


TAUGHT = np.random.default_rng(1).uniform(0.1, 0.9, (1, 17, 16, 8)).astype(np.float32)


def make_teacher(folder: Path, skeleton: Skeleton = COCO_17, input_wh: tuple[int, int] = (32, 64)) -> HeatmapTeacher:
    """It sees the same whatever is there."""
    stated = {"skeleton": "coco17", "color": "rgb", "mean": "[0, 0, 0]", "std": "[255, 255, 255]"}
    image = TensorInfo("image", (1, 3, 64, 32), "float32")
    path = write_constant_graph(folder / "teacher.onnx", [image], {"heatmaps": TAUGHT}, stated)
    return HeatmapTeacher(path, skeleton, input_wh)


TRUE, ABSENT, PSEUDO, SURER, UNLABELLED, GONE = range(6)


def test_a_teacher_stands_in_for_labels_that_are_not_true(tmp_path: Path) -> None:
    targets, weights = torch.zeros(2, 19, 16, 8), torch.zeros(2, 19)
    targets[:, [TRUE, PSEUDO, SURER], 5, 6] = 1
    weights[:, TRUE] = weights[:, ABSENT] = 1
    weights[:, PSEUDO], weights[:, SURER], weights[:, GONE] = 0.2, 0.7, 0.3
    targets[:, 18, 2, 3], weights[:, 18] = 1, 0.4
    before = targets.clone(), weights.clone()
    corrected, counts = make_teacher(tmp_path, BODY_19).correct(torch.zeros(2, 3, 64, 32), targets, weights, 0.4)
    taught = torch.from_numpy(TAUGHT).expand(2, -1, -1, -1)
    for part in (TRUE, ABSENT):
        assert torch.equal(corrected[:, part], targets[:, part])
    # no Gaussian: unlabelled, or thought to be absent
    for part in (UNLABELLED, GONE, 16):
        torch.testing.assert_close(corrected[:, part], taught[:, part])
    for part in (PSEUDO, SURER):
        torch.testing.assert_close(corrected[:, part], 0.6 * targets[:, part] + 0.4 * taught[:, part])
    assert counts[0, : GONE + 1].tolist() == pytest.approx([1, 1, 0.4, 0.7, 1, 1])
    # the teacher knows nothing of neck and head
    assert torch.equal(corrected[:, 17:], targets[:, 17:])
    assert counts[:, 17:].tolist() == [pytest.approx([0, 0.4])] * 2
    assert torch.equal(targets, before[0])
    assert torch.equal(weights, before[1])


def test_a_teacher_beside_true_labels(tmp_path: Path) -> None:
    targets, weights = torch.zeros(1, 17, 16, 8), torch.ones(1, 17)
    targets[:, TRUE, 5, 6] = 1
    teacher = make_teacher(tmp_path)
    corrected, counts = teacher.correct(torch.zeros(1, 3, 64, 32), targets, weights, 0.5, true_share=0.25)
    taught = torch.from_numpy(TAUGHT)
    torch.testing.assert_close(corrected, torch.lerp(targets, taught, 0.25))
    assert torch.equal(counts, weights)


def test_a_teacher_sees_what_the_network_sees_as_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, seen = make_teacher(tmp_path), []
    maps = {"heatmaps": TAUGHT.repeat(2, axis=0)}
    monkeypatch.setattr(teacher._reader, "read", lambda crops: seen.append(crops) or maps)
    pictures = torch.zeros(2, 3, 64, 32)
    pictures[:, 0], pictures[:, 1], pictures[:, 2] = 300, 20.6, -5
    teacher.correct(pictures, torch.zeros(2, 17, 16, 8), torch.zeros(2, 17), 0.5)
    assert (seen[0].shape, seen[0].dtype) == ((2, 64, 32, 3), np.uint8)
    # blue, green, red
    assert seen[0][1, 7, 9].tolist() == [0, 21, 255]


def test_saying_what_the_teacher_says_costs_nothing(tmp_path: Path) -> None:
    task = make_task(tmp_path, make_teacher(tmp_path), **STILL)
    batch = task.make_batch(0)
    heatmaps = torch.from_numpy(TAUGHT).repeat(4, 1, 1, 1)
    heatmaps[:, 0] = torch.from_numpy(batch.targets[:, 0])
    assert task.loss(_Constant(heatmaps), batch, torch.Generator()).item() == pytest.approx(0, abs=1e-9)
    assert task.loss(_Constant(heatmaps + 1), batch, torch.Generator()).item() > 0.1


def test_a_teacher_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"teacher.onnx takes 32×64 px, not 96×128; name another teacher"):
        make_teacher(tmp_path, input_wh=(96, 128))


def test_a_teacher_of_other_crops_is_refused(tmp_path: Path) -> None:
    (tmp_path / "teacher.toml").write_text('crop = "udp"')
    with pytest.raises(ModelError, match=r"teacher.onnx gives no heatmaps of the crops of Simple Baselines; name"):
        make_teacher(tmp_path)
