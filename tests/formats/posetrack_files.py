"""Small files in PoseTrack's forms, as JSON values: three images, of which the second shows nobody."""

from __future__ import annotations

import copy
import functools
import json
import operator
from pathlib import Path
from typing import Any

from tracker.skeletons import POSETRACK_17

FIRST_ID = 10003420000
KEYPOINTS = list(POSETRACK_17.keypoint_names)


def posetrack_18() -> dict[str, Any]:
    """A ground truth with an ignore region, a keypoint at 0, 0 and one that is stated but not visible."""
    images = [
        {
            "id": FIRST_ID + number,
            "file_name": f"images/val/000342_mpii_test/00000{number}.jpg",
            "is_labeled": number != 1,
        }
        for number in range(3)
    ]
    images[0] |= {"ignore_regions_x": [[1, 50, 60.5]], "ignore_regions_y": [[1, 2, 40]]}
    images[2] |= {"ignore_regions_x": [], "ignore_regions_y": []}
    people = [
        person_18(0, 7, {"nose": (10, 20, 1), "left_ankle": (0, 0, 1), "right_ankle": (30, 60, 0)}),
        person_18(0, 4, {"head_top": (100.5, 5, 1), "left_ear": (99, 7, 1)}, scores=[0.5] * 17, score=0.75),
        person_18(2, 7, {}, bbox=[1, 2, 3, 4]),
    ]
    return {"images": images, "annotations": people, "categories": [category(KEYPOINTS)]}


def category(names: list[str]) -> dict[str, Any]:
    return {"id": 1, "name": "person", "keypoints": names}


def person_18(number: int, track_id: int, stated: dict[str, tuple[float, float, int]], **more: Any) -> dict[str, Any]:
    triples = [value for name in KEYPOINTS for value in stated.get(name, (0, 0, 0))]
    return {
        "image_id": FIRST_ID + number,
        "track_id": track_id,
        "category_id": 1,
        "keypoints": triples,
        "bbox_head": [5, 6, 10, 20],
        "scores": [],
    } | more


def posetrack_17() -> dict[str, Any]:
    """A ground truth with an ignore region, a keypoint at 0, 0, and people without keypoints in the third image."""
    points = [
        point_17(13, 10, 20, is_visible=[1]),
        point_17(0, 0, 0, is_visible=[0]),
        point_17(14, 9.5, 4, score=[0.25]),
    ]
    nobody: list[dict[str, Any]] = []
    people: list[list[dict[str, Any]]] = [
        [rect_17(7, points), rect_17(4, [point_17(12, 100, 50)], score=[0.5])],
        nobody,
        [rect_17(7, None), rect_17(8, []), {"track_id": [9], "annopoints": []}, {"track_id": [10], "annopoints": [{}]}],
    ]
    entries = [
        {
            "image": [{"name": f"images/bonn_5sec/000342_mpii/0000001{number}.jpg"}],
            "imgnum": [10 + number],
            "is_labeled": [int(number != 1)],
            "annorect": rects,
        }
        for number, rects in enumerate(people)
    ]
    corners = ((1, 1), (50, 2), (60.5, 40))
    entries[0]["ignore_regions"] = [{"point": [{"x": [x], "y": [y]} for x, y in corners]}]
    return {"annolist": entries}


def point_17(keypoint_id: int, x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"id": [keypoint_id], "x": [x], "y": [y], **more}


def rect_17(track_id: int, points: list[dict[str, Any]] | None, **more: Any) -> dict[str, Any]:
    annopoints = {} if points is None else {"annopoints": [{"point": points}]}
    return {"track_id": [track_id], "x1": [5], "y1": [6], "x2": [15], "y2": [26], **annopoints, **more}


def with_change(content: Any, place: str, value: Any) -> Any:
    """The content with another value at a place such as images/0/id; without the field if the value is `...`."""
    changed = copy.deepcopy(content)
    *parents, last = (int(key) if key.isdigit() else key for key in place.split("/"))
    parent = functools.reduce(operator.getitem, parents, changed)
    if value is ...:
        del parent[last]
    else:
        parent[last] = value
    return changed


def save(content: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
