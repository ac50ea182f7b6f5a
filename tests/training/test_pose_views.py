"""Keypoints follow the pixels through every view; seen by a bright dot at each keypoint of a dark picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.training.people import Points, annotate
from tracker.pose.crops import invert_matrices
from tracker.pose.heatmaps import encode_heatmaps
from tracker.skeletons import COCO_17
from tracker.training.augmentation import warp
from tracker.training.pose_views import PersonCrops, View, store_crops
from tracker.training.recipes import Views

STILL = Views(scale=0, rotation_deg=0, rotated=0, flip=0, shift=0, half_body=0, damage=0)
BOX = (60, 30, 140, 190)
INPUT_WH = (96, 128)


def write_dots(path: Path, points: Points) -> None:
    """Dots of different brightness, the first one the brightest."""
    image = np.zeros((220, 240, 3), np.float32)
    for i, (x, y) in enumerate(points.values()):
        rows, columns = np.mgrid[:220, :240]
        dot = (250 - 60 * i) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
        image = np.maximum(image, dot[..., None])
    cv2.imwrite(str(path), image.astype(np.uint8))


def crops_of(folder: Path, points: Points, box: Any = BOX) -> PersonCrops:
    """One person with a dot on each keypoint, stored at 1.3 times the input's size."""
    write_dots(folder / "dots.png", points)
    return store_crops(annotate([folder / "dots.png"], [(0, box, points)]), (126, 168), folder / "cache")


def see(view: View, input_wh: tuple[int, int] = INPUT_WH) -> np.ndarray[Any, Any]:
    """The network's input of a view."""
    crops = torch.from_numpy(view.crop[None]).permute(0, 3, 1, 2)
    return warp(crops, torch.from_numpy(invert_matrices(view.matrix[None])), input_wh)[0, 0].numpy()


def brightest(image: np.ndarray[Any, Any]) -> tuple[int, int]:
    row, column = np.unravel_index(cv2.GaussianBlur(image, (0, 0), 1.5).argmax(), image.shape)
    return int(column), int(row)


@pytest.mark.parametrize(
    "views",
    [
        pytest.param(STILL, id="as it is"),
        pytest.param(Views(0.3, 0, 0, 0, 0, 0, 0), id="scale"),
        pytest.param(Views(0, 40, 1, 0, 0, 0, 0), id="rotation"),
        pytest.param(Views(0, 0, 0, 1, 0, 0, 0), id="flip"),
        pytest.param(Views(0, 0, 0, 0, 0.05, 0, 0), id="shift"),
        pytest.param(Views(0.3, 40, 1, 0.5, 0.02, 0, 0), id="all together"),
    ],
)
def test_the_targets_peak_is_where_the_dot_is(tmp_path: Path, views: Views) -> None:
    crops = crops_of(tmp_path, {"left_wrist": (115.3, 80.6)})
    places = set()
    for seed in range(8):
        view = crops.view(0, views, INPUT_WH, np.random.default_rng(seed))
        (keypoint,) = np.flatnonzero(~np.isnan(view.keypoints[:, 0]))
        dot = brightest(see(view))
        assert np.abs(view.keypoints[keypoint] - dot).max() < 1.5
        targets, weights = encode_heatmaps(view.keypoints[None], view.weights[None], (24, 32))
        peak = np.unravel_index(targets[0, keypoint].argmax(), (32, 24))
        assert np.abs(np.array(peak[::-1]) * 4 - dot).max() <= 3.5
        assert weights[0].sum() == 1
        places.add(dot)
    assert len(places) > 1 or views in (STILL, Views(0, 0, 0, 1, 0, 0, 0))


def test_a_still_view_is_the_crop_of_inference(tmp_path: Path) -> None:
    crops = crops_of(tmp_path, {"nose": (100, 110)})
    view = crops.view(0, STILL, INPUT_WH, np.random.default_rng(0))
    # the centre of the box lies in the middle of the crop, and the taller side, 160, is padded to 200 by a quarter
    assert view.keypoints[0].tolist() == pytest.approx([48, 64], abs=1e-3)
    person = crops_of(tmp_path, {"nose": (100, 70)}).view(0, STILL, INPUT_WH, np.random.default_rng(0))
    assert person.keypoints[0].tolist() == pytest.approx([48, 64 - 40 * 128 / 200], abs=1e-3)


