"""Pixels that are not square: pictures in true proportions, and people in the pixels of either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from tracker.types import FloatArray, Frame, Poses, TrackedPoses


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
    square = square_frame(frame)
    return square, fit_people(people, frame, square)


def fit_people(people: TrackedPoses, frame: Frame, other: Frame) -> TrackedPoses:
    """The people of a frame in the pixels of another one, which shows the same in another width."""
    return replace(people, poses=fit_poses(people.poses, frame.size_wh[0], other.size_wh[0]))


def fit_poses(poses: Poses, width: int, other_width: int) -> Poses:
    """The poses in a picture of a width in the pixels of another one, which shows the same in another width."""
    factor = other_width / width
    if factor == 1:
        return poses

    def scaled(points: FloatArray) -> FloatArray:
        """Points (..., 2), whose integers are centres of pixels."""
        return ((points + 0.5) * np.array([factor, 1], np.float32) - 0.5).astype(np.float32)

    boxes = scaled(poses.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    return replace(poses, keypoints=scaled(poses.keypoints), boxes=boxes)
