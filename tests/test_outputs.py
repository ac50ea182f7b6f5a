"""Nothing that existed is lost, and problems are told before work begins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracker.errors import OutputError
from tracker.outputs import check_apart, check_output, partial_path, publish, real_path, writing


def test_of_what_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OutputError, match="cannot write"), writing(tmp_path / "a.json") as partial:
        partial.write_text("whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


@pytest.mark.parametrize("exists", [True, False], ids=["file", "dangling"])
def test_a_symlink_writes_its_target(tmp_path: Path, exists: bool) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "elsewhere" / "real.csv"
    target.parent.mkdir()
    if exists:
        target.write_text("old")
    link.symlink_to(target)
    check_output(link, overwrite=True)
    assert partial_path(link) == target.with_name("real.partial.csv")
    partial_path(link).write_text("new")
    publish(link)
    assert target.read_text() == "new"
    assert link.is_symlink()


def test_a_partial_file_where_a_symlink_leads_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    (tmp_path / "real.partial.csv").write_text("precious")
    with pytest.raises(OutputError, match=r"real\.partial\.csv exists"):
        check_output(tmp_path / "link.csv", overwrite=False)


def test_a_symlink_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "missing" / "real.csv")
    with pytest.raises(OutputError, match="missing does not exist; create it first"):
        check_output(tmp_path / "link.csv", overwrite=False)


def test_a_missing_folder_and_a_folder_as_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create it first"):
        check_output(tmp_path / "missing" / "out.mp4", overwrite=True)
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, overwrite=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("name", ["pipe.csv", "link.csv"])
def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.csv")  # root would lose /dev/null, too
    (tmp_path / "link.csv").symlink_to("pipe.csv")
    with pytest.raises(OutputError, match=rf"{name} is a device or a pipe, which a file would replace; name a file"):
        check_output(tmp_path / name, overwrite=True)


def test_links_in_a_circle_are_a_path_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "circle.csv").symlink_to("circle.csv")
    assert real_path(tmp_path / "circle.csv") == tmp_path.resolve() / "circle.csv"
    check_apart(tmp_path / "out.csv", tmp_path / "circle.csv")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A test that runs as root may write anywhere, so the answer of the system is put in its place.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission to write"):
        check_output(tmp_path / "out.mp4", overwrite=False)
