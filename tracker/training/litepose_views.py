"""Whole pictures as a bottom-up network is trained on them: random views, people pasted in, what does not count."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tracker.errors import InputError
from tracker.pose.crops import PIXELS_PER_SCALE, crop_matrices, transform_points, warp_crops
from tracker.skeletons import Skeleton
from tracker.training.annotations import Annotations
from tracker.training.image_store import StoredPictures, shrink_pictures, stored_fields
from tracker.training.recipes import SceneViews
from tracker.types import BoolArray, DoubleArray, FloatArray, Image, IntArray

# Who is pasted has so many labelled keypoints and is so tall in pixels of the stored picture.
_DONOR_KEYPOINTS, _DONOR_HEIGHT = 10, 80
# Height of pasted people, over the view's side.
_PASTED_HEIGHTS = (0.2, 0.9)
_MOST_PASTED = 3
# Widths of limbs and head over the length of the torso.
_LIMB_WIDTH, _HEAD_WIDTH = 0.35, 0.6
_HEAD = ("nose", "eye", "ear", "head", "head_top")


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a picture goes in a square view: unit (2, 3), from its pixels to a view of side 1.

    mirrored: the view is mirrored afterwards.
    """

    unit: DoubleArray
    mirrored: bool

    def matrix(self, side: int) -> DoubleArray:
        """(2, 3), from pixels of the picture to those of a view of that side before it is mirrored."""
        return self.unit * side


def draw_placement(views: SceneViews, size_wh: IntArray, rng: np.random.Generator) -> Placement:
    """A random place of a picture of that size."""
    factor = rng.uniform(*views.region)
    angle = rng.uniform(-views.rotation_deg, views.rotation_deg)
    reach = int(views.translation * factor * _side(size_wh, views.long_side) / PIXELS_PER_SCALE)
    shift = rng.integers(-reach, reach, 2) if reach else np.zeros(2)
    return place_picture(size_wh, factor, angle, shift, views.long_side, mirrored=rng.random() < views.flip)


def place_picture(
    size_wh: npt.ArrayLike,
    factor: float,
    angle_deg: float,
    shift: npt.ArrayLike,
    long_side: bool = False,
    *,
    mirrored: bool = False,
) -> Placement:
    """A view about the middle of a picture.

    factor: side of what is seen, over the short side of the picture, or its long one. shift: of the middle, in pixels.
    Source: `RandomAffineTransform` and `RandomHorizontalFlip` of the official LitePose code.
    """
    centre = np.asarray(size_wh) / 2 + np.asarray(shift)
    scale = _side(np.asarray(size_wh), long_side) / PIXELS_PER_SCALE * factor
    return Placement(crop_matrices(centre[None], np.full((1, 2), scale), (1, 1), angle_deg)[0], mirrored)


def move_keypoints(
    keypoints: npt.NDArray[np.floating], placement: Placement, side: int, flip_order: IntArray, pixel: float = 1.0
) -> DoubleArray:
    """Keypoints (N, K, 2) of a picture in pixels of a view of that side, left and right swapped if it is mirrored.

    pixel: size of a pixel of the mirrored picture in those of this view. Published code takes 1 for all, which puts
    the keypoints of a mirrored picture up to a cell of the heatmaps too far to the left.
    """
    moved = transform_points(placement.matrix(side)[None], keypoints)
    return moved[:, flip_order] * [-1, 1] + [side - pixel, 0] if placement.mirrored else moved


def move_image(image: Image, placement: Placement, side: int) -> Image:
    """A view (side, side, 3) of a picture (H, W, 3), black outside it."""
    moved = warp_crops(image, placement.matrix(side)[None], (side, side))[0]
    return moved[:, ::-1] if placement.mirrored else moved


def move_mask(mask: npt.NDArray[np.bool_], placement: Placement, side: int) -> BoolArray:
    """A mask (H, W) of a picture as one (side, side) of a view, false outside the picture."""
    image = mask.astype(np.uint8) * np.uint8(255)
    moved = np.asarray(cv2.warpAffine(image, placement.matrix(side), (side, side), flags=cv2.INTER_LINEAR))
    return (moved[:, ::-1] if placement.mirrored else moved) / 255 > 0.5


@dataclass(frozen=True, eq=False)
class Scene:
    """A view.

    image: (S, S, 3) uint8 BGR. keypoints: (N, K, 2) for each side, in pixels of the view of that side, NaN where they
    are unlabelled or hidden. masks: (s, s) for each side, false where people are unlabelled.
    """

    image: Image
    keypoints: tuple[DoubleArray, ...]
    masks: tuple[BoolArray, ...]


