"""Lists of COCO's results and AlphaPose's: what their scores mean, which frames they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.formats import Results, read_people
from tracker.types import Poses


def read(tmp_path: Path, *records: dict[str, Any]) -> Results:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(records))
    return read_people(path)


def pose(confidence: float = 0.5, **fields: Any) -> dict[str, Any]:
    """Somebody whose keypoints all score the same, but the first, which is missing."""
    points = np.array([[n, n + 1, confidence] for n in range(1, 18)])
    points[0] = 0
    return {"image_id": 0, "category_id": 1, "keypoints": points.ravel().tolist()} | fields


def only(results: Results) -> Poses:
    (frame,) = results.frames
    return frame.tracked.poses


@pytest.mark.parametrize(
    ("fields", "box_score"),
    [
        pytest.param({}, 1, id="none stated"),
        pytest.param({"score": 0.4}, 0.8, id="of a pose: times the mean of the keypoints"),
        pytest.param({"score": 0.7}, 1, id="above the mean of the keypoints"),
        pytest.param({"score": 0.7 + 0.5 * 16 / 17 + 1.25 * 0.5, "box": [1, 2, 30, 40]}, 0.7, id="AlphaPose"),
        pytest.param(
            {"score": 0.7 + 0.5 * 16 / 17 + 1.25 * 0.5, "image_id": "0.jpg"}, 0.7, id="AlphaPose before boxes"
        ),
        pytest.param({"score": 0.1, "box": [1, 2, 30, 40]}, 0, id="AlphaPose, less than its keypoints"),
    ],
)
def test_the_score_of_a_person(tmp_path: Path, fields: dict[str, Any], box_score: float) -> None:
    poses = only(read(tmp_path, pose(**fields)))
    assert poses.box_scores[0] == pytest.approx(box_score)
    np.testing.assert_allclose(poses.boxes[0], [1, 2, 31, 42] if "box" in fields else [2, 3, 17, 18])
    assert np.isnan(poses.keypoints[0, 0]).all()
    assert poses.scores[0].tolist() == [0, *[0.5] * 16]


def test_scores_a_little_above_one_are_one_and_flags_are_no_scores(tmp_path: Path) -> None:
    assert set(only(read(tmp_path, pose(1.1))).scores[0].tolist()) == {0, 1}
    assert set(only(read(tmp_path, pose(2), pose(1))).scores.ravel().tolist()) == {0, 1}
    with pytest.raises(InputError, match="a keypoint scores 2; scores must be within 0 and 1"):
        read(tmp_path, pose(2), pose(0.5))


@pytest.mark.parametrize(
    ("ids", "indices"),
    [
        ([3, 0, 3], [0, 3]),
        (["f_0012.jpg", "f_0002.jpg"], [2, 12]),
        (["b.jpg", "a.jpg", "c.jpg"], [0, 1, 2]),
        (["x1.jpg", "y1.jpg"], [0, 1]),
    ],
    ids=["numbers", "names with numbers", "names without", "names with the same"],
)
def test_the_frames_of_images(tmp_path: Path, ids: list[Any], indices: list[int]) -> None:
    results = read(tmp_path, *(pose(image_id=image_id) for image_id in ids))
    assert [frame.index for frame in results.frames] == indices
    assert {frame.file for frame in results.frames} == set(map(str, ids))


def test_boxes_are_of_people_where_there_are_other_things(tmp_path: Path) -> None:
    box = {"image_id": 0, "bbox": [1, 2, 30, 40], "score": 0.5}
    assert len(only(read(tmp_path, box | {"category_id": 0}, box | {"category_id": 0}))) == 2
    assert len(only(read(tmp_path, box | {"category_id": 1}, box | {"category_id": 18}))) == 1
    with pytest.raises(InputError, match="objects of 2 categories, none of them 1"):
        read(tmp_path, box | {"category_id": 17}, box | {"category_id": 18})
