"""Several inputs in one call: where each one's outputs go, and that one does not disturb another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import TIMES_S, Run, read_lines
from tests.commands.datasets import write_dataset
from tracker.cli import build_parser
from tracker.commands.track import read_jobs
from tracker.errors import UsageError
from tracker.job.job import describe_input
from tracker.pipeline import Pipeline


def plan(*arguments: str) -> list[tuple[str, str | None, str | None]]:
    """Input, overlay and poses of each job."""
    jobs, _ = read_jobs(build_parser().parse_args(["track", "--input", *arguments]))
    outputs = [(job.input, job.outputs.overlay, job.outputs.poses) for job in jobs]
    return [(spec, overlay and str(overlay), poses and str(poses)) for spec, overlay, poses in outputs]


def files(folder: Path) -> set[str]:
    """All but the fingerprints of other files."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - {f"{name}.fingerprint" for name in found}


@pytest.fixture
def clips(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder one stands in: the same clip as in/a.mp4 and in/b.mp4, and in/text.mp4, which is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "text.mp4").write_text("no video\n" * 99)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def track_all(run: Run, models: list[str]) -> Run:
    """Runs `track` with those arguments, of which the first are inputs."""
    return lambda *arguments: run("track", "--input", *arguments, *models)


# --- what is planned


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        pytest.param("in/a.mp4", "a", id="file"),
        pytest.param("v1.2", "v1.2", id="folder with a dot, which is no suffix"),
        pytest.param("clip.v2.mp4", "clip.v2", id="file with two"),
        pytest.param("0", "camera0", id="camera"),
        pytest.param("rtsp://user:secret@camera:554/live/1", "1", id="address with a path"),
        pytest.param("http://host/films/clip.mp4?token=secret", "clip", id="address of a file"),
        pytest.param("udp://@239.0.0.1:1234", "239.0.0.1_1234", id="address alone"),
        pytest.param("v1.2/*.png", "v1.2", id="images of a folder"),
        pytest.param("v1.2/**/*.png", "v1.2", id="images below a folder"),
    ],
)
def test_outputs_are_named_after_the_input(clips: Path, spec: str, name: str) -> None:
    (clips / "v1.2").mkdir()
    assert plan(spec) == [(spec, f"{name}_tracked.mp4", f"{name}_tracked.jsonl")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["in/a.mp4", "--show"], [("in/a.mp4", None, None)], id="a window alone"),
        pytest.param(["in/a.mp4", "--output", "x.mp4"], [("in/a.mp4", "x.mp4", None)], id="one input, one file"),
        pytest.param(
            ["in/a.mp4", "0", "--output", "out"],
            [("in/a.mp4", "out/a_tracked.mp4", None), ("0", "out/camera0_tracked.mp4", None)],
            id="two inputs, a folder",
        ),
        pytest.param(
            ["in/a*.mp4", "--output", "x", "--poses", "y"],
            [("in/a.mp4", "x/a_tracked.mp4", "y/a_tracked.jsonl")],
            id="a pattern of videos names a folder even where it matches one",
        ),
        pytest.param(
            ["in/a.mp4", "in/b.mp4", "--poses", "y", "--format", "mot"],
            [("in/a.mp4", None, "y/a_tracked.txt"), ("in/b.mp4", None, "y/b_tracked.txt")],
            id="another format",
        ),
        pytest.param(
            ["in/a.mp4", "one/day/a.mkv", "one/c.mkv", "--output", "x"],
            [
                ("in/a.mp4", "x/in/a_tracked.mp4", None),
                ("one/day/a.mkv", "x/one/day/a_tracked.mp4", None),
                ("one/c.mkv", "x/c_tracked.mp4", None),
            ],
            id="two of one name keep their folders, others do not",
        ),
        pytest.param(
            ["one/day/a.mp4", "one/a.mp4", "one/night/a.mp4", "--poses", "x"],
            [(f"one{n}/a.mp4", None, f"x{n}/a_tracked.jsonl") for n in ("/day", "", "/night")],
            id="only the folders in which they differ",
        ),
        pytest.param(
            ["one/cam/*.png", "two/cam/*.png", "--poses", "x", "--format", "openpose"],
            [(f"{n}/cam/*.png", None, f"x/{n}/cam_tracked") for n in ("one", "two")],
            id="images of two folders of one name",
        ),
        pytest.param(
            ["rtsp://a:554/../live", "http://b/live.mp4", "--poses", "x"],
            [
                ("rtsp://a:554/../live", None, "x/a_554/live_tracked.jsonl"),
                ("http://b/live.mp4", None, "x/b/live_tracked.jsonl"),
            ],
            id="streams of two hosts",
        ),
        pytest.param(
            ["run [1]/*.mp4"],
            [("run [1]/c.mp4", "c_tracked.mp4", "c_tracked.jsonl")],
            id="a folder with brackets in its name",
        ),
        pytest.param(
            ["in/[ab].mp4"],
            [(f"in/{n}.mp4", f"{n}_tracked.mp4", f"{n}_tracked.jsonl") for n in "ab"],
            id="a pattern without outputs",
        ),
    ],
)
def test_where_outputs_go(clips: Path, arguments: list[str], expected: Any) -> None:
    for folder in ("one/cam", "two/cam", "run [1]", "run 1"):
        (clips / folder).mkdir(parents=True)
    (clips / "run [1]/c.mp4").touch()
    (clips / "run 1/d.mp4").touch()
    assert plan(*arguments) == expected


