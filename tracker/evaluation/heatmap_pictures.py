"""Heatmaps, tags and skeletons as pictures: laid over the photograph, with names, the truth beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from tracker.pose.crops import transform_points
from tracker.skeletons import Skeleton
from tracker.types import DoubleArray, FloatArray, Image, IntArray, Poses, TrackedPoses
from tracker.video.overlay import OverlayRenderer, id_color

# Pixels: the longer side of a whole picture, that of one in a grid, and the height of a person's crop.
_VIEW_SIDE = 960
_TILE_SIDE = 320
_CROP_HEIGHT = 144

_INK = (24, 20, 18)
_PAPER = (245, 245, 245)
_NOBODY = (150.0, 150.0, 150.0)
_STRIP_HEIGHT = 20
_GAP = 4
_ASPECT = 1.6  # of a grid: that of a screen
# Tags mean nothing where no heatmap is higher.
_LEAST_PEAK = 0.1


class View:
    """A picture (H, W, 3) in the size in which it is drawn, its longer side 960 pixels or another number.

    image: (h, w, 3). to_picture: (3, 3), from its pixels to those of the picture, as cv2.resize maps them.
    """

    def __init__(self, picture: Image, side: int = _VIEW_SIDE) -> None:
        self.image = _fitted(picture, side)
        x, y = np.divide(picture.shape[1::-1], self.image.shape[1::-1])
        self.to_picture: DoubleArray = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])

    def lay(self, maps: FloatArray, to_maps: DoubleArray, interpolation: int = cv2.INTER_LINEAR) -> FloatArray:
        """Maps (C, h, w) as maps over the whole view, 0 where they do not reach.

        to_maps: (2, 3), from pixels of the picture to cells. interpolation: cv2.INTER_NEAREST for values that must not
        be mixed.
        """
        size_wh, flags = self.image.shape[1::-1], interpolation | cv2.WARP_INVERSE_MAP
        return np.stack([cv2.warpAffine(values, to_maps @ self.to_picture, size_wh, flags=flags) for values in maps])

    def scale(self, poses: Poses) -> Poses:
        """Poses of the picture in the pixels of the view."""
        matrix: DoubleArray = np.linalg.inv(self.to_picture)[np.newaxis, :2].astype(np.float64)
        corners = transform_points(matrix, poses.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        keypoints = transform_points(matrix, poses.keypoints)
        return replace(poses, keypoints=keypoints.astype(np.float32), boxes=corners.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Side:
    """What a network says of a picture, or what is true; they are drawn side by side.

    title: what it is. poses: N people, in pixels of the view. numbers: (N,), what they are called in all pictures.
    heatmaps: (K, h, w), over the whole view. num_left_out: people who are in none of these.
    """

    title: str
    poses: Poses
    numbers: IntArray
    heatmaps: FloatArray
    num_left_out: int = 0


def draw_heatmaps(view: Image, skeleton: Skeleton, sides: Sequence[Side]) -> Image:
    """A grid of the keypoints, each with its name and the height of its peak; the colours are those of 0 to 1."""
    tile = _fitted(view, _TILE_SIDE)
    names = _spaced_names(skeleton)
    return _grid(
        [
            _beside(_heat_cell(tile, side.heatmaps[keypoint], f"{side.title} {name}") for side in sides)
            for keypoint, name in enumerate(names)
        ]
    )


def draw_sum(view: Image, sides: Sequence[Side]) -> Image:
    """The sum of the heatmaps of all keypoints; the brightest colour is the highest sum of all sides."""
    sums = [side.heatmaps.sum(axis=0) for side in sides]
    highest = max(float(heat.max()) for heat in sums) or 1.0
    note = f"sum of {len(sides[0].heatmaps)} heatmaps, brightest: {highest:.2f}"
    pairs = zip(sides, sums, strict=True)
    return _beside(_labelled(_with_heat(view, heat / highest), f"{side.title}: {note}") for side, heat in pairs)


def draw_skeletons(view: Image, skeleton: Skeleton, sides: Sequence[Side]) -> Image:
    """Keypoints, skeletons and boxes of the people, with numbers that are the same in the other pictures."""
    return _beside(
        _labelled(
            _with_people(view, skeleton, side.poses, side.numbers),
            f"{side.title}: people {len(side.poses)}, left out {side.num_left_out}",
        )
        for side in sides
    )


def draw_people(crops: Image, skeleton: Skeleton, sides: Sequence[tuple[str, FloatArray]]) -> Image:
    """A sheet of N people, at least one: the crop of each and its heatmaps, the sides one below the other.

    crops: (N, H, W, 3) uint8 BGR. sides: titles and heatmaps (N, K, h, w); a person without any in a further side has
    no line of it.
    """
    height, width = crops.shape[1:3]
    size_wh = (max(round(width * _CROP_HEIGHT / height), 1), _CROP_HEIGHT)
    names, lines = _spaced_names(skeleton), []
    for person, crop in enumerate(cast(Image, _resized(crop, size_wh)) for crop in crops):
        for place, (title, heatmaps) in enumerate(sides):
            if place == 0 or heatmaps[person].any():
                cells = (_heat_cell(crop, heat, name) for heat, name in zip(heatmaps[person], names, strict=True))
                lines.append(_beside([_labelled(crop, f"{person + 1} {title}"), *cells]))
    return np.concatenate(lines)


def draw_tags(view: Image, skeleton: Skeleton, side: Side, tags: FloatArray, tag_threshold: float) -> Image:
    """The tags of the keypoint that is likeliest at each place: their values, and whose they are.

    tags: (T, K, h, w), as large as the heatmaps; the first of T is drawn as a value. A place has the colour of the
    person whose mean tag is nearest, if it is nearer than the threshold.
    """
    strength, likeliest = side.heatmaps.max(axis=0), side.heatmaps.argmax(axis=0)
    there = np.take_along_axis(tags, likeliest[np.newaxis, np.newaxis], axis=1)[:, 0]
    strength = np.where(strength >= _LEAST_PEAK, strength, 0)
    shown = there[0][strength > 0]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 0.0)
    values = _colormap(np.clip((there[0] - low) / ((high - low) or 1.0), 0, 1), cv2.COLORMAP_VIRIDIS)
    owners = _owners(there, _mean_tags(side.poses, tags), tag_threshold)
    palette = np.array([_NOBODY, *map(id_color, side.numbers.tolist())], np.float32)
    unseen = replace(side.poses, keypoints=side.poses.keypoints * np.nan, scores=side.poses.scores * 0)
    whose = _with_people(_mixed(view, palette[owners + 1], strength), skeleton, unseen, side.numbers)
    note = f"tags from {low:.2f} (blue) to {high:.2f} (yellow)"
    return _beside(
        [_labelled(_mixed(view, values, strength), note), _labelled(whose, "tags by person; grey is nobody's")]
    )


def _mean_tags(people: Poses, tags: FloatArray) -> list[FloatArray]:
    """(T,) for each of the people in the pixels of the tags (T, K, h, w), over their keypoints, NaN without any."""
    limits = tags.shape[3] - 1, tags.shape[2] - 1
    means = []
    for points in people.keypoints:
        known = np.flatnonzero(np.isfinite(points).all(axis=1))
        x, y = np.clip(np.rint(points[known]), 0, limits).astype(int).T
        means.append(tags[:, known, y, x].sum(axis=1) / (len(known) or np.nan))
    return means


def _owners(tags: FloatArray, mean_tags: Iterable[FloatArray], tag_threshold: float) -> IntArray:
    """(h, w): the row of the person whose mean tag (T,) is nearest to the tags (T, h, w), −1 where none is near."""
    best = np.full(tags.shape[1:], tag_threshold)
    owners = np.full(tags.shape[1:], -1, np.int64)
    for person, mean in enumerate(mean_tags):
        distances = np.linalg.norm(tags - mean[:, np.newaxis, np.newaxis], axis=0)
        nearer = distances < best
        best[nearer], owners[nearer] = distances[nearer], person
    return owners


def _with_people(picture: Image, skeleton: Skeleton, poses: Poses, numbers: IntArray) -> Image:
    unknown, confirmed = np.full(len(poses), np.nan, np.float32), np.ones(len(poses), np.bool_)
    people = TrackedPoses(poses, numbers, unknown, confirmed)
    return OverlayRenderer(skeleton).draw(picture, people, time_s=0)


def _with_heat(picture: Image, heat: FloatArray) -> Image:
    """A heatmap (h, w) of 0 to 1, of any size, over the dimmed picture."""
    share = np.clip(_resized(heat, picture.shape[1::-1]), 0, 1)
    return _mixed(picture, _colormap(share, cv2.COLORMAP_INFERNO), share)


def _mixed(picture: Image, colors: npt.NDArray[np.float32] | Image, strength: FloatArray) -> Image:
    """Colours (h, w, 3) over the dimmed grey picture, the more opaque the higher the strength (h, w)."""
    dimmed = 0.45 * cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., np.newaxis].astype(np.float32)
    # The root keeps low peaks visible.
    opacity = np.sqrt(np.clip(strength, 0, 1))[..., np.newaxis]
    return (dimmed + opacity * (colors - dimmed)).astype(np.uint8)


def _colormap(share: FloatArray, colormap: int) -> Image:
    return cast(Image, cv2.applyColorMap((255 * share).astype(np.uint8), colormap))


def _heat_cell(picture: Image, heat: FloatArray, name: str) -> Image:
    peak = float(heat.max())
    return _labelled(_with_heat(picture, heat), f"{name} {peak:.2f}" if peak > 0 else f"no {name}")


def _spaced_names(skeleton: Skeleton) -> list[str]:
    return [name.replace("_", " ") for name in skeleton.keypoint_names]


def _fitted(image: Image, longer_side: int) -> Image:
    """The picture with its longer side brought to so many pixels."""
    factor = longer_side / max(image.shape[:2])
    return cast(Image, _resized(image, [max(round(side * factor), 1) for side in image.shape[1::-1]]))


def _resized(picture: Image | FloatArray, size_wh: Sequence[int]) -> npt.NDArray[np.floating | np.integer]:
    shrinks = size_wh[0] < picture.shape[1]
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _labelled(picture: Image, text: str) -> Image:
    """The picture under a strip with a line of text, which is made smaller where it would not fit."""
    strip = np.full((_STRIP_HEIGHT, picture.shape[1], 3), _INK, np.uint8)
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1, 1)
    scale = min(0.42, (picture.shape[1] - 6) / width)
    if scale > 0:
        cv2.putText(strip, text, (3, _STRIP_HEIGHT - 6), cv2.FONT_HERSHEY_SIMPLEX, scale, _PAPER, 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def _beside(pictures: Iterable[Image]) -> Image:
    """Pictures of the same height from left to right, with gaps."""
    first, *others = pictures
    gap = np.full((first.shape[0], _GAP, 3), _INK, np.uint8)
    return np.concatenate([first, *(part for other in others for part in (gap, other))], axis=1)


def _grid(cells: Sequence[Image]) -> Image:
    """Cells of the same size in rows, about as wide as a screen."""
    height, width = cells[0].shape[:2]
    columns = min(max(round(math.sqrt(len(cells) * _ASPECT * height / width)), 1), len(cells))
    filled = [*cells, *[np.full_like(cells[0], _INK)] * (-len(cells) % columns)]
    return np.concatenate([_beside(filled[start : start + columns]) for start in range(0, len(filled), columns)])
