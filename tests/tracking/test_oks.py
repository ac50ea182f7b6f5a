"""OKS, suppression by it and the rescoring before, as in the official evaluation; by hand; invariants."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.people import poses_of
from tests.vectors import cases, files, read_json
from tracker.skeletons import COCO_17
from tracker.tracking.oks import near_pairs, oks, oks_nms

SIGMAS = COCO_17.sigmas


def random_poses(n, seed=0):
    return np.random.default_rng(seed).uniform(0, 200, (n, 17, 2))


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-7_*.npz", r"(case\d+)_keypoints"))
def test_similarities_are_the_official_ones(case):
    keypoints, scores, areas = case["_keypoints"][..., :2], case["_keypoints"][..., 2], case["_area"]
    plain = oks(keypoints, areas, keypoints, areas, SIGMAS)
    np.testing.assert_allclose(plain, case["_oks_official_invis_none"], rtol=0, atol=1e-9)
    for (threshold,) in case.matching(r"_oks_right_invis_([\d.]+)"):
        kept = np.where((scores > float(threshold))[..., None], keypoints, np.nan)
        masked = oks(kept, areas, kept, areas, SIGMAS)
        np.testing.assert_allclose(masked, case[f"_oks_right_invis_{threshold}"], rtol=0, atol=1e-9)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-7_*.npz", r"(case\d+)_keypoints"))
def test_suppression_is_the_official_one(case):
    runs = case.matching(r"_oks_nms_keep_([\d.]+)")
    assert runs
    for (threshold,) in runs:
        kept = oks_nms(case["_keypoints"][..., :2], case["_area"], case["_score"], SIGMAS, threshold=float(threshold))
        np.testing.assert_array_equal(kept, case[f"_oks_nms_keep_{threshold}"], err_msg=threshold)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-7_*.npz"))
def test_sigmas_are_the_official_ones(case):
    np.testing.assert_allclose(SIGMAS, case["oks_sigmas"])


@pytest.mark.vectors_sb
@pytest.mark.parametrize("path", files("SB-8_*.json"))
def test_rescoring_and_suppression_write_the_official_records(path):
    content = read_json(path)
    given = {key: np.array(value) for key, value in content["input"].items()}
    boxes = np.array(content["all_boxes_cx_cy_sw_sh_area_score"])
    scales = given["scale"].astype(np.float32)
    areas = (scales[:, 0] * 200) * (scales[:, 1] * 200)
    np.testing.assert_allclose(areas, boxes[:, 4], rtol=1e-6)

    keypoints, scores = given["preds_xyscore"][..., :2], given["preds_xyscore"][..., 2]
    poses = poses_of(keypoints, scores=scores, box_scores=given["box_score"])
    for settings, records in content["results"].items():
        keypoint_threshold, oks_threshold = map(float, re.findall(r"=([\d.]+)", settings))
        scores = poses.pose_scores(keypoint_threshold)
        order = []
        for image_id in dict.fromkeys(given["image_id"].tolist()):
            rows = np.flatnonzero(given["image_id"] == image_id)
            kept = oks_nms(poses.keypoints[rows].astype(float), areas[rows], scores[rows], SIGMAS, oks_threshold)
            order += rows[kept].tolist()
        assert [record["image_id"] for record in records] == given["image_id"][order].tolist()
        np.testing.assert_allclose(scores[order], [r["score"] for r in records], rtol=0, atol=1e-6)
        written = np.array([record["keypoints"] for record in records]).reshape(-1, 17, 3)
        np.testing.assert_allclose(poses.keypoints[order], written[..., :2], rtol=0, atol=1e-4)
        np.testing.assert_allclose(poses.scores[order], written[..., 2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_pose_is_one_with_itself_and_nothing_is_more(dtype):
    poses, areas = random_poses(8).astype(dtype), np.linspace(1e3, 1e4, 8).astype(dtype)
    similarity = oks(poses, areas, poses, areas, SIGMAS)
    np.testing.assert_allclose(np.diag(similarity), 1, rtol=1e-6)
    np.testing.assert_allclose(similarity, similarity.T, rtol=1e-5, atol=1e-12)
    assert similarity.min() >= 0
    assert similarity.max() <= 1 + 1e-6


def test_one_keypoint_by_hand():
    # Distance 3 px, mean area (80 + 120) / 2 = 100, sigma 0.1: exp(-9 / (2 · 100 · (2 · 0.1)²)).
    similarity = oks(
        np.array([[[10.0, 20]]]),
        np.array([80.0]),
        np.array([[[13.0, 20]]]),
        np.array([120.0]),
        np.array([0.1]),
    )
    assert similarity.item() == pytest.approx(np.exp(-9 / 8))


def test_only_keypoints_of_both_count():
    poses = random_poses(2)
    poses[1, :5] = poses[0, :5]
    poses[0, 0] = np.nan
    areas = np.array([1e4, 1e4])
    everything = oks(poses[:1], areas[:1], poses[1:], areas[1:], SIGMAS)
    by_hand = [np.exp(-np.sum((poses[0, k] - poses[1, k]) ** 2) / (8 * SIGMAS[k] ** 2 * 1e4)) for k in range(1, 17)]
    assert everything.item() == pytest.approx(np.mean(by_hand))


def test_nothing_in_common_is_no_similarity_at_all():
    poses, areas = random_poses(1), np.array([1e4])
    left, right = poses.copy(), poses.copy()
    left[0, 8:], right[0, :8] = np.nan, np.nan
    assert oks(left, areas, right, areas, SIGMAS).item() == 0
    assert oks(np.full_like(poses, np.nan), areas, poses, areas, SIGMAS).item() == 0


def test_similarity_at_exactly_the_threshold_is_kept():
    pose = random_poses(1)
    poses = np.concatenate([pose, pose])
    assert oks_nms(poses, np.full(2, 1e4), np.array([0.9, 0.5]), SIGMAS, 1.0).tolist() == [0, 1]


def test_nobody():
    none = np.zeros((0, 17, 2))
    assert oks(none, np.zeros(0), random_poses(3), np.ones(3), SIGMAS).shape == (0, 3)
    assert oks_nms(none, np.zeros(0), np.zeros(0), SIGMAS, 0.5).tolist() == []


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("least", [0.0, 0.15, 0.8, 1.0])
@pytest.mark.parametrize("num_others", [5, 90])
def test_no_pair_that_is_alike_is_left_out_for_being_far(dtype, least, num_others):
    rng = np.random.default_rng(num_others)
    sizes = rng.uniform(5, 300, (30 + num_others, 1, 1))
    poses = (rng.uniform(0, 1, (len(sizes), 17, 2)) * sizes + rng.uniform(0, 800, sizes.shape)).astype(dtype)
    poses[:30] = poses[30 + rng.integers(0, num_others, 30)] + rng.normal(0, 8, (30, 1, 2))
    poses[rng.random(poses.shape[:2]) < 0.2] = np.nan
    poses[0], poses[-1, 8:] = np.nan, np.nan
    areas = sizes.ravel() ** 2
    sides = poses[:30], areas[:30], poses[30:], areas[30:], SIGMAS
    similarity, pairs = oks(*sides), near_pairs(*sides, least)
    np.testing.assert_array_equal(pairs.similarities, similarity[pairs.rows, pairs.columns])
    alike = pairs.table(similarity.shape)
    np.testing.assert_array_equal(np.where(similarity >= least, similarity, 0), np.where(alike >= least, alike, 0))
    assert (np.diff(pairs.rows * num_others + pairs.columns) > 0).all()
    if num_others > 30 and least:
        assert len(pairs.rows) < similarity.size / 2


def test_of_several_like_poses_each_drops_the_weaker_ones_alone():
    pose = random_poses(1)
    poses = np.concatenate([pose, pose + 500, pose + 1, pose + 501, pose + 2])
    kept = oks_nms(poses, np.full(5, 1e4), np.array([0.1, 0.9, 0.8, 0.7, 0.6]), SIGMAS, 0.8)
    assert kept.tolist() == [1, 2]
