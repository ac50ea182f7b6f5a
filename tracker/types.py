"""The values that travel through a frame's way, and the protocols of the parts that make them.

Each is a frozen dataclass over parallel arrays with N rows, one per person, checked on construction.
A frame without people has arrays with no rows, never None. Pixels are index coordinates: the centre of
the first pixel is (0, 0). A missing keypoint has score 0 and NaN coordinates, never (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Protocol, Self, TypeAlias, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from tracker.errors import load_extra
from tracker.skeletons import Skeleton

FloatArray: TypeAlias = npt.NDArray[np.float32]
DoubleArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Image: TypeAlias = npt.NDArray[np.uint8]
# Left, top, right and bottom in whole pixels; the last two lie outside.
Rect: TypeAlias = tuple[int, int, int, int]
Rows: TypeAlias = npt.NDArray[Any] | Sequence[int] | slice


class Origin(IntEnum):
    """Where a person's box came from, and of one that the flow moved whether any network looked into it."""

    DETECTED = 0
    PROPAGATED = 1
    CARRIED = 2
    """Box and keypoints were both moved by the flow."""
    INTERPOLATED = 3
    """Nobody looked: between two frames in which the person was there."""


@dataclass(frozen=True)
class Planes:
    """A picture as its decoder has it: 8 bits of limited range (luma 16–235), colours of two by two pixels together.

    luma: (H, W) uint8. blue, red: ((H + 1) // 2, (W + 1) // 2) uint8. They are the decoder's own memory, kept until
    nobody holds them; nobody can write into them. matrix, primaries, transfer: numbers of FFmpeg's (ITU-T H.273), the
    first always BT.709 (1) or BT.601 (5 or 6), the others 2 where they are unknown. grey: makes the picture in grey,
    0–255, of a width and height; from any thread.
    """

    luma: Image
    blue: Image
    red: Image
    matrix: int
    primaries: int
    transfer: int
    grey: Callable[[tuple[int, int]], Image]

    @property
    def colors(self) -> tuple[int, int, int]:
        """Matrix, primaries and transfer."""
        return self.matrix, self.primaries, self.transfer


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    index: place in the source, from 0: of a file also where only a part is delivered, of a folder with the images that
    cannot be read, of a live source among the frames delivered. time_s: the source's own clock, 0 at its beginning.
    image: (H, W, 3) uint8, BGR; of some widths its rows lie apart in memory, which `np.ascontiguousarray` mends. file:
    name of an image, from the folder that holds all of them; None for a video. pixel_aspect: width of its pixels by
    their height; where not 1, `tracker.square_pixels` gives true proportions.
    arrived_s: when it came from a live source, by `time.monotonic`; None elsewhere. planes: what the image was made of,
    where its source was asked to keep them and nothing else was done to it; `dataclasses.replace` leaves them out.
    """

    index: int
    time_s: float
    image: Image
    file: str | None = field(default=None, kw_only=True)
    pixel_aspect: float = field(default=1.0, kw_only=True)
    arrived_s: float | None = field(default=None, kw_only=True)
    planes: Planes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_image(self.image)

    def with_planes(self, planes: Planes | None) -> Self:
        """The same frame with what its image was made of; ValueError if that is of another size."""
        if planes and planes.luma.shape != self.image.shape[:2]:
            raise ValueError(f"planes of {planes.luma.shape} are not those of an image {self.image.shape}")
        frame = copy(self)
        object.__setattr__(frame, "planes", planes)
        return frame

    @property
    def most_waiting(self) -> int:
        """How many frames of this size may wait for what follows them: 60, and no more than 512 MiB."""
        of_planes = self.planes.luma.size * 3 // 2 if self.planes else 0
        return min(60, 2**29 // (self.image.nbytes + of_planes))

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[0])


class RowTable:
    """Length, row indexing and joining for frozen dataclasses of parallel arrays."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def __getitem__(self, rows: Rows) -> Self:
        """The people at `rows`: a boolean mask (N,), integer indices or a slice; TypeError for a single number."""
        if isinstance(rows, int | np.integer):
            name = type(self).__name__
            raise TypeError(f"{name} has a row per person: write rows[[{rows}]] for one, or take its arrays' rows")
        index = rows if isinstance(rows, slice) else _as_indices(rows, len(self))
        table = object.__new__(type(self))  # not checked again: cut in one way, columns fit as before
        vars(table).update({name: _cut(vars(self)[name], index) for name in _names(type(self))})
        return table

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The people of several tables, at least one, in the order given."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _names(cls)})


