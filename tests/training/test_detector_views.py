"""Boxes follow the pixels through every layout; people are red rectangles on black."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.training.people import annotate
from tracker.detection.letterbox import PADDING
from tracker.training.animals import Animals
from tracker.training.detector_views import PictureStore, Scene, store_pictures
from tracker.training.recipes import Layouts

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


def test_pictures_without_people_are_empty_regions(store: PictureStore) -> None:
    scene = compose(store, 1, Layouts(FOUR, negatives=1.0, backgrounds=0))
    assert len(scene.boxes) == 0
    assert len(scene.empty) == 4
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in scene.empty) == 192**2
    assert not compose(store, 1, Layouts(FOUR, negatives=0.0)).empty.size

    assert scene.empty_weights.tolist() == [1] * 4


def blueness(scene: Scene) -> float:
    return float((scene.image[..., 0] > 200).mean())


@pytest.fixture
def farm(tmp_path: Path) -> PictureStore:
    """A picture with a red person at the left, a blue animal at the right and white in between; none without people."""
    image = np.full((120, 200, 3), 255, np.uint8)
    image[:, :60] = 0, 0, 255
    image[30:90, 140:180] = 255, 0, 0
    cv2.imwrite(str(tmp_path / "farm.png"), image)
    people = annotate([tmp_path / "farm.png"], [(0, (0, 0, 60, 120), {}), (0, (140, 30, 180, 90), {})])
    people.certainties[1] = 0
    animals = Animals(np.array([0]), np.array([[140, 30, 180, 90]], np.float32), np.ones(1, np.float32))
    return store_pictures(people, tmp_path / "cache", animals)


@pytest.mark.parametrize(
    ("animals", "backgrounds", "weight"),
    [
        pytest.param(1.0, 0.0, 1.0, id="around animals"),
        pytest.param(0.0, 1.0, 0.4, id="beside people, where one may be small"),
    ],
)
def test_windows_of_pictures_with_people_are_empty_regions(
    farm: PictureStore, animals: float, backgrounds: float, weight: float
) -> None:
    layouts = Layouts(FOUR, negatives=1.0, animals=animals, backgrounds=backgrounds, rotation_deg=30)
    scenes = [compose(farm, seed, layouts) for seed in range(8)]
    for scene in scenes:
        assert not redness(scene).any()
        assert len(scene.boxes) == 0
        assert len(scene.empty) == 4
        assert scene.empty_weights == pytest.approx([weight] * 4)
        # No padding: what is beyond the window is its mirror image.
        assert not (scene.image == PADDING).all(axis=2).any()
    assert np.mean([blueness(scene) for scene in scenes]) > (0.9 if animals else 0.5)


def test_pictures_without_people_stand_in_for_unknown_animals(store: PictureStore) -> None:
    scene = compose(store, 0, Layouts(FOUR, negatives=1.0, animals=1.0, backgrounds=0))
    assert scene.empty_weights.tolist() == [1] * 4
    assert (scene.image[..., 1] > 200).all()


def test_people_are_shown_where_no_window_is_found(farm: PictureStore) -> None:
    crowded = replace(farm, annotations=farm.annotations.people(np.array([0, 1])))
    crowded.annotations.boxes[0] = 0, 0, 200, 120
    for animals, backgrounds in ((1, 0), (0, 1), (0, 0)):
        scene = compose(crowded, 0, Layouts(FOUR, negatives=1.0, animals=animals, backgrounds=backgrounds))
        assert not len(scene.empty)
        assert len(scene.boxes) >= 4


def test_people_beside_windows_are_seen_as_ever(farm: PictureStore) -> None:
    scenes = [compose(farm, seed, Layouts(FOUR, negatives=0.5, animals=1.0, backgrounds=0)) for seed in range(8)]
    assert 0 < sum(len(scene.empty) for scene in scenes) < 32
    for scene in scenes:
        for box in np.rint(scene.boxes[scene.scores > 0]).astype(int):
            assert redness(scene)[box[1] + 3 : box[3] - 3, box[0] + 3 : box[2] - 3].all()


def test_pictures_without_people_are_rotated_and_mirrored_beyond_their_sides(tmp_path: Path) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:, 1] = 255
    cv2.imwrite(str(tmp_path / "edge.png"), image)
    pictures = store_pictures(annotate([tmp_path / "edge.png"], [], negatives=[0]), tmp_path / "cache")
    layouts = Layouts(ALONE, negatives=1.0, backgrounds=0, zoom_negatives=(1.0, 1.0), rotation_deg=30)
    angles = []
    for seed in range(20):
        scene = pictures.compose(0, layouts, 100, np.random.default_rng(seed))
        green = scene.image[..., 1] > 128
        assert not (scene.image == PADDING).all(axis=2).any()
        low, high = green[30:50].mean(axis=1)[[0, -1]]
        angles.append(np.degrees(np.arctan2((high - low) * 100, 19)))
    assert min(angles) < -10
    assert max(angles) > 10
    assert np.abs(angles).max() < 33
