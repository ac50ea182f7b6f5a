"""The demo makes a clip, tracks, draws and counts; with the networks that are shipped it keeps its promise."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.commands.conftest import Run, read_lines, refused
from tracker.scenes.photo import PhotoFrame, PhotoScene
from tracker.skeletons import COCO_17

FACE, SHOULDERS = ("nose", "left_eye", "right_eye"), ("left_shoulder", "right_shoulder")
NEAR = 1  # the row of the truth; the nearer person begins on the left


@pytest.fixture(scope="module")
def photo_frames() -> list[PhotoFrame]:
    """The truth of the photographed clip; the pictures are dropped."""
    pytest.importorskip("skimage", reason="the photographs come with scikit-image (the extra `demo`)")
    return [replace(frame, image=frame.image[:1, :1].copy()) for frame in PhotoScene().frames()]


def test_a_rendered_scene_writes_a_video_poses_and_a_picture(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--scene", "crossing", "--frames", "3", "--output", "new/folder")
    assert (done.code, done.out) == (0, "")
    lines = done.err.splitlines()
    assert lines[0].startswith("3 frames in ")
    assert lines[-2:] == [
        "everybody kept one id: 2 people, 0 id switches, 100 % of the poses found",
        f"written: {Path('new/folder/crossing.png')}",
    ]
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
        pytest.param(["--frames", "0"], 2, "--frames: '0' must be 1 or more", id="no frames"),
        pytest.param(["--scene", "dance"], 2, "--scene: there is no 'dance'", id="unknown scene"),
        pytest.param(["--output", "old"], 1, "photo.mp4 exists; move it away or pass --overwrite", id="clip exists"),
        pytest.param(["--scene", "crowd", "--gate", "2"], 2, "--gate ", id="setting of a rendered scene"),
        pytest.param(
            ["--scene", "crowd", "--detector", "a.onnx"], 2, "--scene crowd is tracked without networks", id="networks"
        ),
        pytest.param(["--output", "new", "--detector", "a.onnx"], 1, "no network file a.onnx", id="no such network"),
        pytest.param(["--output", "old/crowd.png/x"], 1, "(Not a directory); name another", id="in a file"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, options: list[str], code: int, message: str) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "crowd.png").write_text("precious")
    (tmp_path / "old" / "photo.mp4").write_text("precious")
    assert message in refused(run("demo", *options), code)
    assert (tmp_path / "old" / "crowd.png").read_text() == "precious"


def test_without_scikit_image_one_line_names_the_remedy(
    run: Run, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert "run: pip install scikit-image" in refused(run("demo", *models))


def test_the_photo_scene_writes_all_and_says_that_the_people_were_not_found(
    run: Run, models: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image (the extra `demo`)")
    done = run("demo", *models, "--frames", "3", "--output", "new/folder", "--similarity", "bbox")
    assert (done.code, done.out) == (0, "")
    lines = done.err.splitlines()
    assert lines[0] == f"the clip: {Path('new/folder/photo.mp4')}"
    assert lines[1].startswith("3 frames in ")
    assert lines[2].startswith("6 poses with 2 ids, ")
    assert lines[4].startswith("detector: det.onnx")
    assert lines[-4:] == [
        *(f"written: {Path('new/folder', name)}" for name in ("photo_tracked.mp4", "photo_tracked.jsonl")),
        "NOT everybody kept one id: 0 people, 0 id switches, 0 % of the poses found",
        f"written: {Path('new/folder/photo_tracked.png')}",
    ]
    folder = tmp_path / "new" / "folder"
    endings = (".mp4", "_tracked.mp4", "_tracked.jsonl", "_tracked.png")
    assert {path.name for path in folder.iterdir()} == {f"photo{ending}" for ending in endings}
    for name in ("photo.mp4", "photo_tracked.mp4"):
        with av.open(str(folder / name)) as container:
            assert [frame.time for frame in container.decode(video=0)] == pytest.approx([0, 0.04, 0.08])
    header, *frames = read_lines(folder / "photo_tracked.jsonl")
    assert (header["source"], header["fps"], header["size"]) == ("photo.mp4", 25, [960, 540])
    assert header["settings"]["similarity"] == "bbox"
    assert {len(frame["people"]) for frame in frames} == {2}
    picture = cv2.imread(str(folder / "photo_tracked.png"))
    assert picture is not None
    assert picture.shape == (540, 960, 3)


def test_the_promise(run: Run, photo_frames: list[PhotoFrame], tmp_path: Path) -> None:
    """Both people are found where enough of them is seen, with two ids in all; faces and shoulders are in place."""
    done = run("demo", "--device", "cpu")
    assert done.code == 0, done.err
    assert done.err.splitlines()[-2].startswith("everybody kept one id: 2 people, 0 id switches, ")
    header, *tracked = read_lines(tmp_path / "demo" / "photo_tracked.jsonl")
    assert {person["track_id"] for frame in tracked for person in frame["people"] if person["confirmed"]} == {1, 2}
    names = header["keypoint_names"]
    leftmost = min(tracked[0]["people"], key=lambda person: person["box"][0])["track_id"]
    errors = [
        keypoint_errors(truth, row, found["people"], leftmost if row == NEAR else 3 - leftmost, names)
        for truth, found in zip(photo_frames, tracked, strict=True)
        for row in np.flatnonzero(truth.seen >= 1 / 2)
    ]
    face, shoulders = np.split(np.array(errors), [len(FACE)], axis=1)
    assert np.nanmax(face.mean(axis=1)) <= 0.15
    assert np.nanquantile(face, 0.95) <= 0.05
    assert np.nanquantile(shoulders, 0.95) <= 0.1


def keypoint_errors(
    truth: PhotoFrame, row: int, found: list[Any], track_id: int, names: list[str]
) -> npt.NDArray[np.float64]:
    """(5,): how far face and shoulders of the person with that id are off, in square roots of the true box's area.

    NaN for what is out of sight.
    """
    people = truth.people
    (person,) = [person for person in found if person["track_id"] == track_id] or pytest.fail(
        f"id {track_id} is missing in frame {truth.index}"
    )
    pose = np.array(person["keypoints"], np.float64)[[names.index(name) for name in FACE + SHOULDERS], :2]
    at = [COCO_17.index(name) for name in FACE + SHOULDERS]
    size = np.sqrt(np.prod(people.boxes[row, 2:] - people.boxes[row, :2]))
    return np.where(people.visible[row, at], np.linalg.norm(pose - people.keypoints[row, at], axis=1) / size, np.nan)
