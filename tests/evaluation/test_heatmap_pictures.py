"""Pictures of made-up maps: what is drawn where, and how large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.evaluation.heatmap_pictures import (
    Side,
    draw_heatmaps,
    draw_people,
    draw_skeletons,
    draw_sum,
    draw_tags,
    lay_over_picture,
    view_size,
)
from tracker.skeletons import COCO_17, CROWDPOSE_14
from tracker.types import Image, Poses
from tracker.video.overlay import id_color

STRIP, GAP = 20, 4
NOSE, LEFT_EYE = 0, 1
IMAGE = np.full((200, 300, 3), 120, np.uint8)
VIEW_WH = (960, 640)
TILE_WH = (320, 213)
GREY = 0.45 * 120  # of the dimmed picture


def poses(*boxes: list[float], num_keypoints: int = 17) -> Poses:
    """People whose keypoints are all in the middle of their boxes."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    keypoints = np.repeat((corners[:, None, :2] + corners[:, None, 2:]) / 2, num_keypoints, axis=1)
    ones = np.ones(len(corners), np.float32)
    return Poses(keypoints, np.ones(keypoints.shape[:2], np.float32), corners, ones, np.zeros(len(corners), np.int8))


def maps(*places: tuple[int, int, int], value: float = 1.0, num_keypoints: int = 17) -> np.ndarray[Any, Any]:
    """Heatmaps over `IMAGE` with squares of a value around places: keypoint, x, y in pixels of the view."""
    heatmaps = np.zeros((num_keypoints, VIEW_WH[1], VIEW_WH[0]), np.float32)
    for keypoint, x, y in places:
        heatmaps[keypoint, y - 20 : y + 21, x - 20 : x + 21] = value
    return heatmaps


def side(heatmaps: np.ndarray[Any, Any] | None = None, *boxes: list[float], title: str = "found", **facts: Any) -> Side:
    heatmaps = maps() if heatmaps is None else heatmaps
    people = poses(*boxes, num_keypoints=len(heatmaps))
    return Side(title, people, np.arange(1, len(boxes) + 1), heatmaps, **facts)


def is_bright(picture: Image, x: int, y: int) -> bool:
    """Whether it has the colour of the inferno map's upper end there, a light yellow."""
    return picture[y, x, 2] > 220 and picture[y, x, 1] > 220


