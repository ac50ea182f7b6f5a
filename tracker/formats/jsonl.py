"""Native results: JSON lines, a header and then one line per frame, also for frames without people."""

from __future__ import annotations

import errno
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import InputError, OutputError
from tracker.formats.fields import (
    Fields,
    FrameTable,
    Lines,
    Person,
    as_object,
    box_score_of,
    header_of,
    parse_json,
    size_of,
)
from tracker.formats.record import Moment, Results
from tracker.formats.writer import TextWriter, json_text
from tracker.types import FloatArray, Origin, TrackedPoses

FORMAT = "pose-tracker/1"

_ORIGINS = tuple(origin.name.lower() for origin in Origin)


class JsonlWriter(TextWriter):
    """Writes poses with ids as JSON lines.

    The first line is an object with `format`, `skeleton`, `keypoint_names`, `source`, `size` (width, height), `fps` and
    `settings`; each further line is a frame (see `frame_record`), with its own `size` where that differs. Coordinates
    have 2 decimals, scores 4.
    """

    def _header_text(self, first: Moment) -> str:
        return json_text({"format": FORMAT} | self.header.as_json()) + "\n"

    def _frame_text(self, moment: Moment, tracked: TrackedPoses) -> str:
        size = self._own_size(moment)
        return json_text(frame_record(moment, tracked) | ({"size": size} if size else {})) + "\n"


class JsonlStream(JsonlWriter):
    """Writes the same to stdout, each line at once; BrokenPipeError when nobody reads on."""

    def _open(self) -> None:
        self._file = open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115

    def _write(self, text: str) -> None:
        try:
            self._write_all(text)
        except OSError as error:
            if error.errno == errno.EINVAL:  # as Windows calls it
                raise BrokenPipeError from error
            raise

    def _publish(self) -> None:
        """It is where it belongs."""


def check_stdout(*_: Any) -> None:
    """OutputError where there is no stdout."""
    if sys.stdout is None:
        raise OutputError("stdout is closed; name a file for the poses")


def frame_record(moment: Moment, tracked: TrackedPoses) -> dict[str, Any]:
    """A frame as JSON values: `frame`, `time_s` and `people`, each with id, box, scores and keypoints.

    Of people who were worked over `original_id` is the tracker's id, null for who was filled in, `raw` the keypoints as
    the network gave them, and `interpolated` the numbers of those that were filled in. A missing keypoint is `[null,
    null, 0]`; the similarity of a new id is null, and so is an unknown time. Of an image `file` is its name.
    """
    people = [_person(tracked, row, score) for row, score in enumerate(tracked.poses.pose_scores().tolist())]
    file = {} if moment.file is None else {"file": moment.file}
    return {"frame": moment.index, "time_s": _number(moment.time_s, 6), **file, "people": people}


def read_jsonl(path: Path) -> Results:
    """The results in a file of JSON lines."""
    lines = Lines(path, lambda line, _: _is_json(line))
    rows = iter(lines)
    where, line = next(rows, (str(path), "{}"))
    header = as_object(parse_json(line, where), where)
    if header.values.get("format") != FORMAT:
        raise InputError(f"{where} is no header of the format {FORMAT}; name a file that `track` wrote")
    facts = header_of(header)
    frames = FrameTable(facts.skeleton.num_keypoints)
    for where, line in rows:
        _add_frame(frames, as_object(parse_json(line, where), where), facts.skeleton.num_keypoints)
    return frames.results(facts, lines.warning)


def person_of(record: Fields, num_keypoints: int) -> Person:
    """A person from the fields that `frame_record` gives; without `box_score` it follows from the pose's `score`."""
    keypoints = record.keypoints("keypoints", num_keypoints)
    has_box_score = record.has("box_score")
    return Person(
        track_id=record.track_id(),
        keypoints=keypoints,
        box=record.numbers("box", 4),
        box_score=record.number("box_score") if has_box_score else box_score_of(record.number("score"), keypoints),
        origin=Origin(_ORIGINS.index(record.choice("origin", _ORIGINS))),
        similarity=record.number("similarity", can_miss=True),
        confirmed=record.choice("confirmed", (True, False)),
        original_id=record.track_id("original_id") if "original_id" in record.values else None,
        raw=record.keypoints("raw", num_keypoints) if "raw" in record.values else None,
    )


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _add_frame(frames: FrameTable, record: Fields, num_keypoints: int) -> None:
    index = record.whole("frame")
    if index in frames:
        raise InputError(f"{record.where}: frame {index} was there before; correct the file")
    file = record.text("file") if record.has("file") else None
    size_wh = size_of(record, "size") if record.has("size") else None
    frames.add_frame(index, record.number("time_s", can_miss=True), file, size_wh)
    for person in record.objects("people"):
        frames.add_person(index, person_of(person, num_keypoints), person.where)


def _person(tracked: TrackedPoses, row: int, score: float) -> dict[str, Any]:
    poses = tracked.poses
    worked: dict[str, Any] = {}
    if tracked.original_ids is not None:
        original_id = int(tracked.original_ids[row])
        worked["original_id"] = None if original_id < 0 else original_id
    if tracked.raw is not None:
        worked["raw"] = _triples(tracked.raw[row, :, :2], tracked.raw[row, :, 2])
        if filled := np.flatnonzero(tracked.interpolated[row]).tolist():
            worked["interpolated"] = filled
    return {
        "track_id": int(tracked.track_ids[row]),
        "confirmed": bool(tracked.confirmed[row]),
        "box": [_number(value, 2) for value in poses.boxes[row].tolist()],
        "score": _number(score, 4),
        "box_score": _number(float(poses.box_scores[row]), 4),
        "origin": Origin(poses.origin[row]).name.lower(),
        "similarity": _number(float(tracked.similarities[row]), 4),
        "keypoints": _triples(poses.keypoints[row], poses.scores[row]),
        **worked,
    }


def _triples(keypoints: FloatArray, scores: FloatArray) -> list[list[float | None]]:
    """x, y and score of keypoints (K, 2) as JSON values."""
    pairs = zip(keypoints.tolist(), scores.tolist(), strict=True)
    return [[_number(x, 2), _number(y, 2), round(score, 4) if score else 0] for (x, y), score in pairs]


def _number(value: float, decimals: int) -> float | None:
    return round(value, decimals) if math.isfinite(value) else None
