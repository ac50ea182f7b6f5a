"""Bottom-up pose estimation: a network sees everybody at once, and tags tell whose keypoint is whose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.boxes import boxes_around
from tracker.errors import InputError
from tracker.pose.crops import crop_matrices, fit_whole_image, invert_matrices, transform_points, warp_crops
from tracker.pose.family import OutputReader, Outputs, PoseNetwork, Shapes, WholePictureFamily
from tracker.pose.grouping import GroupingConfig, group_keypoints
from tracker.pose.heatmaps import average_flipped, flip_back
from tracker.types import Candidates, Detections, DoubleArray, FloatArray, Image, Poses

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


class BottomUpEstimator:
    """A `PoseFinder` around a bottom-up network, with the published input, averaging and grouping.

    settings: of the grouping; None is as published. flip_test: look at the mirrored pictures too.
    project: look for peaks at the size of the input, as published; otherwise at that of the network's finest map, which
    is faster. None projects maps at stride 2: between the cells of coarser ones a peak cannot be seen once they are
    enlarged bilinearly.
    Source: `valid.py` of the official code of LitePose.
    """

    def __init__(
        self,
        network: PoseNetwork,
        settings: GroupingConfig | None = None,
        flip_test: bool = False,
        *,
        project: bool | None = None,
    ) -> None:
        self.name = network.name
        self.engine = network.engine
        self.note = network.note
        self.skeleton = network.skeleton
        self._input_size = min(network.input_size_hw)
        self._reader = OutputReader(network, TAGS)
        self._settings = settings or GroupingConfig()
        self._flip_test = flip_test
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
        found = Candidates.from_detections(Detections(boxes, pose_scores))
        return Poses.in_boxes(found, keypoints, groups.scores)

    def _look(self, images: Sequence[Image]) -> Iterator[BottomUpMaps]:
        if len({image.shape for image in images}) > 1:
            for image in images:
                yield from self._look([image])
        elif images:
            view = self._view((images[0].shape[1], images[0].shape[0]))
            heatmaps, tags = self._see(np.concatenate([warp_crops(im, view.matrix, view.size_wh) for im in images]))
            for row in range(len(images)):
                yield self._merge([maps[row] for maps in heatmaps], [maps[row] for maps in tags], view)

    def _view(self, image_wh: tuple[int, int]) -> _View:
        if max(image_wh) > _LARGEST_ASPECT * min(image_wh):
            raise InputError(
                f"a picture of {image_wh[0]}x{image_wh[1]} pixels is too narrow for {self.name}; cut it to a ratio of "
                f"at most {_LARGEST_ASPECT:g}, or take --pose top-down"
            )
        size_wh, centre, region = fit_whole_image(image_wh, self._input_size)
        return _View(size_wh, crop_matrices(centre, region, size_wh))

    def _see(self, inputs: Image) -> tuple[list[FloatArray], list[FloatArray]]:
        """Heatmaps (N, K, h, w), coarse to fine, and tag values (N, K, h, w), those of mirrored inputs last."""
        outputs = self._reader.read(inputs)
        heatmaps, tags = _heatmaps_of(outputs), _tags_of(outputs)
        if self._flip_test:
            mirrored, order = self._reader.read(inputs[:, :, ::-1]), self.skeleton.flip_order
            pairs = zip(heatmaps, _heatmaps_of(mirrored), strict=True)
            heatmaps = [average_flipped(own, other, order, shift=False) for own, other in pairs]
            tags += [flip_back(tag, order) for tag in _tags_of(mirrored)]
        return heatmaps, tags

    def _merge(self, heatmaps: Sequence[FloatArray], tags: Sequence[FloatArray], view: _View) -> BottomUpMaps:
        """One map per keypoint and one per tag value, as large as the view or as the finest map."""
        finest_wh = _size_wh(heatmaps[-1])
        projects = 2 * finest_wh[0] >= view.size_wh[0] if self._project is None else self._project
        size_wh = view.size_wh if projects else finest_wh
        mean = _resize(_mean([_resize(maps, finest_wh) for maps in heatmaps]), size_wh)
        tags = [_resize(_resize(maps, finest_wh), size_wh) for maps in tags]
        return BottomUpMaps(mean, np.stack(tags), _to_cells(view, size_wh))


def _pick(shapes: Shapes, num_keypoints: int | None) -> Sequence[str]:
    scales = range(len(shapes))
    names = [name for i in scales for name in (f"heatmaps_{i}", f"tags_{i}") if name in shapes]
    if not {"heatmaps_0", "tags_0"} <= set(names):
        return []
    return names if all(_is_of_maps(name, shapes, num_keypoints) for name in names) else []


def _is_of_maps(name: str, shapes: Shapes, num_keypoints: int | None) -> bool:
    """Whether an output is heatmaps (N, K, h, w), or tags (N, D · K, h, w) beside some."""
    shape, beside = shapes[name], shapes.get(name.replace("tags", "heatmaps"), ())
    if len(shape) != 4 or shape[2:] != beside[2:]:
        return False
    if num_keypoints is None or shape[1] is None:
        return True
    return shape[1] == num_keypoints or (name.startswith("tags") and shape[1] % num_keypoints == 0 < shape[1])


def _heatmaps_of(outputs: Outputs) -> list[FloatArray]:
    return [maps for name, maps in outputs.items() if name.startswith("heatmaps")]


def _tags_of(outputs: Outputs) -> list[FloatArray]:
    """Maps (N, K, h, w); tags of D values come as D parts: the first values of all keypoints, then the second ones."""
    num_keypoints = outputs["heatmaps_0"].shape[1]
    tags = [maps for name, maps in outputs.items() if name.startswith("tags")]
    return [part for maps in tags for part in np.split(maps, maps.shape[1] // num_keypoints, axis=1)]


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


def _size_wh(maps: FloatArray) -> tuple[int, int]:
    return maps.shape[-1], maps.shape[-2]


TAGS = WholePictureFamily(
    signature="heatmaps_0 [b, K, h, w], tags_0 [b, D K, h, w], heatmaps_1 and so on",
    pick=_pick,
    finder=lambda network, settings: BottomUpEstimator(network, settings.grouping, settings.flip_test),
)
