"""Skeletons agree with their published definitions; keypoints convert by name."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.skeletons import (
    BODY_19,
    COCO_17,
    CROWDPOSE_14,
    MPII_16,
    POSETRACK_15,
    POSETRACK_17,
    SKELETONS,
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
}
PUBLISHED_SIGMAS = {
    COCO_17: COCO_SIGMAS,
    BODY_19: [*COCO_SIGMAS, 0.08, 0.06],
    POSETRACK_17: [0.026, 0.08, 0.06, *COCO_SIGMAS[3:]],
    MPII_16: [
        .089, .083, .107, .107, .083, .089, .026, .026, .026, .026, .062, .072, .179, .179, .072, .062,
    ],
    CROWDPOSE_14: [*COCO_SIGMAS[5:], 0.079, 0.079],
}  # fmt: skip


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
class TestEverySkeleton:
    def test_name_tells_the_number_of_keypoints(self, skeleton: Skeleton) -> None:
        assert skeleton.name.endswith(str(skeleton.num_keypoints))
        assert len(set(skeleton.keypoint_names)) == skeleton.num_keypoints

    def test_edges_join_two_known_keypoints(self, skeleton: Skeleton) -> None:
        assert all(0 <= a < skeleton.num_keypoints and a != b for a, b in skeleton.edges)
        assert len({frozenset(edge) for edge in skeleton.edges}) == len(skeleton.edges)

    def test_flips_are_the_published_ones(self, skeleton: Skeleton) -> None:
        assert " ".join(f"{a}-{b}" for a, b in skeleton.flip_pairs) == PUBLISHED_FLIPS[skeleton]

    def test_flipping_twice_changes_nothing(self, skeleton: Skeleton) -> None:
        order = skeleton.flip_order
        np.testing.assert_array_equal(order[order], np.arange(skeleton.num_keypoints))
        swapped = [skeleton.keypoint_names[k] for k in order]
        sides = {"left": "right", "right": "left"}
        for name, other in zip(skeleton.keypoint_names, swapped, strict=True):
            side, _, part = name.partition("_")
            assert other == (f"{sides[side]}_{part}" if side in sides else name)


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


def test_unknown_skeleton_says_which_are_known() -> None:
    assert skeleton_of("coco17") is COCO_17
    with pytest.raises(ValueError, match="coco17"):
        skeleton_of("hand21")
