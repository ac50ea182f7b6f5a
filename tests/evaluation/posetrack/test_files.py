"""Pairs of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.errors import InputError, UsageError
from tracker.evaluation.posetrack.files import pair_files


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def test_files_of_the_same_name(tmp_path: Path) -> None:
    gt, pred = folder(tmp_path / "gt", "b.json", "a.json", "notes.txt"), folder(tmp_path / "pred", "a.json", "b.json")
    assert pair_files(gt, pred) == ([(gt / "a.json", pred / "a.json"), (gt / "b.json", pred / "b.json")], None)


def test_one_file(tmp_path: Path) -> None:
    gt, pred = folder(tmp_path / "gt", "a.json", "b.json"), folder(tmp_path / "pred", "a.json", "other.json")
    assert pair_files(gt / "a.json", pred / "other.json") == ([(gt / "a.json", pred / "other.json")], None)
    assert pair_files(gt / "a.json", pred) == ([(gt / "a.json", pred / "a.json")], None)
    with pytest.raises(UsageError, match=r"a\.json is a file, but .*gt is a folder; name two files or two folders"):
        pair_files(gt, pred / "a.json")


@pytest.mark.parametrize(
    ("gt", "pred", "message"),
    [
        pytest.param(
            [f"{name}.json" for name in "abcde"],
            ["e.json"],
            r"4 of 5 sequences: a.json, b.json, c.json, …; predictions have the file names",
            id="many are missing",
        ),
        pytest.param([], ["a.json"], "gt has no .json files of ground truth", id="no truth"),
        pytest.param(["a.json"], [], "pred has no .json files of predictions", id="no predictions"),
        pytest.param(["a.json"], None, "there is no folder .*pred of predictions", id="no folder"),
    ],
)
def test_what_does_not_pair(tmp_path: Path, gt: list[str] | None, pred: list[str] | None, message: str) -> None:
    for name, files in (("gt", gt), ("pred", pred)):
        if files is not None:
            folder(tmp_path / name, *files)
    with pytest.raises(InputError, match=message):
        pair_files(tmp_path / "gt", tmp_path / "pred")
