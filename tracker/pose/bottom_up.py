"""Bottom-up pose estimation: a network sees everybody at once, and tags tell whose keypoint is whose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.boxes import boxes_around
from tracker.errors import InputError, ModelError, UsageError
from tracker.pose.bottom_up_networks import BottomUpNetwork, OutputMaps
from tracker.pose.crops import crop_matrices, fit_whole_image, invert_matrices, transform_points, warp_crops
from tracker.pose.grouping import GroupingConfig, group_keypoints
from tracker.pose.heatmaps import average_flipped, flip_back
from tracker.runtime import SplittingRunner
from tracker.types import DoubleArray, FloatArray, Image, Origin, Poses

_BOX_EXPANSION = 1.15
# The centre of the first pixel, or cell, counted from its corner.
_CENTRE = 0.5
# From the centres of the outermost pixels to their outer edges: a single keypoint has a box, too.
_PIXEL = np.array([-0.5, -0.5, 0.5, 0.5], np.float32)
# A narrower picture would be enlarged beyond what memory holds, since its short side gets the network's size.
_LARGEST_ASPECT = 16.0


@dataclass(frozen=True, eq=False)
class BottomUpMaps:
    """What a network says of one picture, brought to one size and averaged.

    heatmaps: (K, h, w). tags: (T, K, h, w), one for each output with tags, of the mirrored picture too.
    to_heatmaps: (2, 3), from pixels of the image to cells.
    """

    heatmaps: FloatArray
    tags: FloatArray
    to_heatmaps: DoubleArray


@dataclass(frozen=True, eq=False)
class _View:
    """A picture as a network gets it: its size, and the matrix (1, 2, 3) from the picture."""

    size_wh: tuple[int, int]
    matrix: DoubleArray


@dataclass(frozen=True, eq=False)
class _Seen:
    """Outputs for one picture at one scale, coarse to fine: heatmaps (K, h, w), and tags of those that have them."""

    heatmaps: list[FloatArray]
    tags: list[FloatArray]

    @property
    def finest_wh(self) -> tuple[int, int]:
        """Width and height of the last heatmaps."""
        return _size_wh(self.heatmaps[-1])


class BottomUpEstimator:
    """A `PoseFinder` around a bottom-up network, with the published input, averaging and grouping.

    settings: of the grouping; None is as published. flip_test: look at the mirrored pictures too. scales: factors on
    the network's input size, whose heatmaps are averaged; with several, the tags are those of scale 1.
    project: look for peaks at the size of the input, as published; otherwise at that of the network's finest map, which
    is faster. None projects maps at stride 2: between the cells of coarser ones a peak cannot be seen once they are
    enlarged bilinearly. Raises UsageError for scales without 1 or such that give no whole cells.
    Source: `valid.py` of the official code of LitePose.
    """

    def __init__(
        self,
        network: BottomUpNetwork,
        settings: GroupingConfig | None = None,
        *,
        flip_test: bool = False,
        scales: Sequence[float] = (1.0,),
        project: bool | None = None,
    ) -> None:
        _check_scales(scales)
        self.name = network.name
        self.engine = network.engine
        self.note = network.note
        self.skeleton = network.skeleton
        self._input_size = network.input_size
        self._runner = SplittingRunner(network.maps)
        self._settings = settings or GroupingConfig()
        self._flip_test = flip_test
        self._scales = sorted(scales, reverse=True)
        self._project = project

    def find(self, images: Sequence[Image]) -> list[Poses]:
        """The people of each image (H, W, 3) uint8 BGR, best first, at most `max_people` of the settings.

        The score of a keypoint is the height of its peak, that of a box the mean over all keypoints, missing ones as 0,
        before any is filled in. A box is that around the keypoints above the detection threshold, grown by 15 %: weaker
        ones, which were filled in, can be anywhere. Images of one size are run together, in parts where memory does not
        suffice.
        Raises ModelError when the network gives maps of another shape, no tags, or values that are not finite,
        DeviceError when memory does not suffice for one image, InputError for an image too narrow for the network.
        """
        return [self.group(maps) for maps in self._look(images)]

    def look(self, image: Image) -> BottomUpMaps:
        """The maps in which people are looked for, of an image (H, W, 3) uint8 BGR; errors as of `find`."""
        return next(self._look([image]))

    def group(self, maps: BottomUpMaps) -> Poses:
        """The people in the maps, as of `find`."""
        groups, pose_scores = group_keypoints(maps.heatmaps, maps.tags, self.skeleton, self._settings)
        keypoints = np.where(groups.scores[..., None] > 0, _to_image(groups.positions, maps.to_heatmaps), np.nan)
        sure = groups.scores[..., None] > self._settings.detection_threshold
        boxes = boxes_around(np.where(sure, keypoints, np.nan), _BOX_EXPANSION) + _PIXEL
        origin = np.full(len(groups), Origin.DETECTED, np.int8)
        return Poses(keypoints, groups.scores, boxes, pose_scores, origin)

    def _look(self, images: Sequence[Image]) -> Iterator[BottomUpMaps]:
        if len({image.shape for image in images}) > 1:
            for image in images:
                yield from self._look([image])
        elif images:
            height, width = images[0].shape[:2]
            views = [self._view((width, height), scale) for scale in self._scales]
            base = self._view((width, height), 1.0)
            at_scales = [self._see(images, view) for view in views]
            for seen in zip(*at_scales, strict=True):
                projects = self._projects(views[0], seen[0])
                yield self._merge(seen, base if projects else views[0], projects)

    def _view(self, image_wh: tuple[int, int], scale: float) -> _View:
        if max(image_wh) > _LARGEST_ASPECT * min(image_wh):
            raise InputError(
                f"a picture of {image_wh[0]}x{image_wh[1]} pixels is too narrow for {self.name}; cut it to a ratio of "
                f"at most {_LARGEST_ASPECT:g}, or take --pose top-down"
            )
        size_wh, centre, region = fit_whole_image(image_wh, self._input_size, scale, self._scales[-1])
        return _View(size_wh, crop_matrices(centre, region, size_wh))

    def _see(self, images: Sequence[Image], view: _View) -> list[_Seen]:
        """What the network says of each image."""
        inputs = np.concatenate([warp_crops(image, view.matrix, view.size_wh) for image in images])
        outputs = self._run(inputs)
        heatmaps, tags = [out.heatmaps for out in outputs], [tag for out in outputs for tag in out.tag_values()]
        if self._flip_test:
            mirrored, order = self._run(inputs[:, :, ::-1]), self.skeleton.flip_order
            pairs = zip(heatmaps, mirrored, strict=True)
            heatmaps = [average_flipped(own, other.heatmaps, order, shift=False) for own, other in pairs]
            tags += [flip_back(tag, order) for out in mirrored for tag in out.tag_values()]
        return [_Seen([part[i] for part in heatmaps], [part[i] for part in tags]) for i in range(len(images))]

    def _run(self, inputs: Image) -> list[OutputMaps]:
        parts = [part for _, part in self._runner.run(inputs)]
        outputs = parts[0] if len(parts) == 1 else [_join(output) for output in zip(*parts, strict=True)]
        self._check(outputs, len(inputs))
        return outputs

    def _check(self, outputs: list[OutputMaps], n: int) -> None:
        num_keypoints = self.skeleton.num_keypoints
        shapes = [out.heatmaps.shape for out in outputs]
        if not shapes or any(shape[:2] != (n, num_keypoints) for shape in shapes):
            raise ModelError(
                f"{self.name} gave {shapes}, not heatmaps ({n}, {num_keypoints}, h, w); name another model"
            )
        tags = [out.tags for out in outputs if out.tags is not None]
        if not tags:
            raise ModelError(f"{self.name} gave no tags, which tell whose keypoint is whose; name another model")
        if not all(np.isfinite(maps).all() for maps in (*(out.heatmaps for out in outputs), *tags)):
            raise ModelError(
                f"{self.name} gave values that are not finite on {self.engine}; its file may be damaged, "
                "or half precision too narrow for it: try --device cpu"
            )

    def _projects(self, view: _View, seen: _Seen) -> bool:
        """Whether maps become as large as the input."""
        return 2 * seen.finest_wh[0] >= view.size_wh[0] if self._project is None else self._project

    def _merge(self, seen: Sequence[_Seen], target: _View, projects: bool) -> BottomUpMaps:
        """One map per keypoint and one per tag, as large as the target or as the finest map of the first scale."""
        size_wh = target.size_wh if projects else seen[0].finest_wh
        heatmaps = _mean([_resize(_average(at_scale), size_wh) for at_scale in seen])
        at_base = seen[self._scales.index(1.0) if len(seen) > 1 else 0]
        tags = [_resize(_resize(part, at_base.finest_wh), size_wh) for part in at_base.tags]
        return BottomUpMaps(heatmaps, np.stack(tags), _to_cells(target, size_wh))


def _check_scales(scales: Sequence[float]) -> None:
    """Sides of the smallest input are multiples of 64, and no network takes other than multiples of 32."""
    named = ", ".join(f"{scale:g}" for scale in scales)
    if not scales or not all(0 < scale < np.inf for scale in scales):
        raise UsageError(f"the test scales ({named}) must be one or more numbers above 0")
    if len(scales) > 1 and 1 not in scales:
        raise UsageError(f"the test scales ({named}) need 1 among them, which gives the tags")
    if any(scale / min(scales) % 0.5 for scale in scales):
        raise UsageError(f"the test scales ({named}) must be multiples of half the smallest")


def _average(seen: _Seen) -> FloatArray:
    return _mean([_resize(heatmaps, seen.finest_wh) for heatmaps in seen.heatmaps])


def _mean(maps: Sequence[FloatArray]) -> FloatArray:
    total = maps[0]
    for other in maps[1:]:
        total = total + other
    return total if len(maps) == 1 else total / np.float32(len(maps))


def _resize(maps: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """Maps (K, h, w) brought to another size bilinearly, with the outer corners in place."""
    if _size_wh(maps) == size_wh:
        return maps
    resized = np.empty((len(maps), size_wh[1], size_wh[0]), np.float32)
    for source, target in zip(maps, resized, strict=True):
        cv2.resize(source, size_wh, dst=target, interpolation=cv2.INTER_LINEAR)
    return resized


def _to_cells(view: _View, size_wh: tuple[int, int]) -> DoubleArray:
    """The matrix (2, 3) from pixels of the picture to cells of maps of that size, which show all of the view.

    As published, pixels and cells count from their corners in the view's matrix; here they count from their centres.
    """
    zoom = np.array(size_wh) / view.size_wh
    to_cells = view.matrix[0] * zoom[:, None]
    to_cells[:, 2] += to_cells[:, :2].sum(axis=1) * _CENTRE - _CENTRE
    return to_cells


def _to_image(positions: FloatArray, to_heatmaps: DoubleArray) -> FloatArray:
    """Image pixels (P, K, 2) of positions (P, K, 2) that count from the corner of the first cell."""
    cells = positions.reshape(1, -1, 2) - _CENTRE
    return transform_points(invert_matrices(to_heatmaps[None]), cells).reshape(positions.shape).astype(np.float32)


def _join(parts: Sequence[OutputMaps]) -> OutputMaps:
    tags = [part.tags for part in parts if part.tags is not None]
    return OutputMaps(np.concatenate([part.heatmaps for part in parts]), np.concatenate(tags) if tags else None)


def _size_wh(maps: FloatArray) -> tuple[int, int]:
    return maps.shape[-1], maps.shape[-2]
