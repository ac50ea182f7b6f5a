"""Results as CSV: one row per person and frame, or one per keypoint."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from tracker.errors import InputError
from tracker.formats.fields import Fields, FrameTable, Lines, cell_value, has_all_cells, skeleton_with
from tracker.formats.jsonl import person_of
from tracker.formats.record import RUN_FACTS, Header, Moment, Results
from tracker.formats.writer import TextWriter
from tracker.skeletons import Skeleton
from tracker.types import Origin, TrackedPoses

_BOX_COLUMNS = ("x1", "y1", "x2", "y2")
_PERSON_COLUMNS = (
    "frame", "time_s", "track_id", "confirmed", "score", "box_score", "origin", "similarity", *_BOX_COLUMNS,
)  # fmt: skip
_KEYPOINT_COLUMNS = ("x", "y", "score")
_LONG_COLUMNS = ("keypoint", "x", "y", "keypoint_score")

# x, y and score of keypoints by name.
_Triples: TypeAlias = dict[str, list[Any]]


class CsvWriter(TextWriter):
    """Writes poses with ids as CSV, a row per person and frame, three columns per keypoint.

    Pixels have 2 decimals, scores 4; a missing keypoint and the similarity of a new id are empty cells. A
    frame without people has no row. Where frames are images, the column `file` has their names.
    """

    drops: ClassVar[frozenset[str]] = RUN_FACTS | {"frames without people", "the picture's size"}

    _has_files = False

    def _header_text(self, first: Moment) -> str:
        self._has_files = first.file is not None
        columns = ("file",) if self._has_files else ()
        return _text([[*_PERSON_COLUMNS, *columns, *self._keypoint_columns()]])

    def _keypoint_columns(self) -> Iterable[str]:
        return (f"{name}_{part}" for name in self.header.skeleton.keypoint_names for part in _KEYPOINT_COLUMNS)

    def _frame_text(self, moment: Moment, tracked: TrackedPoses) -> str:
        scores = tracked.poses.pose_scores().tolist()
        return _text([row for number, score in enumerate(scores) for row in self._rows(moment, tracked, number, score)])

    def _rows(self, moment: Moment, tracked: TrackedPoses, row: int, score: float) -> list[list[str]]:
        """The rows of one person."""
        file = [moment.file or ""] if self._has_files else []
        person = [*_person_cells(moment, tracked, row, score), *file]
        return self._rows_of(person, _keypoint_cells(tracked, row))

    def _rows_of(self, person: list[str], keypoints: list[list[str]]) -> list[list[str]]:
        """The rows of a person by the cells of theirs and those of each keypoint."""
        return [[*person, *(cell for cells in keypoints for cell in cells)]]


class LongCsvWriter(CsvWriter):
    """Writes poses with ids as CSV, a row per keypoint, which repeats the cells of its person.

    A missing keypoint has a row with empty coordinates; all else is as `CsvWriter` has it.
    """

    def _keypoint_columns(self) -> Iterable[str]:
        return _LONG_COLUMNS

    def _rows_of(self, person: list[str], keypoints: list[list[str]]) -> list[list[str]]:
        names = self.header.skeleton.keypoint_names
        return [[*person, name, *cells] for name, cells in zip(names, keypoints, strict=True)]


def read_csv(path: Path) -> Results:
    """The results in a CSV file, wide or long as its first row says; the skeleton follows from the keypoints' names."""
    lines = Lines(path, has_all_cells)
    rows = _read_rows(lines)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path} has no row with a person, so there is nothing to read; name another file")
    found = _gather(chain([first], rows)) if "keypoint" in first.values else list(_split(first, rows))
    return replace(_results_of(found, str(path)), warning=lines.warning)


def results_of_keypoint_rows(rows: Iterable[Fields], where: str, header: Header | None = None) -> Results:
    """The results in rows as `LongCsvWriter` has them; without a header the skeleton follows from the names."""
    return _results_of(_gather(rows), where, header)


