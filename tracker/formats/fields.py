"""Reading files that others wrote: every fault becomes one line that names file, place and field."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tracker.boxes import boxes_around
from tracker.errors import InputError
from tracker.formats.record import FrameResult, Header, Results
from tracker.outputs import PIPE
from tracker.skeletons import SKELETONS, Skeleton, skeleton_of
from tracker.types import DoubleArray, Origin, Poses, TrackedPoses

# Coordinates of pictures stay far below; larger ones would lose their meaning in single precision.
LARGEST_NUMBER = 1e9
# What every reader of JSON takes exactly.
LARGEST_WHOLE = 2**53
# Cells that are no numbers, also as spreadsheets write them.
_WORDS: Mapping[str, Any] = {"": None, "true": True, "false": False, "TRUE": True, "FALSE": False}


@dataclass(frozen=True)
class Fields:
    """The fields of an object in a file. where: the file and the place in it, for messages."""

    values: Mapping[str, Any]
    where: str

    def has(self, name: str) -> bool:
        """Whether there is such a field, not null and not an empty list."""
        return self.values.get(name) not in (None, [])

    def whole(self, name: str, least: int = 0) -> int:
        """A whole number; one of floating point counts if it has no fraction."""
        value = self._required(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_WHOLE:
            raise self.fault(name, f"must be a whole number of {least} or more")
        return value

    def track_id(self, name: str = "track_id") -> int:
        """An id, −1 where there is none: the field is not there, null or −1."""
        return -1 if self.values.get(name) in (None, -1) else self.whole(name)

    def number(self, name: str, *, can_miss: bool = False) -> float:
        """A number; NaN for a null where it can miss."""
        value: Any = self.values.get(name)
        # Most values take this short way; the long one says what is wrong with the others.
        if type(value) in (float, int) and abs(value) <= LARGEST_NUMBER:
            return float(value)
        return float(self.numbers(name, can_miss=can_miss))

    def numbers(self, name: str, *shape: int, can_miss: bool = True) -> DoubleArray:
        """An array of that shape within ±1e9; NaN for each null where they can miss."""
        value = self._required(name)
        kind = f"{' × '.join(map(str, shape))} numbers" if shape else "a number"
        try:
            array = np.array(value, np.float64)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise self.fault(name, f"must be {kind}") from None
        if array.shape != shape:
            raise self.fault(name, f"must be {kind}")
        is_within = np.abs(array) <= LARGEST_NUMBER
        if not np.all(is_within | np.isnan(array) if can_miss else is_within):
            raise self.fault(name, f"must be {kind} within ±{LARGEST_NUMBER:.0e}")
        return array

    def numbers_of(self, name: str) -> DoubleArray:
        """A list of numbers, as many as there are."""
        value = self._required(name)
        if not isinstance(value, list):
            raise self.fault(name, "must be a list of numbers")
        return self.numbers(name, len(value), can_miss=False)

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        """One of some values, of the same type."""
        value = self._required(name)
        if not any(value == known and type(value) is type(known) for known in values):
            raise self.fault(name, f"must be {' or '.join(map(json.dumps, values))}")
        return value

    def text(self, name: str) -> str:
        """A text."""
        value = self._required(name)
        if not isinstance(value, str):
            raise self.fault(name, "must be a text")
        return value

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        value = self._required(name)
        if not isinstance(value, list):
            raise self.fault(name, "must be a list")
        return [as_object(item, f"{self.where}: {name}[{number}]") for number, item in enumerate(value)]

    def box_xywh(self, name: str) -> DoubleArray:
        """The box (4,) xyxy whose left, top, width and height are stated, NaN where there is none."""
        if not self.has(name):
            return np.full(4, np.nan)
        left, top, width, height = self.numbers(name, 4, can_miss=False)
        return np.array([left, top, left + width, top + height])

    def coco_keypoints(self, places: Sequence[int], num_keypoints: int) -> DoubleArray:
        """(K, 4) x, y, visibility, score of `keypoints` and `scores`, NaN where not stated or 0, 0, 0.

        places: where each keypoint of the file stands among the K; what is none of them stands at K.
        """
        table = np.full((num_keypoints + 1, 4), np.nan)
        triples = self.numbers("keypoints", 3 * len(places), can_miss=False).reshape(-1, 3)
        triples[(triples == 0).all(axis=1)] = np.nan
        table[places, :3] = triples
        if self.has("scores"):
            table[places, 3] = self.numbers("scores", len(places), can_miss=False)
        return table[:num_keypoints]

    def keypoints(self, name: str, num_keypoints: int) -> DoubleArray:
        """(K, 3) x, y and score; x and y are null together, and such a keypoint has the score 0."""
        triples = self.numbers(name, num_keypoints, 3)
        missing = np.isnan(triples[:, :2])
        if (missing[:, 0] != missing[:, 1]).any() or np.isnan(triples[:, 2]).any():
            raise self.fault(name, "must have x and y or neither, and scores")
        triples[missing[:, 0], 2] = 0
        return triples

    def fault(self, name: str, rule: str) -> InputError:
        """What is wrong with a field, be it that it is not there."""
        if name not in self.values:
            return InputError(f"{self.where} lacks {name}; correct the file")
        value = self.values[name]
        found = f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:60]
        return InputError(f"{self.where}: {name} {rule}, not {found}; correct the file")

    def _required(self, name: str) -> Any:
        if name not in self.values:
            raise self.fault(name, "must be there")
        return self.values[name]


class Person(NamedTuple):
    """Somebody in a file, of id −1 if unknown.

    keypoints: (K, 3) x, y and score, NaN and 0 where missing. box: (4,) xyxy, NaN if unknown. original_id, raw: as a
    row of `TrackedPoses` has them.
    """

    track_id: int
    keypoints: DoubleArray
    box: DoubleArray
    box_score: float = 1.0
    origin: Origin = Origin.DETECTED
    similarity: float = np.nan
    confirmed: bool = True
    original_id: int | None = None
    raw: DoubleArray | None = None


def cell_value(cell: str) -> Any:
    """What a cell of a table says: a number, a truth value, a text, or None if it is empty."""
    for kind in (_WORDS.__getitem__, int, float):
        try:
            return kind(cell)
        except (KeyError, ValueError):
            continue
    return cell


class FrameTable:
    """Collects the people of a file, in whatever order they stand there."""

    def __init__(self, num_keypoints: int) -> None:
        self._num_keypoints = num_keypoints
        self._frames: dict[int, tuple[float, str | None, tuple[int, int] | None]] = {}
        self._people: dict[int, dict[int, Person]] = {}
        self._without_ids: str | None = None

    def add_frame(
        self,
        index: int,
        time_s: float = np.nan,
        file: str | None = None,
        size_wh: tuple[int, int] | None = None,
    ) -> None:
        """A frame, of which people may follow; it may be known already."""
        self._frames.setdefault(index, (time_s, file, size_wh))
        self._people.setdefault(index, {})

    def add_person(self, index: int, person: Person, where: str) -> None:
        """Somebody in a frame that was added; InputError if their id is there already."""
        if person.track_id < 0:
            self._without_ids = self._without_ids or where
            person = person._replace(track_id=-1 - len(self._people[index]))
        if person.track_id in self._people[index]:
            raise InputError(f"{where}: track_id {person.track_id} is twice in frame {index}; correct the file")
        self._people[index][person.track_id] = person

    def __contains__(self, index: int) -> bool:
        return index in self._people

    def results(self, header: Header, warning: str | None = None) -> Results:
        """The frames by rising index."""
        frames = []
        everybody = [person for people in self._people.values() for person in people.values()]
        self._has_originals = any(person.original_id is not None for person in everybody)
        self._has_raw = any(person.raw is not None for person in everybody)
        for index, people in sorted(self._people.items()):
            time_s, file, size_wh = self._frames[index]
            frames.append(FrameResult(index, time_s, self._stack(list(people.values())), file, size_wh))
        return Results(header, tuple(frames), warning, self._without_ids)

    def _stack(self, people: list[Person]) -> TrackedPoses:
        if not people:
            return TrackedPoses.empty(self._num_keypoints)
        triples = np.array([person.keypoints for person in people], np.float32)
        poses = Poses(
            keypoints=triples[..., :2],
            scores=triples[..., 2],
            boxes=np.array([person.box for person in people], np.float32),
            box_scores=np.array([person.box_score for person in people], np.float32),
            origin=np.array([person.origin for person in people], np.int8),
        )
        return TrackedPoses(
            poses=poses,
            track_ids=np.array([person.track_id for person in people], np.int64),
            similarities=np.array([person.similarity for person in people], np.float32),
            confirmed=np.array([person.confirmed for person in people], np.bool_),
            original_ids=np.array([_original_id(person) for person in people], np.int64)
            if self._has_originals
            else None,
            raw=np.array([person.keypoints if person.raw is None else person.raw for person in people], np.float32)
            if self._has_raw
            else None,
        )


def _original_id(person: Person) -> int:
    return person.track_id if person.original_id is None else person.original_id


def images_with_annotations(content: Fields) -> list[tuple[Fields, list[Fields]]]:
    """Each image of a file in COCO's form with its annotations; InputError for those that do not fit."""
    found: dict[int, tuple[Fields, list[Fields]]] = {}
    for image in content.objects("images"):
        if image.whole("id") in found:
            raise image.fault("id", "must be that of one image only")
        found[image.whole("id")] = image, []
    for record in content.objects("annotations"):
        if record.whole("image_id") not in found:
            raise record.fault("image_id", "must be the id of an image")
        found[record.whole("image_id")][1].append(record)
    return list(found.values())


