"""Strips of pictures around moments of a video: what is before, then what is after, with people drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.errors import OutputError
from tracker.outputs import writing
from tracker.skeletons import Skeleton
from tracker.types import DoubleArray, FloatArray, Frame, Image, TrackedPoses
from tracker.video.aspect import square_pixels
from tracker.video.overlay import OverlayRenderer, draw_caption

# The seconds from the frame before, and from the one after, at which pictures are taken.
BEFORE_S, AFTER_S = (-0.4, -0.15, 0.0), (0.0, 0.15, 0.4)
_HEIGHT, _WIDEST, _LEAST_SIDE = 270, 480, 64
_CAPTION = 18  # pixels above the pictures, for what is written there
_GAP, _MIDDLE_GAP = 2, 10


@dataclass
class Strip:
    """A strip to make: two moments, in seconds, and the part (4,) xyxy of the pictures that is shown, in pixels."""

    path: Path
    before_s: float
    after_s: float
    part: DoubleArray
    pictures: list[Image] = field(default_factory=list)

    @property
    def times_s(self) -> list[float]:
        """Of its pictures."""
        return [*(self.before_s + off for off in BEFORE_S), *(self.after_s + off for off in AFTER_S)]

    def num_due(self, time_s: float) -> int:
        """How many pictures it takes of a frame."""
        return sum(wanted_s <= time_s + 1e-3 for wanted_s in self.times_s[len(self.pictures) :])


class StripMaker:
    """Makes strips from the frames of a video, which come by rising time; memory holds their parts alone."""

    def __init__(
        self, skeleton: Skeleton, strips: Sequence[Strip], keypoint_threshold: float, names: Mapping[int, str]
    ) -> None:
        self._strips = strips
        parts = ("boxes", "ids", "skeleton")
        self._overlay = OverlayRenderer(
            skeleton, keypoint_threshold=keypoint_threshold, show_unconfirmed=True, draw=parts, names=names
        )

    @property
    def is_done(self) -> bool:
        """Whether no strip needs a further frame."""
        return all(len(strip.pictures) == len(strip.times_s) for strip in self._strips)

    def add(self, frame: Frame, people: TrackedPoses) -> None:
        """Take what is needed of a frame."""
        due = [(strip, count) for strip in self._strips if (count := strip.num_due(frame.time_s))]
        if not due:
            return
        square, people = square_pixels(frame, people)
        for strip, count in due:
            part = strip.part * np.tile([square.size_wh[0] / frame.size_wh[0], 1], 2)
            small, moved = _cut(square.image, people, part)
            # Drawn after it is cut, so that ids stand inside.
            drawn = self._overlay.draw(small, moved, time_s=frame.time_s)
            strip.pictures += [_framed(drawn, f"{frame.time_s:.2f} s")] * count

    def write(self) -> None:
        """Write the strips; OutputError where that cannot be done."""
        for strip in self._strips:
            if strip.pictures:
                with writing(strip.path) as partial:
                    is_fine, data = cv2.imencode(strip.path.suffix, _joined(strip.pictures))
                    if not is_fine:
                        raise OutputError(f"cannot write {strip.path}: OpenCV does not encode it; name another folder")
                    partial.write_bytes(data.tobytes())


def _cut(picture: Image, people: TrackedPoses, part: DoubleArray) -> tuple[Image, TrackedPoses]:
    """That part of a picture, grown by a quarter, in the size that strips have, and the people who are in it."""
    height, width = picture.shape[:2]
    if not np.isfinite(part).all():
        part = np.array([0.0, 0, width, height])
    middle, half = (part[:2] + part[2:]) / 2, np.maximum((part[2:] - part[:2]) / 2 * 1.25, _LEAST_SIDE / 2)
    x1, y1 = np.clip(np.floor(middle - half), 0, (width - 2, height - 2)).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(middle + half), (x1 + 2, y1 + 2), (width, height)).astype(int).tolist()
    scale = min((_HEIGHT - _CAPTION) / (y2 - y1), _WIDEST / (x2 - x1))
    size_wh = max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1)
    small: Any = cv2.resize(
        picture[y1:y2, x1:x2], size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    boxes = people.poses.boxes
    is_inside = (boxes[:, :2] < (x2, y2)) & (boxes[:, 2:] > (x1, y1))
    inside = people[np.flatnonzero(is_inside.all(axis=1))]

    def moved(points: FloatArray) -> FloatArray:
        """Points (..., 2), whose integers are centres of pixels."""
        return ((points + 0.5 - (x1, y1)) * np.divide(size_wh, (x2 - x1, y2 - y1)) - 0.5).astype(np.float32)

    poses = inside.poses
    corners = moved(poses.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    return small, replace(inside, poses=replace(poses, keypoints=moved(poses.keypoints), boxes=corners))


def _framed(picture: Image, label: str) -> Image:
    """A picture below a label, at the height of strips."""
    framed = np.full((_HEIGHT, picture.shape[1], 3), 32, np.uint8)
    framed[_CAPTION : _CAPTION + len(picture)] = picture
    draw_caption(framed, label)
    return framed


def _joined(pictures: Sequence[Image]) -> Image:
    """Pictures side by side, with a wider gap where what is after begins."""
    pieces: list[Any] = []
    for place, picture in enumerate(pictures):
        if place:
            gap = _MIDDLE_GAP if place == len(BEFORE_S) else _GAP
            pieces.append(np.full((_HEIGHT, gap, 3), 255, np.uint8))
        pieces.append(picture)
    return np.concatenate(pieces, axis=1)
