"""Results as NumPy arrays in a .npz file: everything, in full precision."""

from __future__ import annotations

import json
import zipfile
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from tracker.errors import InputError
from tracker.formats.fields import LARGEST_NUMBER, LARGEST_WHOLE, as_object, header_of, parse_json, readable
from tracker.formats.record import FrameResult, Header, Moment, Results
from tracker.formats.writer import ResultWriter
from tracker.outputs import partial_path
from tracker.types import Origin, Poses, TrackedPoses

# The arrays beside `header`, with a row per frame and with a row per person: type, further axes, K being the number of
# keypoints, and where `TrackedPoses` has them.
_OF_FRAMES: dict[str, type] = {"frames": np.int64, "times_s": np.float64}
_OF_PEOPLE: dict[str, tuple[type, tuple[int | str, ...], str]] = {
    "track_ids": (np.int64, (), "track_ids"),
    "confirmed": (np.bool_, (), "confirmed"),
    "boxes": (np.float32, (4,), "poses.boxes"),
    "box_scores": (np.float32, (), "poses.box_scores"),
    "origin": (np.int8, (), "poses.origin"),
    "similarities": (np.float32, (), "similarities"),
    "keypoints": (np.float32, ("K", 2), "poses.keypoints"),
    "keypoint_scores": (np.float32, ("K",), "poses.scores"),
}
# Likewise, of people who were worked over alone.
_OF_WORKED: dict[str, tuple[type, tuple[int | str, ...], str]] = {
    "original_ids": (np.int64, (), "original_ids"),
    "raw": (np.float32, ("K", 3), "raw"),
}
_CAN_MISS = ("times_s", "boxes", "similarities", "keypoints", "raw")

_Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


class NpzWriter(ResultWriter):
    """Writes poses with ids as arrays: `header` is the JSON text of the native format's header.

    Per frame: `frames` the index, `times_s`, NaN if unknown, and of images `files`, their names, and `sizes`, width and
    height where not all are alike, 0 for those of the header. Per person: `person_frames` the index of their frame, and
    `track_ids`, `confirmed`, `boxes`, `box_scores`, `origin` (as `tracker.types.Origin`), `similarities`,
    `keypoints` and `keypoint_scores` as `TrackedPoses` has them, and of people who were worked over `original_ids` and
    `raw`. They are kept in memory, about 300 bytes per person
    and frame, and written at the end, also when an exception ends the run; what kills the process loses them.
    """

    _file: BinaryIO

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._frames: list[tuple[int, float, str, tuple[int, int], int]] = []
        self._columns = {name: bytearray() for name in _OF_PEOPLE | _OF_WORKED}

    def _open(self) -> None:
        self._file = partial_path(self.path).open("wb")

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        size = self._own_size(moment) or (0, 0)
        self._frames.append((moment.index, moment.time_s, moment.file or "", size, len(tracked)))
        for name, (dtype, _, place) in (_OF_PEOPLE | _OF_WORKED).items():
            if (values := attrgetter(place)(tracked)) is not None:
                self._columns[name] += np.asarray(values, dtype).tobytes()

    def _finish(self) -> None:
        indices, times_s, files, sizes, counts = zip(*self._frames, strict=True)
        frames = np.array(indices, np.int64)
        arrays: dict[str, Any] = {
            "frames": frames,
            "times_s": np.array(times_s, np.float64),
            "person_frames": np.repeat(frames, counts),
        }
        if any(files):
            arrays["files"] = np.array(files)
        if np.any(sizes):
            arrays["sizes"] = np.array(sizes, np.int64)
        for name, (dtype, axes, _) in (_OF_PEOPLE | _OF_WORKED).items():
            shape = _sizes(axes, self.header.skeleton.num_keypoints)
            array: npt.NDArray[Any] = np.frombuffer(self._columns[name], dtype).reshape(-1, *shape)
            if name in _OF_PEOPLE or 0 < len(array) == sum(counts):
                arrays[name] = array
        with self._file:
            np.savez_compressed(self._file, header=np.array(json.dumps(self.header.as_json())), **arrays)


