"""The command that turns results into another format: what it writes, says and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Run, read_lines
from tests.formats.examples import HEADER, example, people_with_ids
from tracker.formats import FORMATS, FrameResult, open_writer, read_results
from tracker.skeletons import BODY_19, COCO_17, POSETRACK_17


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    """Two people, nobody, and two people again."""
    with open_writer(tmp_path / "in.jsonl", HEADER) as writer:
        for frame in example().frames:
            writer.write(frame, frame.tracked)
    return tmp_path / "in.jsonl"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written_and_read_back(run: Run, poses: Path, name: str) -> None:
    out = f"out{FORMATS[name].suffix}"
    assert run("convert", poses, out, "--format", name).code == 0
    assert run("convert", out, "back.jsonl").code == 0
    frames = {record["frame"]: record["people"] for record in read_lines(Path("back.jsonl"))[1:]}
    ids = [0, 1] if name == "posetrack" else [3, 8]
    assert {frame: [person["track_id"] for person in people] for frame, people in frames.items() if people} == {
        0: ids,
        2: ids,
    }


def test_without_loss_only_what_was_written_is_told(run: Run, poses: Path) -> None:
    done = run("convert", poses, "out.npz")
    assert (done.code, done.out, done.err) == (0, "", "written: out.npz, 3 frames with 2 ids\n")


def test_what_is_dropped_is_told_in_one_line(run: Run, poses: Path) -> None:
    dropped, written = run("convert", poses, "out.csv").err.splitlines()
    assert dropped == ("dropped: frames without people, the picture's size, the frame rate, the source, the settings")
    assert written == "written: out.csv, 3 frames with 2 ids"


def test_the_suffix_tells_the_format_unless_it_is_named(run: Run, poses: Path) -> None:
    run("convert", poses, "a.json")
    run("convert", poses, "b.json", "--format", "coco")
    assert read_results(Path("a.json")).header.skeleton is POSETRACK_17
    assert read_results(Path("b.json")).header.skeleton is COCO_17


def test_keypoints_go_to_another_skeleton_by_name(run: Run, poses: Path) -> None:
    dropped, _ = run("convert", poses, "out.jsonl", "--skeleton", "posetrack17").err.splitlines()
    assert dropped == "dropped: left_eye, right_eye"
    assert run("convert", "out.jsonl", "more.jsonl", "--skeleton", "body19").err.startswith("written:")
    results = read_results(Path("more.jsonl"))
    assert results.header.skeleton is BODY_19
    nose = example().frames[0].tracked.poses.keypoints[0, 0]
    assert results.frames[0].tracked.poses.keypoints[0, 0].tolist() == pytest.approx(nose.tolist(), abs=0.01)


def check_refusal(done: object, code: int, message: str) -> None:
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["in.jsonl", "out.xml"], 2, "written as .jsonl, .csv, .txt, .json, .npz", id="unknown suffix"),
        pytest.param(["in.jsonl", "out", "--format", "xml"], 2, "--format: invalid choice: 'xml'", id="unknown format"),
        pytest.param(["in.jsonl", "x.csv", "--skeleton", "hand"], 2, "invalid choice: 'hand'", id="unknown skeleton"),
        pytest.param(["in.jsonl", "in.jsonl", "--overwrite"], 2, "would overwrite the input", id="onto itself"),
        pytest.param(["in.jsonl", "old.csv"], 1, "old.csv exists; move it away or pass --overwrite", id="exists"),
        pytest.param(["in.jsonl", "no/x.csv"], 1, "the folder no does not exist", id="missing folder"),
        pytest.param(["absent.jsonl", "x.csv"], 1, "absent.jsonl cannot be read (No such file", id="missing input"),
        pytest.param(["bad.csv", "x.npz"], 1, "bad.csv: line 2 has 1 cells, not 2", id="malformed input"),
        pytest.param(["empty.jsonl", "x.csv"], 1, "empty.jsonl has no frame", id="no frames"),
        pytest.param(["in.jsonl", "dir", "--format", "openpose", "--overwrite"], 1, "dir holds a.txt", id="folder"),
    ],
)  # fmt: skip
def test_what_is_refused(run: Run, poses: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "old.csv").write_text("precious")
    (tmp_path / "bad.csv").write_text("frame,track_id\n1\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a.txt").write_text("precious")
    header, *_ = poses.read_text().splitlines()
    (tmp_path / "empty.jsonl").write_text(header)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    check_refusal(run("convert", *arguments), code, message)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_more_than_a_thousand_people_do_not_fit_posetrack(run: Run, tmp_path: Path) -> None:
    with open_writer(tmp_path / "in.npz", HEADER) as writer:
        for index in range(11):
            people = people_with_ids(list(range(100 * index, 100 * index + 100)))
            writer.write(FrameResult(index, 0, people), people)
    check_refusal(run("convert", "in.npz", "out.json"), 1, "frame 10 shows person 1001")
    assert not (tmp_path / "out.json").exists()
    assert run("convert", "in.npz", "out.json", "--format", "coco", "--overwrite").code == 0


def test_overwrite_replaces(run: Run, poses: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    assert run("convert", poses, "out.csv", "--overwrite").code == 0
    assert (tmp_path / "out.csv").read_text().startswith("frame,")
    for _ in range(2):
        assert run("convert", poses, "folder", "--format", "openpose", "--overwrite").code == 0
