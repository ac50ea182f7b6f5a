"""Real footage and real networks: poses sit on the people, and ids stay. Needs the material beside the checkout."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from tests.vectors import SHARED
from tracker import track_video
from tracker.skeletons import COCO_17
from tracker.types import TrackedPoses

MODELS = {
    "detector": SHARED / "models/rtmdet_nano.onnx",
    "pose_model": SHARED / "models/tinypose_256x192.onnx",
    "device": "cpu",
}
LIMBS = [name for name in COCO_17.keypoint_names if name.split("_")[-1] not in ("nose", "eye", "ear")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the footage and networks are not beside the checkout"),
]


def track(path: Path, **settings: Any) -> list[TrackedPoses]:
    return [people for _, people in track_video(path, **MODELS, **settings)]


def confirmed_ids(results: list[TrackedPoses]) -> set[int]:
    return {track_id for people in results for track_id in people.track_ids[people.confirmed].tolist()}


@pytest.mark.parametrize(
    ("clip", "num_people"),
    [
        ("bedroom.mp4", 2),  # two children hide each other, one of them for three seconds
        ("two-people.mp4", 2),  # two people embrace
        ("store-aisle.gif", 3),  # a third person walks in front of two
        ("walking.gif", 2),
    ],
)
def test_every_person_has_one_id(clip: str, num_people: int) -> None:
    assert len(confirmed_ids(track(SHARED / "clips" / clip))) == num_people


def test_who_comes_back_after_a_second_goes_on() -> None:
    """Two play; one is not seen for 0.9 s, after a false person was, in a single frame."""
    last = {}
    for frame, people in track_video(SHARED / "clips/basketball.mp4", device="cpu"):
        last |= dict.fromkeys(people.track_ids.tolist(), frame.index)
    assert last[1] > 270
    assert last[2] > 270


def true_people(annotation: dict[str, Any]) -> list[list[tuple[int, np.ndarray, np.ndarray, float]]]:
    """Per image: id, limb keypoints (12, 2), whether each is annotated, and the length of the head."""
    names = annotation["categories"][0]["keypoints"]
    people = defaultdict(list)
    for person in annotation["annotations"]:
        keypoints = np.array(person["keypoints"], float).reshape(-1, 3)[[names.index(limb) for limb in LIMBS]]
        head = 0.6 * float(np.hypot(*person["bbox_head"][2:]))
        people[person["image_id"]].append((person["track_id"], keypoints[:, :2], keypoints[:, 2] > 0, head))
    return [people[image["id"]] for image in sorted(annotation["images"], key=lambda image: image["file_name"])]


def test_poses_sit_on_four_people_who_hide_one_another() -> None:
    sequence = SHARED / "data/val/bonn"
    annotation = json.loads((sequence / "annotations/val/000001_bonn_test.json").read_text())
    results = track(sequence / "images/val/000001_bonn_test")
    limbs = [COCO_17.index(limb) for limb in LIMBS]
    hits, annotated, ids = 0, 0, defaultdict(list)
    for truth, people in zip(true_people(annotation), results, strict=True):
        given = people.poses.keypoints[:, limbs]
        hit = np.array([(np.linalg.norm(given - at, axis=2) <= 0.5 * head) & seen for _, at, seen, head in truth])
        score = hit.reshape(len(truth), len(people), 12).sum(axis=2)
        rows, columns = linear_sum_assignment(-score)
        hits += score[rows, columns].sum()
        annotated += sum(seen.sum() for _, _, seen, _ in truth)
        for row, column in zip(rows, columns, strict=True):
            if score[row, column] >= 3:
                ids[truth[row][0]].append(int(people.track_ids[column]))
    assert hits / annotated >= 0.95
    assert [len(set(of_person)) for of_person in ids.values()] == [1] * 4
    assert len(confirmed_ids(results)) == 4
