"""Skeletons: the keypoints of a person, their order, edges, mirror pairs and OKS sigmas."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

_FINE = re.compile("face|hand|thumb|finger|toe|heel")
# The mean of COCO's sigmas, for keypoints whose own nobody measured.
_USUAL_SIGMA = 0.067


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A set of keypoints: one of `SKELETONS`, or one's own.

    keypoint_names: K names, all different. edges, flip_pairs: pairs of indices; a flip pair is (left, right) or
    (right, left), and without any those are that are named left_… and right_…. sigmas: (K,) float64, the per-keypoint
    constants of OKS; without any they are COCO's for its keypoints, and 0.067, the mean of these, for all others: a
    guess, which tells near from far but is not measured. Raises ValueError for what makes no sense.

    >>> Skeleton("pen3", ("left_end", "right_end", "middle"), edges=((0, 2), (2, 1))).flip_pairs
    ((0, 1),)
    """

    name: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        names = tuple(self.keypoint_names)
        if not names or "" in names or len(set(names)) < len(names):
            raise ValueError(f"{self.name}: keypoint_names must be one or more names, all different")
        sigmas = np.array(self.sigmas, np.float64)
        made = {
            "keypoint_names": names,
            "edges": _pairs(self.edges, names, "edges"),
            "flip_pairs": _pairs(self.flip_pairs, names, "flip_pairs") or _pairs_by_side(names),
            "sigmas": sigmas if sigmas.size else _sigmas(names),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)
        if self.sigmas.shape != (len(names),) or not ((self.sigmas > 0) & np.isfinite(self.sigmas)).all():
            raise ValueError(f"{self.name}: sigmas must be {len(names)} numbers above 0")
        if len({place for pair in self.flip_pairs for place in pair}) < 2 * len(self.flip_pairs):
            raise ValueError(f"{self.name}: a keypoint must be in one of flip_pairs only")
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

    @property
    def body(self) -> npt.NDArray[np.int64]:
        """(M,): the keypoints without those of face, fingers, toes and heels, many in a small place, beside a body.

        >>> HALPE_26.body.tolist() == list(range(20)), len(WHOLEBODY_133.body), len(HAND_21.body)
        (True, 17, 21)
        """
        coarse = [place for place, name in enumerate(self.keypoint_names) if not _FINE.search(name)]
        has_body = any("shoulder" in name for name in self.keypoint_names)
        return np.array(coarse if has_body else range(self.num_keypoints), np.int64)

    def index(self, keypoint_name: str) -> int:
        """Position of a keypoint; ValueError if the skeleton has none of that name."""
        return self.keypoint_names.index(keypoint_name)

    def as_json(self) -> dict[str, Any]:
        """What `skeleton_of` takes, as JSON values: the whole table, of a known skeleton its names alone."""
        table: dict[str, Any] = {"name": self.name, "keypoint_names": list(self.keypoint_names)}
        if SKELETONS.get(self.name) is self:
            return table
        edges, flip_pairs = ([list(pair) for pair in pairs] for pairs in (self.edges, self.flip_pairs))
        return table | {"edges": edges, "flip_pairs": flip_pairs, "sigmas": self.sigmas.tolist()}


def _pairs(pairs: Sequence[Any], names: tuple[str, ...], what: str) -> tuple[tuple[int, int], ...]:
    """Pairs of two keypoints each, given by index or by name, as indices."""
    known = {key: place for place, name in enumerate(names) for key in (name, place)}
    try:
        found = tuple((known[first], known[second]) for first, second in pairs)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{what} must be pairs of keypoints, by name or as indices below {len(names)}") from error
    if any(first == second for first, second in found):
        raise ValueError(f"{what} must be pairs of two different keypoints")
    return found


