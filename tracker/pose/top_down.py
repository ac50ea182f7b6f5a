"""Top-down pose estimation: each person's box is cropped, and a network says where the keypoints are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.boxes import xyxy_to_xywh
from tracker.errors import ModelError
from tracker.pose.crops import centres_and_scales, crop_matrices, heatmap_to_image, warp_crops
from tracker.pose.family import OutputReader, Outputs, PoseNetwork, TopDownFamily
from tracker.pose.heatmap_family import HEATMAPS
from tracker.types import Candidates, DoubleArray, FloatArray, Image, Poses

# People per run of the network.
_MAX_BATCH = 32


@dataclass(frozen=True, eq=False)
class CropMaps:
    """What a network sees of N people, and what it says of them.

    crops: (N, H, W, 3) uint8 BGR. centres, scales: (N, 2), the regions of the image, as of `centres_and_scales`.
    outputs: those of the family.
    """

    crops: Image
    centres: FloatArray
    scales: FloatArray
    outputs: Outputs
    family: TopDownFamily

    @property
    def heatmaps(self) -> FloatArray:
        """(N, K, h, w); those of nobody have no cells."""
        return self.family.draw(self.outputs) if len(self.crops) else self.outputs["nobody"]

    @property
    def heatmap_wh(self) -> tuple[int, int]:
        """Width and height of a heatmap in cells."""
        return self.heatmaps.shape[3], self.heatmaps.shape[2]

    @property
    def to_heatmaps(self) -> DoubleArray:
        """(N, 2, 3), from pixels of the image to cells."""
        return crop_matrices(self.centres, self.scales, self.heatmap_wh, udp=self.family.udp)

    def keypoints(self) -> tuple[FloatArray, FloatArray]:
        """(N, K, 2) pixels of the image, and scores (N, K), 0 or less where one is missing.

        Raises ModelError where width and height in cells do not go together as those of the crop do.
        """
        cells, scores, grid_wh = self.family.decode(self.outputs)
        height, width = self.crops.shape[1:3]
        if grid_wh[0] * height != grid_wh[1] * width:
            raise ModelError(
                f"the pose network gives {grid_wh[0]}×{grid_wh[1]} cells for crops of {width}×{height} px, which do "
                f"not go together as {self.family.signature} do; name another model"
            )
        return heatmap_to_image(cells, self.centres, self.scales, grid_wh, udp=self.family.udp), scores


class TopDownEstimator:
    """A `PoseEstimator` around a network of crops, with its family's crops; flip_test: look at mirrored crops, too."""

    def __init__(self, network: PoseNetwork, family: TopDownFamily = HEATMAPS, *, flip_test: bool = False) -> None:
        self.name = network.name
        self.engine = network.engine
        self.note = network.note
        self.skeleton = network.skeleton
        self._input_size_wh = network.input_size_hw[1], network.input_size_hw[0]
        self._family = family
        self._reader = OutputReader(network, family)
        self._flip_test = flip_test

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        """One pose per candidate box, in the same order, of an image (H, W, 3) uint8 BGR.

        The score of a keypoint is the height of its peak, which may exceed 1. A keypoint without a peak above 0 is
        missing, and so is every keypoint of a box that is not finite or has no size. Crops that the memory does not
        suffice for are run in parts. Raises ModelError when the network gives outputs of another shape or values that
        are not finite, DeviceError when the memory does not even suffice for one crop.
        """
        keypoints = np.full((len(candidates), self.skeleton.num_keypoints, 2), np.nan, np.float32)
        scores = np.zeros(keypoints.shape[:2], np.float32)
        boxes_xywh = xyxy_to_xywh(candidates.boxes.astype(np.float64))
        sizes_wh = boxes_xywh[:, 2:]
        has_size = (sizes_wh >= 0).all(axis=1) & (sizes_wh > 0).any(axis=1)
        usable = np.flatnonzero(np.isfinite(boxes_xywh).all(axis=1) & has_size)
        for start in range(0, len(usable), _MAX_BATCH):
            rows = usable[start : start + _MAX_BATCH]
            positions, peaks = self.look(image, boxes_xywh[rows]).keypoints()
            present = peaks > 0
            keypoints[rows] = np.where(present[..., None], positions, np.nan)
            scores[rows] = np.where(present, peaks, 0)
        return Poses.in_boxes(candidates, keypoints, scores)

    def look(self, image: Image, boxes_xywh: npt.NDArray[Any]) -> CropMaps:
        """The crops around boxes (N, 4), which must be finite and have a size, and what the network says of them.

        Raises ModelError and DeviceError as `estimate` does.
        """
        centres, scales = centres_and_scales(boxes_xywh, self._input_size_wh)
        matrices = crop_matrices(centres, scales, self._input_size_wh, udp=self._family.udp)
        crops = warp_crops(image, matrices, self._input_size_wh)
        return CropMaps(crops, centres, scales, self._outputs(crops), self._family)

    def _outputs(self, crops: Image) -> Outputs:
        if not len(crops):
            return {"nobody": np.zeros((0, self.skeleton.num_keypoints, 0, 0), np.float32)}
        outputs = self._reader.read(crops)
        if not self._flip_test:
            return outputs
        return self._family.average(outputs, self._reader.read(crops[:, :, ::-1]), self.skeleton.flip_order)
