"""The command that turns results into another format: what it writes, says and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.after.walks import shaky_walk
from tests.commands.conftest import Run, read_lines, refused
from tests.formats.examples import READABLE, example
from tests.formats.posetrack_files import posetrack_17, posetrack_18, save
from tests.vectors import read_json
from tracker.formats import FORMATS, open_writer, read_results
from tracker.formats.posetrack import read_posetrack
from tracker.formats.posetrack_conversion import to_posetrack17, to_posetrack18
from tracker.skeletons import BODY_19


@pytest.mark.parametrize("name", READABLE)
def test_every_format_can_be_written_and_read_back(run: Run, poses: Path, name: str) -> None:
    out = f"out{FORMATS[name].suffix}"
    assert run("convert", poses, out, "--format", name).code == 0
    assert run("convert", out, "back.jsonl").code == 0
    again = run("convert", "back.jsonl", f"again{FORMATS[name].suffix}", "--format", name)
    assert again.code == 0
    assert "cannot hold" not in again.err  # nothing more is lost
    frames = {record["frame"]: record["people"] for record in read_lines(Path("back.jsonl"))[1:]}
    ids = [0, 1] if name.startswith("posetrack") else [3, 8]
    assert {frame: [person["track_id"] for person in people] for frame, people in frames.items() if people} == {
        0: ids,
        2: ids,
    }


def test_without_loss_only_what_was_written_is_told(run: Run, poses: Path) -> None:
    done = run("convert", poses, "out.npz")
    assert (done.code, done.out, done.err) == (0, "", "written: out.npz, 3 frames with 2 ids\n")


def test_what_is_dropped_is_told_in_one_line(run: Run, poses: Path) -> None:
    dropped, written = run("convert", poses, "out.csv").err.splitlines()
    names = "frames without people, the frame rate, the picture's size, the settings, the source"
    assert dropped == f"out.csv cannot hold: {names}"
    assert written == "written: out.csv, 3 frames with 2 ids"


def test_people_have_marker_files_of_their_own(run: Run, poses: Path) -> None:
    done = run("convert", poses, "out.trc", "--fps", "25")
    assert (done.code, done.err.splitlines()[-1]) == (0, "written: out_person*.trc, 3 frames with 2 ids")
    assert "note: units are pixels" in done.err
    done = run("convert", poses, "m.trc", "--person-height", "1.8")
    assert "note: person 3 is 36 px tall; person 8 is 36 px tall\n" in done.err
    assert sorted(path.name for path in Path().glob("*.trc")) == [
        *("m_person03.trc", "m_person08.trc", "out_person03.trc", "out_person08.trc"),
    ]  # fmt: skip
    assert "out_person03.trc exists" in refused(run("convert", poses, "out.trc"))
    assert "poses are read from .jsonl" in refused(run("convert", "out_person03.trc", "out.csv"))


def test_options_of_no_use_are_left_out_in_one_line(run: Run, poses: Path) -> None:
    """What states times keeps its rate, also where it becomes markers later."""
    header, *frames = read_lines(poses)
    said = "note: --fps is left out: the results state the times of their frames"
    assert said in run("convert", poses, "out.jsonl", "--fps", "10").err
    assert read_lines(Path("out.jsonl")) == [header, *frames]
    assert said not in run("convert", poses, "out.trc", "--fps", "10").err
    assert run("convert", poses, "out.txt").code == 0
    assert said not in run("convert", "out.txt", "back.jsonl", "--fps", "10").err
    assert read_lines(Path("back.jsonl"))[0]["fps"] == 10
    said = "note: --person-height is left out: out.csv holds pixels; TRC and C3D are scaled"
    plainly = run("convert", poses, "plain.csv").err.replace("plain.csv", "out.csv")
    assert run("convert", poses, "out.csv", "--person-height", "1.7").err == f"{said}\n{plainly}"
    assert run("convert", poses, "tall.jsonl", "--person-height", "1.7").err.startswith("written")
    assert "person 3 is 36 px tall" in run("convert", "tall.jsonl", "tall.trc").err


@pytest.mark.parametrize(
    ("out", "room", "left"),
    [
        *(
            ("out.npz", 0, ""),
            ("out.npz", 100, "out.partial.npz"),
            ("out.csv", 0, ""),
            ("out.csv", 2000, "out.partial.csv"),
        ),
        *(("out.trc", 0, ""), ("out.trc", 100, "out_person03.partial.trc")),
    ],
)
def test_what_a_full_disk_leaves_is_named_or_removed(run: Run, poses: Path, out: str, room: int, left: str) -> None:
    resource: Any = pytest.importorskip("resource", reason="no limit of sizes on Windows")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        done = run("convert", poses, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    *told, error = done.err.splitlines()
    assert (done.code, told) == (1, [f"what was done is in {left}"] if left else [])
    assert error.startswith(f"error: cannot write {out}: ")
    assert [path.name for path in Path().glob("out*")] == ([left] if left else [])


def test_a_torn_last_line_is_told(run: Run, poses: Path) -> None:
    poses.write_text(poses.read_text()[:-9])
    warning, written = run("convert", poses, "out.npz").err.splitlines()
    assert warning == f"warning: {poses} ends within line 4, which is left out"
    assert written == "written: out.npz, 2 frames with 2 ids"


def test_keypoints_go_to_another_skeleton_by_name(run: Run, poses: Path) -> None:
    dropped, _ = run("convert", poses, "out.jsonl", "--skeleton", "posetrack17").err.splitlines()
    assert dropped == "out.jsonl cannot hold: left_eye, right_eye"
    assert run("convert", "out.jsonl", "more.jsonl", "--skeleton", "body19").err.startswith("written:")
    results = read_results(Path("more.jsonl"))
    assert results.header.skeleton is BODY_19
    nose = example().frames[0].tracked.poses.keypoints[0, 0]
    assert results.frames[0].tracked.poses.keypoints[0, 0].tolist() == pytest.approx(nose.tolist(), abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["in.jsonl", "out.abc"], 2, "written as .jsonl, .csv, .txt, .json, .npz", id="unknown suffix"),
        pytest.param(["in.jsonl", "in.jsonl", "--overwrite"], 2, "would overwrite the input", id="onto itself"),
        pytest.param(["in.jsonl", "old.csv"], 1, "old.csv exists; move it away or pass --overwrite", id="exists"),
        pytest.param(["in.jsonl", "x.trc", "--fps", "0"], 2, "--fps must be above 0 and at most 10000", id="no rate"),
        *(
            pytest.param(["in.jsonl", "x.trc", f"--person-height={text}"], 2, f"'{text}' must be in metres", id=text)
            for text in ("-1", "0.29", "170", "2.61", "nan")
        ),
        pytest.param(["in.abc", "x.csv"], 1, "cannot tell the format of in.abc by its suffix", id="unknown input"),
        pytest.param(["absent.jsonl", "x.csv"], 1, "absent.jsonl cannot be read (No such file", id="missing input"),
        pytest.param(["empty.jsonl", "x.csv"], 1, "empty.jsonl has no frame", id="no frames"),
        pytest.param(["in.jsonl", "dir", "--format", "openpose", "--overwrite"], 1, "dir holds a.txt", id="folder"),
    ],
)  # fmt: skip
def test_what_is_refused(run: Run, poses: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "old.csv").write_text("precious")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a.txt").write_text("precious")
    header, *_ = poses.read_text().splitlines()
    (tmp_path / "empty.jsonl").write_text(header)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert message in refused(run("convert", *arguments), code)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


class TestPoseTrack:
    """Between PoseTrack's forms everything is converted as its own tool does; all else goes as results do."""

    @pytest.mark.parametrize(
        ("content", "name", "convert"),
        [(posetrack_18(), "posetrack17", to_posetrack17), (posetrack_17(), "posetrack18", to_posetrack18)],
    )
    def test_files(self, run: Run, tmp_path: Path, content: Any, name: str, convert: Any) -> None:
        source = save(content, tmp_path / "in.json")
        done = run("convert", source, "out.json", "--format", name)
        assert (done.code, done.out, done.err) == (0, "", "written: out.json, 3 frames\n")
        assert read_json(Path("out.json")) == convert(read_posetrack(source))

    def test_folders(self, run: Run, tmp_path: Path) -> None:
        for name in ("000342_mpii_test", "000343_mpii_test"):
            save(posetrack_18(), tmp_path / "in" / f"{name}.json")
        done = run("convert", "in", "out", "--format", "posetrack17")
        assert (done.code, done.err) == (0, "written: out, 2 files, 6 frames\n")
        assert run("convert", "out", "back", "--format", "posetrack18").code == 0
        for folder, version in (("out", "17"), ("back", "18")):
            found = sorted((tmp_path / folder).iterdir())
            assert [path.name for path in found] == ["000342_mpii_test.json", "000343_mpii_test.json"]
            assert {read_posetrack(path).version for path in found} == {version}

    def test_a_folder_is_written_over_only_if_that_is_asked(self, run: Run, tmp_path: Path) -> None:
        save(posetrack_18(), tmp_path / "in/a.json")
        save("precious", tmp_path / "out/a.json")
        done = run("convert", "in", "out", "--format", "posetrack17")
        assert "exists; move it away or pass --over" in refused(done)
        assert read_json(tmp_path / "out/a.json") == "precious"
        assert run("convert", "in", "out", "--format", "posetrack17", "--overwrite").code == 0
        assert read_posetrack(tmp_path / "out/a.json").version == "17"

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            ("18.json x.json --format posetrack18", 2, "18.json has the form of PoseTrack18 already; name another"),
            ("17.json x.json --format posetrack17", 2, "17.json has the form of PoseTrack17 already; name another"),
            ("18.json 18.json --format posetrack17 --overwrite", 2, "to write 18.json would overwrite the input"),
            ("18.json x.json --format posetrack17 --skeleton coco17", 2, "--skeleton has no meaning between"),
            ("18.json mixed --format posetrack17", 1, "mixed is a folder; name a file in it"),
            ("mixed x --format posetrack17", 1, "b.json has the form of PoseTrack17, not of PoseTrack18"),
            ("none x --format posetrack17", 1, "none holds no .json files; name the folder that does"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, run: Run, tmp_path: Path, arguments: str, code: int, message: str) -> None:
        save(posetrack_18(), tmp_path / "18.json")
        save(posetrack_17(), tmp_path / "17.json")
        save(posetrack_18(), tmp_path / "mixed/a.json")
        save(posetrack_17(), tmp_path / "mixed/b.json")
        (tmp_path / "none").mkdir()
        before = {path: path.read_text() for path in tmp_path.glob("*.json")}
        assert message in refused(run("convert", *arguments.split()), code)
        assert {path: path.read_text() for path in tmp_path.glob("*.json")} == before