@dataclass(frozen=True)
class Detections(RowTable):
    """People found by a detector: boxes (N, 4) float32 xyxy pixels; scores (N,) float32 in 0–1."""

    boxes: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        _check("boxes", self.boxes, (len(self), 4), np.float32)
        _check("scores", self.scores, (len(self),), np.float32)

    @classmethod
    def empty(cls) -> Detections:
        """No people."""
        return cls(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32))


# NumPy takes three times as long to compare with an `IntEnum`.
_DETECTED = int(Origin.DETECTED)
_NO_FEATURES: FloatArray = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, kw_only=True)
class Poses(RowTable):
    """People with keypoints.

    keypoints: (N, K, 2) float32 pixels, NaN where missing. scores: (N, K) float32, 0 where missing; a network's own may
    exceed 1. boxes: (N, 4) float32 xyxy pixels. box_scores: (N,) float32. origin: (N,) int8 of `Origin`. features:
    (N, D) float32, what people look like as vectors of length 1, NaN where unknown; D is 0 where nobody looked.
    """

    keypoints: FloatArray
    scores: FloatArray
    boxes: FloatArray
    box_scores: FloatArray
    origin: npt.NDArray[np.int8]
    features: FloatArray = field(default_factory=lambda: _NO_FEATURES)

    def __post_init__(self) -> None:
        count = len(self)
        if self.features.shape[1:] == (0,):  # also those of other people, whom these replace
            object.__setattr__(self, "features", np.zeros((count, 0), np.float32))
        _check("features", self.features, (count, "D"), np.float32)
        _check("keypoints", self.keypoints, (count, "K", 2), np.float32)
        _check("scores", self.scores, self.keypoints.shape[:2], np.float32)
        _check("boxes", self.boxes, (count, 4), np.float32)
        _check("box_scores", self.box_scores, (count,), np.float32)
        _check("origin", self.origin, (count,), np.int8)

    @classmethod
    def join(cls, parts: Sequence[Poses]) -> Poses:
        """The people of several tables, at least one, in the order given; features that some lack are unknown."""
        width = max(part.features.shape[1] for part in parts)
        if not width:
            return super().join(parts)
        blank = np.full((1, width), np.nan, np.float32)
        seen = [part.features if part.features.shape[1] == width else blank.repeat(len(part), axis=0) for part in parts]
        bare = [replace(part, features=_NO_FEATURES) for part in parts]
        return replace(super().join(bare), features=np.concatenate(seen))

    @classmethod
    def in_boxes(cls, candidates: Candidates, keypoints: FloatArray, scores: FloatArray) -> Poses:
        """The poses (N, K, 2), with scores (N, K), that were estimated in N boxes."""
        return cls(
            keypoints=keypoints,
            scores=scores,
            boxes=candidates.boxes,
            box_scores=candidates.scores,
            origin=candidates.origin,
        )

    @classmethod
    def empty(cls, num_keypoints: int) -> Poses:
        """No people, of a skeleton with `num_keypoints` keypoints."""
        return cls(
            keypoints=np.zeros((0, num_keypoints, 2), np.float32),
            scores=np.zeros((0, num_keypoints), np.float32),
            boxes=np.zeros((0, 4), np.float32),
            box_scores=np.zeros(0, np.float32),
            origin=np.zeros(0, np.int8),
        )

    def at(self, places: IntArray) -> Poses:
        """The same with the keypoints at these rising places (M,) alone."""
        if len(places) == self.keypoints.shape[1]:
            return self
        return replace(self, keypoints=self.keypoints[:, places], scores=self.scores[:, places])

    def spread(self, places: IntArray, num_keypoints: int) -> Poses:
        """The keypoints as those at these places (M,) of so many, of which the others are missing."""
        keypoints = np.full((len(self), num_keypoints, 2), np.nan, np.float32)
        scores = np.zeros((len(self), num_keypoints), np.float32)
        keypoints[:, places], scores[:, places] = self.keypoints, self.scores
        return replace(self, keypoints=keypoints, scores=scores)

    def limited(self) -> Poses:
        """The same with scores of at most 1, which networks' may exceed."""
        if not (self.scores > 1).any():
            return self
        return replace(self, scores=np.minimum(self.scores, np.float32(1)))

    def seen_by(self, look: Callable[[Poses], FloatArray] | None, rows: IntArray) -> Poses:
        """The same with the features that `look` gives of those at these rows (M,) who have none."""
        width = self.features.shape[1]
        rows = rows[np.isnan(self.features[rows]).any(axis=1)] if width else rows
        if look is None or not len(rows):
            return self
        found = look(self[rows])
        features = self.features.copy() if width else np.full((len(self), found.shape[1]), np.nan, np.float32)
        features[rows] = found if found.shape[1] else np.nan
        return replace(self, features=features)

    @property
    def detected(self) -> BoolArray:
        """(N,): who was found by a detector."""
        return np.asarray(self.origin == _DETECTED)

    def pose_scores(self, keypoint_threshold: float = 0.2) -> FloatArray:
        """(N,): box score × mean of the keypoint scores above the threshold (strictly), 0 if none is.

        The published rescoring (`COCODataset.evaluate`; vectors SB-8).
        """
        kept = self.scores > keypoint_threshold
        total = np.where(kept, self.scores, 0).sum(axis=1, dtype=np.float64)
        mean = total / np.maximum(kept.sum(axis=1), 1)
        return (self.box_scores * mean).astype(np.float32)


