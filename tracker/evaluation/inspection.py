"""What pose networks see in a picture: their maps over it, and the maps that would be right."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tracker.boxes import iou, xyxy_to_xywh
from tracker.datasets.coco import Picture
from tracker.errors import ModelError
from tracker.evaluation.heatmap_pictures import (
    Side,
    View,
    draw_heatmaps,
    draw_people,
    draw_skeletons,
    draw_sum,
    draw_tags,
)
from tracker.evaluation.pck import true_keypoints
from tracker.pose.bottom_up import BottomUpEstimator
from tracker.pose.crops import transform_points
from tracker.pose.grouping import GroupingConfig
from tracker.pose.heatmaps import encode_heatmaps
from tracker.pose.top_down import CropMaps, TopDownEstimator
from tracker.skeletons import BODY_19, Skeleton, convert_keypoints
from tracker.tracking.matching import match_greedily
from tracker.types import (
    Candidates,
    DoubleArray,
    FloatArray,
    Image,
    IntArray,
    KnownPeople,
    PoseEstimator,
    PoseFinder,
    Poses,
)

# Pixels of the input, in which the maps are given: as published 2 cells of the finest output, of every second pixel.
_BOTTOM_UP_SIGMA = 4.0
# From here on two boxes are one person's.
_LEAST_IOU = 0.5


def read_true_poses(picture: Picture, annotated: Skeleton, skeleton: Skeleton) -> Poses:
    """The annotated people of a picture, in their boxes, with the skeleton's keypoints by name.

    annotated: the skeleton of the ground truth. A keypoint has score 1, one that is not annotated is missing. People
    whose boxes have no size are left out.
    """
    keypoints = true_keypoints(picture.annotated_people, annotated)
    known = np.isfinite(keypoints[..., 0]).astype(np.float32)
    named, scores = convert_keypoints(keypoints.astype(np.float32), known, BODY_19, skeleton)
    boxes = picture.true_boxes()
    has_size = (boxes.boxes[:, 2:] > boxes.boxes[:, :2]).all(axis=1)
    return Poses.in_boxes(boxes, named, scores)[np.flatnonzero(has_size)]


def heatmaps_over(
    estimator: PoseEstimator | PoseFinder | KnownPeople, image: Image, boxes: FloatArray, side: int
) -> FloatArray:
    """Heatmaps (K, h, w) over an image (H, W, 3) whose longer side becomes `side` pixels, the highest at each place.

    boxes: (N, 4) of the people, for networks of crops. ModelError for a network that gives people and no maps.
    """
    view = View(image, side)
    if isinstance(estimator, TopDownEstimator):
        maps = estimator.look(image, xyxy_to_xywh(boxes))
        return _lay_crops(view, maps, maps.heatmaps)
    if isinstance(estimator, BottomUpEstimator):
        found = estimator.look(image)
        return view.lay(found.heatmaps, found.to_heatmaps)
    raise ModelError(f"{estimator.name} gives people and no maps, which are what is drawn here; name another file")


def inspect_top_down(
    estimator: TopDownEstimator, image: Image, candidates: Candidates, true_poses: Poses | None, max_people: int
) -> dict[str, Image]:
    """Pictures `heatmaps`, `sum`, `skeletons` and `people` of what a network says of the people in boxes.

    candidates: the first `max_people` are looked at. The heatmaps of people are laid over the picture, the highest at
    each place. `people` is a sheet with the crop of each and its heatmaps. With true poses, true heatmaps stand beside
    them: over the picture those of everybody, each drawn in the crop of their true box; in the sheet those of the
    person whose true box covers the crop's by an IoU of 0.5 or more.
    """
    view, chosen = View(image), candidates[:max_people]
    maps = estimator.look(image, xyxy_to_xywh(chosen.boxes))
    heatmaps = _lay_crops(view, maps, maps.heatmaps)
    num_left_out = len(candidates) - len(chosen)
    sides = [_found(view, estimator.estimate(image, chosen), heatmaps, num_left_out)]
    rows = [("found", maps.heatmaps)]
    if true_poses is not None:
        owners = _owners(chosen.boxes, true_poses.boxes)
        true_maps = estimator.look(image, xyxy_to_xywh(true_poses.boxes))
        heatmaps = _lay_crops(view, true_maps, _encode_in(true_maps, true_poses.keypoints))
        sides.append(_true(view, true_poses, owners, heatmaps))
        # Row −1 is nobody's.
        nobody = np.full_like(true_poses.keypoints, np.nan, shape=(1, *true_poses.keypoints.shape[1:]))
        rows.append(("true", _encode_in(maps, np.concatenate([true_poses.keypoints, nobody])[owners])))
    sheet = {"people": draw_people(maps.crops, estimator.skeleton, rows)} if len(chosen) else {}
    return _draw(view.image, estimator.skeleton, sides) | sheet


def inspect_bottom_up(
    estimator: BottomUpEstimator, image: Image, true_poses: Poses | None, max_people: int
) -> dict[str, Image]:
    """Pictures `heatmaps`, `sum`, `skeletons` and `tags` of what a network says of a picture.

    estimator: one that looks for peaks at the size of the input. The best `max_people` are drawn. With true poses, true
    heatmaps stand beside those that were found, as the finest published output is trained with them.
    """
    view, maps, skeleton = View(image), estimator.look(image), estimator.skeleton
    found = estimator.group(maps)
    chosen = found[:max_people]
    tags = np.stack([view.lay(part, maps.to_heatmaps, cv2.INTER_NEAREST) for part in maps.tags])
    sides = [_found(view, chosen, view.lay(maps.heatmaps, maps.to_heatmaps), len(found) - len(chosen))]
    if true_poses is not None:
        owners = _owners(chosen.boxes, true_poses.boxes)
        to_maps = np.repeat(maps.to_heatmaps[np.newaxis], len(true_poses), axis=0)
        true_maps = _encode(true_poses.keypoints, to_maps, maps.heatmaps.shape[:0:-1], _BOTTOM_UP_SIGMA)
        heatmaps = view.lay(true_maps.max(axis=0, initial=0), maps.to_heatmaps)
        sides.append(_true(view, true_poses, owners, heatmaps))
    drawn = draw_tags(view.image, skeleton, sides[0], tags, GroupingConfig().tag_threshold)
    return _draw(view.image, skeleton, sides) | {"tags": drawn}


def _found(view: View, poses: Poses, heatmaps: FloatArray, num_left_out: int) -> Side:
    return Side("found", view.scale(poses), np.arange(1, len(poses) + 1), heatmaps, num_left_out)


def _true(view: View, poses: Poses, owners: IntArray, heatmaps: FloatArray) -> Side:
    """The truth, with the numbers of the people who were found as them, and then further ones.

    owners: (N,), the true person whom each of those who were found is, −1 where there is none.
    """
    numbers = np.zeros(len(poses), np.int64)
    numbers[owners[owners >= 0]] = np.flatnonzero(owners >= 0) + 1
    missed = np.flatnonzero(numbers == 0)
    numbers[missed] = len(owners) + 1 + np.arange(len(missed))
    return Side("true", view.scale(poses), numbers, heatmaps)


def _draw(view: Image, skeleton: Skeleton, sides: Sequence[Side]) -> dict[str, Image]:
    return {
        "heatmaps": draw_heatmaps(view, skeleton, sides),
        "sum": draw_sum(view, sides),
        "skeletons": draw_skeletons(view, skeleton, sides),
    }


def _encode_in(maps: CropMaps, keypoints: FloatArray) -> FloatArray:
    """True heatmaps (N, K, h, w) of keypoints (N, K, 2) in the picture, one person for each crop."""
    # As published: 2 cells for inputs of 256 rows, 3 for those of 384.
    return _encode(keypoints, maps.to_heatmaps, maps.heatmap_wh, sigma=maps.heatmap_wh[1] / 32)


def _encode(keypoints: FloatArray, to_maps: DoubleArray, heatmap_wh: tuple[int, int], sigma: float) -> FloatArray:
    """True heatmaps (N, K, h, w), of keypoints (N, K, 2) in the picture; to_maps: (N, 2, 3), from there to cells."""
    cells = transform_points(to_maps, keypoints)
    known = np.isfinite(cells[..., 0])
    return encode_heatmaps(cells, known, heatmap_wh, sigma=sigma, stride=1, whole_cells=False)[0]


def _lay_crops(view: View, maps: CropMaps, heatmaps: FloatArray) -> FloatArray:
    """The highest at each place of heatmaps (N, K, h, w) of those crops that lie over the picture."""
    highest = np.zeros((heatmaps.shape[1], *view.image.shape[:2]), np.float32)
    for matrix, of_person in zip(maps.to_heatmaps, heatmaps, strict=True):
        np.maximum(highest, view.lay(of_person, matrix), out=highest)
    return highest


def _owners(boxes: FloatArray, true_boxes: FloatArray) -> IntArray:
    """(N,): the true person whose box each is, −1 where there is none."""
    return match_greedily(iou(boxes, true_boxes), np.arange(len(true_boxes)), _LEAST_IOU)[0]
