"""Angles of people drawn by hand, and the signs of the convention."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.after import motion_plots
from tracker.after.angles import Angles, angles_of
from tracker.after.motion_plots import draw_angles
from tracker.formats.trajectories import Trajectory
from tracker.skeletons import COCO_17, HALPE_26, Skeleton

# Somebody who stands upright and looks to the right, arms down, in pixels: y is downwards.
UPRIGHT = {
    **{"head": (100, 20), "nose": (112, 40), "ear": (100, 38), "shoulder": (100, 70), "elbow": (100, 100)},
    **{"wrist": (100, 130), "hip": (100, 130), "knee": (100, 180), "ankle": (100, 230)},
    **{"heel": (90, 240), "big_toe": (120, 240)},
}
FLEXIONS = ("ankle", "knee", "hip", "shoulder", "elbow")


def person(
    places: Mapping[str, tuple[float, float]] = UPRIGHT,
    skeleton: Skeleton = HALPE_26,
    *,
    mirror: bool = False,
    frames: int = 1,
) -> Trajectory:
    """In as many frames, both sides alike; what is not named is missing."""
    keypoints = np.full((frames, skeleton.num_keypoints, 2), np.nan)
    for place, name in enumerate(skeleton.keypoint_names):
        if spot := places.get(name.removeprefix("left_").removeprefix("right_")):
            keypoints[:, place] = (200 - spot[0], spot[1]) if mirror else spot
    scores = np.where(np.isnan(keypoints[..., 0]), 0.0, 0.9)
    return Trajectory(1, np.arange(frames), np.arange(frames) / 25, keypoints, scores)


def degrees(angles: Angles) -> dict[str, float]:
    return {name: float(values[0]) for name, values in angles.degrees.items()}


def turned(place: tuple[float, float], around: tuple[float, float], clockwise: float) -> tuple[float, float]:
    """The place after it went around another one, in the picture."""
    angle = np.radians(clockwise)
    x, y = np.subtract(place, around)
    return around[0] + x * np.cos(angle) - y * np.sin(angle), around[1] + x * np.sin(angle) + y * np.cos(angle)


@pytest.mark.parametrize("mirror", [False, True], ids=["to the right", "to the left"])
def test_who_stands_upright_is_bent_nowhere(mirror: bool) -> None:
    found = angles_of(person(mirror=mirror), HALPE_26)
    assert found.faces_right.tolist() == [not mirror]
    expected = {f"{side}_{joint}": 0.0 for side in ("left", "right") for joint in FLEXIONS}
    expected |= {f"{side}_{part}": -90.0 for side in ("left", "right") for part in ("shank", "thigh", "arm", "forearm")}
    expected |= {"left_foot": 0, "right_foot": 0, "trunk": 90, "head": 90}
    assert {name: degrees(found)[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("mirror", [False, True], ids=["to the right", "to the left"])
@pytest.mark.parametrize(
    ("joint", "moved", "clockwise"),
    [
        pytest.param("knee", ("ankle", "heel", "big_toe"), 30, id="the shank swings back"),
        pytest.param("hip", ("knee", "ankle", "heel", "big_toe"), -40, id="the thigh is lifted"),
        pytest.param("shoulder", ("elbow", "wrist"), -170, id="the arm is lifted to the front"),
        pytest.param("elbow", ("wrist",), -110, id="the forearm is lifted to the front"),
        pytest.param("ankle", ("heel", "big_toe"), -20, id="the toes are lifted"),
    ],
)
def test_flexion_is_positive(joint: str, moved: tuple[str, ...], clockwise: float, mirror: bool) -> None:
    places = UPRIGHT | {name: turned(UPRIGHT[name], UPRIGHT[joint], clockwise) for name in moved}
    found = degrees(angles_of(person(places, mirror=mirror), HALPE_26, facing="left" if mirror else "right"))
    flexions = {f"{side}_{name}": abs(clockwise) * (name == joint) for side in ("left", "right") for name in FLEXIONS}
    assert {name: found[name] for name in flexions} == pytest.approx(flexions, abs=1e-9)


def test_what_is_missing_or_unsure_has_no_angle() -> None:
    trajectory = person()
    trajectory.scores[:, HALPE_26.index("left_knee")] = 0.29
    found = degrees(angles_of(trajectory, HALPE_26))
    assert {name for name, value in found.items() if np.isnan(value)} == {
        *("left_knee", "left_hip", "left_ankle", "left_shank", "left_thigh"),
    }  # fmt: skip
    assert not np.isnan(degrees(angles_of(trajectory, HALPE_26, least_score=0.2))["left_knee"])
    no_feet = angles_of(person(skeleton=COCO_17), COCO_17).degrees
    assert not no_feet.keys() & {"left_ankle", "left_foot", "head", "left_wrist"}
    assert {"left_knee", "pelvis", "trunk"} <= no_feet.keys()


def test_lines_across_have_no_direction() -> None:
    trajectory = person()
    trajectory.keypoints[0, HALPE_26.index("left_shoulder")] = (80, 65)
    trajectory.keypoints[0, HALPE_26.index("right_shoulder")] = (120, 75)
    slope = float(np.degrees(np.arctan2(-10, 40)))
    assert degrees(angles_of(trajectory, HALPE_26, facing="right"))["shoulders"] == pytest.approx(slope)
    assert degrees(angles_of(trajectory, HALPE_26, facing="left"))["shoulders"] == pytest.approx(-slope)


def test_whoever_turns_does_so_once_and_a_slip_of_the_toes_is_none() -> None:
    """Feet tell, for most of a second; without feet the face does."""
    for skeleton in (HALPE_26, COCO_17):
        ahead, back = (person(skeleton=skeleton, mirror=mirror, frames=50) for mirror in (False, True))
        keypoints = np.concatenate([ahead.keypoints, back.keypoints])
        keypoints[10:13] = back.keypoints[:3]
        trajectory = Trajectory(1, np.arange(100), np.arange(100) / 25, keypoints, np.ones(keypoints.shape[:2]))
        trajectory.scores[np.isnan(keypoints[..., 0])] = 0
        assert angles_of(trajectory, skeleton).faces_right.tolist() == [True] * 50 + [False] * 50


def test_a_view_from_the_front_is_told() -> None:
    trajectory = person()
    assert angles_of(trajectory, HALPE_26).is_from_side
    trajectory.keypoints[0, HALPE_26.index("left_shoulder"), 0] += 30
    assert not angles_of(trajectory, HALPE_26).is_from_side


def test_the_left_side_is_blue_as_it_is_in_overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `eval`)")
    from matplotlib.colors import to_rgb

    figures = list[Any]()
    monkeypatch.setattr(motion_plots, "save_figure", lambda figure, _: figures.append(figure))
    draw_angles(angles_of(person(frames=5), HALPE_26), tmp_path / "angles.png")
    colors = {
        str(line.get_label()).partition("_")[0]: np.array(to_rgb(line.get_color()))
        for axes in figures[0].axes
        for line in axes.get_lines()
    }
    assert colors["left"].argmax() == 2
    assert colors["right"].argmax() == 0
