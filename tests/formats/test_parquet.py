"""Parquet as pyarrow reads it, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.formats.examples import HEADER, example, people_with_ids, write_results
from tracker.errors import DependencyError, InputError
from tracker.formats import FrameResult, Results, check_results_output, read_results

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (the extra `parquet`)")


def write(path: Path, frames: tuple[FrameResult, ...]) -> Path:
    return write_results(path, Results(HEADER, frames))


def test_a_row_is_a_keypoint_of_a_person(tmp_path: Path) -> None:
    """Row by row what jsonl says."""
    frames = example().frames
    table = parquet.read_table(write(tmp_path / "out.parquet", frames))
    lines = write(tmp_path / "out.jsonl", frames).read_text().splitlines()
    header, *records = map(json.loads, lines)
    rows = iter(table.to_pylist())
    for record in records:
        for person in record["people"]:
            for name, (x, y, score) in zip(header["keypoint_names"], person["keypoints"], strict=True):
                row = next(rows)
                assert (row["frame"], row["time_s"]) == (record["frame"], record["time_s"])
                same = ("track_id", "confirmed", "origin", "similarity")
                assert [row[column] for column in same] == [person[column] for column in same]
                assert [row[side] for side in ("x1", "y1", "x2", "y2")] == pytest.approx(person["box"], abs=0.005)
                assert [row["score"], row["box_score"]] == pytest.approx(
                    [person["score"], person["box_score"]], abs=1e-4
                )
                assert row["keypoint"] == name
                assert row["keypoint_score"] == pytest.approx(score, abs=1e-4)
                assert (row["x"], row["y"]) == ((None, None) if x is None else pytest.approx((x, y), abs=0.0051))
    assert next(rows, None) is None
    del header["format"]
    assert json.loads(table.schema.metadata[b"pose-tracker"]) == header


def test_rows_are_written_in_groups(tmp_path: Path) -> None:
    people = people_with_ids(list(range(100)))
    frames = tuple(FrameResult(index, index / 25, people) for index in range(70))
    path = write(tmp_path / "out.parquet", frames)
    file = parquet.ParquetFile(path)
    assert (file.metadata.num_rows, file.metadata.num_row_groups) == (70 * 100 * 17, 3)
    assert file.read(columns=["frame"])["frame"].to_pylist()[:: 100 * 17] == list(range(70))
    assert [len(frame.tracked) for frame in read_results(path).frames] == [100] * 70


def test_what_pandas_and_others_wrote_is_read_by_its_columns(tmp_path: Path) -> None:
    table = parquet.read_table(write(tmp_path / "in.parquet", example().frames))
    parquet.write_table(table.replace_schema_metadata(None).sort_by("keypoint"), tmp_path / "sorted.parquet")
    found = read_results(tmp_path / "sorted.parquet")
    np.testing.assert_array_equal(found.frames[0].tracked.poses.keypoints, example().frames[0].tracked.poses.keypoints)
    parquet.write_table(table.drop_columns(["origin"]), tmp_path / "less.parquet")
    with pytest.raises(InputError, match=r"less\.parquet: row 1 lacks origin; correct the file"):
        read_results(tmp_path / "less.parquet")


def test_what_is_no_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "in.parquet", example().frames).read_bytes()
    for content in (b"", b"text", whole[:-20], whole[: len(whole) // 2] + b"\0" * 300 + whole[-8:]):
        (tmp_path / "bad.parquet").write_bytes(content)
        with pytest.raises(InputError, match=r"^[^\n]*bad\.parquet[^\n]*$"):
            read_results(tmp_path / "bad.parquet")


def test_without_pyarrow_it_is_said_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"no Parquet without pyarrow .*: pip install 'pose-tracker\[parquet\]'$"):
        check_results_output(tmp_path / "out.parquet", None, overwrite=False)
