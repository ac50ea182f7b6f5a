"""Angles of joints and segments in the plane of the picture, by the convention of Sports2D and Pose2Sim.

A joint is bent by 0 where a leg or an arm is straight, a foot stands at a right angle, and a thigh or an arm is in line
with the trunk; flexion (of the ankle dorsiflexion) is positive. A segment's angle is to the horizontal,
counter-clockwise. Both are of somebody who faces right: people who face left are mirrored first. (Pagnon and Kim,
Sports2D, JOSS 2024, and the table of angles in Pose2Sim.) The neck is the middle of the shoulders here, whatever the
skeleton.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from tracker.formats.trajectories import Trajectory
from tracker.skeletons import Skeleton
from tracker.types import BoolArray, DoubleArray

Facing = Literal["auto", "left", "right"]

# Somebody has turned who faces the other way for most of a second.
_TURN_S = 0.5
# Shoulders of so many trunks' length are seen from the front or the back.
_WIDE = 0.4
# Keypoints between which there is no single one: middles of a left and a right one.
_MIDDLES = {"trunk_top": "shoulder", "trunk_bottom": "hip", "ears": "ear"}


@dataclass(frozen=True)
class Angle:
    """Between the direction from the second point to the first and that from the second to the third.

    Of four points: between those from the first to the second and from the third to the fourth. Of two: between that
    from the second to the first and the horizontal. In degrees, clockwise in the picture; `offset` is added, then they
    are multiplied by `sign`. is_line: of a line without a front and a back end, which has half a turn alone.
    """

    points: tuple[str, ...]
    offset: float = 0.0
    sign: float = 1.0
    is_line: bool = False

    def of(self, places: Mapping[str, DoubleArray]) -> DoubleArray:
        """(T,) degrees within (-180, 180], of a line (-90, 90]; NaN where one of the points (T, 2) is missing."""
        a, b, *more = (places[point] for point in self.points)
        u, v = a - b, np.array([1.0, 0.0])
        if len(more) == 1:
            v = more[0] - b
        elif more:
            u, v = b - a, more[1] - more[0]
        cross, dot = u[..., 1] * v[..., 0] - u[..., 0] * v[..., 1], (u * v).sum(axis=-1)
        degrees = (np.degrees(np.arctan2(cross, dot)) + self.offset) * self.sign
        half = 90.0 if self.is_line else 180.0
        found: DoubleArray = half - (half - degrees) % (2 * half)
        return found


def _of_side(side: str) -> dict[str, Angle]:
    def at(*points: str) -> tuple[str, ...]:
        return tuple(point if point in _MIDDLES else f"{side}_{point}" for point in points)

    trunk = ("trunk_bottom", "trunk_top")
    joints = {
        "ankle": Angle(at("knee", "ankle", "big_toe", "heel"), 90),
        "knee": Angle(at("ankle", "knee", "hip"), -180),
        "hip": Angle(at("knee", "hip", *trunk), 0, -1),
        "shoulder": Angle(at("elbow", "shoulder", *trunk), 0, -1),
        "elbow": Angle(at("wrist", "elbow", "shoulder"), 180, -1),
        "wrist": Angle(at("elbow", "wrist", "forefinger1"), -180),
    }
    segments = {"foot": ("big_toe", "heel"), "shank": ("ankle", "knee"), "thigh": ("knee", "hip")}
    segments |= {"arm": ("elbow", "shoulder"), "forearm": ("wrist", "elbow"), "hand": ("forefinger1", "wrist")}
    all_of = joints | {name: Angle(at(*ends), 0, -1) for name, ends in segments.items()}
    return {f"{side}_{name}": angle for name, angle in all_of.items()}


ANGLES: Mapping[str, Angle] = MappingProxyType(
    {
        **_of_side("right"),
        **_of_side("left"),
        "pelvis": Angle(("left_hip", "right_hip"), 0, -1, is_line=True),
        "trunk": Angle(("trunk_top", "trunk_bottom"), 0, -1),
        "shoulders": Angle(("left_shoulder", "right_shoulder"), 0, -1, is_line=True),
        "head": Angle(("head_top", "trunk_top"), 0, -1),
    }
)
# The joints, without sides.
JOINTS = ("ankle", "knee", "hip", "shoulder", "elbow", "wrist")


@dataclass(frozen=True)
class Angles:
    """Of a person over time. faces_right: (T,) bool. degrees: (T,) float64 by the names of `ANGLES`, NaN where unknown.

    Names of which the skeleton lacks a keypoint are left out. is_from_side: whether the shoulders are mostly narrower
    than 0.4 trunks; from the front or the back angles of flexion mean little.
    """

    trajectory: Trajectory
    faces_right: BoolArray
    degrees: Mapping[str, DoubleArray]
    is_from_side: bool


def angles_of(
    trajectory: Trajectory, skeleton: Skeleton, *, facing: Facing = "auto", least_score: float = 0.3
) -> Angles:
    """The angles of a person in each frame. least_score: of a keypoint, below which it is missing."""
    keypoints = np.where(trajectory.scores[..., None] >= least_score, trajectory.keypoints, np.nan)
    places = {name: keypoints[:, place] for place, name in enumerate(skeleton.keypoint_names)}
    places |= {"head_top": places["head"]} if "head" in places and "head_top" not in places else {}
    for middle, part in _MIDDLES.items():
        ends = (f"left_{part}", f"right_{part}")
        if places.keys() >= {*ends}:
            places[middle] = (places[ends[0]] + places[ends[1]]) / 2
    faces_right = np.full(len(keypoints), facing == "right")
    if facing == "auto":
        faces_right = _faces_right(places, trajectory.times_s)
    signs = np.where(faces_right, 1.0, -1.0)[:, None] * [1.0, 0.0] + [0.0, 1.0]
    mirrored = {name: place * signs for name, place in places.items()}
    known = {name: angle.of(mirrored) for name, angle in ANGLES.items() if mirrored.keys() >= {*angle.points}}
    return Angles(trajectory, faces_right, known, _is_from_side(places))


def _is_from_side(places: Mapping[str, DoubleArray]) -> bool:
    if not places.keys() >= {"left_shoulder", *_MIDDLES} - {"ears"}:
        return True  # nothing speaks against it
    width = np.linalg.norm(places["left_shoulder"] - places["right_shoulder"], axis=1)
    trunk = np.linalg.norm(places["trunk_top"] - places["trunk_bottom"], axis=1)
    is_known = np.isfinite(width) & (trunk > 0)
    return not is_known.any() or bool(np.median(width[is_known] / trunk[is_known]) < _WIDE)


def _faces_right(places: Mapping[str, DoubleArray], times_s: DoubleArray) -> BoolArray:
    """(T,): whither toes point from heels, else the nose from the ears or the shoulders, for most of a second.

    Where nothing tells it is as before, at first to the right.
    """
    sides = [(f"{side}_big_toe", f"{side}_heel") for side in ("left", "right")]
    sides = [pair for pair in sides if places.keys() >= {*pair}]
    ahead = np.full(len(times_s), np.nan)
    if sides:
        both = np.array([places[toe][:, 0] - places[heel][:, 0] for toe, heel in sides])
        ahead = np.where(np.isnan(both).all(axis=0), np.nan, np.nansum(both, axis=0))
    for behind in ("ears", "trunk_top"):
        if places.keys() >= {"nose", behind}:
            ahead = np.where(np.isnan(ahead), places["nose"][:, 0] - places[behind][:, 0], ahead)
    found, last = np.ones(len(times_s), np.bool_), True
    starts = np.searchsorted(times_s, times_s - _TURN_S, "left")
    stops = np.searchsorted(times_s, times_s + _TURN_S, "right")
    for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        seen = ahead[start:stop]
        balance = np.sign(seen[~np.isnan(seen)]).sum()
        last = bool(balance > 0) if balance else last
        found[row] = last
    return found
