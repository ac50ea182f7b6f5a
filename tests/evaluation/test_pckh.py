"""PCKh of hand-made people, and what is refused of MPII's files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.mpii_files import HEAD, write_predictions, write_truth
from tests.people import poses_of
from tracker.datasets.mpii import MpiiTruth, read_people, read_predictions, read_truth
from tracker.errors import InputError
from tracker.evaluation.pckh import evaluate_pckh, predictions_of
from tracker.skeletons import COCO_17, MPII_16, Skeleton

HEAD_SIZE = 30.0


def people(count: int = 1) -> np.ndarray[Any, Any]:
    """Keypoints (N, 16, 2), each elsewhere."""
    return np.random.default_rng(0).integers(100, 500, (count, 16, 2)).astype(np.float64)


def truth(count: int = 1, missing: Any = False) -> MpiiTruth:
    is_annotated = ~np.broadcast_to(missing, (count, 16))
    return MpiiTruth(people(count), is_annotated, np.full(count, HEAD_SIZE))


def moved(names: list[str], pixels: float, count: int = 1) -> np.ndarray[Any, Any]:
    """The people, with keypoints of the first one off by so much."""
    at = people(count)
    at[0, [MPII_16.index(name) for name in names], 1] += pixels
    return at


@pytest.mark.parametrize(
    ("pixels", "head", "mean_at_01"),
    [
        pytest.param(3.2, 100, 100, id="0.107 of the head's size: within the official Mean@0.1"),
        pytest.param(3.4, 100, 100 * 13 / 14, id="0.113 of it"),
        pytest.param(15, 100, 100 * 13 / 14, id="half of it"),
        pytest.param(15.001, 0, 100 * 13 / 14, id="beyond half of it"),
        pytest.param(np.nan, 0, 100 * 13 / 14, id="missing"),
    ],
)
def test_a_hit_is_within_half_of_the_heads_size(pixels: float, head: float, mean_at_01: float) -> None:
    figures = evaluate_pckh(truth(), moved(["head_top"], pixels))
    assert figures["Head"] == head
    assert figures["Mean"] == pytest.approx(100 * (13 + head / 100) / 14)
    assert figures["Mean@0.1"] == pytest.approx(mean_at_01)


def test_distances_are_along_both_axes_in_each_persons_own_head_sizes() -> None:
    given = people(2) + np.array([9.1, 12.0])  # 15.06 px
    sizes = np.array([HEAD_SIZE, 30.2])
    assert evaluate_pckh(MpiiTruth(people(2), np.ones((2, 16), bool), sizes), given)["Mean"] == 50


@pytest.mark.parametrize(
    ("wrong", "column", "share"),
    [
        pytest.param(["left_elbow"], "Elbow", 50, id="one side"),
        pytest.param(["right_ankle"], "Knee", 100, id="another keypoint"),
    ],
)
def test_columns_are_the_mean_of_both_sides(wrong: list[str], column: str, share: float) -> None:
    figures = evaluate_pckh(truth(), moved(wrong, 99))
    assert figures[column] == share
    assert figures["Mean"] == pytest.approx(100 * (14 - len(wrong)) / 14)


def test_sides_count_alike_however_often_they_are_annotated() -> None:
    missing = np.zeros((4, 16), bool)
    missing[1:, MPII_16.index("left_knee")] = True
    # the only left knee is wrong, and four right ones are right
    assert evaluate_pckh(truth(4, missing), moved(["left_knee"], 99, 4))["Knee"] == 50


def test_means_weigh_keypoints_by_how_often_they_are_annotated() -> None:
    missing = np.zeros((3, 16), bool)
    missing[1:, MPII_16.index("left_wrist")] = True
    figures = evaluate_pckh(truth(3, missing), moved(["left_wrist"], 99, 3))
    assert figures["Mean"] == pytest.approx(100 * (3 * 13) / (3 * 13 + 1))


def test_pelvis_and_thorax_are_left_out_and_the_upper_neck_is_not() -> None:
    assert evaluate_pckh(truth(), moved(["pelvis", "thorax"], 99))["Mean"] == 100
    figures = evaluate_pckh(truth(), moved(["upper_neck"], 99))
    assert [figures[name] for name in ("Head", "Mean")] == [100, pytest.approx(100 * 13 / 14)]


def test_what_is_never_annotated_is_undefined() -> None:
    missing = np.zeros((1, 16), bool)
    missing[:, MPII_16.index("left_hip")] = True
    figures = evaluate_pckh(truth(1, missing), people())
    assert (figures["Hip"], figures["Mean"]) == (None, 100)
    assert set(evaluate_pckh(truth(1, True), people()).values()) == {None}
    assert set(evaluate_pckh(truth(0), people(0)).values()) == {None}


def test_truth_of_the_official_file(tmp_path: Path) -> None:
    missing = np.zeros((3, 16), bool)
    missing[1, 4] = True
    heads = [HEAD, ((0, 0), (0, 10)), HEAD]
    read = read_truth(write_truth(tmp_path / "gt.mat", people(3), missing=missing, heads=heads))
    assert len(read) == 3
    assert read.keypoints.tolist() == people(3).tolist()
    assert read.is_annotated.tolist() == (~missing).tolist()
    assert read.head_sizes.tolist() == [HEAD_SIZE, 6, HEAD_SIZE]


@pytest.mark.parametrize("name", ["pred.mat", "pred.json"])
def test_predictions(tmp_path: Path, name: str) -> None:
    given = moved(["head_top"], np.nan, 2)
    read = read_predictions(write_predictions(tmp_path / name, given), 2)
    np.testing.assert_array_equal(read, given)
    with pytest.raises(InputError, match=rf"{re.escape(name)}: preds must be 3 × 16 × 2 numbers, not a list of 2; "):
        read_predictions(tmp_path / name, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"without": "pos_gt_src"}, "lacks pos_gt_src", id="no keypoints"),
        pytest.param({"jnt_missing": np.zeros((16, 3))}, "jnt_missing must be 16 × 2 numbers", id="other people"),
        pytest.param({"headboxes_src": np.full((2, 2, 2), np.nan)}, "headboxes_src must be 2 × 2 × 2", id="NaN"),
        pytest.param({"jnt_missing": np.zeros((16, 2), complex)}, "jnt_missing must be", id="complex numbers"),
    ],
)
def test_malformed_truth(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write_truth(tmp_path / "gt.mat", people(2), **changed)
    with pytest.raises(InputError, match=f"gt.mat.*{message}") as raised:
        read_truth(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("size", [0, 60, 200, 400])
def test_files_that_are_damaged_or_something_else(tmp_path: Path, size: int) -> None:
    path = write_truth(tmp_path / "gt.mat", people(2))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"gt\.mat is no \.mat file that can be read") as raised:
        read_truth(path)
    assert "\n" not in str(raised.value)


def write_people(path: Path, *rows: tuple[str, float, float, float], **changed: Any) -> Path:
    """valid.json of those pictures, centres and scales."""
    records = [{"image": image, "center": [x, y], "scale": scale} | changed for image, x, y, scale in rows]
    path.write_text(json.dumps(records))
    return path


def test_boxes_are_by_centre_and_scale(tmp_path: Path) -> None:
    """As the official code has them: from 1, down by 15 × scale, sides of 200 × scale."""
    read = read_people(
        write_people(tmp_path / "valid.json", ("b.jpg", 101, 201, 2), ("a.jpg", 51, 61, 1), ("b.jpg", 1, 1, 0.5))
    )
    assert [picture.file_name for picture in read.pictures] == ["b.jpg", "a.jpg"]
    assert [[person["id"] for person in picture.people] for picture in read.pictures] == [[0, 2], [1]]
    centre = (100, 230)
    assert read.pictures[0].true_boxes().boxes[0].tolist() == [centre[0] - 200, centre[1] - 200, 300, 430]
    assert read.pictures[1].true_boxes().boxes.tolist() == [[-50, -25, 150, 175]]
    assert read.num_people == 3


@pytest.mark.parametrize(
    ("skeleton", "ankle", "lacking"),
    [
        pytest.param(MPII_16, 0, [], id="MPII's own"),
        pytest.param(COCO_17, 16, [6, 7, 8, 9], id="without head and torso"),
    ],
)
def test_poses_are_put_into_the_order_of_the_file(
    tmp_path: Path, skeleton: Skeleton, ankle: int, lacking: list[int]
) -> None:
    rows = [("b.jpg", 9, 9, 1), ("a.jpg", 9, 9, 1), ("b.jpg", 9, 9, 1)]
    read = read_people(write_people(tmp_path / "valid.json", *rows))
    at = np.arange(3 * skeleton.num_keypoints * 2).reshape(3, -1, 2)
    preds = predictions_of(read, {0: poses_of(at[[0, 2]]), 1: poses_of(at[[1]])}, skeleton)
    assert preds[:, 0].tolist() == (at[:, ankle] + 1).tolist()
    assert np.flatnonzero(np.isnan(preds).any(axis=(0, 2))).tolist() == lacking


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"image": 3}, "image must be a text, not 3", id="image"),
        pytest.param({"center": [1]}, "center must be 2 numbers, not a list of 1", id="centre"),
        pytest.param({"scale": "big"}, "scale must be a number, not 'big'", id="scale"),
    ],
)
def test_malformed_people(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write_people(tmp_path / "valid.json", ("a.jpg", 9, 9, 1), **changed)
    with pytest.raises(InputError, match=rf"valid\.json: people\[0\]: {message}"):
        read_people(path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"valid\.json: people must be a list"):
        read_people(path)
