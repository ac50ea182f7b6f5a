"""What every format holds or drops: facts of the run, and frames with people and ids."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from tracker.skeletons import Skeleton, convert_keypoints
from tracker.types import Origin, TrackedPoses

Fact: TypeAlias = Literal[
    "times",
    "frames without people",
    "keypoints",
    "keypoints beyond the left or upper edge",
    "boxes",
    "people without a box",
    "box scores",
    "who was carried by flow",
    "similarities",
    "who is unconfirmed",
    "the original track ids",
    "the picture's size",
    "the frame rate",
    "the source",
    "the settings",
]


@dataclass(frozen=True)
class Header:
    """Facts of a run that belong to its results.

    source: name of the input, empty where unknown. size_wh: pixels, None where unknown. fps: frames per second,
    None where unknown. settings: JSON values.
    """

    skeleton: Skeleton
    source: str
    size_wh: tuple[int, int] | None
    fps: float | None
    settings: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The header as JSON values: the skeleton by its name and keypoint names, the size as width and height."""
        return {
            "skeleton": self.skeleton.name,
            "keypoint_names": list(self.skeleton.keypoint_names),
            "source": self.source,
            "size": None if self.size_wh is None else list(self.size_wh),
            "fps": self.fps,
            "settings": self.settings,
        }


class Moment(Protocol):
    """Which frame: its index from 0, and its time in seconds, NaN where unknown."""

    @property
    def index(self) -> int: ...

    @property
    def time_s(self) -> float: ...


@dataclass(frozen=True)
class FrameResult:
    """The people of one frame; index and time_s are those of `Moment`."""

    index: int
    time_s: float
    tracked: TrackedPoses


@dataclass(frozen=True)
class Results:
    """What a results file says: frames by rising index, those without people among them where the format has them.

    What a format does not hold has a value that says so: times and similarities NaN, box scores 1, everybody
    detected and confirmed, boxes around the keypoints.
    """

    header: Header
    frames: tuple[FrameResult, ...]

    def in_skeleton(self, skeleton: Skeleton) -> Results:
        """The same with keypoints of another skeleton, mapped by name."""
        old = self.header.skeleton
        frames = (replace(frame, tracked=convert_people(frame.tracked, old, skeleton)) for frame in self.frames)
        return Results(replace(self.header, skeleton=skeleton), tuple(frames))

    def lost_in(self, drops: frozenset[Fact], skeleton: Skeleton | None) -> list[str]:
        """Names of what these results have and a format cannot hold, keypoints that its skeleton lacks included."""
        lost: list[str] = [name for name, is_in in _IS_IN.items() if name in drops and is_in(self)]
        if skeleton and _any(self, _has_keypoints):
            lost += missing_in(skeleton, self.header.skeleton)
        return lost


def convert_people(tracked: TrackedPoses, source: Skeleton, target: Skeleton) -> TrackedPoses:
    """The same people with keypoints of another skeleton, mapped by name."""
    if source is target:
        return tracked
    keypoints, scores = convert_keypoints(tracked.poses.keypoints, tracked.poses.scores, source, target)
    return replace(tracked, poses=replace(tracked.poses, keypoints=keypoints, scores=scores))


def missing_in(target: Skeleton, source: Skeleton) -> list[str]:
    """Names of the keypoints of a skeleton that find no place in another."""
    numbers = np.arange(source.num_keypoints, dtype=np.float64)
    moved, _ = convert_keypoints(np.stack([numbers, numbers], axis=1), numbers, source, target)
    return [name for number, name in enumerate(source.keypoint_names) if number not in moved[:, 0]]


def _any(results: Results, is_so: Callable[[TrackedPoses], Any]) -> bool:
    return any(is_so(frame.tracked) for frame in results.frames)


def _has_keypoints(tracked: TrackedPoses) -> bool:
    return bool(np.isfinite(tracked.poses.keypoints).any())


def _ids_change(results: Results) -> bool:
    """Whether numbering the ids by first appearance, from 0, gives others."""
    ids = [track_id for frame in results.frames for track_id in frame.tracked.track_ids.tolist()]
    return list(dict.fromkeys(ids)) != list(range(len(set(ids))))


# Whether results have something that a reader would not assume without being told.
_IS_IN: Mapping[Fact, Callable[[Results], bool]] = MappingProxyType(
    {
        "times": lambda results: any(math.isfinite(frame.time_s) for frame in results.frames),
        "frames without people": lambda results: _any(results, lambda tracked: not len(tracked)),
        "keypoints": lambda results: _any(results, _has_keypoints),
        "keypoints beyond the left or upper edge": lambda results: _any(
            results, lambda tracked: (tracked.poses.keypoints.round(2) <= 0).any()
        ),
        "boxes": lambda results: _any(results, lambda tracked: np.isfinite(tracked.poses.boxes).any()),
        "people without a box": lambda results: _any(results, lambda tracked: np.isnan(tracked.poses.boxes).any()),
        "box scores": lambda results: _any(results, lambda tracked: (tracked.poses.box_scores != 1).any()),
        "who was carried by flow": lambda results: _any(
            results, lambda tracked: (tracked.poses.origin != Origin.DETECTED).any()
        ),
        "similarities": lambda results: _any(results, lambda tracked: np.isfinite(tracked.similarities).any()),
        "who is unconfirmed": lambda results: _any(results, lambda tracked: (~tracked.confirmed).any()),
        "the original track ids": _ids_change,
        "the picture's size": lambda results: results.header.size_wh is not None,
        "the frame rate": lambda results: results.header.fps is not None,
        "the source": lambda results: results.header.source != "",
        "the settings": lambda results: bool(results.header.settings),
    }
)