@dataclass(frozen=True)
class Person:
    """A person of a frame: a row of `TrackedPoses`.

    keypoints: (K, 2) float32 pixels, NaN where missing. scores: (K,) float32, 0 where missing. box: (4,) float32 xyxy
    pixels. similarity: of the match that gave the id, NaN for a new id. confirmed: seen in enough frames.
    """

    track_id: int
    keypoints: FloatArray
    scores: FloatArray
    box: FloatArray
    box_score: float
    origin: Origin
    similarity: float
    confirmed: bool


@dataclass(frozen=True)
class TrackedPoses(RowTable):
    """People with keypoints and ids; to be gone through as `Person`s, one of whom is `people[0]`.

    poses: N people. track_ids: (N,) int64, unique in a frame and never reused. similarities: (N,) float32
    of the match that gave the id, NaN for a new id. confirmed: (N,) bool, seen in enough frames. cut_off: (N,) bool,
    gone with their scene before they could be confirmed; nobody if not given. Of results that were worked over:
    original_ids: (N,) int64, the ids that the tracker gave, −1 for who was filled in; raw: (N, K, 3) float32, the
    keypoints and scores that the network gave. None where they are those of `track_ids` and `poses`.
    """

    poses: Poses
    track_ids: IntArray
    similarities: FloatArray
    confirmed: BoolArray
    cut_off: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    original_ids: IntArray | None = field(default=None, kw_only=True)
    raw: FloatArray | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        count = len(self)
        if len(self.cut_off) == 0:
            object.__setattr__(self, "cut_off", np.zeros(count, np.bool_))
        if self.original_ids is not None:
            _check("original_ids", self.original_ids, (count,), np.int64)
        if self.raw is not None:
            _check("raw", self.raw, (*self.poses.scores.shape, 3), np.float32)
        _check("cut_off", self.cut_off, (count,), np.bool_)
        _check("track_ids", self.track_ids, (count,), np.int64)
        _check("similarities", self.similarities, (count,), np.float32)
        _check("confirmed", self.confirmed, (count,), np.bool_)
        if len(set(self.track_ids.tolist())) != count:
            raise ValueError(f"track ids must be unique in a frame: {self.track_ids.tolist()}")

    @overload
    def __getitem__(self, rows: int) -> Person: ...
    @overload
    def __getitem__(self, rows: Rows) -> Self: ...
    def __getitem__(self, rows: int | Rows) -> Person | Self:
        """The person of that number, or the people at `rows`, as other tables have it."""
        if not isinstance(rows, int | np.integer):
            people = super().__getitem__(rows)
            people.__post_init__()  # indices may name somebody twice
            return people
        poses = self.poses
        return Person(
            track_id=int(self.track_ids[rows]),
            keypoints=poses.keypoints[rows],
            scores=poses.scores[rows],
            box=poses.boxes[rows],
            box_score=float(poses.box_scores[rows]),
            origin=Origin(poses.origin[rows]),
            similarity=float(self.similarities[rows]),
            confirmed=bool(self.confirmed[rows]),
        )

    def __iter__(self) -> Iterator[Person]:
        return (self[row] for row in range(len(self)))

    @property
    def interpolated(self) -> BoolArray:
        """(N, K): the keypoints that were filled in, which score more than the network gave them."""
        return self.poses.scores > (self.poses.scores if self.raw is None else self.raw[..., 2])

    def to_supervision(self) -> tuple[Any, Any]:
        """The people as `sv.KeyPoints` and `sv.Detections`, rows alike, for the annotators of supervision from 0.29 on.

        A missing keypoint is (0, 0) there and not visible; whoever has no box has one around their keypoints. `data`
        of both has `class_name`, that of key points `tracker_id`. DependencyError without supervision.
        """
        sv: Any = load_extra("supervision")
        count, keypoints = len(self), self.poses.keypoints
        people = np.full(count, "person")
        key_points = sv.KeyPoints(
            xy=np.nan_to_num(keypoints),
            class_id=np.zeros(count, np.int64),
            keypoint_confidence=self.poses.scores,
            detection_confidence=self.poses.box_scores,
            visible=np.isfinite(keypoints[..., 0]),
            data={"tracker_id": self.track_ids, "class_name": people},
        )
        low, high = (np.where(np.isnan(keypoints), limit, keypoints) for limit in (np.inf, -np.inf))
        around = np.concatenate([low.min(axis=1), high.max(axis=1)], axis=1)
        boxes = np.where(np.isnan(self.poses.boxes), around, self.poses.boxes)
        detections = sv.Detections(
            xyxy=np.where(np.isfinite(boxes), boxes, np.float32(0)).astype(np.float32),
            confidence=self.poses.box_scores,
            class_id=np.zeros(count, np.int64),
            tracker_id=self.track_ids,
            data={"class_name": people},
        )
        return key_points, detections

    @classmethod
    def empty(cls, num_keypoints: int) -> TrackedPoses:
        """No people, of a skeleton with `num_keypoints` keypoints."""
        return cls(
            poses=Poses.empty(num_keypoints),
            track_ids=np.zeros(0, np.int64),
            similarities=np.zeros(0, np.float32),
            confirmed=np.zeros(0, np.bool_),
        )


