"""YOLO's detectors: what their files state, their centred letterbox, and both layouts by an independent decoder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.onnx_graphs import write_constant_graph
from tracker.detection import load_detector
from tracker.detection.family import DetectionNetwork
from tracker.detection.letterbox import letterbox, margins
from tracker.detection.yolo import YOLO, YOLO_NMS
from tracker.errors import ModelError
from tracker.runtime import TensorInfo

COCO = str({0: "person", 1: "bicycle"} | {number: f"class {number}" for number in range(2, 80)})
ALL_OPEN = (None, None, None)


@pytest.mark.parametrize(
    ("shape", "stated", "families"),
    [
        pytest.param(ALL_OPEN, {"task": "detect", "names": COCO}, [YOLO], id="all open: cells"),
        pytest.param(ALL_OPEN, {"task": "detect", "end2end": "True"}, [YOLO_NMS], id="all open: needs no NMS"),
        pytest.param(ALL_OPEN, {"task": "detect", "args": "{'nms': True}"}, [YOLO_NMS], id="all open: NMS inside"),
        pytest.param(ALL_OPEN, {}, [], id="all open, nothing stated"),
        pytest.param(ALL_OPEN, {"task": "pose"}, [], id="keypoints"),
        pytest.param((1, 85, 420), {"task": "obb", "names": COCO}, [], id="turned boxes"),
        pytest.param((1, 300, 6), {"description": "Ultralytics rtdetr-l model"}, [], id="RT-DETR"),
        pytest.param((1, 5, 420), {"names": "{0: 'head'}"}, [YOLO], id="one class of any name"),
        pytest.param((1, 6, 420), {"names": "{0: 'person', 1: 'ball'}"}, [YOLO], id="two classes, people first"),
        pytest.param((1, 84, 420), {"names": "{0: 'cat', 1: 'person'}"}, [], id="people are not the first"),
        pytest.param((1, 84, 420), {"names": "{0: "}, [YOLO], id="names that are damaged"),
    ],
)
def test_a_file_tells_what_its_shapes_leave_open(shape: Any, stated: dict[str, str], families: list[Any]) -> None:
    outputs = (TensorInfo("output0", shape, "float32"),)
    network = cast(DetectionNetwork, SimpleNamespace(inputs=(), outputs=outputs, metadata=stated))
    assert [family for family in (YOLO, YOLO_NMS) if family.fits(network)] == families


def test_inputs_are_rgb_of_0_to_1_in_the_middle_of_grey() -> None:
    image = np.zeros((30, 64, 3), np.uint8)
    image[:, :] = 0, 102, 255
    tensor, scale_wh = YOLO.prepare(image, (64, 64))
    assert (tensor.shape, tensor.dtype, tensor.flags.c_contiguous) == ((3, 64, 64), np.float32, True)
    np.testing.assert_allclose(tensor[:, 17:47], np.broadcast_to(np.float32([1, 0.4, 0])[:, None, None], (3, 30, 64)))
    np.testing.assert_allclose(np.delete(tensor, np.s_[17:47], axis=1), 114 / 255, rtol=1e-6)
    assert scale_wh.tolist() == [1, 1]


@pytest.mark.parametrize("image_wh", [(1279, 719), (100, 333), (64, 64), (4000, 3)])
def test_margins_are_those_of_the_letterbox(image_wh: tuple[int, int]) -> None:
    picture, scale_wh = letterbox(np.full((*image_wh[::-1], 3), 255, np.uint8), (320, 320), is_centred=True)
    rows, columns = (np.flatnonzero((picture == 255).all(axis=2).any(axis=axis)) for axis in (1, 0))
    assert margins(image_wh, scale_wh, (320, 320)).tolist() == [columns[0], rows[0]]
    assert 0 <= (319 - columns[-1]) - columns[0] <= 1
    assert 0 <= (319 - rows[-1]) - rows[0] <= 1


def by_documentation(columns: Any, least: float, gain: float, pad_wh: tuple[float, float]) -> list[list[float]]:
    """Boxes and scores of cells, one after the other: middle and size, then the letterbox undone, best first."""
    found: list[list[float]] = []
    for x, y, w, h, score in sorted(columns[:5].T.tolist(), key=lambda cell: -cell[4]):
        box = [(side - pad_wh[i % 2]) / gain for i, side in enumerate((x - w / 2, y - h / 2, x + w / 2, y + h / 2))]
        if score >= least and not any(_iou(box, other) > 0.7 for other in found):
            found.append([*box, score])
    return found


def _iou(a: list[float], b: list[float]) -> float:
    wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(wide, 0) * max(high, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_both_layouts_give_what_the_documentation_says(tmp_path: Any) -> None:
    rng, num_cells = np.random.default_rng(0), 64 // 8 * 12 + 24 + 6
    columns = rng.uniform(0, 1, (84, num_cells)).astype(np.float32)
    columns[:4] = rng.uniform((20, 24, 8, 8), (76, 40, 36, 32), (num_cells, 4)).T
    # 192×96 is 96×48 in the middle of 96×64.
    expected = np.array(by_documentation(columns, 0.6, 0.5, (0, 8)))
    assert 5 < len(expected) < 60
    rows = np.zeros((300, 6), np.float32)
    in_input = expected[:, :4] * 0.5 + [0, 8, 0, 8]
    rows[: len(expected), :5] = np.column_stack([in_input, expected[:, 4]])
    rows[-2:] = [[0, 8, 96, 56, 0.9, 1], [0, 8, 96, 56, 0, 0]]  # a bicycle, and nobody
    for name, values in {"cells": columns, "rows": rows}.items():
        image = TensorInfo("images", (1, 3, 64, 96), "float32")
        path = write_constant_graph(tmp_path / f"{name}.onnx", [image], {"output0": values[None]}, {"names": COCO})
        (found,) = load_detector(path, "cpu", 0.6).detect([np.zeros((96, 192, 3), np.uint8)])
        np.testing.assert_allclose(found.scores, expected[:, 4], rtol=1e-6)
        np.testing.assert_allclose(found.boxes, np.clip(expected[:, :4], 0, [192, 96, 192, 96]), atol=1e-4)
    (everything,) = load_detector(tmp_path / "rows.onnx", "cpu", 0).detect([np.zeros((96, 192, 3), np.uint8)])
    assert len(everything) == len(expected)


def test_a_network_of_keypoints_is_named_elsewhere(tmp_path: Any) -> None:
    image = TensorInfo("images", (1, 3, 64, 96), "float32")
    outputs = {"output0": np.zeros((1, 56, 126), np.float32)}
    path = write_constant_graph(tmp_path / "a.onnx", [image], outputs, {"task": "pose"})
    with pytest.raises(ModelError, match="states the task pose, so it needs no detector; name it with --pose-model"):
        load_detector(path, "cpu")