def read_npz(path: Path) -> Results:
    """The results in a .npz file."""
    arrays = _load(path)
    text = arrays.get("header", np.array(""))
    if text.dtype.kind != "U" or text.shape:
        raise InputError(f"{path}: header must be a text; correct the file")
    header = header_of(as_object(parse_json(str(text), f"{path}: header"), f"{path}: header"))
    arrays.setdefault("track_ids", np.full(np.size(arrays.get("person_frames", ())), -1))
    _check_arrays(arrays, header.skeleton.num_keypoints, path)
    files = arrays.get("files", np.full(arrays["frames"].shape, ""))
    if files.dtype.kind != "U" or files.shape != arrays["frames"].shape:
        raise InputError(f"{path}: files must be a text for each of frames; correct the file")
    bounds = _frame_bounds(arrays, path)
    sizes = arrays.get("sizes", np.zeros((len(files), 2), np.int64))
    _check_array("sizes", sizes, np.int64, (len(files), 2), path)
    columns = (column.tolist() for column in (arrays["frames"], arrays["times_s"], files, sizes))
    frames = (
        FrameResult(index, time_s, _people(arrays, rows, index, path), file or None, tuple(size) if all(size) else None)
        for index, time_s, file, size, rows in zip(*columns, bounds, strict=True)
    )
    without_ids = f"{path}: track_ids" if (arrays["track_ids"] < 0).any() else None
    return Results(header, tuple(frames), without_ids=without_ids)


def _sizes(axes: tuple[int | str, ...], num_keypoints: int) -> tuple[int, ...]:
    return tuple(num_keypoints if size == "K" else int(size) for size in axes)


def _load(path: Path) -> _Arrays:
    # NumPy does not close what it opened itself when the archive is damaged.
    with readable(path, ".npz file"), path.open("rb") as file:
        if not zipfile.is_zipfile(file):  # NumPy's message would recommend to run the code in it
            raise ValueError("no zip archive")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{name} is no array")
    return arrays


def _check_arrays(arrays: _Arrays, num_keypoints: int, path: Path) -> None:
    """InputError unless the arrays are there, of their types and shapes, with values that make sense."""
    for name in (*_OF_FRAMES, "person_frames", *_OF_PEOPLE):
        if name not in arrays:
            raise InputError(f"{path} lacks {name}; correct the file")
    for name, dtype in _OF_FRAMES.items():
        _check_array(name, arrays[name], dtype, (arrays["frames"].size,), path)
    people = arrays["person_frames"].size
    worked = {name: form for name, form in _OF_WORKED.items() if name in arrays}
    for name, (dtype, axes, _) in (_OF_PEOPLE | worked | {"person_frames": (np.int64, (), "")}).items():
        _check_array(name, arrays[name], dtype, (people, *_sizes(axes, num_keypoints)), path)


def _check_array(name: str, array: npt.NDArray[Any], dtype: type, shape: tuple[int, ...], path: Path) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            f"{path}: {name} must be {dtype.__name__} {shape}, not {array.dtype} {array.shape}; correct the file"
        )
    if not _makes_sense(name, array):
        raise InputError(f"{path}: {name} has values out of range; correct the file")


def _makes_sense(name: str, array: npt.NDArray[Any]) -> bool:
    if name == "origin":
        return bool(np.isin(array, list(Origin)).all())
    if array.dtype.kind == "i":
        return bool(((array >= (-1 if name.endswith("_ids") else 0)) & (array <= LARGEST_WHOLE)).all())
    if array.dtype.kind == "b":
        return True
    missing = np.isnan(array)
    if name in ("keypoints", "raw") and (missing[..., 0] != missing[..., 1]).any():
        return False
    return not (np.abs(array) > LARGEST_NUMBER).any() and (name in _CAN_MISS or not missing.any())


def _frame_bounds(arrays: _Arrays, path: Path) -> list[slice]:
    """Which rows of people belong to each frame."""
    frames, person_frames = arrays["frames"], arrays["person_frames"]
    if (np.diff(frames) <= 0).any() or (np.diff(person_frames) < 0).any() or not np.isin(person_frames, frames).all():
        raise InputError(f"{path}: frames must rise, and person_frames with them; correct the file")
    starts = np.searchsorted(person_frames, frames, "left").tolist()
    stops = np.searchsorted(person_frames, frames, "right").tolist()
    return [slice(*bounds) for bounds in zip(starts, stops, strict=True)]


def _people(arrays: _Arrays, rows: slice, index: int, path: Path) -> TrackedPoses:
    track_ids = arrays["track_ids"][rows]
    track_ids = np.where(track_ids < 0, -1 - np.arange(len(track_ids)), track_ids)
    if len(set(track_ids.tolist())) < len(track_ids):
        raise InputError(f"{path}: track_ids must differ within frame {index}; correct the file")
    forms = (_OF_PEOPLE | _OF_WORKED).items()
    values = {place: arrays[name][rows] for name, (_, _, place) in forms if name in arrays} | {"track_ids": track_ids}
    poses = {place.removeprefix("poses."): values.pop(place) for place in [*values] if place.startswith("poses.")}
    poses["scores"] = np.where(np.isnan(poses["keypoints"][..., 0]), np.float32(0), poses["scores"])
    return TrackedPoses(Poses(**poses), **values)