@dataclass(frozen=True)
class MovedPoints:
    """Answer of a flow: points (N, 2) float32 pixels in the newer frame; reliable (N,) bool."""

    points: FloatArray
    reliable: BoolArray


class Motion(Protocol):
    """What happened between two consecutive frames."""

    @property
    def is_cut(self) -> bool:
        """The scene changed: nothing of the older frame can be found in the newer one."""

    def move(self, points: FloatArray) -> MovedPoints:
        """Where points (N, 2) of the older frame went, in pixels; NaN points stay NaN and unreliable."""


@runtime_checkable
class SeesBackground(Protocol):
    """A motion that knows how the camera moved, too."""

    def background(self, boxes: FloatArray) -> FloatArray:
        """How far what is outside the people's boxes (N, 4) went, (2,) pixels."""


class FlowEstimator(Protocol):
    """Optical flow. `prepare` looks at one image, `between` at two prepared ones; both keep no state."""

    def prepare(self, image: Image) -> Any:
        """What the flow needs of an image (H, W, 3) uint8 BGR: a small grey picture or a pyramid.

        One that has a further parameter `planes` is also given what the image was made of, None where that is not
        known: grey is to be had of it for less.
        """

    def between(self, previous: Any, current: Any) -> Motion:
        """The motion from one prepared image to the next; a change of image size counts as a cut."""


