"""Skeletons agree with their published definitions; keypoints convert by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tracker.skeletons import (
    AP10K_17,
    BODY_19,
    COCO_17,
    CROWDPOSE_14,
    HALPE_26,
    HALPE_136,
    HAND_21,
    MPII_16,
    POSETRACK_15,
    POSETRACK_17,
    SKELETONS,
    WHOLEBODY_133,
    Skeleton,
    convert_keypoints,
    skeleton_of,
)

COCO_SIGMAS = [
    .026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
]  # fmt: skip
PUBLISHED_FLIPS = {
    COCO_17: "1-2 3-4 5-6 7-8 9-10 11-12 13-14 15-16",
    BODY_19: "1-2 3-4 5-6 7-8 9-10 11-12 13-14 15-16",
    POSETRACK_17: "3-4 5-6 7-8 9-10 11-12 13-14 15-16",
    POSETRACK_15: "0-5 1-4 2-3 6-11 7-10 8-9",
    MPII_16: "0-5 1-4 2-3 10-15 11-14 12-13",
    CROWDPOSE_14: "0-1 2-3 4-5 6-7 8-9 10-11",
    HALPE_26: "1-2 3-4 5-6 7-8 9-10 11-12 13-14 15-16 20-21 22-23 24-25",
    HAND_21: "",
    AP10K_17: "0-1 5-8 6-9 7-10 11-14 12-15 13-16",
}
# What each of the 68 points of a face becomes in a mirror.
PUBLISHED_FACE = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip
PUBLISHED_SIGMAS = {
    COCO_17: COCO_SIGMAS,
    BODY_19: [*COCO_SIGMAS, 0.08, 0.06],
    POSETRACK_17: [0.026, 0.08, 0.06, *COCO_SIGMAS[3:]],
    MPII_16: [
        .089, .083, .107, .107, .083, .089, .026, .026, .026, .026, .062, .072, .179, .179, .072, .062,
    ],
    CROWDPOSE_14: [*COCO_SIGMAS[5:], 0.079, 0.079],
    HALPE_26: [*COCO_SIGMAS, 0.026, 0.026, 0.066, *[0.079] * 6],
    HALPE_136: [*COCO_SIGMAS, *[0.08] * 3, *[0.089] * 6, *[0.015] * 110],
    AP10K_17: [0.025, 0.025, 0.026, *COCO_SIGMAS[3:]],
}  # fmt: skip


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
class TestEverySkeleton:
    def test_name_tells_the_number_of_keypoints(self, skeleton: Skeleton) -> None:
        assert skeleton.name.endswith(str(skeleton.num_keypoints))
        assert len(set(skeleton.keypoint_names)) == skeleton.num_keypoints

    def test_edges_join_two_known_keypoints(self, skeleton: Skeleton) -> None:
        assert all(0 <= a < skeleton.num_keypoints and a != b for a, b in skeleton.edges)
        assert len({frozenset(edge) for edge in skeleton.edges}) == len(skeleton.edges)

    def test_flipping_twice_changes_nothing(self, skeleton: Skeleton) -> None:
        order = skeleton.flip_order
        np.testing.assert_array_equal(order[order], np.arange(skeleton.num_keypoints))
        swapped = [skeleton.keypoint_names[k] for k in order]
        sides = {"left": "right", "right": "left"}
        for name, other in zip(skeleton.keypoint_names, swapped, strict=True):
            side, _, part = name.partition("_")
            if not name.startswith("face"):
                assert other == (f"{sides[side]}_{part}" if side in sides else name)


@pytest.mark.parametrize(("skeleton", "flips"), PUBLISHED_FLIPS.items(), ids=lambda v: getattr(v, "name", ""))
def test_flips_are_the_published_ones(skeleton: Skeleton, flips: str) -> None:
    assert " ".join(f"{a}-{b}" for a, b in skeleton.flip_pairs) == flips


@pytest.mark.parametrize(("skeleton", "first"), [(WHOLEBODY_133, 23), (HALPE_136, 26)], ids=["coco", "halpe"])
def test_whole_bodies_are_a_body_a_face_and_two_hands(skeleton: Skeleton, first: int) -> None:
    assert (skeleton.flip_order[first : first + 68] - first).tolist() == PUBLISHED_FACE
    hands = skeleton.keypoint_names[first + 68 :]
    assert hands == tuple(
        f"{side}_{'hand_root' if n == 'wrist' else n}" for side in ("left", "right") for n in HAND_21.keypoint_names
    )
    ends = [tuple(skeleton.keypoint_names[end] for end in edge) for edge in skeleton.edges]
    assert ("left_wrist", "left_thumb1") in ends
    assert ("right_pinky_finger3", "right_pinky_finger4") in ends
    # of the hands, where COCO-WholeBody measured them
    np.testing.assert_allclose(WHOLEBODY_133.sigmas[[91, 112]], 0.029)
    np.testing.assert_allclose(WHOLEBODY_133.sigmas[[17, 22, 23, 90, 132]], [0.068, 0.094, 0.042, 0.008, 0.031])


@pytest.mark.parametrize(("skeleton", "sigmas"), PUBLISHED_SIGMAS.items(), ids=lambda v: getattr(v, "name", ""))
def test_sigmas_are_the_published_ones(skeleton: Skeleton, sigmas: list[float]) -> None:
    np.testing.assert_allclose(skeleton.sigmas, sigmas)


def test_coco_to_posetrack_copies_thirteen_keypoints_and_leaves_the_head_missing() -> None:
    keypoints = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    moved, scores = convert_keypoints(keypoints, np.ones((1, 17), np.float32), COCO_17, POSETRACK_15)
    assert scores.sum() == 13
    assert moved[0, POSETRACK_15.index("left_wrist")].tolist() == [18, 19]
    assert np.isnan(moved[0, POSETRACK_15.index("head_top")]).all()


@pytest.mark.parametrize(
    ("source", "name", "target", "other_name"),
    [
        (BODY_19, "neck", POSETRACK_17, "head_bottom"),
        (MPII_16, "upper_neck", POSETRACK_15, "head_bottom"),
        (POSETRACK_15, "head_top", CROWDPOSE_14, "head"),
        (CROWDPOSE_14, "neck", BODY_19, "neck"),
    ],
)
def test_points_with_several_names_are_found(source: Skeleton, name: str, target: Skeleton, other_name: str) -> None:
    keypoints = np.zeros((1, source.num_keypoints, 2), np.float32)
    keypoints[0, source.index(name)] = 3, 4
    moved, _ = convert_keypoints(keypoints, keypoints[..., 0], source, target)
    assert moved[0, target.index(other_name)].tolist() == [3, 4]


MOUSE = {"name": "mouse4", "keypoint_names": ["snout", "left_ear", "right_ear", "tail"], "edges": [["snout", "tail"]]}


@pytest.mark.parametrize("stated", [MOUSE, json.dumps(MOUSE), MOUSE | {"sigmas": [0.1] * 4, "flip_pairs": [[1, 2]]}])
def test_a_skeleton_of_ones_own_is_stated_by_a_table(stated: Any) -> None:
    skeleton = skeleton_of(stated)
    assert (skeleton.name, skeleton.edges, skeleton.flip_pairs) == ("mouse4", ((0, 3),), ((1, 2),))
    again = skeleton_of(json.loads(json.dumps(skeleton.as_json())))
    assert (again.keypoint_names, again.edges) == (skeleton.keypoint_names, skeleton.edges)
    np.testing.assert_array_equal(again.sigmas, skeleton.sigmas)


def test_a_list_of_keypoints_is_a_known_skeleton_or_ones_own_without_edges() -> None:
    assert skeleton_of("coco17") is skeleton_of(list(COCO_17.keypoint_names)) is COCO_17
    assert skeleton_of(json.dumps(COCO_17.as_json())) is COCO_17
    own = skeleton_of('["snout", "left_ear", "tail"]')
    assert (own.name, own.edges, own.flip_pairs) == ("own3", (), ())
    np.testing.assert_allclose(own.sigmas, [0.067, 0.035, 0.067])  # measured for ears alone


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("hand20", "unknown skeleton 'hand20'; known: coco17, "),
        ([], "one or more names, all different"),
        (["a", "a"], "all different"),
        ([1, 2], "must have keypoint_names"),
        ({"edges": []}, "must have keypoint_names"),
        ({"keypoint_names": ["a"], "joints": []}, "has no joints; it has name, keypoint_names"),
        ({"keypoint_names": ["a", "b"], "edges": [[0, 2]]}, "edges must be pairs of keypoints"),
        ({"keypoint_names": ["a", "b"], "edges": [["a", "c"]]}, "edges must be pairs of keypoints"),
        ({"keypoint_names": ["a", "b"], "edges": [[1, 1]]}, "pairs of two different keypoints"),
        ({"keypoint_names": ["a", "b", "c"], "flip_pairs": [[0, 1], [1, 2]]}, "in one of flip_pairs only"),
        ({"keypoint_names": ["a", "b"], "sigmas": [0.1]}, "sigmas must be 2 numbers above 0"),
        ({"keypoint_names": ["a", "b"], "sigmas": [0.1, 0]}, "sigmas must be 2 numbers above 0"),
        ('["a"', "delimiter"),
    ],
)
def test_what_makes_no_skeleton_says_why(stated: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        skeleton_of(stated)
