"""Skeletons: the keypoints of a person, their order, edges, mirror pairs and OKS sigmas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A set of keypoints.

    keypoint_names: K names. edges, flip_pairs: pairs of indices; a flip pair is (left, right) or
    (right, left). sigmas: (K,) float64, the per-keypoint constants of OKS.
    """

    name: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.sigmas.shape != (len(self.keypoint_names),):
            raise ValueError(f"{self.name}: {len(self.keypoint_names)} keypoints, sigmas {self.sigmas.shape}")
        self.sigmas.setflags(write=False)

    @property
    def num_keypoints(self) -> int:
        """K."""
        return len(self.keypoint_names)

    @property
    def flip_order(self) -> npt.NDArray[np.int64]:
        """(K,): index of the keypoint that stands in each one's place in the mirrored image."""
        order = np.arange(self.num_keypoints)
        for a, b in self.flip_pairs:
            order[[a, b]] = b, a
        return order

    def index(self, keypoint_name: str) -> int:
        """Position of a keypoint; ValueError if the skeleton has none of that name."""
        return self.keypoint_names.index(keypoint_name)


# Names of the same point in other skeletons, tried in order when converting by name. The neck of most data
# sets is the point between the shoulders; PoseTrack calls its upper end head_bottom, MPII upper_neck.
_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neck": ("neck", "upper_neck", "head_bottom"),
        "upper_neck": ("upper_neck", "head_bottom", "neck"),
        "head_bottom": ("head_bottom", "upper_neck", "neck"),
        "head_top": ("head_top", "head"),
        "head": ("head", "head_top"),
    }
)

# Sigmas by keypoint: COCO's, measured on redundantly annotated images.
_SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089,
    "neck": 0.08, "head_bottom": 0.08, "head_top": 0.06,
}  # fmt: skip


def _sigmas(keypoint_names: tuple[str, ...], **special: float) -> npt.NDArray[np.float64]:
    table = _SIGMAS | special
    parts = (name if name in table else name.split("_", 1)[-1] for name in keypoint_names)
    return np.array([table[part] for part in parts])


def _sided(*parts: str, first: str = "left", second: str = "right") -> tuple[str, ...]:
    """left_a, right_a, left_b, right_b, …

    >>> _sided("hip", "knee")
    ('left_hip', 'right_hip', 'left_knee', 'right_knee')
    """
    return tuple(f"{side}_{part}" for part in parts for side in (first, second))


def _pairs_by_side(keypoint_names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(lower, higher) index of each keypoint that exists on both sides."""
    pairs = []
    for i, name in enumerate(keypoint_names):
        side, _, part = name.partition("_")
        other = {"left": "right", "right": "left"}.get(side)
        if other and (j := keypoint_names.index(f"{other}_{part}")) > i:
            pairs.append((i, j))
    return tuple(pairs)


def _edges(text: str) -> tuple[tuple[int, int], ...]:
    return tuple((int(a), int(b)) for a, b in (pair.split("-") for pair in text.split(",")))


def _skeleton(name: str, keypoint_names: tuple[str, ...], edges: str, **special_sigmas: float) -> Skeleton:
    return Skeleton(
        name=name,
        keypoint_names=keypoint_names,
        edges=_edges(edges),
        flip_pairs=_pairs_by_side(keypoint_names),
        sigmas=_sigmas(keypoint_names, **special_sigmas),
    )


_LIMBS = _sided("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_COCO_NAMES = ("nose", *_sided("eye", "ear"), *_LIMBS)
_COCO_BODY = "15-13,13-11,16-14,14-12,11-12,5-11,6-12,5-7,6-8,7-9,8-10,0-1,0-2,1-3,2-4"

COCO_17 = _skeleton("coco17", _COCO_NAMES, f"{_COCO_BODY},5-6,1-2,3-5,4-6")

BODY_19 = _skeleton("body19", (*_COCO_NAMES, "neck", "head_top"), f"{_COCO_BODY},17-5,17-6,17-0,0-18")

POSETRACK_17 = _skeleton(
    "posetrack17",
    ("nose", "head_bottom", "head_top", *_sided("ear"), *_LIMBS),
    "15-13,13-11,16-14,14-12,11-12,5-11,6-12,5-6,5-7,6-8,7-9,8-10,1-2,0-1,0-2,1-3,2-4,3-5,4-6",
)

POSETRACK_15 = _skeleton(
    "posetrack15",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "head_bottom", "nose", "head_top",
    ),
    "0-1,1-2,2-3,3-4,4-5,6-7,7-8,8-12,12-9,9-10,10-11,8-2,9-3,8-9,12-13,13-14",
)  # fmt: skip

MPII_16 = _skeleton(
    "mpii16",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "pelvis", "thorax", "upper_neck", "head_top",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    ),
    "0-1,1-2,2-6,6-3,3-4,4-5,6-7,7-8,8-9,8-12,12-11,11-10,8-13,13-14,14-15",
    pelvis=0.026, thorax=0.026, upper_neck=0.026, head_top=0.026, shoulder=0.179, knee=0.083,
)  # fmt: skip

CROWDPOSE_14 = _skeleton(
    "crowdpose14",
    (*_LIMBS, "head", "neck"),
    "12-13,13-0,13-1,0-1,0-6,1-7,6-7,0-2,2-4,1-3,3-5,6-8,8-10,7-9,9-11",
    head=0.079,
    neck=0.079,
)

SKELETONS: Mapping[str, Skeleton] = MappingProxyType(
    {s.name: s for s in (COCO_17, BODY_19, POSETRACK_17, POSETRACK_15, MPII_16, CROWDPOSE_14)}
)


def skeleton_of(name: str) -> Skeleton:
    """The skeleton of that name; ValueError with the known names otherwise."""
    if name not in SKELETONS:
        raise ValueError(f"unknown skeleton {name!r}; known: {', '.join(SKELETONS)}")
    return SKELETONS[name]


def convert_keypoints(
    keypoints: npt.NDArray[Any], scores: npt.NDArray[Any], source: Skeleton, target: Skeleton
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Keypoints of one skeleton in the order of another, matched by name.

    keypoints: (…, K, 2) pixels. scores: (…, K). Returns the same with the target's K; a keypoint that the
    source does not have is NaN with score 0. Neck and head top are also found under their other names.
    """
    moved = np.full((*keypoints.shape[:-2], target.num_keypoints, 2), np.nan, keypoints.dtype)
    moved_scores = np.zeros((*scores.shape[:-1], target.num_keypoints), scores.dtype)
    for to, name in enumerate(target.keypoint_names):
        for candidate in _SYNONYMS.get(name, (name,)):
            if candidate in source.keypoint_names:
                at = source.index(candidate)
                moved[..., to, :] = keypoints[..., at, :]
                moved_scores[..., to] = scores[..., at]
                break
    return moved, moved_scores
