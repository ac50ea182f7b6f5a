"""Results as NumPy arrays in a .npz file: everything, in full precision."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tracker.errors import InputError
from tracker.formats.fields import LARGEST_NUMBER, LARGEST_WHOLE, as_object, header_of, parse_json, readable
from tracker.formats.record import FrameResult, Header, Moment, Results
from tracker.formats.writer import ResultWriter
from tracker.outputs import partial_path
from tracker.types import Origin, Poses, TrackedPoses

# The arrays beside `header`: type and further axes, K being the number of keypoints. The first two have a row per frame
# and the others a row per person.
_LAYOUT: dict[str, tuple[type, tuple[int | str, ...]]] = {
    "frames": (np.int64, ()),
    "times_s": (np.float64, ()),
    "person_frames": (np.int64, ()),
    "track_ids": (np.int64, ()),
    "confirmed": (np.bool_, ()),
    "boxes": (np.float32, (4,)),
    "box_scores": (np.float32, ()),
    "origin": (np.int8, ()),
    "similarities": (np.float32, ()),
    "keypoints": (np.float32, ("K", 2)),
    "keypoint_scores": (np.float32, ("K",)),
}
_NUM_FRAME_ARRAYS = 2
_CAN_MISS = ("times_s", "boxes", "similarities", "keypoints")


class NpzWriter(ResultWriter):
    """Writes poses with ids as arrays: `header` is the JSON text of the native format's header.

    Per frame: `frames` the index, `times_s`, NaN if unknown, and of images `files`, their names. Per person:
    `person_frames` the index of their frame, and `track_ids`, `confirmed`, `boxes`, `box_scores`, `origin` (0 detected,
    1 carried by flow), `similarities`, `keypoints` and `keypoint_scores` as `TrackedPoses` has them. They are kept in
    memory, about 300 bytes per person and frame, and written at the end, also when an exception ends the run; what
    kills the process loses them.
    """

    _file: BinaryIO

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._columns = {name: bytearray() for name in _LAYOUT}
        self._files: list[str] = []

    def _open(self) -> None:
        self._file = partial_path(self.path).open("wb")

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        for name, values in _rows(moment, tracked).items():
            self._columns[name] += np.asarray(values, _LAYOUT[name][0]).tobytes()
        self._files.append(moment.file or "")

    def _finish(self) -> None:
        num_keypoints = self.header.skeleton.num_keypoints
        arrays: dict[str, Any] = {
            name: np.frombuffer(column, _LAYOUT[name][0]).reshape(-1, *_axes(name, num_keypoints))
            for name, column in self._columns.items()
        }
        if any(self._files):
            arrays["files"] = np.array(self._files)
        with self._file:
            np.savez_compressed(self._file, header=np.array(json.dumps(self.header.as_json())), **arrays)


def read_npz(path: Path) -> Results:
    """The results in a .npz file."""
    with readable(path):
        arrays = _load(path)
    text = arrays.get("header", np.array(""))
    if text.dtype.kind != "U" or text.shape:
        raise InputError(f"{path}: header must be a text; correct the file")
    header = header_of(as_object(parse_json(str(text), f"{path}: header"), f"{path}: header"))
    for name in _LAYOUT:
        _check_array(arrays, name, header.skeleton.num_keypoints, path)
    files = arrays.get("files", np.full(arrays["frames"].shape, ""))
    if files.dtype.kind != "U" or files.shape != arrays["frames"].shape:
        raise InputError(f"{path}: files must be a text for each of frames; correct the file")
    bounds = _frame_bounds(arrays, path)
    moments = zip(arrays["frames"].tolist(), arrays["times_s"].tolist(), files.tolist(), bounds, strict=True)
    frames = (
        FrameResult(index, time_s, _people(arrays, rows, index, path), file or None)
        for index, time_s, file, rows in moments
    )
    return Results(header, tuple(frames))


def _rows(moment: Moment, tracked: TrackedPoses) -> dict[str, Any]:
    poses = tracked.poses
    return {
        "frames": moment.index,
        "times_s": moment.time_s,
        "person_frames": np.full(len(tracked), moment.index),
        "track_ids": tracked.track_ids,
        "confirmed": tracked.confirmed,
        "boxes": poses.boxes,
        "box_scores": poses.box_scores,
        "origin": poses.origin,
        "similarities": tracked.similarities,
        "keypoints": poses.keypoints,
        "keypoint_scores": poses.scores,
    }


def _axes(name: str, num_keypoints: int) -> tuple[int, ...]:
    return tuple(num_keypoints if size == "K" else int(size) for size in _LAYOUT[name][1])


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # NumPy does not close what it opened itself when the archive is damaged.
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):  # NumPy's message would recommend to run the code in it
                raise ValueError("no zip archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{name} is no array")
        return arrays
    except OSError:
        raise
    except Exception as error:  # a damaged archive can raise almost anything
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{path} is no .npz file that can be read ({reason}); name another file") from error


def _check_array(arrays: dict[str, npt.NDArray[Any]], name: str, num_keypoints: int, path: Path) -> None:
    """InputError unless the array is there, of its type and shape, with values that make sense."""
    if name not in arrays:
        raise InputError(f"{path} lacks {name}; correct the file")
    array, (dtype, _) = arrays[name], _LAYOUT[name]
    rows_of = "frames" if list(_LAYOUT).index(name) < _NUM_FRAME_ARRAYS else "person_frames"
    shape = (arrays[rows_of].size, *_axes(name, num_keypoints))
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
        return bool(((array >= 0) & (array <= LARGEST_WHOLE)).all())
    if array.dtype.kind == "b":
        return True
    missing = np.isnan(array)
    if name == "keypoints" and (missing[..., 0] != missing[..., 1]).any():
        return False
    return not (np.abs(array) > LARGEST_NUMBER).any() and (name in _CAN_MISS or not missing.any())


def _frame_bounds(arrays: dict[str, npt.NDArray[Any]], path: Path) -> list[slice]:
    """Which rows of people belong to each frame."""
    frames, person_frames = arrays["frames"], arrays["person_frames"]
    if (np.diff(frames) <= 0).any() or (np.diff(person_frames) < 0).any() or not np.isin(person_frames, frames).all():
        raise InputError(f"{path}: frames must rise, and person_frames with them; correct the file")
    starts = np.searchsorted(person_frames, frames, "left").tolist()
    stops = np.searchsorted(person_frames, frames, "right").tolist()
    return [slice(*bounds) for bounds in zip(starts, stops, strict=True)]


def _people(arrays: dict[str, npt.NDArray[Any]], rows: slice, index: int, path: Path) -> TrackedPoses:
    if len(set(arrays["track_ids"][rows].tolist())) < rows.stop - rows.start:
        raise InputError(f"{path}: track_ids must differ within frame {index}; correct the file")
    keypoints, scores = arrays["keypoints"][rows], arrays["keypoint_scores"][rows]
    return TrackedPoses(
        poses=Poses(
            keypoints=keypoints,
            scores=np.where(np.isnan(keypoints[..., 0]), np.float32(0), scores),
            boxes=arrays["boxes"][rows],
            box_scores=arrays["box_scores"][rows],
            origin=arrays["origin"][rows],
        ),
        track_ids=arrays["track_ids"][rows],
        similarities=arrays["similarities"][rows],
        confirmed=arrays["confirmed"][rows],
    )
