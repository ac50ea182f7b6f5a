"""Which graphs are taken for which family, the input of each, and what PicoDet and RTMDet give."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tracker.detection.detector import FAMILIES
from tracker.detection.family import DetectionNetwork, DetectorFamily
from tracker.detection.person_detector import INPUT_DESCRIPTION, PERSON_DETECTOR
from tracker.detection.picodet import PICODET
from tracker.detection.rtmdet import RTMDET, RTMDET_RAW
from tracker.detection.yolo import YOLO, YOLO_NMS
from tracker.detection.yolox import YOLOX, YOLOX_NMS
from tracker.runtime import TensorInfo

Shape = tuple[int | None, ...]

OPEN: Shape = (None, 3, None, None)
PICTURE: Shape = (1, 3, 640, 640)
MAPS: dict[str, Shape] = {f"stride_{stride}": (None, 5, None, None) for stride in (8, 16, 32)}
HEADS: dict[str, Shape] = {str(i): (1, 40 >> i, 40 >> i, 5) for i in range(3)}


def network(image: Shape, outputs: dict[str, Shape], **stated: str) -> DetectionNetwork:
    infos = tuple(TensorInfo(name, shape, "float32") for name, shape in outputs.items())
    inputs = (TensorInfo("image", image, "float32"),)
    return cast(DetectionNetwork, SimpleNamespace(inputs=inputs, outputs=infos, metadata=stated))


def three(*shape: int | None) -> dict[str, Shape]:
    return dict.fromkeys("abc", shape)


@pytest.mark.parametrize(
    ("family", "image", "outputs"),
    [
        pytest.param(PERSON_DETECTOR, OPEN, MAPS, id="ours"),
        pytest.param(PERSON_DETECTOR, (1, 3, 320, 320), three(1, 5, 40, 40), id="ours, fixed"),
        pytest.param(RTMDET, OPEN, {"dets": (None,) * 3, "labels": (None, None)}, id="RTMDet, all open"),
        pytest.param(RTMDET, PICTURE, {"dets": (1, 100, 5), "labels": (1, 100)}, id="RTMDet, all fixed"),
        pytest.param(RTMDET_RAW, PICTURE, HEADS, id="RTMDet's heads"),
        pytest.param(RTMDET_RAW, OPEN, three(None, None, None, 5), id="RTMDet's heads, open"),
        pytest.param(PICODET, PICTURE, {"a": (1, 2125, 4), "b": (1, 1, 2125)}, id="PicoDet, people alone"),
        pytest.param(PICODET, PICTURE, {"a": (1, 2125, 4), "b": (1, 80, 2125)}, id="PicoDet, COCO"),
        pytest.param(PICODET, PICTURE, {"a": (None, None, 4), "b": (None, 80, None)}, id="PicoDet, open"),
        pytest.param(YOLOX, (1, 3, 416, 416), {"a": (1, 3549, 85)}, id="YOLOX as published"),
        pytest.param(YOLOX, (1, 3, 64, 96), {"a": (1, 126, 85)}, id="YOLOX, a wide input"),
        pytest.param(YOLOX, PICTURE, {"a": (1, 8400, 6)}, id="YOLOX, people alone"),
        pytest.param(YOLOX, PICTURE, {"a": (1, None, 85)}, id="YOLOX, the number of cells is open"),
        pytest.param(YOLOX, OPEN, {"a": (None, None, 85)}, id="YOLOX, all open"),
        pytest.param(YOLO, PICTURE, {"a": (1, 84, 8400)}, id="YOLO, COCO"),
        pytest.param(YOLO, OPEN, {"a": (None, 5, None)}, id="YOLO, people alone, open"),
        pytest.param(YOLO_NMS, PICTURE, {"a": (1, 300, 6)}, id="YOLO without NMS"),
        pytest.param(YOLO_NMS, OPEN, {"a": (None, 300, 6)}, id="YOLO without NMS, open"),
    ],
)
def test_graphs_of_a_family_fit(family: DetectorFamily, image: Shape, outputs: dict[str, Shape]) -> None:
    assert family.fits(network(image, outputs))


LABELS: Shape = (1, None)


@pytest.mark.parametrize(
    ("image", "outputs"),
    [
        pytest.param(OPEN, dict(list(MAPS.items())[:2]), id="two maps"),
        pytest.param(OPEN, dict(list(HEADS.items())[:2]), id="two heads"),
        pytest.param(OPEN, three(1, 5, 100), id="no maps"),
        pytest.param(OPEN, three(1, 40, 40, 84), id="heads of 80 classes"),
        pytest.param(OPEN, {"dets": (None, None, 5)}, id="no labels"),
        pytest.param(OPEN, {"labels": LABELS, "dets": (1, None, 5)}, id="labels first"),
        pytest.param(OPEN, {"boxes": (1, None, 4), "labels": LABELS}, id="other names"),
        pytest.param(OPEN, {"dets": (1, None, 6), "labels": LABELS}, id="six columns"),
        pytest.param(OPEN, {"dets": (None, 5), "labels": LABELS}, id="no batch axis"),
        pytest.param(OPEN, {"dets": (1, None, 5), "labels": (None,)}, id="labels without a batch axis"),
        pytest.param(PICTURE, {"a": (1, 2125, 4)}, id="PicoDet without scores"),
        pytest.param(PICTURE, {"a": (1, 1, 2125), "b": (1, 2125, 4)}, id="scores first"),
        pytest.param(PICTURE, {"a": (1, 2125, 4), "b": (1, 2125, 80)}, id="classes last"),
        pytest.param(PICTURE, {"a": (1, 2125, 4), "b": (1, 1, 2100)}, id="fewer scores than boxes"),
        pytest.param(PICTURE, {"a": (1, 2125, 4), "b": (1, 3, 2125)}, id="three classes"),
        pytest.param(PICTURE, {"a": (1, 25200, 85)}, id="YOLOv5 has three boxes per cell"),
        pytest.param(PICTURE, {"a": (1, 56, 8400)}, id="YOLO of keypoints"),
        pytest.param(PICTURE, {"a": (1, 300, 57)}, id="YOLO of keypoints without NMS"),
        pytest.param(PICTURE, {"a": (1, 116, 8400), "b": (1, 32, 160, 160)}, id="YOLO of masks"),
        pytest.param(PICTURE, {"a": (1, 8400, 7)}, id="two classes, none of which need be people"),
        pytest.param(OPEN, {"a": (None, None, None)}, id="any number of columns"),
        pytest.param(PICTURE, {"a": (8400, 85)}, id="cells without a batch axis"),
        pytest.param(PICTURE, {"a": (1, 8400, 85), "b": (1, 8400, 85)}, id="two outputs of cells"),
    ],
)
def test_other_graphs_fit_no_family(image: Shape, outputs: dict[str, Shape]) -> None:
    assert not [name for name, family in FAMILIES.items() if family.fits(network(image, outputs))]


@pytest.mark.parametrize(
    ("stated", "fits"),
    [
        pytest.param(dict(INPUT_DESCRIPTION), True, id="what it expects"),
        pytest.param({"input_size": "[320, 320]"}, True, id="another size"),
        pytest.param({"color": "rgb"}, False, id="an older one's colours"),
        pytest.param({"mean": "[127.5, 127.5, 127.5]"}, False, id="an older one's mean"),
    ],
)
def test_a_graph_of_ours_that_states_another_input_does_not_fit(stated: dict[str, str], fits: bool) -> None:
    assert PERSON_DETECTOR.fits(network(OPEN, MAPS, **stated)) is fits


MEAN, STD = ([json.loads(INPUT_DESCRIPTION[key])] for key in ("mean", "std"))


@pytest.mark.parametrize(
    ("family", "mean", "std"),
    [(RTMDET, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)), (PERSON_DETECTOR, MEAN, STD), (YOLOX, 0, 1)],
    ids=["RTMDet", "ours, as its files state", "YOLOX: as it is"],
)
def test_inputs_are_bgr_in_a_letterbox(family: DetectorFamily, mean: Any, std: Any) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[4, 7] = 104, 116, 124
    tensor, scale_wh = family.prepare(image, (64, 64))
    assert (tensor.shape, tensor.dtype, tensor.flags.c_contiguous) == ((3, 64, 64), np.float32, True)
    for (row, column), pixel in {(4, 7): [104, 116, 124], (0, 0): [0, 0, 0], (63, 0): [114, 114, 114]}.items():
        np.testing.assert_allclose(tensor[:, row, column], np.ravel((np.array(pixel) - mean) / std), rtol=1e-4)
    assert scale_wh.tolist() == [1, 1]
    assert (RTMDET_RAW.prepare, YOLOX_NMS.prepare) == (RTMDET.prepare, YOLOX.prepare)


def test_picodets_input_is_rgb_normalised_and_stretched() -> None:
    image = np.zeros((32, 16, 3), np.uint8)
    image[:, :] = 104, 116, 124
    tensor, scale_wh = PICODET.prepare(image, (64, 64))
    assert (tensor.shape, tensor.dtype) == ((3, 64, 64), np.float32)
    expected = np.array([0.325 / 58.395, -0.28 / 57.12, 0.47 / 57.375])
    np.testing.assert_allclose(tensor, np.broadcast_to(expected[:, None, None], tensor.shape), rtol=1e-3)
    assert (scale_wh.tolist(), scale_wh.dtype) == ([4, 2], np.float32)


def test_picodets_people_above_the_threshold_are_read() -> None:
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    scores = np.array([[0.9, 0.4, 0.5, np.nan], [0, 1, 0, 0]], np.float32)
    found, found_scores = PICODET.decode([boxes, scores], (320, 320), 0.5)
    np.testing.assert_array_equal(found, boxes[[0, 2, 3]])
    np.testing.assert_array_equal(found_scores, scores[0, [0, 2, 3]])


def test_of_dets_people_alone_are_read() -> None:
    dets = np.array([[1, 2, 3, 4, 0.9], [5, 6, 7, 8, 0.8], [9, 10, 11, 12, 0.3]], np.float32)
    boxes, scores = RTMDET.decode([dets, np.array([0, 2, 0])], (64, 64), 0.0)
    np.testing.assert_array_equal(boxes, dets[[0, 2], :4])
    np.testing.assert_array_equal(scores, dets[[0, 2], 4])


def test_heads_are_logits_and_distances_from_the_corner_of_the_cell() -> None:
    heads = [np.full((64 // stride, 96 // stride, 5), -20, np.float32) for stride in (8, 16, 32)]
    heads[1][2, 4] = 0, 10, 20, 30, 40
    boxes, scores = RTMDET_RAW.decode(heads, (96, 64), 0.5)
    np.testing.assert_array_equal(boxes, [[64 - 10, 32 - 20, 64 + 30, 32 + 40]])
    assert scores.tolist() == [0.5]
