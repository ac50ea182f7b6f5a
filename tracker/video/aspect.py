"""Pictures in true proportions, where pixels are not square, or smaller ones; and people in the pixels of either."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from tracker.errors import refuse_others
from tracker.types import FloatArray, Frame, Image, Poses, TrackedPoses


def square_width(width: int, pixel_aspect: float) -> int:
    """The width in true proportions of a picture that is stored in that width."""
    return max(round(width * pixel_aspect), 1)


def square_frame(frame: Frame) -> Frame:
    """The frame in true proportions, its width changed; itself where its pixels are square."""
    if frame.pixel_aspect == 1:
        return frame
    width, height = frame.size_wh
    size_wh = square_width(width, frame.pixel_aspect), height
    kind = cv2.INTER_AREA if size_wh[0] < width else cv2.INTER_LINEAR
    image: Any = cv2.resize(frame.image, size_wh, interpolation=kind)
    return replace(frame, image=image, pixel_aspect=1.0)


def square_pixels(frame: Frame, people: TrackedPoses) -> tuple[Frame, TrackedPoses]:
    """A frame and its people in true proportions, to be drawn; themselves where pixels are square."""
    refuse_others("TrackedPoses", TrackedPoses, people=people)
    square = square_frame(frame)
    return square, fit_people(people, frame, square)


def shrunk(image: Image, longest: int) -> Image:
    """The picture (H, W, 3), both sides divided by the least whole number that makes none longer; itself by 1.

    Rows and columns at the end that fill no pixel are left out: whole numbers are done many times faster than others.
    """
    factor = math.ceil(max(image.shape[:2]) / longest)
    if factor == 1:
        return image
    height, width = (max(side // factor, 1) for side in image.shape[:2])
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def fit_people(people: TrackedPoses, frame: Frame, other: Frame) -> TrackedPoses:
    """The people of a frame in the pixels of another one, which shows the same in another size."""
    x, y = (theirs / ours for ours, theirs in zip(frame.size_wh, other.size_wh, strict=True))
    return replace(people, poses=_scaled(people.poses, x, y))


def fit_poses(poses: Poses, width: int, other_width: int) -> Poses:
    """The poses in a picture of a width in the pixels of another one, which shows the same in another width."""
    return _scaled(poses, other_width / width, 1)


def _scaled(poses: Poses, x: float, y: float) -> Poses:
    """The poses in a picture of which a pixel becomes so many."""
    if x == y == 1:
        return poses

    def scaled(points: FloatArray) -> FloatArray:
        """Points (..., 2), whose integers are centres of pixels."""
        return ((points + 0.5) * np.array([x, y], np.float32) - 0.5).astype(np.float32)

    boxes = scaled(poses.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    return replace(poses, keypoints=scaled(poses.keypoints), boxes=boxes)
