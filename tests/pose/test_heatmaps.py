"""Heatmaps: targets, peaks and flip test as the official code has them; encode and decode undo each other."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.vectors import cases, read_json
from tracker.pose.crops import heatmap_to_image
from tracker.pose.heatmaps import (
    average_flipped,
    decode_heatmaps,
    encode_heatmaps,
    encode_people,
    find_peaks,
    flip_back,
    tag_positions,
)
from tracker.skeletons import COCO_17, MPII_16


def flip_order(pairs, num_keypoints):
    order = np.arange(num_keypoints)
    for a, b in pairs:
        order[[a, b]] = b, a
    return order


def heatmap_wh(heatmaps):
    return heatmaps.shape[3], heatmaps.shape[2]


def pixels(case):
    """Tolerance of image positions: the official matrices come from float32 points, coarse for huge boxes."""
    return 1e-3 if case["_scale"].max() * 200 > 1000 else 1e-4


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-2_*.npz", r"(\d+x\d+)_center"))
def test_peaks_are_the_official_ones(case):
    heatmaps = case.fixed_point("_heatmaps")
    size_wh = heatmap_wh(heatmaps)
    cells, values = find_peaks(heatmaps)
    np.testing.assert_array_equal(cells, case["_max_preds"])
    np.testing.assert_array_equal(values, case["_maxvals"][..., 0])
    plain = heatmap_to_image(cells, case["_center"], case["_scale"], size_wh)
    np.testing.assert_allclose(plain, case["_final_preds_nopost"], rtol=0, atol=pixels(case))

    positions, same_values = decode_heatmaps(heatmaps)
    np.testing.assert_array_equal(same_values, values)
    final = heatmap_to_image(positions, case["_center"], case["_scale"], size_wh)
    np.testing.assert_allclose(final, case["_final_preds"], rtol=0, atol=pixels(case))


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-3_*.npz", r"(\w+)_out_i16"))
def test_flip_test_is_the_official_one(case):
    plain, mirrored = case.fixed_point("_out"), case.fixed_point("_outflip")
    order = flip_order(case["_flip_pairs"], plain.shape[1])
    if "_flip_back" in case:
        np.testing.assert_array_equal(flip_back(mirrored, order), case["_flip_back"])
    runs = case.matching(r"_flip([01])_shift([01])_all_preds")
    assert runs
    for flip, shift in runs:
        heatmaps = average_flipped(plain, mirrored, order, shift=shift == "1") if flip == "1" else plain
        run = f"_flip{flip}_shift{shift}"
        if f"{run}_avg" in case:
            np.testing.assert_allclose(heatmaps, case[f"{run}_avg"], rtol=0, atol=1e-7)
        positions, peaks = decode_heatmaps(heatmaps)
        image = heatmap_to_image(positions, case["_center"], case["_scale"], heatmap_wh(heatmaps))
        np.testing.assert_allclose(image, case[f"{run}_all_preds"][..., :2], rtol=0, atol=pixels(case))
        np.testing.assert_allclose(peaks, case[f"{run}_all_preds"][..., 2], rtol=0, atol=1e-7)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-3_*.npz", r"(coco|mpii)_out_i16"))
def test_our_skeletons_flip_as_the_official_datasets(case):
    skeleton = {"coco": COCO_17, "mpii": MPII_16}[case.name]
    np.testing.assert_array_equal(skeleton.flip_order, flip_order(case["_flip_pairs"], skeleton.num_keypoints))


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-4_*.npz", r"(\w+)_joints$"))
def test_targets_are_the_official_ones(case):
    official = case.sparse("_target")
    height, width = map(int, re.search(r"(\d+)x(\d+)", case.name).groups())
    assert official.shape[2:] == (height // 4, width // 4)
    targets, weights = encode_heatmaps(
        case["_joints"][..., :2],
        case["_joints_vis"][..., 0],
        heatmap_wh(official),
        sigma=float(case["_sigma"]),
    )
    np.testing.assert_array_equal(weights, case["_target_weight"][..., 0])
    np.testing.assert_allclose(targets, official, rtol=0, atol=1e-6)
    assert targets.dtype == weights.dtype == np.float32


def test_nobody():
    positions, peaks = decode_heatmaps(np.zeros((0, 17, 64, 48), np.float32))
    assert positions.shape == (0, 17, 2)
    assert peaks.shape == (0, 17)
    targets, weights = encode_heatmaps(np.zeros((0, 17, 2)), np.zeros((0, 17)), (48, 64))
    assert targets.shape == (0, 17, 64, 48)
    assert weights.shape == (0, 17)


def labelled(joints):
    """Keypoints of rows x, y, visibility, NaN where they are not visible."""
    return np.where(joints[..., 2:3] > 0, joints[..., :2], np.nan)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-4_*.npz", r"(case\d+)_joints$"))
def test_targets_of_everybody_are_the_official_ones(case):
    settings = read_json(case.path.with_suffix(".json"))[case.name]
    side = settings["output_res"]
    sigma = settings["sigma"] if settings["sigma"] > 0 else side / 64
    keypoints = labelled(case["_joints"])
    np.testing.assert_allclose(encode_people(keypoints, (side, side), sigma), case.sparse("_heat"), rtol=0, atol=1e-6)
    table = tag_positions(keypoints, (side, side), len(case["_joints_gen"]))
    np.testing.assert_array_equal(table, case["_joints_gen"])


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-4_*.npz", r"(scaleaware\d+)_joints$"))
def test_targets_with_a_sigma_for_each_keypoint_are_the_official_ones(case):
    joints, heatmaps = case["_joints"], case.sparse("_heat")
    found = encode_people(labelled(joints), (heatmaps.shape[2], heatmaps.shape[1]), joints[..., 3])
    np.testing.assert_allclose(found, heatmaps, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "cell"),
    [
        pytest.param(0.0, 0, id="the first cell"),
        pytest.param(-0.99, 0, id="cut towards the first cell"),
        pytest.param(-1.0, None, id="off the map"),
        pytest.param(11.99, 11, id="the last cell"),
        pytest.param(12.0, None, id="beyond it"),
        pytest.param(np.nan, None, id="missing"),
    ],
)
def test_keypoints_at_the_edges_of_the_map(x, cell):
    keypoints = np.array([[[x, 3.5]]])
    heatmaps, table = encode_people(keypoints, (12, 8)), tag_positions(keypoints, (12, 8), 2)
    assert heatmaps.any() == (cell is not None)
    assert table[0, 0].tolist() == ([0, 0] if cell is None else [3 * 12 + cell, 1])
    if cell is not None:
        assert np.unravel_index(heatmaps[0].argmax(), (8, 12)) == (3, cell)


@pytest.mark.parametrize("x", [5.5, 5.3, 5.75, 6.0])
def test_between_cells_the_gaussian_of_everybody_stands_where_the_keypoint_is(x):
    """Cell 5 reaches from 5 to 6, so that its middle is at 5.5."""
    keypoints = np.array([[[x, 3.5], [np.nan, np.nan]]])
    heatmaps = encode_people(keypoints, (12, 8), 1.5, whole_cells=False)
    expected = np.exp(-((np.arange(12) + 0.5 - x) ** 2) / (2 * 1.5**2))
    near = np.abs(np.arange(12) + 0.5 - x) <= 4.5
    np.testing.assert_allclose(heatmaps[0, 3], np.where(near, expected, 0), rtol=0, atol=1e-6)
    assert not heatmaps[1].any()


def test_where_tags_are_read():
    keypoints = np.array([[[np.nan, np.nan], [2.7, 1.2]], [[0.0, 0.0], [4.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
    table = tag_positions(keypoints, (5, 3), max_people=2)
    assert table.tolist() == [[[15 + 7, 1], [0, 0]], [[0, 1], [15 + 14, 1]]]
    assert table.dtype == np.int32
    assert tag_positions(keypoints[:0], (5, 3), 2).tolist() == [[[0, 0]] * 2] * 2
