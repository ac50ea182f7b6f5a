"""A clip made of photographs, with exact truth: two copies of an astronaut, one mirrored, walk past each other twice.

The photographs are in the public domain and come with scikit-image: Eileen Collins before STS-63 (NASA), and a
Falcon 9 at dusk (SpaceX).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.boxes import clip_boxes
from tracker.errors import load_extra
from tracker.scenes.rendering import FRAMES_PER_SECOND, People
from tracker.skeletons import COCO_17
from tracker.types import BoolArray, DoubleArray, FloatArray, Frame, Image

SIZE_WH = (960, 540)
NUM_FRAMES = 150

# Places in the photograph of the astronaut, in its pixels. "Left" is hers.
_KEYPOINTS = {
    "nose": (224.5, 126.0),
    "left_eye": (246.0, 103.0),
    "right_eye": (203.4, 100.7),
    "left_shoulder": (322.0, 272.0),
    "right_shoulder": (100.0, 262.0),
}
# Where she touches the box around her, without the helmet in her arm.
_EXTREMES = ((19, 400), (227, 16), (362, 330), (362, 511), (25, 511))
# Where she stands: the middle of her body, at the lower edge.
_FOOT = (215.0, 511.0)
# The outline of her and of the helmet, to 2 pixels.
_OUTLINE = (
    (201, 23), (185, 38), (163, 51), (156, 58), (153, 68), (157, 104), (170, 116), (174, 128), (182, 132),
    (183, 147), (153, 151), (140, 158), (121, 183), (123, 204), (118, 205), (115, 199), (103, 215), (76, 235),
    (62, 250), (44, 282), (39, 306), (26, 342), (25, 374), (19, 390), (19, 418), (24, 432), (23, 460), (28, 494),
    (30, 511), (511, 511), (511, 498), (507, 497), (505, 483), (496, 469), (496, 465), (501, 463), (503, 458),
    (496, 453), (493, 421), (478, 384), (455, 361), (418, 345), (393, 344), (365, 349), (360, 344), (362, 330),
    (357, 323), (352, 286), (347, 282), (340, 262), (303, 233), (299, 219), (289, 203), (255, 173), (266, 137),
    (275, 134), (290, 117), (299, 96), (299, 72), (296, 58), (288, 43), (276, 31), (248, 18), (227, 16),
)  # fmt: skip


@dataclass(frozen=True)
class PhotoFrame(Frame):
    """A picture of the clip and the truth about it.

    people: the farther one first, as in `WALKERS`. Of their keypoints nose, eyes and shoulders are known, the rest is
    NaN and not visible. Their boxes leave out the helmet that they carry. seen: (2,) share of what the picture
    holds of each that is not behind the other.
    """

    people: People
    seen: FloatArray


@dataclass(frozen=True)
class Walker:
    """A copy of the astronaut who walks to and fro in front of the camera.

    scale: mean size, 1 is the photograph's. foot_y: row of the photograph's lower edge, below the picture.
    reach: to both sides of the middle, negative for one who begins on the right. phase: of the steps, in radians.
    """

    scale: float
    foot_y: float
    reach: float
    phase: float
    mirrored: bool = False

    def transform(self, index: int) -> DoubleArray:
        """(2, 3): from pixels of the photograph to those of the picture at a frame; a similarity.

        The way there and back takes 200 frames; all meet at frames 38 and 138.
        """
        way, step = math.tau * (index - 38) / 200, self.phase + math.tau * index / 22
        angle, scale = 0.02 * math.sin(step), self.scale * (1 + 0.06 * math.sin(0.7 * way + self.phase))
        turned = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        if self.mirrored:
            turned[:, 0] *= -1
        foot = np.array([SIZE_WH[0] / 2 + self.reach * math.sin(way), self.foot_y + 4 * math.cos(2 * step)])
        return np.column_stack([turned, foot - turned @ _FOOT - camera(index)])


# The farther one first.
WALKERS = (
    Walker(scale=0.70, foot_y=562, reach=-235, phase=1.0, mirrored=True),
    Walker(scale=0.84, foot_y=578, reach=225, phase=0.0),
)


def camera(index: int) -> DoubleArray:
    """(2,): where a camera held by hand looks at a frame, in pixels from its place: it pans and shakes."""
    shake_x = 3 * math.sin(1.9 * index) + 2 * math.sin(0.83 * index)
    shake_y = 2.5 * math.sin(1.3 * index) + 2 * math.cos(2.3 * index)
    return np.array([45 * math.sin(index / 35) + shake_x, shake_y])


class PhotoScene:
    """The clip: the same frames each time. DependencyError where scikit-image is absent."""

    def __init__(self) -> None:
        data = load_extra("skimage").data
        self._figure = cut_out(_as_bgr(data.astronaut()))
        larger = cv2.resize(_as_bgr(data.rocket()), None, fx=1.9, fy=1.9, interpolation=cv2.INTER_CUBIC)
        # As a lens that is focused on the people shows what is far behind them.
        self._backdrop = cv2.GaussianBlur(larger, (0, 0), 3)

    def frames(self, num_frames: int = NUM_FRAMES) -> Iterator[PhotoFrame]:
        """The first frames, one by one, at 25 frames per second."""
        for index in range(num_frames):
            transforms = np.stack([walker.transform(index) for walker in WALKERS])
            far, near = (np.asarray(cv2.warpAffine(self._figure, at, SIZE_WH), np.float32) for at in transforms)
            picture = _over(near, _over(far, self._view(camera(index))))
            shown = ((1 - near[..., 3]) * far[..., 3]).sum() / far[..., 3].sum()
            yield PhotoFrame(
                index=index,
                time_s=index / FRAMES_PER_SECOND,
                image=np.rint(picture).astype(np.uint8),
                people=self._people(transforms),
                seen=np.array([shown, 1], np.float32),
            )

    def _view(self, centre: DoubleArray) -> Image:
        """The backdrop as the camera sees it."""
        margin = (np.array(self._backdrop.shape[1::-1]) - SIZE_WH) / 2
        shift = np.column_stack([np.eye(2), -margin - centre])
        return np.asarray(cv2.warpAffine(self._backdrop, shift, SIZE_WH), np.uint8)

    def _people(self, transforms: DoubleArray) -> People:
        keypoints = np.stack([_keypoints(at, w.mirrored) for at, w in zip(transforms, WALKERS, strict=True)])
        visible = ~np.isnan(keypoints[..., 0])
        visible[0] &= ~self._covers(transforms[1], keypoints[0])
        corners = np.stack([_apply(transform, np.array(_EXTREMES, np.float64)) for transform in transforms])
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
        return People(
            keypoints=keypoints,
            visible=visible,
            boxes=clip_boxes(boxes, SIZE_WH),
            track_ids=np.array([1, 2], np.int64),
            depth_ranks=np.array([1, 0], np.int64),
        )

    def _covers(self, transform: DoubleArray, points: FloatArray) -> BoolArray:
        """Which points (N, 2) of the picture a copy hides; NaN is not hidden."""
        linear = np.linalg.inv(transform[:, :2])
        back = (np.nan_to_num(points, nan=-1e6) - transform[:, 2]) @ linear.T
        x, y = np.rint(back).astype(np.int64).T
        height, width = self._figure.shape[:2]
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        return inside & (self._figure[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1), 3] > 0.5)


def cut_out(photo: Image) -> FloatArray:
    """The astronaut of the photograph (512, 512, 3) and her helmet, without what is behind them.

    (512, 512, 4) float32: BGR in 0–255 multiplied by the opacity, and the opacity in 0–1. Near the outline a pixel is
    a mixture of the colour inside and the one outside, both taken from the surroundings; its opacity is the
    share of the first, by least squares, drawn towards that of a soft outline where the two colours are alike.
    """
    within = cv2.fillPoly(np.zeros(photo.shape[:2], np.float32), [np.array(_OUTLINE, np.int32)], 1.0)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    inside, outside = cv2.erode(within, disk) > 0, cv2.dilate(within, disk) == 0
    figure, backdrop = _spread(photo, inside), _spread(photo, outside)
    difference = figure - backdrop
    pull = np.float32(25**2)
    likeness = ((photo - backdrop) * difference).sum(axis=2) + pull * cv2.GaussianBlur(within, (0, 0), 1.5)
    mixed = np.clip(likeness / ((difference**2).sum(axis=2) + pull), 0, 1)
    opacity = np.where(inside, 1, np.where(outside, 0, mixed))[..., None]
    return np.dstack([np.where(inside[..., None], photo, figure) * opacity, opacity]).astype(np.float32)


def _over(figure: FloatArray, picture: Image | FloatArray) -> FloatArray:
    """The picture (H, W, 3) with a figure (H, W, 4) of `cut_out` in front of it."""
    return np.asarray(picture * (1 - figure[..., 3:]) + figure[..., :3], np.float32)


def _spread(photo: Image, part: BoolArray) -> FloatArray:
    """(H, W, 3): the mean colour of the part of the photograph that is around each pixel."""
    weight = cv2.GaussianBlur(part.astype(np.float32), (0, 0), 4)[..., None]
    total = cv2.GaussianBlur(photo * part[..., None].astype(np.float32), (0, 0), 4)
    return np.asarray(total / np.maximum(weight, 1e-6), np.float32)


def _keypoints(transform: DoubleArray, mirrored: bool) -> FloatArray:
    """(17, 2): COCO's keypoints of a copy, NaN where unknown."""
    places = np.full((COCO_17.num_keypoints, 2), np.nan)
    places[[COCO_17.index(name) for name in _KEYPOINTS]] = list(_KEYPOINTS.values())
    moved = _apply(transform, places)
    return (moved[COCO_17.flip_order] if mirrored else moved).astype(np.float32)


def _apply(transform: DoubleArray, points: DoubleArray) -> DoubleArray:
    """Points (N, 2) after a transform (2, 3)."""
    return points @ transform[:, :2].T + transform[:, 2]


def _as_bgr(photo: Image) -> Image:
    return np.ascontiguousarray(photo[..., ::-1])
