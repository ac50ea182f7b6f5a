"""Boxes follow the pixels through every layout; people are red rectangles on black."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.training.people import annotate
from tracker.detection.letterbox import PADDING
from tracker.training.detector_views import Layouts, PictureStore, Scene, store_pictures

ALONE, FOUR, NINE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SIZES_WH = [(160, 120), (100, 200), (960, 540)]
PEOPLE: list[tuple[int, Any, dict[str, Any]]] = [
    (0, (20, 30, 60, 100), {}),
    (0, (90, 20, 130, 110), {}),
    (1, (30, 60, 70, 160), {}),
    (2, (300, 100, 500, 500), {}),
]


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    """Three pictures with red people, the third one larger than what is stored, and a green one without."""
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, (width, height) in enumerate([*SIZES_WH, (120, 120)]):
        image = np.zeros((height, width, 3), np.uint8)
        for picture, (x0, y0, x1, y1), _ in PEOPLE:
            if picture == i:
                image[y0:y1, x0:x1, 2] = 255
        image[:, :, 1] = 255 if i == 3 else 0
        cv2.imwrite(str(paths[i]), image)
    return store_pictures(annotate(paths, PEOPLE, negatives=[3]), tmp_path / "cache")


def compose(store: PictureStore, seed: int, layouts: Layouts, first: int = 0, size: int = 192) -> Scene:
    return store.compose(first, layouts, size, np.random.default_rng(seed))


def redness(scene: Scene) -> np.ndarray[Any, Any]:
    """(S, S) bool."""
    image = scene.image.astype(int)
    return (image[..., 2] > 150) & (image[..., 1] < 100)


def interiors(boxes: np.ndarray[Any, Any], margin: int) -> np.ndarray[Any, Any]:
    """(192, 192) bool: pixels farther than a margin inside any box, or nearer than −margin to it."""
    mask = np.zeros((192, 192), bool)
    for x0, y0, x1, y1 in np.rint(boxes).astype(int):
        mask[max(y0 + margin, 0) : max(y1 - margin, 0), max(x0 + margin, 0) : max(x1 - margin, 0)] = True
    return mask


def test_large_pictures_are_stored_smaller(store: PictureStore) -> None:
    assert store.scales.tolist() == [1, 1, 0.5, 1]
    assert store.images[2].shape == (270, 480, 3)
    assert store.with_people.tolist() == [0, 1, 2]
    assert store.negatives.tolist() == [3]
    assert store.first_rows.tolist() == [0, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("grids", "zooms"),
    [
        pytest.param(ALONE, (0.5, 0.9), id="zoomed out"),
        pytest.param(ALONE, (0.3, 0.4), id="far out: shrunk before it is cut"),
        pytest.param(ALONE, (1.0, 2.5), id="zoomed in"),
        pytest.param(FOUR, (0.7, 1.4), id="four"),
        pytest.param(NINE, (0.7, 1.4), id="nine"),
    ],
)
@pytest.mark.parametrize("first", [0, 1, 2])
def test_boxes_follow_the_pixels(
    store: PictureStore, grids: tuple[float, float, float], zooms: tuple[float, float], first: int
) -> None:
    layouts, num_boxes = Layouts(grids, zooms, zooms, negatives=0), 0
    for seed in range(6):
        scene = compose(store, seed, layouts, first)
        red = redness(scene)
        assert red[interiors(scene.boxes, 3)].mean() > 0.99 if len(scene.boxes) else True
        # what is red outside is of people of whom less than a fifth can be seen
        outside = red & ~interiors(scene.boxes, -3)
        assert outside.mean() < 0.03 or zooms[1] > 2
        assert len(scene.scores) == len(scene.is_sure) == len(scene.boxes)
        num_boxes += len(scene.boxes)
    assert num_boxes >= 3


def test_pictures_are_mirrored_half_of_the_time(store: PictureStore) -> None:
    layouts = Layouts(ALONE, (0.9, 0.9), negatives=0)
    # the left person of picture 0 is the smaller one
    sides = [np.diff(compose(store, seed, layouts).boxes[:, [0, 3]], axis=0)[0, 0] > 0 for seed in range(24)]
    widths = [np.ptp(compose(store, seed, layouts).boxes[:, 1]) for seed in range(24)]
    assert 5 < sum(sides) < 19
    assert min(widths) > 0


def test_scenes_have_the_wanted_picture_and_padding(store: PictureStore) -> None:
    scene = compose(store, 0, Layouts(ALONE, (0.4, 0.4), negatives=0), first=1)
    assert scene.image.shape == (192, 192, 3)
    assert len(scene.boxes) == 1
    grey = (scene.image == PADDING).all(axis=2).mean()
    # 0.4 times what fills the scene: 192 wide is 76.8, and twice as high
    assert grey == pytest.approx(1 - 76.8 * 153.6 / 192**2, abs=0.02)


def test_pictures_without_people_are_empty_regions(store: PictureStore) -> None:
    scene = compose(store, 1, Layouts(FOUR, negatives=1.0))
    assert len(scene.boxes) == 0
    assert len(scene.empty) == 4
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in scene.empty) == 192**2
    assert not compose(store, 1, Layouts(FOUR, negatives=0.0)).empty.size


def test_people_of_whom_little_is_seen_are_left_out(store: PictureStore) -> None:
    layouts = Layouts(ALONE, (3.0, 4.0), negatives=0)
    for seed in range(12):
        scene = compose(store, seed, layouts)
        sizes = scene.boxes[:, 2:] - scene.boxes[:, :2]
        assert (sizes >= 4).all()
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= 192).all()


def test_a_scene_depends_on_its_seed_alone(store: PictureStore) -> None:
    one, same, other = (compose(store, seed, Layouts()) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.boxes, same.boxes)
    assert not np.array_equal(one.image, other.image)
