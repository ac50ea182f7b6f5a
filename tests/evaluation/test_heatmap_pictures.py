"""Pictures of made-up maps: what is drawn where, and how large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.people import poses_of
from tracker.evaluation.heatmap_pictures import (
    Side,
    View,
    draw_heatmaps,
    draw_people,
    draw_skeletons,
    draw_sum,
    draw_tags,
)
from tracker.skeletons import COCO_17
from tracker.types import Image, Poses
from tracker.video.overlay import id_color

STRIP, GAP = 20, 4
NOSE, LEFT_EYE = 0, 1
VIEW = View(np.full((200, 300, 3), 120, np.uint8))
IMAGE = VIEW.image
VIEW_WH = (960, 640)
TILE_WH = (320, 213)
GREY = 0.45 * 120  # of the dimmed picture


def poses(*boxes: list[float], num_keypoints: int = 17) -> Poses:
    """People whose keypoints are all in the middle of their boxes."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    keypoints = np.repeat((corners[:, None, :2] + corners[:, None, 2:]) / 2, num_keypoints, axis=1)
    return poses_of(keypoints, boxes=corners)


def maps(*places: tuple[int, int, int], value: float = 1.0, num_keypoints: int = 17) -> np.ndarray[Any, Any]:
    """Heatmaps over the view with squares of a value around places: keypoint, x, y in pixels of the view."""
    heatmaps = np.zeros((num_keypoints, VIEW_WH[1], VIEW_WH[0]), np.float32)
    for keypoint, x, y in places:
        heatmaps[keypoint, y - 20 : y + 21, x - 20 : x + 21] = value
    return heatmaps


def side(heatmaps: np.ndarray[Any, Any] | None = None, *boxes: list[float], title: str = "found", **facts: Any) -> Side:
    heatmaps = maps() if heatmaps is None else heatmaps
    people = poses(*boxes, num_keypoints=len(heatmaps))
    return Side(title, VIEW.scale(people), np.arange(1, len(boxes) + 1), heatmaps, **facts)


def is_bright(picture: Image, x: int, y: int) -> bool:
    """Whether it has the colour of the inferno map's upper end there, a light yellow."""
    return picture[y, x, 2] > 220 and picture[y, x, 1] > 220


def is_grey(picture: Image, x: int, y: int, grey: float = GREY) -> bool:
    return bool(np.abs(picture[y, x] - grey).max() <= 1)


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        pytest.param((300, 200), (960, 640), id="small"),
        pytest.param((5000, 2), (960, 1), id="a line"),
        pytest.param((1, 1), (960, 960), id="a pixel"),
    ],
)
def test_the_view_has_one_longer_side_for_all(size_wh: tuple[int, int], expected: tuple[int, int]) -> None:
    view = View(np.zeros((size_wh[1], size_wh[0], 3), np.uint8)).image
    assert view.shape[1::-1] == expected
    people = Side("found", poses([0, 0, 9, 9]), np.array([1]), np.zeros((17, *expected[::-1]), np.float32))
    assert draw_skeletons(view, COCO_17, [people]).shape == (expected[1] + STRIP, expected[0], 3)
    assert draw_heatmaps(view, COCO_17, [people]).size > 0


# --- maps over the picture


def test_a_cell_lies_where_its_pixel_is() -> None:
    cells = np.zeros((2, 20, 30), np.float32)
    cells[1, 5, 7] = 1
    # Cells are 10 pixels: cell 7 begins at pixel 70, and its centre is 74.5; the view has 3.2 of its own for each.
    to_cells = np.array([[0.1, 0, -0.45], [0, 0.1, -0.45]])
    laid = VIEW.lay(cells, to_cells)
    assert laid.shape == (2, 640, 960)
    assert not laid[0].any()
    rows, columns = np.nonzero(laid[1] > 0.95)
    assert (columns.mean(), rows.mean()) == pytest.approx((75 * 3.2 - 0.5, 55 * 3.2 - 0.5), abs=0.6)


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


# --- people


def test_skeletons_are_drawn_in_the_pixels_of_the_view() -> None:
    picture = draw_skeletons(IMAGE, COCO_17, [side(None, [100, 50, 150, 150]), side(title="true")])
    colors = np.abs(picture - np.array(id_color(1))).max(axis=2) <= 2
    rows, columns = np.nonzero(colors[:, :960])
    assert (columns.max() / 3.2, (rows.max() - STRIP) / 3.2) == pytest.approx((150, 150), abs=2)
    assert columns.min() / 3.2 == pytest.approx(100, abs=2)
    assert not colors[:, 964:].any(), "nobody is true"


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


# --- tags


def tag_picture(*people_at: int) -> Image:
    """Noses at x (in view pixels) with those tags, in boxes of their own; everywhere else the tag is far off."""
    heatmaps = maps(*((NOSE, x, 320) for x in (160, 480, 800)))
    tags = np.full((1, *heatmaps.shape), 50, np.float32)
    for x, tag in zip((160, 480, 800), (1.0, 4.0, 9.0), strict=True):
        tags[:, NOSE, :, x - 160 : x + 160] = tag
    boxes = [[x / 3.2 - 10, 90, x / 3.2 + 10, 110] for x in people_at]
    found = side(heatmaps, *boxes)
    lonely = np.full_like(found.poses.keypoints, np.nan)
    lonely[:, NOSE] = found.poses.keypoints[:, NOSE]
    return draw_tags(IMAGE, COCO_17, replace(found, poses=replace(found.poses, keypoints=lonely)), tags, 1.0)


def test_tags_have_the_colours_of_their_people_and_grey_without() -> None:
    picture = tag_picture(160, 480)
    right = 960 + GAP
    np.testing.assert_allclose(picture[345, right + 160], id_color(1), atol=2)
    np.testing.assert_allclose(picture[345, right + 480], id_color(2), atol=2)
    assert is_grey(picture, right + 800, 345, grey=150), "nobody has this tag"
    assert is_grey(picture, right + 300, 500), "nothing is there"
