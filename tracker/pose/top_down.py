"""Top-down pose estimation: each person's box is cropped, and a network gives one heatmap per keypoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracker.boxes import xyxy_to_xywh
from tracker.errors import ModelError
from tracker.pose.crops import centres_and_scales, crop_matrices, heatmap_to_image, warp_crops
from tracker.pose.heatmaps import average_flipped, decode_heatmaps
from tracker.runtime import SplittingRunner
from tracker.skeletons import Skeleton
from tracker.types import Candidates, DoubleArray, FloatArray, Image, Poses


class HeatmapNetwork(Protocol):
    """A network that turns crops into heatmaps; `name`, `engine` and `note` are those of `PoseEstimator`.

    input_size_wh: width and height of a crop, in pixels.
    """

    name: str
    engine: str
    note: str | None
    skeleton: Skeleton
    input_size_wh: tuple[int, int]

    def heatmaps(self, crops: Image) -> FloatArray:
        """Heatmaps (N, K, h, w) of crops (N, H, W, 3) uint8 BGR, N at least 1."""


@dataclass(frozen=True, eq=False)
class CropMaps:
    """What a network sees of N people, and what it says of them.

    crops: (N, H, W, 3) uint8 BGR. heatmaps: (N, K, h, w). centres, scales: (N, 2), the regions of the image, as of
    `centres_and_scales`.
    """

    crops: Image
    heatmaps: FloatArray
    centres: FloatArray
    scales: FloatArray

    @property
    def heatmap_wh(self) -> tuple[int, int]:
        """Width and height of a heatmap in cells."""
        return self.heatmaps.shape[3], self.heatmaps.shape[2]

    @property
    def to_heatmaps(self) -> DoubleArray:
        """(N, 2, 3), from pixels of the image to cells."""
        return crop_matrices(self.centres, self.scales, self.heatmap_wh)


class TopDownEstimator:
    """A `PoseEstimator` around a heatmap network, with the published crops and decoding.

    flip_test: average with the heatmaps of the mirrored crops. max_batch: people per run of the network.
    """

    def __init__(self, network: HeatmapNetwork, *, flip_test: bool = False, max_batch: int = 32) -> None:
        self.name = network.name
        self.engine = network.engine
        self.note = network.note
        self.skeleton = network.skeleton
        self._network = network
        self._runner = SplittingRunner(network.heatmaps)
        self._flip_test = flip_test
        self._max_batch = max_batch

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        """One pose per candidate box, in the same order, of an image (H, W, 3) uint8 BGR.

        The score of a keypoint is the height of its peak. A keypoint without a peak above 0 is missing, and
        so is every keypoint of a box that is not finite or has no size. Crops that the memory does not suffice for
        are run in parts. Raises ModelError when the network gives heatmaps of another shape or values that are not
        finite, DeviceError when the memory does not even suffice for one crop.
        """
        keypoints = np.full((len(candidates), self.skeleton.num_keypoints, 2), np.nan, np.float32)
        scores = np.zeros(keypoints.shape[:2], np.float32)
        boxes_xywh = xyxy_to_xywh(candidates.boxes.astype(np.float64))
        sizes_wh = boxes_xywh[:, 2:]
        has_size = (sizes_wh >= 0).all(axis=1) & (sizes_wh > 0).any(axis=1)
        usable = np.flatnonzero(np.isfinite(boxes_xywh).all(axis=1) & has_size)
        for start in range(0, len(usable), self._max_batch):
            rows = usable[start : start + self._max_batch]
            positions, peaks = self._estimate_batch(image, boxes_xywh[rows])
            present = peaks > 0
            keypoints[rows] = np.where(present[..., None], positions, np.nan)
            scores[rows] = np.where(present, peaks, 0)
        return Poses.in_boxes(candidates, keypoints, scores)

    def look(self, image: Image, boxes_xywh: npt.NDArray[Any]) -> CropMaps:
        """The crops around boxes (N, 4), which must be finite and have a size, and their heatmaps.

        Those of nobody have no cells. Raises ModelError and DeviceError as `estimate` does.
        """
        size_wh = self._network.input_size_wh
        centres, scales = centres_and_scales(boxes_xywh, size_wh)
        crops = warp_crops(image, crop_matrices(centres, scales, size_wh), size_wh)
        nothing = np.zeros((0, self.skeleton.num_keypoints, 0, 0), np.float32)
        return CropMaps(crops, self._heatmaps(crops) if len(crops) else nothing, centres, scales)

    def _estimate_batch(self, image: Image, boxes_xywh: DoubleArray) -> tuple[FloatArray, FloatArray]:
        """Image positions (N, K, 2) and values (N, K) of the peaks."""
        maps = self.look(image, boxes_xywh)
        positions, peaks = decode_heatmaps(maps.heatmaps)
        return heatmap_to_image(positions, maps.centres, maps.scales, maps.heatmap_wh), peaks

    def _heatmaps(self, crops: Image) -> FloatArray:
        heatmaps = self._run(crops)
        if self._flip_test:
            mirrored = self._run(crops[:, :, ::-1])
            heatmaps = average_flipped(heatmaps, mirrored, self.skeleton.flip_order)
        return heatmaps

    def _run(self, crops: Image) -> FloatArray:
        parts = [part for _, part in self._runner.run(crops)]
        heatmaps = parts[0] if len(parts) == 1 else np.concatenate(parts)
        n, num_keypoints = len(crops), self.skeleton.num_keypoints
        if heatmaps.ndim != 4 or heatmaps.shape[:2] != (n, num_keypoints):
            raise ModelError(
                f"{self.name} gave {heatmaps.shape}, not heatmaps ({n}, {num_keypoints}, h, w); name another model"
            )
        if not np.isfinite(heatmaps).all():
            raise ModelError(
                f"{self.name} gave values that are not finite on {self.engine}; its file may be damaged, "
                "or half precision too narrow for it: try --device cpu"
            )
        return heatmaps
