"""Targets of cells by hand, and batches and loss of detectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tests.onnx_graphs import write_constant_graph
from tests.training.people import annotate, assert_batches_depend_on_seed_and_step_alone
from tests.vectors import SHARED
from tracker.errors import ModelError
from tracker.nets.rtmdet import STRIDES
from tracker.runtime import TensorInfo
from tracker.training.detector_task import CellTargets, DenseTeacher, DetectorTask, cell_points, label_cells
from tracker.training.detector_views import Scene, store_pictures
from tracker.training.recipes import DetectorRecipe, without_augmentation

# 8 × 8, 4 × 4 and 2 × 2 cells
SIZE = 64
NUM_CELLS = 84


def scene_of(*people: tuple[list[float], float, bool], empty: list[list[float]] | None = None) -> Scene:
    """People as box, score and whether they are sure."""
    return Scene(
        image=np.zeros((SIZE, SIZE, 3), np.uint8),
        boxes=np.array([box for box, _, _ in people], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in people], np.float32),
        is_sure=np.array([sure for _, _, sure in people], bool),
        empty=np.array(empty or [], np.float32).reshape(-1, 4),
        empty_weights=np.ones(len(empty or []), np.float32),
    )


def seen(*cells: tuple[int, float, list[float]]) -> CellTargets:
    """What a teacher saw: cells with a score and a box."""
    points, scores, distances = cell_points(SIZE), np.zeros(NUM_CELLS, np.float32), np.zeros((NUM_CELLS, 4), np.float32)
    for cell, score, box in cells:
        scores[cell] = score
        distances[cell] = [*(points[cell] - box[:2]), *(np.array(box[2:]) - points[cell])]
    return CellTargets(scores, distances, np.ones(NUM_CELLS, np.float32))


def cell_at(stride: int, column: int, row: int) -> int:
    sides = [SIZE // s for s in STRIDES]
    before = STRIDES.index(stride)
    return sum(side**2 for side in sides[:before]) + row * sides[before] + column


@pytest.mark.parametrize(
    ("box", "cell", "distances"),
    [
        pytest.param([16, 16, 32, 32], cell_at(8, 3, 3), [8, 8, 8, 8], id="16 px: stride 8"),
        pytest.param([0, 0, 48, 48], cell_at(8, 3, 3), [24, 24, 24, 24], id="48 px: still stride 8"),
        pytest.param([0, 0, 49, 48], cell_at(16, 2, 2), [32, 32, 17, 16], id="more: stride 16"),
        pytest.param([-40, -40, 80, 80], cell_at(32, 1, 1), [72, 72, 48, 48], id="120 px: stride 32"),
        pytest.param([58, 58, 64, 64], cell_at(8, 7, 7), [-2, -2, 8, 8], id="in the corner: the last cell"),
    ],
)
def test_a_labelled_person_without_a_teacher(box: list[float], cell: int, distances: list[float]) -> None:
    targets = label_cells(scene_of((box, 1.0, True)), None, SIZE)
    assert np.flatnonzero(targets.scores).tolist() == [cell]
    assert targets.scores[cell] == 1
    assert targets.distances[cell].tolist() == distances
    assert (targets.weights == 1).all()


PERSON: list[float] = [16, 16, 32, 32]
CELL, BESIDE, FAR = cell_at(8, 3, 3), cell_at(8, 3, 2), cell_at(8, 7, 7)


@pytest.mark.parametrize(
    ("scene", "teacher", "scores"),
    [
        pytest.param(scene_of(), seen(), {}, id="nobody, and nobody seen"),
        pytest.param(scene_of(), seen((FAR, 0.6, [50, 50, 60, 60])), {FAR: 0.6}, id="not labelled: the teacher knows"),
        pytest.param(
            scene_of((PERSON, 0.6, True)),
            seen((CELL, 0.4, PERSON), (BESIDE, 0.9, PERSON)),
            {CELL: 0.8 / 3, BESIDE: 0.6},
            id="seen more surely: the label's score",
        ),
        pytest.param(
            scene_of((PERSON, 0.9, True)),
            seen((CELL, 0.3, PERSON), (BESIDE, 0.15, PERSON)),
            {CELL: 0.9, BESIDE: 0.45},
            id="seen less surely: the label's score",
        ),
        pytest.param(
            scene_of((PERSON, 0.9, True)),
            seen((CELL, 0.08, PERSON)),
            {CELL: 0.9},
            id="hardly seen: put there",
        ),
        pytest.param(
            scene_of((PERSON, 0.9, True), ([16, 16, 34, 34], 0.3, True)),
            seen((CELL, 0.5, PERSON), (BESIDE, 0.6, [16, 16, 34, 34])),
            {CELL: 0.9, BESIDE: 0.3},
            id="two people close together: a cell shows whom it fits best",
        ),
        pytest.param(
            scene_of((PERSON, 1.0, True)),
            seen((BESIDE, 0.9, [0, 0, 16, 16])),
            {BESIDE: 0.9, CELL: 1.0},
            id="somebody else was seen: missed",
        ),
        pytest.param(
            scene_of((PERSON, 0.7, True)),
            seen((CELL, 0.9, [24, 0, 64, 64])),
            {CELL: 0.9},
            id="missed, but the cell shows another more surely",
        ),
        pytest.param(
            scene_of(empty=[[0, 0, 24, 64]]),
            seen((cell_at(8, 2, 2), 0.9, PERSON), (CELL, 0.9, PERSON), (cell_at(32, 0, 1), 0.5, PERSON)),
            {CELL: 0.9},
            id="an empty region up to its right edge, at every stride",
        ),
        pytest.param(scene_of((PERSON, 0.4, False)), seen(), {}, id="not seen: a doubtful label teaches nothing"),
    ],
)
def test_a_teacher_is_put_right_by_labels(scene: Scene, teacher: CellTargets, scores: dict[int, float]) -> None:
    before = teacher.scores.copy()
    targets = label_cells(scene, teacher, SIZE)
    assert {int(i): targets.scores[i] for i in np.flatnonzero(targets.scores)} == pytest.approx(scores)
    assert (targets.weights == 1).all()
    np.testing.assert_array_equal(teacher.scores, before)


LARGE: list[float] = [0, 0, 48, 48]


@pytest.mark.parametrize(
    ("person", "score", "expected", "weight"),
    [
        pytest.param(LARGE, 0.6, 0.3, 1, id="a doubtful label lowers"),
        pytest.param(LARGE, 0.2, 0.2, 1, id="and never raises"),
        pytest.param(PERSON, 0.6, 0.3, 0, id="somebody small counts neither way"),
        pytest.param(PERSON, 0.05, 0.05, 1, id="hardly seen: nobody"),
    ],
)
def test_people_in_doubt(person: list[float], score: float, expected: float, weight: float) -> None:
    targets = label_cells(scene_of((person, 0.3, False)), seen((CELL, score, person)), SIZE)
    assert targets.scores[CELL] == pytest.approx(expected)
    assert targets.weights[CELL] == weight
    assert np.delete(targets.weights, CELL).all()


class Remember(nn.Module):
    """Always gives the same cells."""

    def __init__(self, cells: torch.Tensor) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.seen = x
        counts = [(SIZE // s) ** 2 for s in STRIDES]
        parts = self.cells.expand(len(x), -1, -1).transpose(1, 2).split(counts, dim=2)
        return [part.reshape(len(x), 5, SIZE // s, SIZE // s) for part, s in zip(parts, STRIDES, strict=True)]


def make_task(folder: Path, teacher: DenseTeacher | None = None, **changes: Any) -> DetectorTask:
    path = folder / "noise.png"
    if not path.is_file():
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    people = annotate([path, path], [(0, (20, 10, 50, 60), {}), (1, (5, 5, 30, 70), {})])
    plain = without_augmentation(DetectorRecipe(size=SIZE, batch_size=2, empty_weight=1.0, box_weight=2.0))
    pictures = store_pictures(people, folder / "cache")
    return DetectorTask(replace(plain, **changes), pictures, lambda _: {}, teacher)


def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    assert_batches_depend_on_seed_and_step_alone(make_task(tmp_path), make_task(tmp_path, seed=1))


def test_saying_what_the_targets_say_costs_nothing(tmp_path: Path) -> None:
    task = make_task(tmp_path, grids=(1, 0, 0), zoom_alone=(0.9, 0.9), negatives=0, batch_size=1)
    batch = task.make_batch(0)
    assert (batch.scores == 1).sum() == 1
    logits = torch.from_numpy(batch.scores[..., None] * 40 - 20)
    right = torch.cat([logits, torch.from_numpy(batch.distances)], dim=2)[0]
    network = Remember(right)
    assert task.loss(network, batch, torch.Generator()).item() == pytest.approx(0, abs=1e-6)
    assert network.seen.shape == (1, 3, SIZE, SIZE)
    # the first channel is blue, with the mean and deviation that RTMDet takes
    assert network.seen[0, 0].numpy() == pytest.approx((batch.images[0, ..., 0] - 103.53) / 57.375, abs=1e-4)
    # boxes count where people are alone, and weights of 0 take a cell out
    cell = int(batch.scores[0].argmax())
    wrong = right.clone()
    wrong[np.arange(NUM_CELLS) != cell, 1:] = 3
    assert task.loss(Remember(wrong), batch, torch.Generator()).item() == pytest.approx(0, abs=1e-6)
    wrong[cell, 1:] = right[cell, 1:] * 2
    # twice the GIoU loss of a box four times as large
    assert task.loss(Remember(wrong), batch, torch.Generator()).item() == pytest.approx(1.5, abs=1e-4)
    lighter = replace(task, recipe=replace(task.recipe, box_weight=0.5))
    assert lighter.loss(Remember(wrong), batch, torch.Generator()).item() == pytest.approx(0.375, abs=1e-4)
    batch.weights[:] = 0
    assert task.loss(Remember(wrong), batch, torch.Generator()).item() == 0


def test_a_scene_without_people_has_a_loss(tmp_path: Path) -> None:
    task = make_task(tmp_path, batch_size=1)
    batch = task.make_batch(0)
    batch.scores[:] = 0
    cells = torch.zeros(NUM_CELLS, 5) + 1
    cells[:, 0] = 0
    # 84 cells, half sure: no division by nobody
    expected = NUM_CELLS * np.log(2) / 4
    assert task.loss(Remember(cells), batch, torch.Generator()).item() == pytest.approx(expected, rel=1e-4)


def write_teacher(path: Path, channels: int = 5) -> Path:
    image = TensorInfo("image", (1, 3, SIZE, SIZE), "float32")
    maps = {f"map{s}": np.full((1, SIZE // s, SIZE // s, channels), i - 1, np.float32) for i, s in enumerate(STRIDES)}
    return write_constant_graph(path, [image], maps)


def test_a_teacher_is_read_cell_by_cell(tmp_path: Path) -> None:
    targets = DenseTeacher(write_teacher(tmp_path / "teacher.onnx")).look(np.zeros((SIZE, SIZE, 3), np.uint8))
    for stride, logit in zip(STRIDES, (-1, 0, 1), strict=True):
        cell = cell_at(stride, 1, 0)
        assert targets.scores[cell] == pytest.approx(1 / (1 + np.exp(-logit)))
        assert targets.distances[cell].tolist() == [logit] * 4


def test_another_network_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no RTMDet with raw heads"):
        DenseTeacher(write_teacher(tmp_path / "teacher.onnx", channels=6))


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs the development models")
def test_the_real_teacher_sees_people_where_they_are() -> None:
    from tracker.boxes import iou
    from tracker.datasets.coco import read_ground_truth, read_picture
    from tracker.detection.letterbox import letterbox

    teacher = DenseTeacher(SHARED / "models" / "rtmdet_nano_raw.onnx")
    folder = SHARED / "data" / "val" / "coco"
    truth = read_ground_truth(folder / "annotations.json")
    picture = max(truth.pictures, key=lambda p: max((person["bbox"][3] for person in p.people), default=0))
    image, scale = letterbox(read_picture(picture, folder / "images"), (320, 320))
    cells = teacher.look(image)
    best = int(cells.scores.argmax())
    point, distances = cell_points(320)[best], cells.distances[best]
    box = np.concatenate([point - distances[:2], point + distances[2:]])[None]
    true = picture.true_boxes().boxes * np.concatenate([scale, scale])
    assert cells.scores[best] > 0.5
    assert iou(box, true).max() > 0.7


def test_cells_of_empty_regions_count_more() -> None:
    scene = replace(scene_of(empty=[[0, 0, 24, 64], [40, 0, 64, 64]]), empty_weights=np.array([1, 0.4], np.float32))
    targets = label_cells(scene, None, SIZE, empty_weight=3.0)
    columns = cell_points(SIZE)[:, 0]
    assert (targets.weights[columns < 24] == 3).all()
    assert targets.weights[columns >= 40] == pytest.approx(1.2)
    assert (targets.weights[(columns >= 24) & (columns < 40)] == 1).all()
