"""Faces made unrecognisable, by the keypoints of heads; in doubt rather too much is blurred than too little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from tracker.skeletons import Skeleton
from tracker.types import FloatArray, Image, TrackedPoses

BLUR_NOTE = "faces are blurred where people were found; look the pictures through before you show them"

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_TOP = ("head_top", "head")
# Of a keypoint that says where a face is: doubtful ones count as well.
_LEAST_SCORE = 0.05
# Radii of a head, by what is seen: the reach of eyes, ears and nose around their middle; from there to its top; the
# distance of the shoulders; and the longer side of the person's box.
_BY_FACE, _BY_TOP, _BY_SHOULDERS, _BY_BOX = 1.7, 1.05, 0.45, 0.09
# A single wrong keypoint must not bare a face: where it was for so long is blurred, too; of who is lost, for longer.
_LINGER_S, _LOST_S = 0.1, 0.5
# So many cells across a head are left of it.
_CELLS = 6


@dataclass(frozen=True)
class _Head:
    """A circle, in pixels, at a time."""

    time_s: float
    x: float
    y: float
    radius: float


class FaceBlur:
    """Blurs the faces of one video, frame by frame; everybody's, confirmed or not, detected or carried."""

    def __init__(self, skeleton: Skeleton) -> None:
        names = skeleton.keypoint_names
        self._face = [i for i, name in enumerate(names) if name in _FACE or name.startswith("face-")]
        self._top = [i for i, name in enumerate(names) if name in _TOP]
        self._shoulders = [i for i, name in enumerate(names) if name in ("left_shoulder", "right_shoulder")]
        self._heads: dict[int, list[_Head]] = {}

    def follow(self, people: TrackedPoses, time_s: float) -> None:
        """Take note of where faces are in a frame; time_s: of it, after those before."""
        ids = people.track_ids.tolist()
        for row, track_id in enumerate(ids):
            if head := self._head_of(people, row, time_s):
                self._heads.setdefault(track_id, []).append(head)
        for track_id, heads in list(self._heads.items()):
            limit_s = _LINGER_S if track_id in ids else _LOST_S
            heads[:] = [head for head in heads if 0 <= time_s - head.time_s <= limit_s]
            if not heads:
                del self._heads[track_id]

    def blur(self, canvas: Image) -> None:
        """Blur the faces in the picture (H, W, 3) of the last frame."""
        for heads in self._heads.values():
            for head in heads:
                _blur_circle(canvas, head)

    def _head_of(self, people: TrackedPoses, row: int, time_s: float) -> _Head | None:
        """Where a head is; the upper part of the box where no keypoint tells."""
        keypoints, scores, box = people.poses.keypoints[row], people.poses.scores[row], people.poses.boxes[row]
        seen = np.isfinite(keypoints).all(axis=1) & (scores > _LEAST_SCORE)
        face, top, shoulders = (
            keypoints[[i for i in places if seen[i]]] for places in (self._face, self._top, self._shoulders)
        )
        has_box = bool(np.isfinite(box).all())
        radii = [_BY_BOX * float((box[2:] - box[:2]).max())] if has_box else [1.0]
        if len(shoulders) == 2:
            radii.append(_BY_SHOULDERS * _distance(*shoulders))
        if len(face):
            middle = (face.min(axis=0) + face.max(axis=0)) / 2
            radii.append(_BY_FACE * max(_distance(point, middle) for point in face))
            radii.extend(_BY_TOP * _distance(point, middle) for point in top)
        elif len(top) and len(shoulders):
            neck = shoulders.mean(axis=0)
            middle = (top[0] + neck) / 2
            radii.append(_distance(top[0], neck) / 2)
        elif has_box:
            middle = np.array([(box[0] + box[2]) / 2, box[1] + radii[0]])
            radii.append(1.5 * radii[0])
        else:
            return None
        return _Head(time_s, float(middle[0]), float(middle[1]), max(radii))


def _distance(one: FloatArray, other: FloatArray) -> float:
    return math.hypot(*(one - other).tolist())


def _blur_circle(canvas: Image, head: _Head) -> None:
    """Leave of a circle in a picture a few cells, run into one another."""
    height, width = canvas.shape[:2]
    (x1, y1), (x2, y2) = (
        np.clip(np.rint([head.x + sign * head.radius, head.y + sign * head.radius]), 0, (width, height)).astype(int)
        for sign in (-1, 1)
    )
    region: Any = canvas[y1:y2, x1:x2]
    if not region.size:
        return
    cells = tuple(max(round(_CELLS * side / (2 * head.radius)), 1) for side in region.shape[1::-1])
    few = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(few, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    y, x = np.ogrid[y1:y2, x1:x2]
    cv2.copyTo(blurred, ((x - head.x) ** 2 + (y - head.y) ** 2 <= head.radius**2).astype(np.uint8), region)