def box_around(keypoints: DoubleArray) -> DoubleArray:
    """The box (4,) around the keypoints (K, 3) of a person, NaN without any."""
    return boxes_around(keypoints[np.newaxis, :, :2].astype(np.float32))[0].astype(np.float64)


def box_score_of(pose_score: float, keypoints: DoubleArray) -> float:
    """The box score that gives a pose this score: see `Poses.pose_scores`, of which it is the inverse."""
    scores = keypoints[:, 2].astype(np.float32)
    kept = scores[scores > np.float32(0.2)]
    return pose_score / float(kept.mean()) if len(kept) else pose_score


def skeleton_with(names: Iterable[str], where: str, edges: Sequence[Any] = ()) -> Skeleton:
    """The smallest known skeleton that has all those keypoints, else one of these keypoints and edges alone."""
    wanted = tuple(dict.fromkeys(names))
    fitting = [skeleton for skeleton in SKELETONS.values() if set(wanted) <= set(skeleton.keypoint_names)]
    if fitting:
        return min(fitting, key=lambda skeleton: skeleton.num_keypoints)
    return _stated_skeleton({"keypoint_names": wanted, "edges": edges}, where)


def header_of(record: Fields) -> Header:
    """The header that `Header.as_json` wrote."""
    parts = ("keypoint_names", "edges", "flip_pairs", "sigmas")
    table = {part: record.values[part] for part in parts if part in record.values}
    skeleton = _stated_skeleton({"name": record.text("skeleton")} | table, record.where)
    known = SKELETONS.get(skeleton.name, skeleton)
    if known is not skeleton and "edges" not in table:
        raise InputError(f"{record.where}: keypoint_names must be those of {known.name}; correct the file")
    settings = record.values.get("settings")
    names, edits = record.values.get("names"), record.values.get("edits")
    return Header(
        skeleton=skeleton,
        source=record.text("source"),
        size_wh=size_of(record, "size") if record.has("size") else None,
        fps=record.number("fps") if record.has("fps") else None,
        settings=settings if isinstance(settings, dict) else {},
        names={int(track_id): str(name) for track_id, name in names.items() if track_id.isdecimal()}
        if isinstance(names, dict)
        else {},
        edits=tuple(map(str, edits)) if isinstance(edits, list) else (),
    )


