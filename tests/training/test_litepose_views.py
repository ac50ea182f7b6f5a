"""Views of whole pictures against the official ones; what is pasted, hidden and left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.training.people import annotate
from tests.vectors import Case, cases, read_json
from tracker.errors import InputError
from tracker.skeletons import COCO_17, CROWDPOSE_14
from tracker.training.litepose_views import (
    ScenePictures,
    draw_placement,
    move_image,
    move_keypoints,
    move_mask,
    place_picture,
    silhouette,
    store_scenes,
)
from tracker.training.recipes import SceneViews

STILL = SceneViews(rotation_deg=0, region=(1.0, 1.0), translation=0, flip=0, pasted=0, negatives=0)
LIMBS = [f"{side}_{part}" for part in ("shoulder", "elbow", "hip", "knee", "ankle") for side in ("left", "right")]
# A person who stands upright in the box (10, 10, 70, 130).
STANDING = {
    name: ((30.0 if name.startswith("left") else 50.0), {"s": 40.0, "e": 60.0, "h": 80.0, "k": 100.0, "a": 120.0}[part])
    for name in LIMBS
    for part in [name.split("_")[1][0]]
} | {"nose": (40.0, 25.0)}


def drawn(settings: dict[str, Any]) -> tuple[float, float, tuple[int, int], bool]:
    """Factor, angle, shift and side of a stored draw."""
    least, largest = settings["min_scale"], settings["max_scale"]
    angle = (2 * settings["u_rot"] - 1) * settings["max_rotation"]
    shift = (settings["dx"], settings["dy"])
    return least + (largest - least) * settings["u_scale"], angle, shift, settings["scale_type"] == "long"


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-5_*.npz", r"(case\d+)_image"))
def test_views_are_the_official_ones(case: Case) -> None:
    settings = read_json(case.path.with_suffix(".json"))[case.name]
    skeleton = {"crowdpose": CROWDPOSE_14, "coco": COCO_17}[settings["dataset"]]
    placement = place_picture((settings["w"], settings["h"]), *drawn(settings))
    flipped = replace(placement, mirrored=settings["flip_u"] < 0.5)
    side = settings["input_size"]
    np.testing.assert_allclose(placement.matrix(side), case["_mat_input"][:2], rtol=0, atol=1e-9)
    for view, prefix in ((placement, "_out"), (flipped, "_flip_out")):
        difference = np.abs(move_image(case["_image"], view, side).astype(int) - case[f"{prefix}_image"])
        assert difference.max() <= 2
        for i, output_side in enumerate(settings["output_size"]):
            np.testing.assert_allclose(view.matrix(output_side), case[f"_mat_out{i}"][:2], rtol=0, atol=1e-9)
            found = move_keypoints(case["_joints"][..., :2], view, output_side, skeleton.flip_order)
            expected = case[f"{prefix}_joints{i}"]
            np.testing.assert_allclose(found, expected[..., :2], rtol=0, atol=1e-9)
            mask = move_mask(case["_mask"], view, output_side)
            np.testing.assert_array_equal(mask, case[f"{prefix}_mask{i}"] > 0.5)


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Pictures, each of one grey: 40, 80 and so on."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((140, 160, 3), 40 * (number + 1), np.uint8))
    return paths


def standing(folder: Path, num_pictures: int = 2, **changes: Any) -> ScenePictures:
    """One person in each picture."""
    people = [(number, (10, 10, 70, 130), STANDING) for number in range(num_pictures)]
    annotations = annotate(write_pictures(folder, num_pictures), people)
    return store_scenes(replace(annotations, **changes), 140, folder / "cache")


@pytest.mark.parametrize("shortest", [300, 200], ids=["stored as it is", "stored smaller"])
@pytest.mark.parametrize("mirrored", [0.0, 1.0], ids=["as it is", "mirrored"])
def test_keypoints_follow_the_picture(tmp_path: Path, shortest: int, mirrored: float) -> None:
    """A white square stays under its keypoint, whatever the view, on every map."""
    image = np.zeros((300, 420, 3), np.uint8)
    image[144:157, 194:207] = 255
    cv2.imwrite(str(tmp_path / "square.png"), image)
    annotations = annotate([tmp_path / "square.png"], [(0, (100, 50, 300, 250), {"left_wrist": (200.0, 150.0)})])
    pictures = store_scenes(annotations, shortest, tmp_path / "cache")
    views = SceneViews(flip=mirrored, pasted=0, negatives=0)
    wrist = COCO_17.index("right_wrist" if mirrored else "left_wrist")
    for number in range(8):
        scene = pictures.compose(0, views, 128, (128, 32), np.random.default_rng(number))
        fine, coarse = (keypoints[0, wrist] for keypoints in scene.keypoints)
        assert (4 * coarse).tolist() == pytest.approx(fine.tolist(), abs=1e-9)
        if ((fine > 8) & (fine < 120)).all():
            light = scene.image[..., 0].astype(float)
            rows, columns = np.mgrid[:128, :128]
            middle = [(grid * light).sum() / light.sum() for grid in (columns, rows)]
            assert middle == pytest.approx(fine.tolist(), abs=0.3)


def test_published_flips_take_a_cell_for_a_pixel() -> None:
    placement = place_picture((64, 64), 1.0, 0.0, (0, 0), mirrored=True)
    keypoints = np.array([[[20.0, 12.0]]])
    # 20 of 64 pixels becomes 43, of 16 cells 10.75
    exact, published = (move_keypoints(keypoints, placement, 16, np.array([0]), pixel) for pixel in (0.25, 1.0))
    assert exact.tolist() == [[[10.75, 3.0]]]
    assert published.tolist() == [[[10.0, 3.0]]]
    assert move_keypoints(keypoints, placement, 64, np.array([0])).tolist() == [[[43.0, 12.0]]]


def test_views_stay_within_their_bounds() -> None:
    views, size_wh = SceneViews(), np.array([300, 200])
    drawn = [draw_placement(views, size_wh, np.random.default_rng(i)) for i in range(300)]
    units = np.stack([placement.unit for placement in drawn])
    zooms = np.hypot(units[:, 0, 0], units[:, 0, 1])
    sides = 1 / zooms / 200
    assert 0.75 <= sides.min() < 0.78
    assert 1.47 < sides.max() <= 1.5
    angles = np.degrees(np.arctan2(units[:, 0, 1], units[:, 0, 0]))
    assert 27 < np.abs(angles).max() <= 30
    assert 0.4 < np.mean([placement.mirrored for placement in drawn]) < 0.6
    middles = np.stack([np.linalg.solve(unit[:, :2], [0.5, 0.5] - unit[:, 2]) for unit in units]) - size_wh / 2
    # 40 of 200ths of what is seen
    assert (np.abs(middles) <= 0.2 * 200 * sides[:, None] + 1e-6).all()
    assert np.abs(middles).max() > 40


def test_doubtful_people_do_not_count(tmp_path: Path) -> None:
    pictures = standing(tmp_path)
    annotations = pictures.annotations
    annotations.box_scores[0] = 0.4
    annotations.weights[0] *= 0.5
    pictures = store_scenes(annotations, 140, tmp_path / "cache")
    assert pictures.is_sure.tolist() == [False, True]
    assert pictures.with_people.tolist() == [1]
    scene = replace(pictures, with_people=np.array([0])).compose(0, STILL, 140, (140,), np.random.default_rng(0))
    assert scene.keypoints[0].shape == (0, 17, 2)
    assert not scene.masks[0][12:128, 2:58].any()
    assert scene.masks[0][:, 62:].all()


def test_crowds_do_not_count(tmp_path: Path) -> None:
    from pycocotools import mask

    region = np.zeros((140, 160), np.uint8, order="F")
    region[:30] = 1
    scene = standing(tmp_path, unlabelled={0: mask.encode(region)}).compose(
        0, STILL, 140, (140, 70), np.random.default_rng(0)
    )
    assert not scene.masks[0][:29].any()
    assert scene.masks[0][31:].all()
    assert not scene.masks[1][:14].any()
    with pytest.raises(InputError, match=r"0\.png has 160×140 pixels, its annotations 160×100"):
        standing(tmp_path, unlabelled={0: mask.encode(np.zeros((100, 160), np.uint8, order="F"))})


def test_pasted_people_come_with_their_keypoints_and_hide_others(tmp_path: Path) -> None:
    pictures = standing(tmp_path, 3)
    assert pictures.donors.tolist() == [0, 1, 2]
    hidden = 0
    for number in range(20):
        scene = pictures.compose(0, replace(STILL, pasted=1.0), 140, (140, 35), np.random.default_rng(number))
        own, pasted = scene.keypoints[0][0], scene.keypoints[0][1:]
        assert 1 <= len(pasted) <= 3
        assert len(scene.keypoints[1]) == len(scene.keypoints[0])
        inside = pasted[-1][((pasted[-1] >= 1) & (pasted[-1] < 139)).all(axis=1)].round().astype(int)
        # the last one is in front of all, of one grey but for the soft edges of thin limbs
        greys = scene.image[inside[:, 1], inside[:, 0], 0].astype(int)
        assert not len(greys) or np.ptp(greys) < 25
        hidden += int(np.isnan(own[[COCO_17.index(name) for name in STANDING]]).any())
    assert hidden > 5


def test_pictures_without_people_are_shown_as_often_as_wished(tmp_path: Path) -> None:
    pictures = standing(tmp_path, 2)
    pictures = replace(pictures, negatives=np.array([1]), with_people=np.array([0]))
    greys = [
        int(pictures.compose(0, replace(STILL, negatives=0.5), 64, (16,), np.random.default_rng(i)).image[0, 0, 0])
        for i in range(40)
    ]
    assert 10 < greys.count(80) < 30
    assert greys.count(40) + greys.count(80) == 40


@pytest.mark.parametrize("skeleton", [COCO_17, CROWDPOSE_14], ids=lambda s: s.name)
def test_a_silhouette_covers_the_person(skeleton: Any) -> None:
    keypoints = np.full((skeleton.num_keypoints, 2), np.nan)
    for name, point in STANDING.items():
        if name in skeleton.keypoint_names:
            keypoints[skeleton.index(name)] = point
    opacity = silhouette(keypoints, skeleton, 150)
    for point in keypoints[~np.isnan(keypoints[:, 0])].astype(int):
        assert opacity[point[1], point[0]] > 0.5
    assert opacity[60, 40] > 0.9  # the chest
    assert opacity[:, 90:].max() < 0.01
    assert 0 <= opacity.min() <= opacity.max() <= 1
    assert 0.03 < opacity.mean() < 0.3
