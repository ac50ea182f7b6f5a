"""The demo renders, tracks, draws and counts."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import pytest

from tests.commands.conftest import Run, read_lines


def test_it_writes_a_video_poses_and_a_picture(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--scene", "crossing", "--frames", "3", "--output", "new/folder")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("3 frames, 2 people, 0 id switches, 100 % of the poses found\nwritten: ")
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == {f"crossing.{suffix}" for suffix in ("mp4", "jsonl", "png")}
    with av.open(str(folder / "crossing.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3
    header, *frames = read_lines(folder / "crossing.jsonl")
    assert (header["source"], header["fps"]) == ("crossing", 25)
    assert [frame["time_s"] for frame in frames] == [0, 0.04, 0.08]
    assert {len(frame["people"]) for frame in frames} == {2}
    picture = cv2.imread(str(folder / "crossing.png"))
    assert picture is not None
    assert picture.shape == (720, 1280, 3)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(["--frames", "0"], 2, "--frames must be 1 or more, not 0", id="no frames"),
        pytest.param(["--scene", "dance"], 2, "--scene: invalid choice: 'dance'", id="unknown scene"),
        pytest.param(["--output", "old"], 1, "crowd.png exists; move it away or pass --overwrite", id="exists"),
        pytest.param(["--output", "old/crowd.png"], 1, "(File exists); name another", id="a file"),
        pytest.param(["--output", "old/crowd.png/x"], 1, "(Not a directory); name another", id="in a file"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, options: list[str], code: int, message: str) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "crowd.png").write_text("precious")
    done = run("demo", *options)
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert message in done.err
    assert (tmp_path / "old" / "crowd.png").read_text() == "precious"