def test_the_overlay_of_an_image_is_a_picture(clips: Path) -> None:
    (clips / "in/shot.png").touch()
    assert plan("in/shot.png") == [("in/shot.png", "shot_tracked.png", "shot_tracked.jsonl")]
    assert [overlay for _, overlay, _ in plan("in/shot.png", "in/a.mp4", "--output", "x")] == [
        "x/shot_tracked.png", "x/a_tracked.mp4",
    ]  # fmt: skip
    assert plan("in/*.png") == [("in/*.png", "in_tracked.mp4", "in_tracked.jsonl")]
    assert plan("in/shot.png", "--output", "x.mp4") == [("in/shot.png", "x.mp4", None)]


def test_a_folder_names_the_videos_and_the_folders_of_images_in_it(clips: Path) -> None:
    """Not what was written beside them, nor what is hidden; with images of its own it is one input."""
    for name in (
        "in/shots.v2/0.png",
        "in/a_tracked.mp4",
        "in/b_tracked.partial.mp4",
        "in/.b.mp4",
        "in/empty/notes.txt",
    ):
        (clips / name).parent.mkdir(exist_ok=True)
        (clips / name).touch()
    inputs = ["in/a.mp4", "in/b.mp4", "in/shots.v2", "in/text.mp4"]
    assert [spec for spec, *_ in plan("in", "--poses", "out")] == inputs
    assert plan("in/shots.v2") == [("in/shots.v2", "shots.v2_tracked.mp4", "shots.v2_tracked.jsonl")]
    (clips / "in/0.png").touch()
    assert plan("in", "--poses", "out.jsonl") == [("in", None, "out.jsonl")]


@pytest.mark.parametrize(
    ("splits", "options", "tracked"),
    [
        pytest.param(["train", "val"], [], "val", id="val is the default"),
        pytest.param(["train"], [], "train", id="the only one"),
        pytest.param(["train", "val"], ["--split", "train"], "train", id="the one that is named"),
    ],
)
def test_which_split_is_tracked(clips: Path, splits: list[str], options: list[str], tracked: str) -> None:
    for split in splits:
        write_dataset(clips / "data", [f"000001_mpii_{split}"], 1, split)
    name = f"000001_mpii_{tracked}"
    assert plan("data", "--output", "out", *options) == [
        (f"data/annotations/{tracked}/{name}.json", None, f"out/{name}.json")
    ]


def test_several_splits_without_val_are_listed(clips: Path) -> None:
    for split in ("test", "train"):
        write_dataset(clips / "data", [f"000001_mpii_{split}"], 1, split)
    with pytest.raises(UsageError, match="data has the splits train, test; name one with --split"):
        plan("data", "--output", "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["in/a.mp4", "in/a.mkv"], r"2 of the inputs would be written to a_tracked\.mp4; track them", id="names"
        ),
        pytest.param(["in/a.mp4", "in/a.mp4", "--poses", "y"], r"2 of the inputs .* y.a_tracked\.jsonl", id="twice"),
        pytest.param(["in/a.mp4", "a_tracked.mp4"], r"to write a_tracked\.mp4 would overwrite the input", id="input"),
        pytest.param(
            ["x.partial.mp4", "--output", "x.mp4"], r"to write x\.mp4 would overwrite the input", id="partial"
        ),
        pytest.param(["in/a.mp4", "--output", "link.mp4"], r"to write link\.mp4 would overwrite the input", id="link"),
        pytest.param(
            ["0", "--output", "x", "--poses", "x", "--format", "csv"], r"are the same file x; name two", id="one file"
        ),
        pytest.param(
            ["in/a.mp4", "--output", "x.png"], r"x\.png holds one picture, and .* is no single image", id="image"
        ),
        pytest.param(["in/a.mp4", "0", "--output", "x.mp4"], r"x\.mp4 looks like a file, .* name a folder", id="file"),
        pytest.param(["in/a.mp4", "0", "--poses", "x.csv"], r"x\.csv looks like a file", id="file of poses"),
    ],
)
def test_a_plan_that_would_lose_something_is_refused(clips: Path, arguments: list[str], message: str) -> None:
    (clips / "link.mp4").symlink_to(clips / "in/a.mp4")
    before = files(clips)
    with pytest.raises(UsageError, match=message):
        plan(*arguments, "--overwrite")
    assert files(clips) == before
    assert not (clips / "y").exists()