class RunningNetwork(Protocol):
    """A network that runs: `name` and `engine` say what and where, `note` why not as was wished, or None."""

    name: str
    engine: str
    note: str | None


class PersonDetector(RunningNetwork, Protocol):
    """Finds people."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One `Detections` per image (H, W, 3) uint8 BGR, boxes in that image's pixels, best first."""


class PoseEstimator(RunningNetwork, Protocol):
    """Finds the keypoints of people in boxes."""

    skeleton: Skeleton

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        """One pose per candidate box, in the same order, of an image (H, W, 3) uint8 BGR."""


class Appearance(Protocol):
    """Says what people look like."""

    name: str

    def features(self, image: Image, poses: Poses) -> FloatArray:
        """(N, D) of N poses in a picture (H, W, 3): vectors of length 1, NaN of whom too little is seen.

        Products are hardly less than 0.7 of one person, and hardly more than 0.3 of unlike people.
        """


@runtime_checkable
class PoseFinder(RunningNetwork, Protocol):
    """Finds everybody's keypoints in one look, without boxes."""

    skeleton: Skeleton

    def find(self, images: Sequence[Image]) -> list[Poses]:
        """One `Poses` per image (H, W, 3) uint8 BGR, keypoints in that image's pixels."""


@runtime_checkable
class KnownPeople(RunningNetwork, Protocol):
    """Boxes that stand for a detector, or poses that do for both networks; no network runs.

    skeleton: of poses; of boxes it has no meaning.
    """

    skeleton: Skeleton

    def people_in(self, frames: Sequence[Frame]) -> Sequence[Detections] | Sequence[Poses]:
        """Who is in each of these frames, in its pixels, which are square."""


@dataclass(frozen=True)
class Candidates(RowTable):
    """Boxes in which a pose is to be estimated: detected and propagated ones together.

    boxes: (N, 4) float32 xyxy pixels. scores: (N,) float32. origin: (N,) int8 of `Origin`.
    """

    boxes: FloatArray
    scores: FloatArray
    origin: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        _check("boxes", self.boxes, (len(self), 4), np.float32)
        _check("scores", self.scores, (len(self),), np.float32)
        _check("origin", self.origin, (len(self),), np.int8)

    @classmethod
    def from_detections(cls, detections: Detections) -> Candidates:
        """Every detected box, none propagated."""
        return cls(detections.boxes, detections.scores, np.zeros(len(detections), np.int8))


def _names(table: type[RowTable]) -> Iterable[str]:
    """Of the fields; `dataclasses.fields` takes ten times as long, and tables are cut up all the time."""
    return table.__dataclass_fields__  # type: ignore[attr-defined]


def _cut(column: Any, index: IntArray | slice) -> Any:
    """The rows of an array, a table or None; to take them is twice as quick as to index by an array."""
    if column is None:
        return None
    if isinstance(index, slice) or isinstance(column, RowTable):
        return column[index]
    return column.take(index, axis=0)


def _as_indices(rows: npt.NDArray[Any] | Sequence[int], count: int) -> IntArray:
    """A mask (N,) of so many people, or indices, as indices."""
    index = np.asarray(rows)
    if index.ndim != 1:
        raise ValueError(f"rows must be a mask or indices of one axis, got {index.shape}")
    if index.dtype != np.bool_:
        return index.astype(np.int64)
    if len(index) != count:
        raise IndexError(f"a mask of {len(index)} rows does not fit {count} people")
    return np.flatnonzero(index)


def check_image(image: Image) -> None:
    """Raise ValueError for what is no image (H, W, 3) uint8."""
    _check("image", image, ("H", "W", 3), np.uint8)


def _check(name: str, array: Any, shape: tuple[Any, ...], dtype: type) -> None:
    """Raise ValueError unless `array` has that dtype and shape; letters in `shape` stand for any size."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.dtype == dtype and array.shape == shape:
        return
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        wanted = str(shape).replace("'", "")
        raise ValueError(f"{name} must be {dtype.__name__} {wanted}, got {array.dtype} {array.shape}")
