"""PicoDet: which graphs are taken for one, its input, and its output."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tracker.detection.picodet import PICODET
from tracker.runtime import OnnxNetwork, TensorInfo

IMAGE = TensorInfo("image", (1, 3, 320, 320), "float32")
BOXES = TensorInfo("boxes", (1, 2125, 4), "float32")
SCORES = TensorInfo("scores", (1, 1, 2125), "float32")


def _network(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> OnnxNetwork:
    return cast(OnnxNetwork, SimpleNamespace(inputs=tuple(inputs), outputs=tuple(outputs)))


@pytest.mark.parametrize(
    ("boxes_shape", "scores_shape"),
    [
        pytest.param((1, 2125, 4), (1, 1, 2125), id="people alone"),
        pytest.param((1, 2125, 4), (1, 80, 2125), id="COCO"),
        pytest.param((None, None, 4), (None, 80, None), id="batch and boxes open"),
    ],
)
def test_exports_fit(boxes_shape: tuple[int | None, ...], scores_shape: tuple[int | None, ...]) -> None:
    outputs = [TensorInfo("a", boxes_shape, "float32"), TensorInfo("b", scores_shape, "float32")]
    assert PICODET.fits(_network([IMAGE], outputs))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([IMAGE], [BOXES], id="no scores"),
        pytest.param([IMAGE], [SCORES, BOXES], id="another order"),
        pytest.param([IMAGE], [BOXES, TensorInfo("scores", (1, 2125, 80), "float32")], id="classes last"),
        pytest.param([IMAGE], [BOXES, TensorInfo("scores", (1, 1, 2100), "float32")], id="fewer scores than boxes"),
        pytest.param([IMAGE], [BOXES, TensorInfo("scores", (1, 3, 2125), "float32")], id="three classes"),
        pytest.param([IMAGE, TensorInfo("scale_factor", (1, 2), "float32")], [BOXES, SCORES], id="two inputs"),
        pytest.param([TensorInfo("x", (1, 3, 320, 320), "uint8")], [BOXES, SCORES], id="bytes in"),
    ],
)
def test_other_graphs_do_not_fit(inputs: list[TensorInfo], outputs: list[TensorInfo]) -> None:
    assert not PICODET.fits(_network(inputs, outputs))


def test_the_input_is_rgb_normalised_and_stretched() -> None:
    image = np.zeros((32, 16, 3), np.uint8)
    image[:, :] = 104, 116, 124
    tensor, scale_wh = PICODET.prepare(image, (64, 64))
    assert (tensor.shape, tensor.dtype) == ((3, 64, 64), np.float32)
    expected = np.array([0.325 / 58.395, -0.28 / 57.12, 0.47 / 57.375])
    np.testing.assert_allclose(tensor, np.broadcast_to(expected[:, None, None], tensor.shape), rtol=1e-3)
    assert (scale_wh.tolist(), scale_wh.dtype) == ([4, 2], np.float32)


def test_people_above_the_threshold_are_read() -> None:
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    scores = np.array([[0.9, 0.4, 0.5, np.nan], [0, 1, 0, 0]], np.float32)
    found, found_scores = PICODET.decode([boxes, scores], (320, 320), 0.5)
    np.testing.assert_array_equal(found, boxes[[0, 2, 3]])
    np.testing.assert_array_equal(found_scores, scores[0, [0, 2, 3]])
