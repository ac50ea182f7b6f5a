"""What is drawn of networks that see nothing but bright spots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.evaluation.bright_spots import BlueCrops, BluePictures
from tracker.datasets.coco import Picture
from tracker.evaluation import inspection
from tracker.evaluation.heatmap_pictures import Side
from tracker.evaluation.inspection import inspect_bottom_up, inspect_top_down, read_true_poses
from tracker.pose import TopDownEstimator
from tracker.pose.bottom_up import BottomUpEstimator
from tracker.skeletons import BODY_19, COCO_17, Skeleton
from tracker.types import Candidates, Image, Poses

NOSE = 0
VIEW = 960 / 384  # pixels of the view per pixel of the picture
SIZE_WH = (384, 256)
SPOTS = ((100.3, 120.4), (290.3, 130.4))
BOXES = [[60, 60, 140, 180], [250, 70, 330, 190]]


def image_with_spots(*spots: tuple[float, float]) -> Image:
    """Blue cones; the red says whose they are."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]]
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    for number, spot in enumerate(spots):
        distance = np.hypot(x - spot[0], y - spot[1])
        image[..., 0] = np.maximum(image[..., 0], 255 * np.clip(1 - distance / 30, 0, 1))
        image[..., 2][distance < 35] = 100 * number
    return image


def annotation(box: list[float], nose: tuple[float, float, int] = (0, 0, 0), **changes: Any) -> dict[str, Any]:
    keypoints = [*nose, *[0] * 48]
    left, top, right, bottom = box
    facts = {"bbox": [left, top, right - left, bottom - top], "keypoints": keypoints, "iscrowd": 0, "num_keypoints": 1}
    return facts | {"extra_keypoints": [0] * 6} | changes


def true_people(*spots: tuple[float, float], boxes: list[list[float]] = BOXES) -> Poses:
    people = tuple(annotation(box, (x, y, 2)) for box, (x, y) in zip(boxes, spots, strict=False))
    return read_true_poses(Picture(1, "1.jpg", None, people, is_negative=False), COCO_17, COCO_17)


def candidates(boxes: list[list[float]] = BOXES) -> Candidates:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Candidates(corners, np.ones(len(corners), np.float32), np.zeros(len(corners), np.int8))


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> list[Side]:
    """What is drawn side by side, in place of the pictures of it."""
    seen: list[Side] = []

    def draw(_image: Image, _skeleton: Skeleton, sides: list[Side]) -> dict[str, Image]:
        seen.extend(sides)
        return {}

    monkeypatch.setattr(inspection, "_draw", draw)
    return seen


def peak(heatmaps: Any, keypoint: int = NOSE) -> tuple[float, float]:
    """Where in the picture the highest value is."""
    row, column = np.unravel_index(heatmaps[keypoint].argmax(), heatmaps.shape[1:])
    return (column + 0.5) / VIEW - 0.5, (row + 0.5) / VIEW - 0.5


# --- the truth


def test_true_people_have_keypoints_by_name() -> None:
    seen = annotation([0, 0, 9, 9], (4, 5, 2), extra_keypoints=[6, 7, 2, 0, 0, 0])
    poses = read_true_poses(Picture(1, "", None, (seen,), is_negative=False), COCO_17, BODY_19)
    assert poses.keypoints[0, NOSE].tolist() == [4, 5]
    assert poses.keypoints[0, BODY_19.index("neck")].tolist() == [6, 7]
    assert np.flatnonzero(poses.scores[0]).tolist() == [NOSE, BODY_19.index("neck")]
    assert np.isnan(poses.keypoints[0, 1:17]).all()


@pytest.mark.parametrize(
    "person",
    [
        pytest.param(annotation([5, 5, 5, 9], (5, 7, 2)), id="a box without size"),
        pytest.param(annotation([0, 0, 9, 9], iscrowd=1), id="a crowd"),
        pytest.param(annotation([0, 0, 9, 9], num_keypoints=0), id="no keypoints"),
    ],
)
def test_who_is_not_annotated_is_nobody(person: dict[str, Any]) -> None:
    poses = read_true_poses(Picture(1, "", None, (person,), is_negative=False), COCO_17, COCO_17)
    assert poses.keypoints.shape == (0, 17, 2)


# --- top-down


def test_heatmaps_of_crops_lie_over_the_picture(sides: list[Side]) -> None:
    inspect_top_down(TopDownEstimator(BlueCrops()), image_with_spots(SPOTS[1]), candidates(), None, 10)
    (found,) = sides
    assert found.heatmaps.shape == (17, 640, 960)
    assert peak(found.heatmaps) == pytest.approx(SPOTS[1], abs=1.5)
    np.testing.assert_allclose((found.poses.keypoints[1, NOSE] + 0.5) / VIEW - 0.5, SPOTS[1], atol=1.5)
    assert found.numbers.tolist() == [1, 2]


def test_true_heatmaps_lie_where_the_keypoints_are(sides: list[Side]) -> None:
    image, estimator = image_with_spots(*SPOTS), TopDownEstimator(BlueCrops())
    inspect_top_down(estimator, image, candidates(BOXES[:1]), true_people(*SPOTS), 10)
    _, true = sides
    for spot, half in zip(SPOTS, (np.s_[..., :480], np.s_[..., 480:]), strict=True):
        x, y = peak(true.heatmaps[half])
        x += 480 / VIEW if spot is SPOTS[1] else 0
        assert (x, y) == pytest.approx(spot, abs=1)
        assert true.heatmaps[half][NOSE].max() > 0.9
    assert not true.heatmaps[1:].any(), "the other keypoints are not annotated"


def test_people_are_limited_and_the_others_counted(sides: list[Side]) -> None:
    estimator = TopDownEstimator(BlueCrops())
    drawn = inspect_top_down(estimator, image_with_spots(*SPOTS), candidates(), true_people(*SPOTS), 1)
    found, true = sides
    assert (len(found.poses), found.num_left_out) == (1, 1)
    assert not found.heatmaps[..., 520:].any()
    assert (len(true.poses), true.num_left_out) == (2, 0)
    assert drawn["people"].shape[0] == 2 * 164


def test_true_people_have_the_numbers_of_those_found_as_them(sides: list[Side]) -> None:
    boxes = [[0, 200, 40, 250], BOXES[1]]
    inspect_top_down(TopDownEstimator(BlueCrops()), image_with_spots(), candidates(boxes), true_people(*SPOTS), 10)
    assert sides[0].numbers.tolist() == [1, 2]
    assert sides[1].numbers.tolist() == [3, 2], "nobody found the first of them"


# --- bottom-up


def test_maps_of_the_picture_lie_over_it(sides: list[Side]) -> None:
    estimator = BottomUpEstimator(BluePictures())
    drawn = inspect_bottom_up(estimator, image_with_spots(*SPOTS), true_people(SPOTS[1], boxes=BOXES[1:]), 10)
    found, true = sides
    assert len(found.poses) == 2
    assert peak(found.heatmaps[..., :480]) == pytest.approx(SPOTS[0], abs=1.5)
    assert peak(true.heatmaps) == pytest.approx(SPOTS[1], abs=1)
    assert list(drawn) == ["tags"]
