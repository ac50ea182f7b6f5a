"""People as supervision has them, and its annotators on them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from tests.formats.examples import two_people
from tracker.errors import DependencyError
from tracker.skeletons import COCO_17
from tracker.types import TrackedPoses


def test_people_and_what_is_missing() -> None:
    sv: Any = pytest.importorskip("supervision", reason="supervision is not installed (the extra `supervision`)")
    people = two_people()
    people.poses.boxes[1] = np.nan
    key_points, detections = people.to_supervision()
    ear = COCO_17.index("left_ear")
    expected = people.poses.keypoints.copy()
    expected[1, ear] = 0
    np.testing.assert_array_equal(key_points.xy, expected)
    assert np.argwhere(~key_points.visible).tolist() == [[1, ear]]
    np.testing.assert_array_equal(key_points.keypoint_confidence, people.poses.scores)
    np.testing.assert_array_equal(key_points.detection_confidence, people.poses.box_scores)
    assert key_points.data["tracker_id"].tolist() == detections.tracker_id.tolist() == [3, 8]
    np.testing.assert_array_equal(detections.xyxy[0], people.poses.boxes[0])
    keypoints = people.poses.keypoints[1]
    assert detections.xyxy[1].tolist() == [*np.nanmin(keypoints, axis=0), *np.nanmax(keypoints, axis=0)]
    for tables in (key_points, detections):
        assert tables.data["class_name"].tolist() == ["person", "person"]
    picture = np.zeros((80, 80, 3), np.uint8)
    drawn = sv.EdgeAnnotator(thickness=1).annotate(picture.copy(), key_points)
    drawn = sv.TraceAnnotator().annotate(sv.BoxAnnotator(thickness=1).annotate(drawn, detections), detections)
    assert drawn[1:40, 0].any()  # the box of person 3
    assert drawn.any(axis=2).sum() > 200


def test_nobody() -> None:
    pytest.importorskip("supervision", reason="supervision is not installed (the extra `supervision`)")
    key_points, detections = TrackedPoses.empty(17).to_supervision()
    assert (len(key_points), len(detections)) == (0, 0)
    assert key_points.xy.shape == (0, 17, 2)


def test_without_supervision_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(DependencyError, match=r"without supervision .*: pip install 'pose-tracker\[supervision\]'$"):
        two_people().to_supervision()
