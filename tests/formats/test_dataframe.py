"""Results as a table of pandas."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.formats.examples import HEADER, example
from tracker import open_writer, read_results
from tracker.errors import DependencyError


def test_a_row_is_a_person_in_a_frame(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed, which is needed for data frames alone")
    with open_writer(tmp_path / "out.npz", HEADER) as writer:
        for frame in example().frames:
            writer.write(frame, frame.tracked)
    results = read_results(str(tmp_path / "out.npz"))
    table = results.to_dataframe()
    rows = [(frame, person) for frame in results.frames for person in frame.tracked]
    assert len(table) == len(rows) > 1
    names = HEADER.skeleton.keypoint_names
    for (_, row), (frame, person) in zip(table.iterrows(), rows, strict=True):
        assert (row.frame, row.track_id, row.confirmed) == (frame.index, person.track_id, person.confirmed)
        assert row.time_s == frame.time_s
        np.testing.assert_array_equal(row[["x1", "y1", "x2", "y2"]].astype(float), person.box)
        found = np.array([[row[f"{name}_{part}"] for part in ("x", "y", "score")] for name in names], np.float32)
        np.testing.assert_array_equal(found, np.column_stack([person.keypoints, person.scores]))  # NaN where missing
    assert table.score.tolist() == [s for frame in results.frames for s in frame.tracked.poses.pose_scores().tolist()]
    assert table.dtypes[["frame", "track_id", "confirmed", "score"]].astype(str).tolist() == [
        "int64", "int64", "bool", "float64",
    ]  # fmt: skip
    nobody = replace(results, frames=()).to_dataframe()
    assert len(nobody) == 0
    assert nobody.dtypes.equals(table.dtypes)


def test_without_pandas_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DependencyError, match=r"^no data frame without pandas \(.*\); run: pip install pandas$"):
        example().to_dataframe()
