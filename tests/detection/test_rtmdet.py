"""RTMDet, with NMS in the graph and without: which graphs are taken for one, its input, and its output."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tracker.detection.rtmdet import RTMDET, RTMDET_RAW
from tracker.runtime import OnnxNetwork, TensorInfo

IMAGE = TensorInfo("input", (None, 3, None, None), "float32")
DETS = TensorInfo("dets", (None, None, 5), "float32")
LABELS = TensorInfo("labels", (None, None), "int64")


def _network(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> OnnxNetwork:
    return cast(OnnxNetwork, SimpleNamespace(inputs=tuple(inputs), outputs=tuple(outputs)))


@pytest.mark.parametrize(
    ("image_shape", "dets_shape"),
    [
        pytest.param((None, 3, None, None), (None, None, None), id="all open"),
        pytest.param((1, 3, 320, 320), (1, 100, 5), id="all fixed"),
        pytest.param((1, None, 416, 416), (1, None, 5), id="channels open"),
    ],
)
def test_exports_with_nms_fit(image_shape: tuple[int | None, ...], dets_shape: tuple[int | None, ...]) -> None:
    image, dets = TensorInfo("x", image_shape, "float16"), TensorInfo("dets", dets_shape, "float32")
    assert RTMDET.fits(_network([image], [dets, LABELS]))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([IMAGE], [DETS], id="no labels"),
        pytest.param([IMAGE], [LABELS, DETS], id="another order"),
        pytest.param([IMAGE], [TensorInfo("boxes", (1, None, 4), "float32"), LABELS], id="other names"),
        pytest.param([IMAGE], [TensorInfo("dets", (1, None, 6), "float32"), LABELS], id="six columns"),
        pytest.param([IMAGE], [TensorInfo("dets", (None, 5), "float32"), LABELS], id="no batch axis"),
        pytest.param([IMAGE], [DETS, TensorInfo("labels", (None,), "int64")], id="labels without a batch axis"),
        pytest.param([IMAGE, IMAGE], [DETS, LABELS], id="two inputs"),
        pytest.param([TensorInfo("x", (1, 320, 320, 3), "float32")], [DETS, LABELS], id="channels last"),
        pytest.param([TensorInfo("x", (1, 3, 320, 320), "uint8")], [DETS, LABELS], id="bytes in"),
        pytest.param([TensorInfo("x", (4, 3, 320, 320), "float32")], [DETS, LABELS], id="batch of four"),
        pytest.param([TensorInfo("x", (3, 320, 320), "float32")], [DETS, LABELS], id="a single image"),
    ],
)
def test_other_graphs_do_not_fit(inputs: list[TensorInfo], outputs: list[TensorInfo]) -> None:
    assert not RTMDET.fits(_network(inputs, outputs))


def test_the_input_is_bgr_normalised_and_planar() -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[4, 7] = 104, 116, 124
    tensor, scale_wh = RTMDET.prepare(image, (64, 64))
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor[:, 4, 7], [0.47 / 57.375, -0.28 / 57.12, 0.325 / 58.395], rtol=1e-4)
    np.testing.assert_allclose(tensor[:, 0, 0], [-103.53 / 57.375, -116.28 / 57.12, -123.675 / 58.395])
    np.testing.assert_allclose(tensor[:, 63, 0], [10.47 / 57.375, -2.28 / 57.12, -9.675 / 58.395], rtol=1e-4)
    assert scale_wh.tolist() == [1, 1]


def test_people_alone_are_read() -> None:
    dets = np.array([[1, 2, 3, 4, 0.9], [5, 6, 7, 8, 0.8], [9, 10, 11, 12, 0.3]], np.float32)
    boxes, scores = RTMDET.decode([dets, np.array([0, 2, 0])], (64, 64), 0.0)
    np.testing.assert_array_equal(boxes, dets[[0, 2], :4])
    np.testing.assert_array_equal(scores, dets[[0, 2], 4])


def test_nothing_found_is_no_rows() -> None:
    boxes, scores = RTMDET.decode([np.zeros((0, 5), np.float32), np.zeros(0, np.int64)], (64, 64), 0.5)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


HEADS = tuple(TensorInfo(str(i), (1, 40 >> i, 40 >> i, 5), "float32") for i in range(3))


def test_heads_for_people_fit() -> None:
    image = TensorInfo("images", (1, 3, 320, 320), "float32")
    assert RTMDET_RAW.fits(_network([image], HEADS))
    assert RTMDET_RAW.fits(_network([IMAGE], [TensorInfo("head", (None, None, None, 5), "float32")] * 3))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([IMAGE], HEADS[:2], id="two heads"),
        pytest.param([IMAGE, IMAGE], HEADS, id="two inputs"),
        pytest.param([IMAGE], [TensorInfo("head", (1, 40, 40, 84), "float32")] * 3, id="80 classes"),
        pytest.param([IMAGE], [TensorInfo("head", (1, 5, 40, 40), "float32")] * 3, id="channels first, as ours"),
        pytest.param([IMAGE], [TensorInfo("head", (1, 40, 5), "float32")] * 3, id="no maps"),
        pytest.param([TensorInfo("x", (1, 3, 320, 320), "uint8")], HEADS, id="bytes in"),
    ],
)
def test_other_heads_do_not_fit(inputs: list[TensorInfo], outputs: list[TensorInfo]) -> None:
    assert not RTMDET_RAW.fits(_network(inputs, outputs))


def test_heads_are_logits_and_distances_from_the_corner_of_the_cell() -> None:
    heads = [np.full((64 // stride, 96 // stride, 5), -20, np.float32) for stride in (8, 16, 32)]
    heads[1][2, 4] = 0, 10, 20, 30, 40
    boxes, scores = RTMDET_RAW.decode(heads, (96, 64), 0.5)
    np.testing.assert_array_equal(boxes, [[64 - 10, 32 - 20, 64 + 30, 32 + 40]])
    assert scores.tolist() == [0.5]
    assert RTMDET_RAW.prepare is RTMDET.prepare