def _stated_skeleton(table: Mapping[str, Any], where: str) -> Skeleton:
    try:
        return skeleton_of(table)
    except ValueError as error:
        raise InputError(f"{where}: {error}; correct the file") from error


def size_of(record: Fields, name: str) -> tuple[int, int]:
    """Width and height, whole and 1 or more."""
    size = record.numbers(name, 2, can_miss=False)
    if (size < 1).any() or (size % 1).any():
        raise record.fault(name, "must be a width and a height")
    return int(size[0]), int(size[1])


def as_object(value: Any, where: str) -> Fields:
    """The fields of what must be an object."""
    if not isinstance(value, dict):
        raise InputError(f"{where} is no object; correct the file")
    return Fields(value, where)


def parse_json(text: str, where: str, *, refuse_nan: bool = True) -> Any:
    """JSON values; InputError for other text, and for NaN, which JSON does not know, unless the caller looks for it."""
    try:
        return json.loads(text, parse_constant=_refuse if refuse_nan else None)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON ({error}); correct the file or name another") from error


def read_json(path: Path, *, refuse_nan: bool = True) -> Any:
    """The values of a JSON file, read as `parse_json` does."""
    with readable(path):
        text = path.read_text(encoding="utf-8-sig")
    return parse_json(text, str(path), refuse_nan=refuse_nan)


class Lines:
    """Where each line of a text file stands, and the line; lines of white space are left out.

    A last line without a line break, as a kill or a full disk leaves it, is left out unless it `is_whole`, which is
    asked with it and the first line. warning: says so once all lines are read, None otherwise.
    """

    def __init__(self, path: Path, is_whole: Callable[[str, str], bool]) -> None:
        self.warning: str | None = None
        self._path = path
        self._is_whole = is_whole

    def __iter__(self) -> Iterator[tuple[str, str]]:
        first = ""
        is_pipe = self._path == PIPE
        source = sys.stdin.fileno() if is_pipe else self._path
        with readable(self._path), open(source, encoding="utf-8-sig", closefd=not is_pipe) as file:
            for number, line in enumerate(file, 1):
                first = first or line
                if not line.endswith("\n") and not self._is_whole(line, first):
                    self.warning = f"{self._path} ends within line {number}, which is left out"
                elif line.strip():
                    yield f"{self._path}: line {number}", line


def has_all_cells(line: str, first: str) -> bool:
    """Whether a line of a table has as many cells as the first."""
    return line.count(",") >= first.count(",")


@contextmanager
def readable(path: Path, kind: str | None = None) -> Iterator[None]:
    """Errors of opening and decoding become one line; kind: what a library reads, which may raise anything."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.errno or not kind):
            raise InputError(f"{path} cannot be read ({error.strerror or error}); check the name") from error
        if kind:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise InputError(f"{path} is no {kind} that can be read ({reason}); name another file") from error
        if isinstance(error, UnicodeDecodeError):
            raise InputError(f"{path} is no text in UTF-8 (byte {error.start}); name another file") from error
        raise


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