def is_grey(picture: Image, x: int, y: int, grey: float = GREY) -> bool:
    return bool(np.abs(picture[y, x] - grey).max() <= 1)


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        pytest.param((300, 200), (960, 640), id="small"),
        pytest.param((4000, 3000), (960, 720), id="large"),
        pytest.param((480, 640), (720, 960), id="upright"),
        pytest.param((5000, 2), (960, 1), id="a line"),
        pytest.param((1, 1), (960, 960), id="a pixel"),
    ],
)
def test_the_view_has_one_longer_side_for_all(size_wh: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    assert view_size(image) == expected
    people = Side("found", poses([0, 0, 9, 9]), np.array([1]), np.zeros((17, *expected[::-1]), np.float32))
    assert draw_skeletons(image, COCO_17, [people]).shape == (expected[1] + STRIP, expected[0], 3)
    assert draw_heatmaps(image, COCO_17, [people]).size > 0


# --- maps over the picture


def test_a_cell_lies_where_its_pixel_is() -> None:
    cells = np.zeros((2, 20, 30), np.float32)
    cells[1, 5, 7] = 1
    # Cells are 10 pixels: cell 7 begins at pixel 70, and its centre is 74.5; the view has 3.2 of its own for each.
    to_cells = np.array([[0.1, 0, -0.45], [0, 0.1, -0.45]])
    laid = lay_over_picture(cells, to_cells, IMAGE, cv2.INTER_LINEAR)
    assert laid.shape == (2, 640, 960)
    assert not laid[0].any()
    rows, columns = np.nonzero(laid[1] > 0.95)
    assert (columns.mean(), rows.mean()) == pytest.approx((75 * 3.2 - 0.5, 55 * 3.2 - 0.5), abs=0.6)


def test_nothing_lies_beyond_the_maps() -> None:
    # A map of ten by ten cells for the pixels from (100, 50) to (150, 100).
    to_cells = np.array([[0.2, 0, -20], [0, 0.2, -10]])
    laid = lay_over_picture(np.ones((1, 10, 10), np.float32), to_cells, IMAGE, cv2.INTER_LINEAR)[0]
    rows, columns = np.nonzero(laid > 0.5)
    # Half a cell, 2.5 pixels, around the centres of the first and the last.
    assert (columns.min() / 3.2, columns.max() / 3.2) == pytest.approx((97.5, 147.5), abs=1)
    assert (rows.min() / 3.2, rows.max() / 3.2) == pytest.approx((47.5, 97.5), abs=1)


def test_tags_are_not_mixed() -> None:
    cells = np.array([[[1.0, 5.0]]], np.float32)
    laid = lay_over_picture(cells, np.array([[2 / 300, 0, -0.5], [0, 0.005, -0.5]]), IMAGE, cv2.INTER_NEAREST)
    assert set(np.unique(laid)) <= {0, 1, 5}
    assert (laid[0, 320, 240], laid[0, 320, 720]) == (1, 5)


# --- heatmaps


def test_every_keypoint_has_a_tile_with_its_peak() -> None:
    picture = draw_heatmaps(IMAGE, COCO_17, [side(maps((LEFT_EYE, 480, 320)))])
    width, height = TILE_WH[0] + GAP, TILE_WH[1] + STRIP
    columns, rows = (picture.shape[1] + GAP) // width, picture.shape[0] // height
    assert columns * rows >= 17
    assert (columns - 1) * rows < 17 or columns * (rows - 1) < 17
    centre = (TILE_WH[0] // 2, STRIP + TILE_WH[1] // 2)
    assert is_grey(picture, *centre)
    assert is_bright(picture, width + centre[0], centre[1]), "the second keypoint"


def test_the_truth_stands_beside() -> None:
    sides = [side(maps((NOSE, 240, 320))), side(maps((NOSE, 720, 320)), title="true")]
    picture = draw_heatmaps(IMAGE, COCO_17, sides)
    middle = STRIP + TILE_WH[1] // 2
    right = TILE_WH[0] + GAP
    assert is_bright(picture, 80, middle)
    assert is_grey(picture, 240, middle)
    assert is_grey(picture, right + 80, middle)
    assert is_bright(picture, right + 240, middle)


def test_low_peaks_stay_visible_and_values_beyond_1_and_below_0_do_no_harm() -> None:
    middle = (TILE_WH[0] // 2, STRIP + TILE_WH[1] // 2)

    def color(value: float) -> Any:
        heat = maps((NOSE, 480, 320), value=value)
        return draw_heatmaps(IMAGE, COCO_17, [side(heat)])[middle[1], middle[0]].astype(int)

    assert np.ptp(color(0.2)) > 40
    np.testing.assert_array_equal(color(3.0), color(1.0))
    np.testing.assert_array_equal(color(-1.0), color(0.0))


# --- the sum


def test_the_sum_is_over_keypoints_and_bright_where_it_is_highest_on_any_side() -> None:
    found = maps((NOSE, 240, 320), (LEFT_EYE, 240, 320), (NOSE, 720, 320), value=0.5)
    picture = draw_sum(IMAGE, [side(found), side(maps((NOSE, 480, 320), value=0.5), title="true")])
    assert picture.shape == (640 + STRIP, 2 * 960 + GAP, 3)
    assert is_bright(picture, 240, 340)
    half = picture[340, 720]
    np.testing.assert_array_equal(half, picture[340, 964 + 480])
    assert not is_bright(picture, 720, 340)
    assert half[2] > 100, "half as high"


def test_a_picture_without_any_heat_is_only_dimmed() -> None:
    picture = draw_sum(IMAGE, [side()])
    assert np.abs(picture[STRIP:] - GREY).max() <= 1


# --- people


def test_skeletons_are_drawn_in_the_pixels_of_the_view() -> None:
    picture = draw_skeletons(IMAGE, COCO_17, [side(None, [100, 50, 150, 150]), side(title="true")])
    colors = np.abs(picture - np.array(id_color(1))).max(axis=2) <= 2
    rows, columns = np.nonzero(colors[:, :960])
    assert (columns.max() / 3.2, (rows.max() - STRIP) / 3.2) == pytest.approx((150, 150), abs=2)
    assert columns.min() / 3.2 == pytest.approx(100, abs=2)
    assert not colors[:, 964:].any(), "nobody is true"


def test_people_are_called_by_their_numbers() -> None:
    called_three = replace(side(None, [100, 50, 150, 150]), numbers=np.array([3]))
    colors = np.abs(draw_skeletons(IMAGE, COCO_17, [called_three]) - np.array(id_color(3))).max(axis=2)
    assert (colors <= 2).sum() > 200


def test_who_is_left_out_is_told() -> None:
    def strip(left_out: int) -> Image:
        return draw_skeletons(IMAGE, COCO_17, [side(None, [9, 9, 60, 90], num_left_out=left_out)])[:STRIP]

    assert (strip(2) > 100).sum() > (strip(0) > 100).sum() + 100


def test_the_sheet_has_a_line_for_each_person_and_side() -> None:
    crops = np.full((2, 64, 48, 3), 120, np.uint8)
    found, true = np.zeros((2, 2, 17, 16, 12), np.float32)
    found[0, LEFT_EYE, 6:11, 4:9] = 1
    true[1, NOSE, 6:11, 4:9] = 1
    sheet = draw_people(crops, COCO_17, [("found", found), ("true", true)])
    line, column = 144 + STRIP, 108 + GAP
    assert sheet.shape == (3 * line, 18 * column - GAP, 3), "the first of them is nobody who is true"
    middle = (54, STRIP + 72)
    assert is_grey(sheet, *middle, grey=120), "the crop"
    assert is_bright(sheet, 2 * column + middle[0], middle[1])
    assert is_bright(sheet, column + middle[0], 2 * line + middle[1])
    assert is_grey(sheet, column + middle[0], middle[1])


def test_somebody_without_any_heat_has_a_line() -> None:
    sheet = draw_people(np.zeros((1, 64, 64, 3), np.uint8), CROWDPOSE_14, [("found", np.zeros((1, 14, 16, 16)))])
    assert sheet.shape == (144 + STRIP, 15 * (144 + GAP) - GAP, 3)


# --- tags


def tag_picture(people_at: dict[int, float], tag_threshold: float = 1.0, channels: int = 1) -> Image:
    """Noses at x (in view pixels) with those tags, in boxes of their own; everywhere else the tag is far off."""
    heatmaps = maps(*((NOSE, x, 320) for x in (160, 480, 800)))
    tags = np.full((channels, *heatmaps.shape), 50, np.float32)
    for x, tag in zip((160, 480, 800), (1.0, 4.0, 9.0), strict=True):
        tags[:, NOSE, :, x - 160 : x + 160] = tag
    boxes = [[x / 3.2 - 10, 90, x / 3.2 + 10, 110] for x in people_at]
    found = side(heatmaps, *boxes)
    lonely = np.full_like(found.poses.keypoints, np.nan)
    lonely[:, NOSE] = found.poses.keypoints[:, NOSE]
    return draw_tags(IMAGE, COCO_17, replace(found, poses=replace(found.poses, keypoints=lonely)), tags, tag_threshold)


def test_tags_have_the_colours_of_their_people_and_grey_without() -> None:
    picture = tag_picture({160: 1.0, 480: 4.0})
    right = 960 + GAP
    np.testing.assert_allclose(picture[345, right + 160], id_color(1), atol=2)
    np.testing.assert_allclose(picture[345, right + 480], id_color(2), atol=2)
    assert is_grey(picture, right + 800, 345, grey=150), "nobody has this tag"
    assert is_grey(picture, right + 300, 500), "nothing is there"


@pytest.mark.parametrize(
    ("threshold", "is_somebodys"),
    [pytest.param(5.0, False, id="as far as the threshold"), pytest.param(5.01, True, id="nearer")],
)
def test_a_tag_must_be_nearer_than_the_threshold(threshold: float, is_somebodys: bool) -> None:
    picture = tag_picture({480: 4.0}, threshold)
    assert is_grey(picture, 964 + 800, 345, grey=150) != is_somebodys


def test_tags_of_several_outputs_are_points_in_space() -> None:
    # Both of them are 5 off: 7.07 apart.
    assert is_grey(tag_picture({480: 4.0}, 7.0, channels=2), 964 + 800, 345, grey=150)
    assert not is_grey(tag_picture({480: 4.0}, 7.1, channels=2), 964 + 800, 345, grey=150)


@pytest.mark.parametrize(("value", "is_shown"), [(0.1, True), (0.09, False)])
def test_tags_are_shown_where_somebody_may_be(value: float, is_shown: bool) -> None:
    picture = draw_tags(IMAGE, COCO_17, side(maps((NOSE, 480, 320), value=value)), np.ones((1, 17, 640, 960)), 1.0)
    assert is_grey(picture, 480, 340) != is_shown


def test_values_go_from_blue_to_yellow() -> None:
    picture = tag_picture({})
    blue, green, red = picture[345, 160].tolist()
    assert blue > red
    blue, green, red = picture[345, 800].tolist()
    assert min(green, red) > 200 > blue


def test_tags_without_people_and_without_peaks() -> None:
    empty = side()
    picture = draw_tags(IMAGE, COCO_17, empty, np.zeros((1, *empty.heatmaps.shape), np.float32), 1.0)
    assert picture.shape == (660, 1924, 3)
    assert is_grey(picture, 500, 500)


def test_the_picture_handed_in_stays_as_it_is() -> None:
    image = IMAGE.copy()
    people = side(maps((NOSE, 480, 320)), [100, 50, 150, 150])
    draw_heatmaps(image, COCO_17, [people])
    draw_skeletons(image, COCO_17, [people])
    np.testing.assert_array_equal(image, IMAGE)