@dataclass(frozen=True, eq=False)
class ScenePictures(StoredPictures):
    """Stored pictures to teach a bottom-up network. is_sure: of `are_learnt`. donors: rows of people to paste."""

    donors: IntArray

    def compose(
        self, first: int, views: SceneViews, side: int, sides: Sequence[int], rng: np.random.Generator
    ) -> Scene:
        """A view of `side` pixels of picture `first` of those with people, with keypoints and masks for `sides`."""
        row = int(self.with_people[first])
        if len(self.negatives) and rng.random() < views.negatives:
            row = int(rng.choice(self.negatives))
        maps = [(s, s / side if views.exact_flip else 1.0) for s in sides]
        scene = self._view(row, draw_placement(views, self.images.source_sizes_wh[row], rng), side, maps)
        if len(self.donors) and rng.random() < views.pasted:
            for _ in range(rng.integers(1, _MOST_PASTED + 1)):
                scene = self._paste(scene, int(rng.choice(self.donors)), maps, rng)
        return scene

    def _view(self, row: int, placement: Placement, side: int, maps: Sequence[tuple[int, float]]) -> Scene:
        """maps: side, and the size of a pixel of the view there."""
        people = np.arange(len(self.annotations))[self.people_in(row)]
        counts = self._labelled_region(row)
        return Scene(
            self._warp(row, placement, side),
            tuple(self._move(people[self.is_sure[people]], placement, *each) for each in maps),
            tuple(move_mask(counts, placement, s) for s, _ in maps),
        )

    def _move(self, people: IntArray, placement: Placement, side: int, pixel: float) -> DoubleArray:
        order = self.annotations.skeleton.flip_order
        return move_keypoints(self.annotations.keypoints[people], placement, side, order, pixel)

    def _warp(self, row: int, placement: Placement, side: int) -> Image:
        image = self.images[row]
        grown = self.images.source_sizes_wh[row] / image.shape[1::-1]
        # Stored pictures are shrunk about their corners, half a pixel outside the outer pixels' centres.
        to_source = np.array([[grown[0], 0, (grown[0] - 1) / 2], [0, grown[1], (grown[1] - 1) / 2], [0, 0, 1]])
        return move_image(image, replace(placement, unit=placement.unit @ to_source), side)

    def _labelled_region(self, row: int) -> BoolArray:
        """Where (H, W) in a picture everybody is labelled."""
        width, height = self.images.source_sizes_wh[row]
        region = np.ones((height, width), bool)
        if row in self.annotations.unlabelled:
            region &= ~_decode(self.annotations.unlabelled[row])
        people = self.people_in(row)
        for x0, y0, x1, y1 in self.annotations.boxes[people][~self.is_sure[people]].clip(0, max(width, height)):
            region[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = False
        return region

    def _paste(self, scene: Scene, donor: int, maps: Sequence[tuple[int, float]], rng: np.random.Generator) -> Scene:
        """The scene with a person of another picture in front, who hides keypoints."""
        side, people = len(scene.image), np.array([donor])
        placement = _place_donor(self.annotations.boxes[donor], rng)
        added = [self._move(people, placement, *each) for each in maps]
        opacity = silhouette(self._move(people, placement, side, 1.0)[0], self.annotations.skeleton, side)
        layer = self._warp(int(self.annotations.picture[donor]), placement, side)
        image = scene.image + opacity[..., None] * (layer.astype(np.float32) - scene.image)
        covers = [cv2.resize(opacity, (s, s), interpolation=cv2.INTER_AREA) > 0.5 for s, _ in maps]
        return Scene(
            image.round().astype(np.uint8),
            tuple(np.concatenate(pair) for pair in zip(map(_hide, scene.keypoints, covers), added, strict=True)),
            tuple(mask | cover for mask, cover in zip(scene.masks, covers, strict=True)),
        )


def silhouette(keypoints: DoubleArray, skeleton: Skeleton, side: int) -> FloatArray:
    """Roughly where a person is: (side, side) in 0–1, soft at the edge. keypoints: (K, 2) pixels, NaN where missing."""
    names = skeleton.keypoint_names
    torso = _torso_length(keypoints, names)
    mask = np.zeros((side, side), np.uint8)
    is_labelled = ~np.isnan(keypoints[:, 0])
    points = np.where(is_labelled[:, None], keypoints, 0).round().clip(-9999, 9999).astype(np.int32)
    width = max(2, round(_LIMB_WIDTH * torso))
    for a, b in skeleton.edges:
        if is_labelled[a] and is_labelled[b]:
            cv2.line(mask, points[a].tolist(), points[b].tolist(), 255, width)
    trunk = [i for i, name in enumerate(names) if name.endswith(("shoulder", "hip")) and is_labelled[i]]
    if len(trunk) > 2:
        cv2.fillConvexPoly(mask, cv2.convexHull(points[trunk]), 255)
    head = [i for i, name in enumerate(names) if name.endswith(_HEAD) and is_labelled[i]]
    if head:
        centre = points[head].mean(axis=0).round().astype(int)
        cv2.circle(mask, centre.tolist(), max(2, round(_HEAD_WIDTH * torso / 2)), 255, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1 + 0.04 * torso) / np.float32(255), np.float32)