@pytest.mark.parametrize(
    ("spec", "shown"), [("a#1.mp4", "a#1.mp4"), ("rtsp://user:secret@camera/1?key=secret", "rtsp://camera/1")]
)
def test_inputs_are_shown_without_secrets(spec: str, shown: str) -> None:
    assert describe_input(spec) == shown


# --- what is done


def test_each_input_has_a_fresh_tracker_and_outputs_of_its_own(clips: Path, track_all: Run) -> None:
    done = track_all("in/a.mp4", "in/b.mp4", "--output", "new/out", "--poses", "new/out")
    assert (done.code, done.out) == (0, "")
    assert files(clips / "new") == {f"out/{n}_tracked{suffix}" for n in "ab" for suffix in (".mp4", ".jsonl")}
    (header, *frames), (other_header, *others) = (read_lines(clips / f"new/out/{n}_tracked.jsonl") for n in "ab")
    assert frames == others
    assert len(frames) == len(TIMES_S)
    assert [person["track_id"] for person in frames[0]["people"]] == [1, 2]
    assert (header["source"], other_header["source"]) == ("a.mp4", "b.mp4")


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["one process", "workers"])
def test_inputs_of_one_name_are_written_to_their_folders_and_left_out_once_complete(
    clips: Path, track_all: Run, options: list[str]
) -> None:
    for folder in ("cam1", "cam2"):
        (clips / folder).mkdir()
        shutil.copy(clips / "in/a.mp4", clips / folder)
    arguments = ["cam1/a.mp4", "cam2/a.mp4", "--output", "out", "--poses", "out", *options]
    assert track_all(*arguments).code == 0
    written = {f"{n}/a_tracked{suffix}" for n in ("cam1", "cam2") for suffix in (".mp4", ".jsonl")}
    assert files(clips / "out") == written
    (clips / "out/cam2/a_tracked.mp4").unlink()
    assert track_all(*arguments).err.startswith("1 of 2 inputs were complete")
    assert files(clips / "out") == written


def test_an_input_that_fails_is_reported_and_the_others_go_on(clips: Path, track_all: Run) -> None:
    done = track_all("in/*.mp4", "--poses", "out")
    assert done.code == 1
    (error,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert "in/text.mp4 is no video that FFmpeg can read" in error
    assert done.err.endswith("\n1 of 3 inputs failed\n")
    assert files(clips / "out") == {"a_tracked.jsonl", "b_tracked.jsonl"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--detector", "absent.onnx"], 1, "there is no network file absent.onnx", id="no network"),
        pytest.param(["--start", "-1"], 2, "--start must be 0 or more seconds", id="a wrong option"),
        pytest.param(["--gate", "2"], 2, "--gate must be within 0 and 1", id="a wrong setting"),
        pytest.param(["--output", "in/text.mp4/x"], 1, "cannot make the folder in/text.mp4/x (Not a dir", id="folder"),
    ],
)
def test_what_concerns_all_inputs_ends_the_run_at_once(
    clips: Path, run: Run, models: list[str], arguments: list[str], code: int, message: str
) -> None:
    done = run("track", "--input", "in/a.mp4", "in/b.mp4", *models, "--poses", "out", *arguments)
    assert done.code == code
    errors = [line for line in done.err.splitlines() if not line.startswith("[1/2]")]
    assert len(errors) == 1
    assert message in errors[0]
    assert files(clips) == {"in/a.mp4", "in/b.mp4", "in/text.mp4"}


def test_ctrl_c_ends_all_inputs(clips: Path, track_all: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "run", interrupt)
    done = track_all("in/a.mp4", "in/b.mp4", "--poses", "out")
    stopped = "stopped: 0 of 2 inputs are complete; run it again, without --overwrite, for the others\n"
    assert (done.code, done.err) == (130, f"{stopped}interrupted\n")
