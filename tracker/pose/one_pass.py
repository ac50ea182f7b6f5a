"""Networks that give people: boxes with keypoints, of everybody in a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from tracker.boxes import clip_boxes, padded_size_wh
from tracker.errors import UsageError
from tracker.pose.crops import fit_in_middle, invert_matrices, transform_points, warp_crops
from tracker.pose.family import FinderSettings, OutputReader, Outputs, PoseNetwork, WholePictureFamily
from tracker.pose.grouping import TRACKED_GROUPING
from tracker.types import DoubleArray, Image, Poses

# The grey beside the picture in the input of RTMO and YOLO.
_PADDING = 114
# Scores are probabilities that a keypoint is to be seen; from here on it more likely is than not.
KEYPOINT_THRESHOLD = 0.5
# The outputs for one picture, without their batch axis, the network, and the least score of a person → people in pixels
# of the input, best first.
Decode: TypeAlias = Callable[[Outputs, PoseNetwork, float], Poses]


class OnePassEstimator:
    """A `PoseFinder` around a network that gives people; `decode` reads its outputs.

    The picture lies in the middle of grey, in an input of the network's size, or, where that is open, as large as the
    longer side of it makes it. Raises UsageError for settings that people cannot be averaged or grouped by.
    """

    def __init__(
        self, network: PoseNetwork, family: WholePictureFamily, decode: Decode, settings: FinderSettings
    ) -> None:
        if settings.flip_test:
            raise UsageError(f"{network.name} gives people, which a flip test cannot average; leave out --flip-test")
        if settings.grouping not in (None, TRACKED_GROUPING):
            raise UsageError(f"{network.name} gives people, whose keypoints are grouped already; leave out --grouping")
        self.name = network.name
        self.engine = network.engine
        self.note = network.note
        self.skeleton = network.skeleton
        self.keypoint_threshold = KEYPOINT_THRESHOLD
        self._network = network
        self._reader = OutputReader(network, family)
        self._decode = decode
        self._least_score = settings.least_score

    def find(self, images: Sequence[Image]) -> list[Poses]:
        """The people of each image (H, W, 3) uint8 BGR, best first, in boxes inside it.

        The score of a keypoint is how sure the network is that it is in sight, 0 of one that is missing. Images of one
        size are run together, in parts where memory does not suffice. Raises ModelError for outputs of other shapes or
        values that are not finite, DeviceError when memory does not even suffice for one image.
        """
        if len({image.shape for image in images}) > 1:
            return [poses for image in images for poses in self.find([image])]
        if not images:
            return []
        image_wh = images[0].shape[1], images[0].shape[0]
        size_wh = self._input_wh(image_wh)
        matrix = fit_in_middle(image_wh, size_wh)
        outputs = self._reader.read(
            np.concatenate([warp_crops(image, matrix, size_wh, outside=_PADDING) for image in images])
        )
        of_each = ({name: values[row] for name, values in outputs.items()} for row in range(len(images)))
        to_image = invert_matrices(matrix)
        return [_in_image(self._decode(one, self._network, self._least_score), to_image, image_wh) for one in of_each]

    def _input_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        height, width = self._network.input_size_hw
        if not self._network.has_open_size:
            return width, height
        stride = 64 if self._network.metadata.get("stride") == "64" else 32
        return padded_size_wh(image_wh, max(height, width), stride)


def one_pass_family(decode: Decode, **facts: Any) -> WholePictureFamily:
    """The family of networks that give people whom `decode` reads; facts: as of `PoseFamily`."""

    def finder(network: PoseNetwork, settings: FinderSettings) -> OnePassEstimator:
        return OnePassEstimator(network, family, decode, settings)

    family = WholePictureFamily(finder=finder, **facts)
    return family


def _in_image(poses: Poses, to_image: DoubleArray, image_wh: tuple[int, int]) -> Poses:
    """People in pixels of the input as such in pixels of the image, without those of whose boxes it has nothing."""
    keypoints = transform_points(to_image, poses.keypoints).astype(np.float32)
    corners = transform_points(to_image, poses.boxes.reshape(-1, 2, 2)).astype(np.float32)
    boxes = clip_boxes(corners.reshape(-1, 4), image_wh)
    present = poses.scores > 0
    moved = replace(
        poses,
        keypoints=np.where(present[..., None], keypoints, np.float32(np.nan)),
        scores=np.where(present, poses.scores, np.float32(0)),
        boxes=boxes,
    )
    return moved[np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))]