def are_learnt(annotations: Annotations) -> BoolArray:
    """(N,): people without doubt who have keypoints. Where the others are, nothing is learnt."""
    return annotations.is_sure & ~np.isnan(annotations.keypoints[..., 0]).all(axis=1)


def store_scenes(annotations: Annotations, shortest: int, folder: Path) -> ScenePictures:
    """The pictures of a set, shrunk once to a short side of `shortest` and kept in a file of the folder.

    Raises InputError where the stated size of a picture with unlabelled regions is not the real one.
    """
    images = shrink_pictures(annotations, folder, shortest=shortest)
    for row, region in annotations.unlabelled.items():
        if tuple(region["size"][::-1]) != tuple(images.source_sizes_wh[row]):
            raise InputError(
                f"{annotations.paths[row]} has {'×'.join(map(str, images.source_sizes_wh[row]))} pixels, its "
                f"annotations {'×'.join(map(str, region['size'][::-1]))}; get the pictures that were annotated"
            )
    is_sure = are_learnt(annotations)
    donors = _find_donors(annotations, is_sure, images.source_sizes_wh, shortest)
    return ScenePictures(**stored_fields(annotations, images, is_sure, is_sure), donors=donors)


def _side(size_wh: npt.NDArray[np.generic], long_side: bool) -> float:
    return float(size_wh.max() if long_side else size_wh.min())


def _find_donors(annotations: Annotations, is_sure: BoolArray, sizes_wh: IntArray, shortest: int) -> IntArray:
    """People with enough keypoints, shoulders and hips among them, who are large enough in the stored pictures."""
    names = annotations.skeleton.keypoint_names
    is_labelled = ~np.isnan(annotations.keypoints[..., 0])
    trunk = [i for i, name in enumerate(names) if name.endswith(("shoulder", "hip"))]
    shrinking = np.minimum(1, shortest / sizes_wh.min(axis=1))[annotations.picture]
    heights = (annotations.boxes[:, 3] - annotations.boxes[:, 1]) * shrinking
    is_donor: BoolArray = is_sure & is_labelled[:, trunk].all(axis=1) & (heights >= _DONOR_HEIGHT)
    return np.flatnonzero(is_donor & (is_labelled.sum(axis=1) >= _DONOR_KEYPOINTS))


def _place_donor(box: FloatArray, rng: np.random.Generator) -> Placement:
    """A random place for the person in a box of another picture."""
    share = np.exp(rng.uniform(*np.log(_PASTED_HEIGHTS)))
    centre, height = (box[:2] + box[2:]).astype(np.float64) / 2, float(box[3] - box[1])
    scale = np.full((1, 2), height / share / PIXELS_PER_SCALE)
    unit = crop_matrices(centre[None], scale, (1, 1), rng.uniform(-15, 15))[0]
    unit[:, 2] += rng.uniform(-0.5, 0.5, 2)
    return Placement(unit, mirrored=rng.random() < 0.5)


def _decode(run_lengths: Any) -> BoolArray:
    """A region (H, W) of `Annotations.unlabelled`."""
    from pycocotools import mask

    with warnings.catch_warnings():
        # pycocotools wraps its result in a way that NumPy 2 warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(mask.decode(run_lengths)) == 1


def _hide(keypoints: DoubleArray, cover: BoolArray) -> DoubleArray:
    """Keypoints (N, K, 2) in cells, those under the cover (s, s) as NaN."""
    side = len(cover)
    low, high = keypoints.min(axis=2), keypoints.max(axis=2)
    is_inside = (low >= 0) & (high < side)
    x, y = np.where(is_inside[..., None], keypoints, 0).astype(np.int64).transpose(2, 0, 1)
    return np.where((is_inside & cover[y, x])[..., None], np.nan, keypoints)


def _torso_length(keypoints: DoubleArray, names: Sequence[str]) -> float:
    """From shoulders to hips, or a quarter of the person's extent if that is more: they may be seen from above."""
    ends = [
        np.nanmean([p for p, n in zip(keypoints, names, strict=True) if n.endswith(part)], axis=0)
        for part in ("shoulder", "hip")
    ]
    extent = (np.nanmax(keypoints, axis=0) - np.nanmin(keypoints, axis=0)).max()
    return float(max(np.linalg.norm(ends[0] - ends[1]), extent / 4))
