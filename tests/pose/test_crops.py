"""Crops: the official boxes, matrices and pixels; there and back; hand-computed cases."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.vectors import cases, files
from tracker.pose.crops import (
    centres_and_scales,
    crop_matrices,
    fit_whole_image,
    heatmap_to_image,
    invert_matrices,
    transform_points,
    warp_crops,
)


def size_wh_of(name):
    """Width and height in the name of a case, which has the height first."""
    height, width = name.removeprefix("gt_").split("x")
    return int(width), int(height)


def corners(size_wh, n):
    width, height = size_wh
    square = np.array([[0.0, 0], [width, 0], [width, height], [0, height], [width / 3, height / 5]])
    return np.broadcast_to(square, (n, 5, 2))


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-1_*.npz", r"(\d+x\d+)_center"))
def test_centres_and_scales_are_the_official_ones(case):
    boxes_xywh = cases_file(case)["boxes_xywh"]
    centres, scales = centres_and_scales(boxes_xywh, size_wh_of(case.name))
    # A unit in the last place of single precision.
    np.testing.assert_allclose(centres, case["_center"], rtol=1.2e-7)
    np.testing.assert_allclose(scales, case["_scale"], rtol=1.2e-7)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated"])
@pytest.mark.parametrize("case", cases("SB-1_*.npz", r"(\d+x\d+)_center"))
def test_matrices_are_the_official_ones(case, rotated):
    usable = case["_scale"][:, 0] > 0
    centres, scales, size_wh = case["_center"][usable], case["_scale"][usable], size_wh_of(case.name)
    rotations = cases_file(case)["rot_deg"][usable] if rotated else 0.0
    forward = crop_matrices(centres, scales, size_wh, rotations)
    inverse = invert_matrices(forward)
    suffix = "rot" if rotated else "rot0"
    official_forward, official_inverse = case[f"_fwd_{suffix}"][usable], case[f"_inv_{suffix}"][usable]

    in_crop = corners(size_wh, len(centres))
    in_image = transform_points(official_inverse, in_crop)
    # The official matrices come from float32 points, which is coarse for boxes of about a pixel.
    tiny = scales[:, 0] * 200 < 16
    for error in (
        transform_points(inverse, in_crop) - in_image,
        transform_points(forward, in_image) - transform_points(official_forward, in_image),
    ):
        assert np.abs(error[~tiny]).max() < 1e-3
        assert np.abs(error[tiny]).max() < 1e-2


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-1_*.npz", r"(gt_\d+x\d+)_center"))
def test_regions_of_annotated_boxes_are_the_official_ones(case):
    centres, scales = centres_and_scales(cases_file(case)["gt_clean_xywh"], size_wh_of(case.name))
    np.testing.assert_allclose(centres, case["_center"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(scales, case["_scale"], rtol=0, atol=1e-6)


@pytest.mark.vectors_sb
@pytest.mark.parametrize("case", cases("SB-1_*.npz", r"(crop)_image"))
def test_pixels_are_the_official_ones(case):
    ((height, width),) = case.matching(r"_out_(\d+)x(\d+)")
    size_wh = int(width), int(height)
    centres, scales = centres_and_scales(case["_boxes"], size_wh)
    crops = warp_crops(case["_image"], crop_matrices(centres, scales, size_wh, case["_rot"]), size_wh)
    official = case[f"_out_{height}x{width}"]
    assert crops.shape == official.shape
    # Official pixels come from OpenCV 5; before it, interpolation has coarser weights.
    tolerance = 2 if int(cv2.__version__.split(".")[0]) >= 5 else 3
    assert np.abs(crops.astype(int) - official).max() <= tolerance


def test_missing_points_stay_missing():
    matrices = crop_matrices(np.zeros((1, 2)), np.ones((1, 2)), (48, 64))
    moved = transform_points(matrices, np.array([[[np.nan, np.nan], [1, 2]]]))
    assert np.isnan(moved).tolist() == [[[True, True], [False, False]]]


def test_no_people_no_crops():
    centres, scales = centres_and_scales(np.zeros((0, 4)), (192, 256))
    matrices = crop_matrices(centres, scales, (192, 256))
    assert invert_matrices(matrices).shape == (0, 2, 3)
    assert warp_crops(np.zeros((9, 9, 3), np.uint8), matrices, (192, 256)).shape == (0, 256, 192, 3)
    assert heatmap_to_image(np.zeros((0, 17, 2)), centres, scales, (48, 64)).shape == (0, 17, 2)


def cases_file(case):
    """All arrays of the file of a case."""
    return type(case)(case.path)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("path", files("LP-2_resize.npz"))
def test_whole_images_are_brought_to_the_official_sizes(path):
    with np.load(path) as stored:
        names, rows = stored["columns"].tolist(), stored["rows"]
    at_scale_1 = [names.index(name) for name in ("current_scale", "min_scale")]
    for values in rows[(rows[:, at_scale_1] == 1).all(axis=1)]:
        row = dict(zip(names, values, strict=True))
        size_wh, centre, scale = fit_whole_image((int(row["img_w"]), int(row["img_h"])), int(row["input_size"]))
        assert size_wh == (row["resized_w"], row["resized_h"])
        np.testing.assert_array_equal(centre, [[row["center_x"], row["center_y"]]])
        np.testing.assert_allclose(scale, [[row["scale_x"], row["scale_y"]]], rtol=1e-12)
        matrix = crop_matrices(centre, scale, size_wh)
        np.testing.assert_allclose(matrix.ravel(), values[names.index("fwd00") :][:6], atol=1e-3)
        np.testing.assert_allclose(invert_matrices(matrix).ravel(), values[names.index("inv00") :][:6], atol=1e-3)
