"""What people look like, as vectors that can be compared: colours of the torso, or what a network makes of a crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tracker.errors import ModelError, UsageError, refuse_others
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.runtime import OnnxNetwork
from tracker.skeletons import Skeleton
from tracker.types import Appearance, BoolArray, FloatArray, Image, Poses

# Least score of a keypoint next to which colours are looked up.
_LEAST_SCORE = 0.4
# Pixels of a torso that are looked at, across and down, and how far they stay from its rim, as a share of its sides.
_GRID, _RIM = (14, 20), 0.08
# How far across a corner is believed: so far if the one beside it is not seen, which something may hide.
_HALF, _NARROW = 0.5, 0.3
# Bins of lightness and of the two colour axes of CIE Lab, which clothes fill from 64 to 191 alone.
_BINS, _RANGES = (3, 16, 16), (0.0, 256, 64, 192, 64, 192)
_NUM_BINS = 3 * 16 * 16

# What networks that tell people apart are fed.
_CROP_WH = (128, 256)
_MEAN, _STD = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)


def load_appearance(
    appearance: Appearance | str | Path | None, skeleton: Skeleton, device: str = "auto", num_threads: int = 0
) -> Appearance | None:
    """What is named: `colour`, or a network's .onnx file; None for None or `off`; an object is taken as it is.

    Raises as `Embedder` does.
    """
    if appearance is None or appearance == "off":
        return None
    if not isinstance(appearance, str | Path):
        refuse_others("colour, a file, or an object that has `features`", "features", appearance=appearance)
        return appearance
    return TorsoColours(skeleton) if appearance == "colour" else Embedder(Path(appearance), device, num_threads)


class TorsoColours:
    """Histograms of the colours between shoulders and hips; of a skeleton without them there are none."""

    name = "colours of torsos"

    def __init__(self, skeleton: Skeleton) -> None:
        names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
        self._corners = [skeleton.index(name) for name in names if name in skeleton.keypoint_names]

    def features(self, image: Image, poses: Poses) -> FloatArray:
        """(N, 768) of N people in a picture (H, W, 3) BGR: vectors of length 1, NaN of whom no corner is seen.

        A corner that is not seen leaves its quarter out. Products are Bhattacharyya coefficients, 1 for equal colours.
        """
        features = np.full((len(poses), _NUM_BINS), np.nan, np.float32)
        if len(self._corners) == 4:
            corners, seen = poses.keypoints[:, self._corners], poses.scores[:, self._corners] >= _LEAST_SCORE
            for row in np.flatnonzero(seen.any(axis=1) & np.isfinite(corners).all(axis=(1, 2))):
                features[row] = _histogram(image, corners[row], seen[row])
        return features


def _histogram(image: Image, corners: FloatArray, seen: BoolArray) -> FloatArray:
    """(768,): root of the smoothed histogram of what is seen of a torso; NaN where that is outside the picture.

    corners: (4, 2) pixels, left and right of the shoulders, then of the hips. seen: (4,) likewise.
    """
    across, down = (np.linspace(_RIM, 1 - _RIM, n, dtype=np.float32) for n in _GRID)
    left, right = (side[0] + down[:, None] * (side[1] - side[0]) for side in (corners[::2], corners[1::2]))
    places = left[:, None] + across[:, None] * (right - left)[:, None]
    x, y = np.rint(places).astype(np.int64).reshape(-1, 2).T
    pairs = seen.reshape(2, 2)
    reach = pairs * np.where(pairs[:, ::-1], _HALF, _NARROW)
    reach = reach[(down > _HALF).astype(np.int64)]  # of the left and the right corner, in each row of the grid
    looked_at = ((across <= reach[:, :1]) | (1 - across <= reach[:, 1:])).ravel()
    looked_at &= (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    if not looked_at.any():
        return np.full(_NUM_BINS, np.nan, np.float32)
    lab = cv2.cvtColor(image[y[looked_at], x[looked_at]][None], cv2.COLOR_BGR2LAB)
    np.clip(lab[..., 1:], 64, 191, out=lab[..., 1:])
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_BINS), list(_RANGES))
    smooth = cv2.GaussianBlur(counts.transpose(1, 2, 0), (3, 3), 0.8).ravel()
    return np.asarray(np.sqrt(smooth / smooth.sum()), np.float32)


class Embedder:
    """A network that tells people apart: crops 256 high and 128 wide in, RGB in ImageNet's statistics, vectors out.

    Raises ModelError for a file that is missing or none of such a network, UsageError for one that is no .onnx file,
    and, as `features` does, the errors of `OnnxNetwork`.
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int = 0) -> None:
        if path.suffix != ".onnx":
            raise UsageError(f"appearance {path} is none; take off, colour or the .onnx file of a network")
        self._network = OnnxNetwork(path, device, num_threads)
        self.name = f"{path.name}, {self._network.engine}"
        shapes = [info.shape for info in (*self._network.inputs, *self._network.outputs)]
        sizes = (3, *_CROP_WH[::-1])
        fits = [len(shape) for shape in shapes] == [4, 2]
        if not fits or any(size not in (None, fixed) for size, fixed in zip(shapes[0][1:], sizes, strict=True)):
            tensors = "; ".join(map(str, (*self._network.inputs, *self._network.outputs)))
            raise ModelError(f"{path} tells no people apart: [n, 3, 256, 128] in, [n, d] out, not {tensors}")
        self._batch = shapes[0][0]

    def features(self, image: Image, poses: Poses) -> FloatArray:
        """(N, D) of N people in a picture (H, W, 3) BGR: vectors of length 1, NaN of whose box nothing is inside."""
        limits = np.tile(image.shape[1::-1], 2)
        boxes = np.clip(np.rint(np.nan_to_num(poses.boxes)).astype(np.int64), 0, limits)
        rows = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        found = self._embed(np.stack([_crop(image, box) for box in boxes[rows].tolist()])) if len(rows) else None
        features = np.full((len(poses), 0 if found is None else found.shape[1]), np.nan, np.float32)
        if found is not None:
            lengths = np.linalg.norm(found, axis=1, keepdims=True)
            features[rows] = np.where(lengths > 0, found / np.maximum(lengths, 1e-12), np.nan)
        return features

    def _embed(self, crops: FloatArray) -> FloatArray:
        size = self._batch or len(crops)
        padded = np.concatenate([crops, np.zeros((-len(crops) % size, *crops.shape[1:]), np.float32)])
        parts = [self._network.run(padded[start : start + size])[0] for start in range(0, len(padded), size)]
        return np.concatenate(parts)[: len(crops)].astype(np.float32)


def _crop(image: Image, box: list[int]) -> FloatArray:
    """(3, 256, 128): what a network is fed of a box, xyxy whole pixels inside the picture."""
    x1, y1, x2, y2 = box
    resized = np.asarray(cv2.resize(image[y1:y2, x1:x2], _CROP_WH, interpolation=cv2.INTER_LINEAR), np.float32)
    return np.ascontiguousarray(((resized[..., ::-1] - _MEAN) / _STD).transpose(2, 0, 1))
