"""Boxes: suppression as the official programs do it, overlap by hand, invariants."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vectors import cases
from tracker.boxes import boxes_around, clip_boxes, iou, nms, padded_size_wh


def random_boxes(n, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (n, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 60, (n, 2))], axis=1)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-7_*.npz", r"(box\d+)_dets"))
def test_suppression_is_the_official_one(case):
    detections = case["_dets"]
    runs = case.matching(r"_(pynms|cpunms_rule)_keep_([\d.]+)")
    assert runs
    for rule, threshold in runs:
        compiled = rule == "cpunms_rule"
        # The compiled program works in single precision.
        table = detections.astype(np.float32) if compiled else detections
        # It drops what overlaps by just as much, too; both count pixels, the last one included.
        limit = np.nextafter(np.float32(threshold), np.float32(0)) if compiled else float(threshold)
        kept = nms(table[:, :4] + np.array([0, 0, 1, 1], table.dtype), table[:, 4], limit)
        np.testing.assert_array_equal(kept, case[f"_{rule}_keep_{threshold}"], err_msg=f"{rule} {threshold}")


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        pytest.param([0, 0, 2, 2], [0, 0, 2, 2], 1, id="equal"),
        pytest.param([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3, id="half over"),
        pytest.param([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4, id="inside"),
        pytest.param([0, 0, 2, 2], [2, 0, 4, 2], 0, id="side by side"),
        pytest.param([0, 0, 2, 2], [5, 5, 6, 6], 0, id="apart"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], 0, id="both empty"),
        pytest.param([2, 2, 0, 0], [0, 0, 2, 2], 0, id="inside out"),
    ],
)
def test_iou_by_hand(box, other, expected):
    overlap = iou(np.array([box], float), np.array([other], float))
    np.testing.assert_allclose(overlap, [[expected]])


def test_an_overlap_of_exactly_the_threshold_is_kept():
    boxes = np.array([[0.0, 0, 2, 2], [0, 0, 1, 2]])
    assert nms(boxes, np.array([0.5, 0.9]), 0.5).tolist() == [1, 0]


def test_a_dropped_box_drops_nobody():
    boxes = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert nms(boxes, np.array([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


def test_kept_boxes_are_best_first_and_do_not_clash():
    boxes, scores = random_boxes(60), np.random.default_rng(1).permutation(60) / 60
    kept = nms(boxes, scores, 0.4)
    assert (np.diff(scores[kept]) < 0).all()
    assert np.triu(iou(boxes[kept], boxes[kept]), 1).max() <= 0.4
    assert nms(boxes, scores, 1.0).tolist() == np.argsort(-scores).tolist()


def test_equal_scores_keep_their_order():
    assert nms(np.array([[0.0, 0, 1, 1], [5, 5, 6, 6]]), np.array([0.5, 0.5]), 0.5).tolist() == [0, 1]


def test_clipping_cuts_to_the_image():
    boxes = np.array([[-5, 2, 30, 40], [50, 50, 60, 60]], np.float32)
    assert clip_boxes(boxes, (20, 10)).tolist() == [[0, 2, 20, 10], [20, 10, 20, 10]]


def test_boxes_around_keypoints_leave_missing_ones_out():
    keypoints = np.array([[[0, 0], [4, 8], [np.nan, np.nan]], [[np.nan, np.nan]] * 3], np.float32)
    boxes = boxes_around(keypoints, expansion=1.5)
    assert boxes[0].tolist() == [-1, -2, 5, 10]
    assert np.isnan(boxes[1]).all()


def test_no_boxes():
    none = np.zeros((0, 4), np.float32)
    assert iou(none, random_boxes(3)).shape == (0, 3)
    assert nms(none, np.zeros(0), 0.5).tolist() == []
    assert boxes_around(np.zeros((0, 17, 2), np.float32)).shape == (0, 4)


@pytest.mark.parametrize(
    ("image_wh", "longest", "size_wh"),
    [
        pytest.param((1920, 1080), 416, (416, 256), id="wide"),
        pytest.param((416, 224), 416, (416, 224), id="a multiple already"),
        pytest.param((416, 225), 416, (416, 256), id="one more pixel needs another stride"),
        pytest.param((64, 36), 416, (416, 256), id="small images are enlarged"),
        pytest.param((2, 5000), 320, (32, 320), id="never less than a stride, tall"),
    ],
)
def test_the_input_is_no_larger_than_it_must_be(
    image_wh: tuple[int, int], longest: int, size_wh: tuple[int, int]
) -> None:
    assert padded_size_wh(image_wh, longest, 32) == size_wh
