"""Results as Parquet: a row per person and keypoint, in groups of rows as they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from tracker.errors import load_extra
from tracker.formats.csv import results_of_keypoint_rows
from tracker.formats.fields import Fields, as_object, header_of, parse_json, readable
from tracker.formats.record import AT_FIRST, Header, Moment, Results, columns_of
from tracker.formats.writer import ResultWriter
from tracker.outputs import partial_path
from tracker.types import Origin, Poses, TrackedPoses

# Where the metadata of a file has the header of the native format.
_HEADER = b"pose-tracker"
# Rows that are kept until a group of them is written: some 3000 people of 17 keypoints.
_GROUP_ROWS = 50_000
_ORIGINS = np.array([origin.name.lower() for origin in Origin])


class ParquetWriter(ResultWriter):
    """Writes poses with ids as Parquet, a row per person and keypoint, which repeats what belongs to the person.

    Columns are those of the long CSV, numbers in full precision; a missing keypoint has a row of which x and y are
    null. Of images the column `file` has the names. The header of the native format is JSON text in the metadata of the
    file, under `pose-tracker`. A file whose process was killed lacks its end and cannot be read.
    """

    drops: ClassVar[frozenset[str]] = frozenset({"frames without people", "sizes of single pictures", AT_FIRST})

    _file: BinaryIO

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._frames: list[tuple[Moment, TrackedPoses]] = []
        self._num_rows = 0
        self._has_files = False
        self._table: Any = None

    def _open(self) -> None:
        load_extra("pyarrow")
        self._file = partial_path(self.path).open("wb")

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        if self._table is None:
            self._begin(moment.file is not None)
        self._frames.append((moment, tracked))
        self._num_rows += len(tracked) * self.header.skeleton.num_keypoints
        if self._num_rows >= _GROUP_ROWS:
            self._write_group()

    def _begin(self, has_files: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._has_files = has_files
        kinds = {"i": pa.int64(), "f": pa.float32(), "d": pa.float64(), "b": pa.bool_(), "n": pa.string()}
        columns = (
            "frame:i time_s:d track_id:i confirmed:b score:f box_score:f origin:n similarity:f x1:f y1:f x2:f y2:f"
        )
        columns += f"{' file:n' if has_files else ''} keypoint:n x:f y:f keypoint_score:f"
        pairs = (column.split(":") for column in columns.split())
        header = {_HEADER: json.dumps(self.header.as_json()).encode()}
        schema = pa.schema([(column, kinds[kind]) for column, kind in pairs], header)
        self._table = pq.ParquetWriter(self._file, schema)

    def _write_group(self) -> None:
        import pyarrow as pa

        columns = self._columns()
        arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in self._table.schema]
        self._table.write_table(pa.Table.from_arrays(arrays, schema=self._table.schema))
        self._frames, self._num_rows = [], 0

    def _columns(self) -> dict[str, Any]:
        """The columns of the frames that are kept."""
        moments, people = zip(*self._frames, strict=True)
        poses, names = Poses.join([tracked.poses for tracked in people]), self.header.skeleton.keypoint_names
        of_people = columns_of(moments, people, poses) | {
            "box_score": poses.box_scores,
            "origin": _ORIGINS[poses.origin],
            "similarity": np.concatenate([tracked.similarities for tracked in people]),
        }
        if self._has_files:
            files = [_utf_8(moment.file or "") for moment in moments]
            of_people["file"] = np.repeat(files, [len(tracked) for tracked in people])
        return {name: np.repeat(column, len(names)) for name, column in of_people.items()} | {
            "keypoint": np.tile(names, len(poses)),
            "x": poses.keypoints[..., 0].ravel(),
            "y": poses.keypoints[..., 1].ravel(),
            "keypoint_score": poses.scores.ravel(),
        }

    def _finish(self) -> None:
        with self._file:
            try:
                if self._frames:
                    self._write_group()
                self._table.close()
            finally:
                self._table.is_open = False  # where it could not be closed, it would be tried again when collected


def _utf_8(text: str) -> str:
    """The text, of which what is no UTF-8, as names of files may hold, is escaped."""
    return text.encode(errors="backslashreplace").decode()


def read_parquet(path: Path) -> Results:
    """The results in a Parquet file with the columns that `ParquetWriter` writes."""
    load_extra("pyarrow")
    with readable(path, "Parquet"), path.open("rb") as file:
        metadata, rows = _load(file)
    text, where = metadata.get(_HEADER), f"{path}: header"
    header = header_of(as_object(parse_json(text.decode(errors="replace"), where), where)) if text else None
    fields = (Fields(values, f"{path}: row {number}") for number, values in enumerate(rows, 1))
    return results_of_keypoint_rows(fields, str(path), header)


def _load(file: BinaryIO) -> tuple[dict[bytes, bytes], list[dict[str, Any]]]:
    """The metadata and the rows of a file."""
    from pyarrow.parquet import ParquetFile

    table = ParquetFile(file)
    rows = [row for batch in table.iter_batches() for row in batch.to_pylist()]
    return table.schema_arrow.metadata or {}, rows