def test_a_mirrored_left_wrist_is_a_right_one(tmp_path: Path) -> None:
    crops = crops_of(tmp_path, {"left_wrist": (115, 80), "nose": (90, 60)})
    plain = crops.view(0, STILL, INPUT_WH, np.random.default_rng(0))
    mirrored = crops.view(0, Views(0, 0, 0, 1, 0, 0, 0), INPUT_WH, np.random.default_rng(0))
    left, right, nose = (COCO_17.index(name) for name in ("left_wrist", "right_wrist", "nose"))
    assert np.isnan(mirrored.keypoints[left]).all()
    assert mirrored.weights[[left, right, nose]].tolist() == [0, 1, 1]
    # about the middle of the stored crop, whose pixels count from 0: less than a pixel from that of the input
    assert mirrored.keypoints[right, 0] == pytest.approx(96 - plain.keypoints[left, 0], abs=1.2)
    assert mirrored.keypoints[nose, 1] == pytest.approx(plain.keypoints[nose, 1], abs=1e-6)


@pytest.mark.parametrize("flip", [0, 1])
def test_half_of_the_body_fills_the_view(tmp_path: Path, flip: float) -> None:
    # a lying person, so that the halves are far from the middle
    points = {"nose": (70.0, 100.0), "left_shoulder": (80.0, 90.0), "right_shoulder": (82.0, 112.0)}
    points |= {"left_hip": (118.0, 92.0), "right_hip": (118.0, 108.0), "left_knee": (135.0, 96.0)}
    crops = crops_of(tmp_path, points, box=(60, 80, 150, 120))
    shown = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        view = crops.view(0, Views(0, 0, 0, flip, 0, 1, 0), INPUT_WH, rng)
        inside = ((view.keypoints >= 0) & (view.keypoints < INPUT_WH)).all(axis=1)
        shown.add(tuple(sorted({COCO_17.keypoint_names[i].split("_")[-1] for i in np.flatnonzero(inside)})))
        middle = (np.nanmin(view.keypoints[inside], axis=0) + np.nanmax(view.keypoints[inside], axis=0)) / 2
        assert middle.tolist() == pytest.approx([48, 64], abs=1.5)
    assert shown == {("nose", "shoulder"), ("hip", "knee")}


def test_a_half_with_two_keypoints_is_not_shown_alone(tmp_path: Path) -> None:
    crops = crops_of(tmp_path, {"nose": (100, 60), "left_hip": (95, 120)})
    halves = crops.view(0, Views(0, 0, 0, 0, 0, 1, 0), INPUT_WH, np.random.default_rng(0))
    np.testing.assert_array_equal(halves.matrix, crops.view(0, STILL, INPUT_WH, np.random.default_rng(0)).matrix)


def test_damage_keeps_size_and_place(tmp_path: Path) -> None:
    crops = crops_of(tmp_path, {"nose": (100, 110)})
    for seed in range(8):
        view = crops.view(0, Views(0, 0, 0, 0, 0, 0, 1), INPUT_WH, np.random.default_rng(seed))
        assert not np.array_equal(view.crop, crops.store[0])
        assert np.abs(np.array(brightest(see(view))) - view.keypoints[0]).max() <= 2


def test_crops_of_several_people_and_pictures(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    noses = [(50.0, 60.0), (120.0, 90.0), (150.0, 110.0)]
    for path, dots in zip(paths, ({"a": noses[0], "b": noses[1]}, {}, {"a": noses[2]}), strict=True):
        write_dots(path, dots)
    boxes = [(x - 15, y - 20, x + 15, y + 20) for x, y in noses]
    people = [(picture, box, {"nose": nose}) for picture, box, nose in zip((0, 0, 2), boxes, noses, strict=True)]
    crops = store_crops(annotate(paths, people), (60, 80), tmp_path / "cache")
    assert len(crops.store) == 3
    for row in range(3):
        assert crops.keypoints[row, 0].tolist() == pytest.approx([30, 40], abs=1e-3)
        assert np.abs(np.array(brightest(crops.store[row][..., 0].astype(np.float32))) - [30, 40]).max() <= 1