def test_a_second_pass_keeps_what_was_there_and_can_be_done_anew(run: Run, tmp_path: Path) -> None:
    given = shaky_walk()
    with open_writer(tmp_path / "in.jsonl", given.header) as writer:
        for frame in given.frames:
            writer.write(frame, frame.tracked)
    done = run("convert", "in.jsonl", "out.jsonl", "--smooth", "butterworth", "--stitch", "1", "--drop-shorter", "0.2")
    counts, written = done.err.splitlines()
    done_to_all = "second pass: 1 track stitched, 1 dropped, 2 people and 34 keypoints filled in"
    assert counts == f"{done_to_all}, smoothed by butterworth at 4.17 Hz"
    assert written == "written: out.jsonl, 60 frames with 1 id"
    header, *frames = read_lines(Path("out.jsonl"))
    assert header["edits"] == ["stitch 2 -> 1"]
    (filled,) = frames[21]["people"]
    assert (filled["origin"], filled["original_id"], filled["interpolated"]) == ("interpolated", None, [*range(17)])
    assert filled["raw"] == [[None, None, 0]] * 17
    (later,) = frames[40]["people"]
    assert (later["track_id"], later["original_id"]) == (1, 2)
    assert later["raw"] == read_lines(Path("in.jsonl"))[41]["people"][0]["keypoints"] != later["keypoints"]
    run("convert", "out.jsonl", "again.jsonl", "--smooth", "butterworth")
    assert read_lines(Path("again.jsonl"))[1:] == frames
    assert (header["settings"]["smooth"], header["settings"]["cutoff_hz"]) == ("butterworth", 4.167)
    for smooth, cutoff_hz in (("butterworth", 6.0), ("one-euro", None), ("off", None)):
        asked = ("--cutoff-hz", 6) if cutoff_hz else ("--fill-gaps", 0.1)
        done = run("convert", "out.jsonl", "other.jsonl", "--smooth", smooth, *asked, "--overwrite")
        assert f", smoothed by {smooth}{' at 6 Hz' if cutoff_hz else ''}\n" in done.err or smooth == "off"
        settings = read_lines(Path("other.jsonl"))[0]["settings"]
        assert (settings.get("smooth", "off"), settings.get("cutoff_hz")) == (smooth, cutoff_hz)
    assert "ids and keypoints as they were at first" in run("convert", "out.jsonl", "out.csv").err
    refused(run("convert", "in.jsonl", "x.jsonl", "--cutoff-hz", "3"), 2)
    assert "--fill-gaps must be" in refused(run("convert", "in.jsonl", "x.jsonl", "--fill-gaps", "-1"), 2)