# Names of the same point in other skeletons, tried in order when converting by name. The neck of most data
# sets is the point between the shoulders; PoseTrack calls its upper end head_bottom, MPII upper_neck. The point between
# the hips is MPII's pelvis and Halpe's hip.
_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neck": ("neck", "upper_neck", "head_bottom"),
        "upper_neck": ("upper_neck", "head_bottom", "neck"),
        "head_bottom": ("head_bottom", "upper_neck", "neck"),
        "head_top": ("head_top", "head"),
        "head": ("head", "head_top"),
        "pelvis": ("pelvis", "hip"),
        "hip": ("hip", "pelvis"),
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
    parts = {name: name.removeprefix("left_").removeprefix("right_") for name in keypoint_names}
    return np.array([table.get(name, table.get(part, _USUAL_SIGMA)) for name, part in parts.items()])


def _sided(*parts: str) -> tuple[str, ...]:
    """left_a, right_a, left_b, right_b, …

    >>> _sided("hip", "knee")
    ('left_hip', 'right_hip', 'left_knee', 'right_knee')
    """
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


def _pairs_by_side(keypoint_names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(lower, higher) index of each keypoint that exists on both sides."""
    pairs = []
    for i, name in enumerate(keypoint_names):
        side, _, part = name.partition("_")
        other = {"left": f"right_{part}", "right": f"left_{part}"}.get(side)
        if other in keypoint_names[i:]:
            pairs.append((i, keypoint_names.index(other)))
    return tuple(pairs)


def _edges(text: str) -> tuple[tuple[int, int], ...]:
    return tuple((int(a), int(b)) for a, b in (pair.split("-") for pair in text.split(",")))


def _skeleton(name: str, keypoint_names: tuple[str, ...], edges: str, **special_sigmas: float) -> Skeleton:
    return Skeleton(name, keypoint_names, _edges(edges), sigmas=_sigmas(keypoint_names, **special_sigmas))


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

_FEET = _sided("big_toe", "small_toe", "heel")
HALPE_26 = _skeleton(
    "halpe26",
    (*_COCO_NAMES, "head", "neck", "hip", *_FEET),
    "15-13,13-11,11-19,16-14,14-12,12-19,17-18,18-19,18-5,5-7,7-9,18-6,6-8,8-10,1-2,0-1,0-2,1-3,2-4,3-5,4-6,"
    "15-20,15-22,15-24,16-21,16-23,16-25",
    head=0.026, neck=0.026, hip=0.066, big_toe=0.079, small_toe=0.079, heel=0.079,
    left_hip=0.107, right_hip=0.107,
)  # fmt: skip

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND_NAMES = tuple(f"{finger}{number}" for finger in _FINGERS for number in range(1, 5))
# Of the wrist and of each finger from the palm to its tip, as COCO-WholeBody measured them.
_HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024,
    0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031,
)  # fmt: skip


def _hand_edges(wrist: str, side: str = "") -> tuple[tuple[str, str], ...]:
    """From the wrist along each finger."""
    chains = [[wrist, *(f"{side}{finger}{number}" for number in range(1, 5))] for finger in _FINGERS]
    return tuple(edge for chain in chains for edge in pairwise(chain))


_HAND = ("wrist", *_HAND_NAMES)
HAND_21 = Skeleton("hand21", _HAND, _pairs(_hand_edges("wrist"), _HAND, "edges"), sigmas=np.array(_HAND_SIGMAS))

_FACE_NAMES = tuple(f"face-{number}" for number in range(68))
# Ranges of the 68 points of a face that mirror themselves: jaw, brows, nose, lips; and the pairs of the eyes.
_FACE_RANGES = ((0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67))
_EYE_PAIRS = ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46))
_FACE_SIGMAS = (
    0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041,
    0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012,
    0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034,
    0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008,
    0.008, 0.008, 0.010, 0.008,
)  # fmt: skip


def _whole_body(name: str, body: Skeleton, sigmas: Sequence[float]) -> Skeleton:
    """A body, then a face, then both hands."""
    hands = [f"{side}_{part}" for side in ("left", "right") for part in ("hand_root", *_HAND_NAMES)]
    names = (*body.keypoint_names, *_FACE_NAMES, *hands)
    mirrored = (pair for low, high in _FACE_RANGES for pair in zip(range(low, high), range(high, low, -1), strict=True))
    face = (*((a, b) for a, b in mirrored if a < b), *_EYE_PAIRS)
    edges = (*body.edges, *_hand_edges("left_wrist", "left_"), *_hand_edges("right_wrist", "right_"))
    flips = (*_pairs_by_side(names), *((f"face-{a}", f"face-{b}") for a, b in face))
    return Skeleton(name, names, _pairs(edges, names, "edges"), _pairs(flips, names, "flip_pairs"), np.array(sigmas))


_FEET_LEFT_FIRST = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel"))
_FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_COCO_23 = _skeleton(
    "coco23",
    (*_COCO_NAMES, *_FEET_LEFT_FIRST),
    f"{_COCO_BODY},5-6,1-2,3-5,4-6,15-17,15-18,15-19,16-20,16-21,16-22",
)
WHOLEBODY_133 = _whole_body(
    "wholebody133", _COCO_23, (*COCO_17.sigmas, *_FOOT_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS)
)
HALPE_136 = _whole_body("halpe136", HALPE_26, (*COCO_17.sigmas, *3 * (0.08,), *6 * (0.089,), *110 * (0.015,)))

# Animals; those who published it measured no sigmas, and MMPose takes COCO's in COCO's order, not by name.
AP10K_17 = Skeleton(
    "ap10k17",
    (
        "left_eye", "right_eye", "nose", "neck", "root_of_tail",
        "left_shoulder", "left_elbow", "left_front_paw", "right_shoulder", "right_elbow", "right_front_paw",
        "left_hip", "left_knee", "left_back_paw", "right_hip", "right_knee", "right_back_paw",
    ),
    _edges("0-1,0-2,1-2,2-3,3-4,3-5,5-6,6-7,3-8,8-9,9-10,4-11,11-12,12-13,4-14,14-15,15-16"),
    sigmas=np.array([
        0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
        0.089,
    ]),
)  # fmt: skip

SKELETONS: Mapping[str, Skeleton] = MappingProxyType(
    {
        s.name: s
        for s in (
            *(COCO_17, BODY_19, POSETRACK_17, POSETRACK_15, MPII_16, CROWDPOSE_14),
            *(HALPE_26, WHOLEBODY_133, HALPE_136, HAND_21, AP10K_17),
        )
    }
)

# Whose keypoints they most likely are, where only their number is known; of numbers that several have, none.
USUAL_SKELETONS: Mapping[int, Skeleton] = MappingProxyType(
    {
        skeleton.num_keypoints: skeleton
        for skeleton in (COCO_17, CROWDPOSE_14, HALPE_26, HALPE_136, HAND_21, MPII_16, WHOLEBODY_133)
    }
)

# What a table may state of a skeleton.
_STATED = ("name", "keypoint_names", "edges", "flip_pairs", "sigmas")


def skeleton_of(stated: Any) -> Skeleton:
    """The skeleton that a name, a list of keypoints or a table states, which may be JSON text.

    A table has keypoint_names and, if wanted, name, edges, flip_pairs and sigmas, as `Skeleton` has them; ends of edges
    may be named. Names of a known skeleton, with nothing else stated, are that one, and a `Skeleton` is itself. Raises
    ValueError for all else.

    >>> skeleton_of({"keypoint_names": ["head", "tail"], "edges": [["head", "tail"]]}).edges
    ((0, 1),)
    """
    if isinstance(stated, Skeleton):
        return stated
    if isinstance(stated, str) and stated in SKELETONS:
        return SKELETONS[stated]
    if isinstance(stated, str) and not stated.lstrip().startswith(("[", "{")):
        raise ValueError(f"unknown skeleton {stated!r}; known: {', '.join(SKELETONS)}")
    table = json.loads(stated) if isinstance(stated, str) else stated
    table = table if isinstance(table, Mapping) else {"keypoint_names": table}
    names = table.get("keypoint_names")
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("a skeleton must have keypoint_names, a list of names")
    if unknown := table.keys() - {*_STATED}:
        raise ValueError(f"a skeleton has no {min(unknown)}; it has {', '.join(_STATED)}")
    if table.keys() <= {"name", "keypoint_names"}:
        for known in SKELETONS.values():
            if known.keypoint_names == tuple(names):
                return known
    return Skeleton(**{"name": f"own{len(names)}", **table, "keypoint_names": tuple(names)})


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