def _results_of(found: list[tuple[Fields, _Triples]], where: str, header: Header | None = None) -> Results:
    skeleton = (
        header.skeleton if header else skeleton_with((name for _, keypoints in found for name in keypoints), where)
    )
    frames = FrameTable(skeleton.num_keypoints)
    for record, triples in found:
        index = record.whole("frame")
        file = record.values.get("file")
        frames.add_frame(index, record.number("time_s", can_miss=True), None if file is None else str(file))
        frames.add_person(index, person_of(_as_record(record, triples, skeleton), skeleton.num_keypoints), record.where)
    return frames.results(header or Header(skeleton))


def _as_record(record: Fields, triples: _Triples, skeleton: Skeleton) -> Fields:
    """A person's fields as the native format has them."""
    missing = [None, None, 0]
    shaped = {
        "box": [record.values.get(column) for column in _BOX_COLUMNS],
        "keypoints": [triples.get(name, missing) for name in skeleton.keypoint_names],
    }
    return Fields({**record.values, **shaped}, record.where)


def _split(first: Fields, rows: Iterator[Fields]) -> Iterator[tuple[Fields, _Triples]]:
    """Each row of a wide file as a person and their keypoints."""
    names = [column.removesuffix("_x") for column in first.values if column.endswith("_x")]
    for record in (first, *rows):
        yield record, {name: [_of(record, f"{name}_{part}") for part in _KEYPOINT_COLUMNS] for name in names}


def _gather(rows: Iterable[Fields]) -> list[tuple[Fields, _Triples]]:
    """The people of a long file, each with the keypoints of all their rows."""
    people: dict[tuple[Any, Any], tuple[Fields, _Triples]] = {}
    for record in rows:
        _, triples = people.setdefault((_of(record, "frame"), _of(record, "track_id")), (record, {}))
        name = record.text("keypoint")
        if name in triples:
            raise InputError(f"{record.where}: the {name} of this person was there before; correct the file")
        triples[name] = [_of(record, column) for column in _LONG_COLUMNS[1:]]
    return list(people.values())


def _of(record: Fields, column: str) -> Any:
    """The number in a cell, None if it is empty."""
    value = record.number(column, can_miss=True)
    return None if math.isnan(value) else value


def _read_rows(lines: Lines) -> Iterator[Fields]:
    """Each row by the names of its columns: numbers, truth values, texts, None for an empty cell."""
    rows = ((where, _split_line(line, where)) for where, line in lines)
    _, columns = next(rows, ("", []))
    for where, cells in rows:
        if len(cells) != len(columns):
            raise InputError(f"{where} has {len(cells)} cells, not {len(columns)}; correct the file")
        yield Fields(dict(zip(columns, map(cell_value, cells), strict=True)), where)


def _split_line(line: str, where: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise InputError(f"{where} is no CSV ({error}); correct the file") from error


def _text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _person_cells(moment: Moment, tracked: TrackedPoses, row: int, score: float) -> list[str]:
    poses = tracked.poses
    return [
        str(moment.index),
        _cell(moment.time_s, 6),
        str(int(tracked.track_ids[row])),
        str(bool(tracked.confirmed[row])).lower(),
        _cell(score, 4),
        _cell(float(poses.box_scores[row]), 4),
        Origin(poses.origin[row]).name.lower(),
        _cell(float(tracked.similarities[row]), 4),
        *(_cell(value, 2) for value in poses.boxes[row].tolist()),
    ]


def _keypoint_cells(tracked: TrackedPoses, row: int) -> list[list[str]]:
    """x, y and score of each keypoint of a person."""
    poses = tracked.poses
    keypoints = zip(poses.keypoints[row].tolist(), poses.scores[row].tolist(), strict=True)
    return [[_cell(x, 2), _cell(y, 2), _cell(score, 4)] for (x, y), score in keypoints]


def _cell(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else ""
