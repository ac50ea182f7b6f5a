"""What every format holds: facts of the run, and frames with people and ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tracker.boxes import boxes_around
from tracker.errors import load_extra
from tracker.skeletons import Skeleton, convert_keypoints, skeleton_of
from tracker.types import Frame, Poses, TrackedPoses

# What formats may be unable to hold: facts of the run, and facts of how people were tracked.
FILES = "names of images"
NAMES = "names of people"
AT_FIRST = "ids and keypoints as they were at first"
EDITS = "edits of ids"
RUN_FACTS = frozenset({"the frame rate", "the source", "the settings", NAMES, AT_FIRST, EDITS})
TRACKING_FACTS = frozenset({"times", "who was carried by flow", "similarities", "who is unconfirmed"})


@dataclass(frozen=True)
class Header:
    """Facts of a run that belong to its results.

    source: name of the input, empty where unknown. size_wh: pixels, None where unknown. fps: frames per second,
    None where unknown. settings: JSON values. names: of people, by id. edits: what was changed in the ids, in the
    language of `tracker.after.edits`.
    """

    skeleton: Skeleton
    source: str = ""
    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    edits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "skeleton", skeleton_of(self.skeleton))

    def as_json(self) -> dict[str, Any]:
        """The header as JSON values: name and table of the skeleton, the size as width and height."""
        table = self.skeleton.as_json()
        edited = {"names": {str(track_id): name for track_id, name in self.names.items()}, "edits": list(self.edits)}
        return {
            "skeleton": table.pop("name"),
            **table,
            "source": self.source,
            "size": None if self.size_wh is None else list(self.size_wh),
            "fps": self.fps,
            "settings": self.settings,
            **{part: value for part, value in edited.items() if value},
        }


@dataclass(frozen=True)
class FrameResult:
    """The people of one frame.

    index, time_s and file: as `Frame` has them, time_s NaN where unknown. size_wh: None for that of the header.
    """

    index: int
    time_s: float
    tracked: TrackedPoses
    file: str | None = None
    size_wh: tuple[int, int] | None = None


# Which frame people are of, when they are written.
Moment: TypeAlias = Frame | FrameResult


@dataclass(frozen=True)
class Results:
    """What a results file says: frames by rising index, those without people among them where the format has them.

    warning: in one line, of what could not be read, None without. What a format does not hold has a value that says so:
    times and similarities NaN, box scores 1, everybody detected and confirmed, boxes around the keypoints. Whoever has
    no id has a negative one, another in each frame; without_ids: where the first of them stands, None without.
    """

    header: Header
    frames: tuple[FrameResult, ...]
    warning: str | None = None
    without_ids: str | None = None

    def in_skeleton(self, skeleton: Skeleton) -> Results:
        """The same with keypoints of another skeleton, mapped by name."""
        old = self.header.skeleton
        frames = (replace(frame, tracked=convert_people(frame.tracked, old, skeleton)) for frame in self.frames)
        return replace(self, header=replace(self.header, skeleton=skeleton), frames=tuple(frames))

    @property
    def track_ids(self) -> set[int]:
        """Everybody's ids."""
        return set(_ids_of([frame.tracked for frame in self.frames]))

    @property
    def absent_facts(self) -> set[str]:
        """Of what formats may be unable to hold, what is not there, so that nothing of it is lost."""
        people = [frame.tracked for frame in self.frames]
        present = _facts_of(self.header) | _facts_of_frames(self.frames) | _facts_of_poses(self._everybody())
        present["the original track ids"] = [*dict.fromkeys(_ids_of(people))] != [*range(len(self.track_ids))]
        return {fact for fact, is_present in present.items() if not is_present}

    def _everybody(self) -> Poses:
        nobody = Poses.empty(self.header.skeleton.num_keypoints)
        return Poses.join([nobody, *(frame.tracked.poses for frame in self.frames)])

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row per person and frame, by rising frame; frames without people have none.

        Columns: `frame`; `time_s`, NaN where unknown; `track_id`; `confirmed`; `score` of the pose; `x1`, `y1`, `x2`,
        `y2` of the box, pixels; then `NAME_x`, `NAME_y`, NaN where missing, and `NAME_score`, 0 where missing, of each
        keypoint. Numbers are float64 but for the whole ones, int64. DependencyError without pandas.
        """
        pandas = load_extra("pandas")
        everybody = self._everybody()
        keypoints = np.concatenate([everybody.keypoints, everybody.scores[:, :, None]], axis=2)
        parts = [f"{name}_{part}" for name in self.header.skeleton.keypoint_names for part in ("x", "y", "score")]
        columns = columns_of(self.frames, [frame.tracked for frame in self.frames], everybody)
        columns |= dict(zip(parts, keypoints.reshape(len(everybody), len(parts)).T, strict=True))
        single = {name: np.float64 for name, column in columns.items() if column.dtype == np.float32}
        return pandas.DataFrame(columns).astype(single)


def columns_of(
    moments: Sequence[Moment], people: Sequence[TrackedPoses], everybody: Poses
) -> dict[str, npt.NDArray[Any]]:
    """What tables say of each person of some frames, but for keypoints; everybody: all of their poses."""
    lengths = [len(tracked) for tracked in people]
    return {
        "frame": np.repeat(np.array([moment.index for moment in moments], np.int64), lengths),
        "time_s": np.repeat(np.array([moment.time_s for moment in moments], np.float64), lengths),
        "track_id": np.concatenate([np.zeros(0, np.int64), *(tracked.track_ids for tracked in people)]),
        "confirmed": np.concatenate([np.zeros(0, np.bool_), *(tracked.confirmed for tracked in people)]),
        "score": everybody.pose_scores(),
        **dict(zip(("x1", "y1", "x2", "y2"), everybody.boxes.T, strict=True)),
    }


def _ids_of(people: Sequence[TrackedPoses]) -> list[int]:
    return [track_id for tracked in people for track_id in tracked.track_ids.tolist()]


def _facts_of(header: Header) -> dict[str, bool]:
    """Which facts of a run are known."""
    return {
        "the frame rate": header.fps is not None,
        "the source": bool(header.source),
        "the settings": bool(header.settings),
        "the picture's size": header.size_wh is not None,
        NAMES: bool(header.names),
        EDITS: bool(header.edits),
    }


def _facts_of_frames(frames: Sequence[FrameResult]) -> dict[str, bool]:
    """Which facts of frames, and of how people were tracked, are in any of them."""
    people = [frame.tracked for frame in frames]
    return {
        FILES: any(frame.file for frame in frames),
        AT_FIRST: any(tracked.raw is not None or tracked.original_ids is not None for tracked in people),
        "sizes of single pictures": any(frame.size_wh for frame in frames),
        "frames without people": not all(map(len, people)),
        "times": not all(np.isnan(frame.time_s) for frame in frames),
        "similarities": any(np.isfinite(tracked.similarities).any() for tracked in people),
        "who is unconfirmed": not all(tracked.confirmed.all() for tracked in people),
    }


def _facts_of_poses(poses: Poses) -> dict[str, bool]:
    """Which facts of people are more than what their absence is read as."""
    around = boxes_around(poses.keypoints)
    return {
        "who was carried by flow": not poses.detected.all(),
        "boxes": not np.allclose(poses.boxes, around, rtol=0, atol=0.02, equal_nan=True),
        "box scores": bool((poses.box_scores != 1).any()),
        "scores": not np.isin(poses.scores, (0, 1)).all(),
        "keypoints": bool(poses.scores.any()),
        "keypoints beyond the left or upper edge": bool((poses.keypoints.round(2) <= 0).any()),
        "people without a box": not np.isfinite(poses.boxes).all(),
        "people without keypoints": not poses.scores.any(axis=1).all(),
    }


def convert_people(tracked: TrackedPoses, source: Skeleton, target: Skeleton) -> TrackedPoses:
    """The same people with keypoints of another skeleton, mapped by name."""
    if source is target:
        return tracked
    keypoints, scores = convert_keypoints(tracked.poses.keypoints, tracked.poses.scores, source, target)
    raw = tracked.raw
    if raw is not None:
        moved, their_scores = convert_keypoints(raw[..., :2], raw[..., 2], source, target)
        raw = np.concatenate([moved, their_scores[..., None]], axis=2)
    return replace(tracked, poses=replace(tracked.poses, keypoints=keypoints, scores=scores), raw=raw)


def missing_in(target: Skeleton, source: Skeleton) -> list[str]:
    """Names of the keypoints of a skeleton that find no place in another."""
    numbers = np.arange(source.num_keypoints, dtype=np.float64)
    moved, _ = convert_keypoints(np.stack([numbers, numbers], axis=1), numbers, source, target)
    return [name for number, name in enumerate(source.keypoint_names) if number not in moved[:, 0]]
