"""The command that tracks: what it writes, what it says, and what it refuses."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, SIZE_WH, TIMES_S, Run, read_lines, refused, texture
from tests.commands.runs import video_times
from tests.formats.examples import READABLE
from tests.video.test_pictures import write_fields, write_stretched
from tracker import runtime
from tracker.formats import FORMATS, read_results
from tracker.job import sinks
from tracker.tracking.config import TrackerConfig
from tracker.types import Image
from tracker.video.source import open_source


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="who come to be confirmed"),
        pytest.param(["--confirm-after", "0.3"], id="confirmed later"),
        pytest.param(["--confirm-after", "2"], id="cut off before"),
        pytest.param(["--show-unconfirmed"], id="whoever they are"),
    ],
)
def test_the_overlay_draws_people_from_their_first_frame(track: Run, tmp_path: Path, options: list[str]) -> None:
    track("--output", "out.mp4", *options)
    with av.open(str(tmp_path / "out.mp4")) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert [is_drawn(picture) for picture in pictures] == [True] * len(TIMES_S)


def is_drawn(picture: Image) -> bool:
    """Whether somebody is drawn into the picture of the clip."""
    left, _, right, bottom = BOXES[1]
    below_the_text = np.s_[24:bottom, left:right]
    return bool(np.abs(picture.astype(int) - texture())[below_the_text].mean() > 20)


def test_the_video_is_as_good_as_wished(track: Run, tmp_path: Path) -> None:
    for crf in ("0", "40"):
        assert track("--output", f"{crf}.mp4", "--crf", crf).code == 0
    assert (tmp_path / "0.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size
    assert "from 0 to 51" in track("--crf", "52").err


def test_pixels_that_are_not_square(track: Run, tmp_path: Path) -> None:
    clip = write_stretched(tmp_path / "dv.mp4", Fraction(64, 45))
    assert track("--output", "out.mp4", "--poses", "out.jsonl", source=clip).code == 0
    header, *_ = read_lines(tmp_path / "out.jsonl")
    assert header["size"] == [144, 114]
    assert {"pixel_aspect": "64:45", "coordinates": "stored pixels"}.items() <= header["settings"].items()
    with open_source(str(tmp_path / "out.mp4")) as overlay:
        assert (overlay.size_wh, overlay.pixel_aspect) == ((206, 114), 1)


def test_what_was_done_to_the_pictures_is_said_once(track: Run, tmp_path: Path) -> None:
    clip = write_fields(tmp_path / "x.ts", "libx264", {"x264-params": "interlaced=1"})
    assert track("--poses", "out.jsonl", source=clip).err.count("note: interlaced pictures were deinterlaced") == 1
    assert "interlaced" not in track("--poses", "raw.jsonl", "--no-deinterlace", source=clip).err


def test_every_frame_is_written_with_its_time_and_what_the_networks_found(track: Run, tmp_path: Path) -> None:
    assert track("--output", "out.mp4", "--poses", "out.jsonl").code == 0
    assert files(tmp_path) == {"out.mp4", "out.jsonl"}
    assert video_times(tmp_path / "out.mp4") == pytest.approx(TIMES_S, abs=1e-4)
    header, *frames = read_lines(tmp_path / "out.jsonl")
    assert [frame["frame"] for frame in frames] == list(range(len(TIMES_S)))
    assert [frame["time_s"] for frame in frames] == pytest.approx(TIMES_S, abs=1e-4)
    assert header["format"] == "pose-tracker/1"
    assert header["skeleton"] == "coco17"
    assert (header["source"], header["size"]) == ("clip.mp4", list(SIZE_WH))
    assert header["fps"] == pytest.approx(len(TIMES_S) / TIMES_S[-1], rel=0.2)
    assert header["settings"]["flow"] == "dis"
    assert header["settings"]["gate"] == TrackerConfig().gate
    for frame in frames:
        assert [person["track_id"] for person in frame["people"]] == [1, 2]
        assert [person["confirmed"] for person in frame["people"]] == [True] * 2
    first, later = frames[0]["people"][0], frames[-1]["people"][0]
    assert first["box"] == pytest.approx(BOXES[0], abs=0.01)
    assert (first["score"], first["box_score"]) == pytest.approx((0.9 * 0.9, 0.9), abs=1e-3)
    assert (first["origin"], first["similarity"]) == ("detected", None)
    assert later["similarity"] == pytest.approx(1, abs=0.05)
    assert [len(keypoint) for keypoint in first["keypoints"]] == [3] * 17


@pytest.mark.parametrize(
    ("name", "poses", "ids"),
    [
        pytest.param(None, "out.json", [1, 2], id="COCO by its suffix"),
        pytest.param("posetrack", "out.json", [0, 1], id="PoseTrack by its name, ids from 0"),
        pytest.param("openpose", "out", [1, 2], id="a folder by its name"),
    ],
)
def test_poses_have_the_format_of_their_name(
    track: Run, tmp_path: Path, name: str | None, poses: str, ids: list[int]
) -> None:
    done = track("--poses", poses, "--max-frames", "4", *(["--format", name] if name else []))
    assert done.err.splitlines()[-1] == f"written: {poses}"
    assert files(tmp_path) == {poses}
    frames = read_results(tmp_path / poses).frames
    assert [frame.tracked.track_ids.tolist() for frame in frames] == [ids] * 4
    assert frames[0].tracked.poses.boxes[1] == pytest.approx(BOXES[1], abs=0.01 if name != "openpose" else 6)


def test_without_a_named_output_both_files_are_named_after_the_input(track: Run, tmp_path: Path) -> None:
    assert track().code == 0
    assert files(tmp_path) == {"clip_tracked.mp4", "clip_tracked.jsonl"}


def test_poses_alone_need_no_renderer(track: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "OverlayRenderer", None)
    assert track("--poses", "out.jsonl").code == 0


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), texture())
    return folder


def test_a_folder_of_images_has_the_rate_it_is_given(track: Run, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 11)
    assert track("--poses", "out.jsonl", "--fps", "10", source=folder).code == 0
    header, *frames = read_lines(tmp_path / "out.jsonl")
    assert (header["source"], header["fps"]) == ("pictures", 10)
    assert [frame["time_s"] for frame in frames] == pytest.approx(np.arange(11) / 10)


@pytest.mark.parametrize("name", [name for name in READABLE if name not in ("mot", "openpose", "jsonl", "cvat")])
def test_results_of_images_name_them_and_count_broken_ones(track: Run, tmp_path: Path, name: str) -> None:
    folder = write_pictures(tmp_path / "pictures", 4)
    (folder / "1.png").write_bytes(b"")
    (folder / "3.png").rename(folder / "10 left.png")
    out = f"out{FORMATS[name].suffix}"
    assert track("--poses", out, "--format", name, source=folder).code == 0
    found = [(frame.index, frame.file) for frame in read_results(Path(out)).frames]
    assert found == [(0, "0.png"), (2, "2.png"), (3, "10 left.png")]


def test_images_below_a_folder_are_named_from_it(track: Run, tmp_path: Path) -> None:
    for part in "ab":
        write_pictures(tmp_path / part, 1)
    assert track("--poses", "out.jsonl", source=tmp_path / "**/*.png").code == 0
    _, *frames = read_lines(tmp_path / "out.jsonl")
    assert [frame["file"] for frame in frames] == ["a/0.png", "b/0.png"]


def test_the_folder_one_stands_in_gives_outputs_its_name(
    track: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_pictures(tmp_path / "here", 1))
    assert track(source=".").code == 0
    assert files(tmp_path / "here") == {"0.png", "here_tracked.mp4", "here_tracked.jsonl"}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        pytest.param(["--start", "0.2"], slice(4, 10), id="from a time on, itself included"),
        pytest.param(["--start", "0.1", "--end", "0.3"], slice(3, 6), id="a part"),
        pytest.param(["--start", "0.3", "--max-frames", "2"], slice(6, 8), id="some frames of a part"),
    ],
)
def test_frames_of_a_part_keep_their_numbers_in_the_video(
    track: Run, tmp_path: Path, options: list[str], part: slice
) -> None:
    """Its frame rate varies."""
    times_s, numbers = TIMES_S[part], list(range(10)[part])
    assert track("--poses", "out.jsonl", "--output", "out.mp4", *options).code == 0
    _, *frames = read_lines(tmp_path / "out.jsonl")
    assert [frame["frame"] for frame in frames] == numbers
    assert [frame["time_s"] for frame in frames] == pytest.approx(times_s, abs=1e-4)
    assert video_times(tmp_path / "out.mp4") == pytest.approx(np.subtract(times_s, times_s[0]), abs=1e-4)


def test_confirmed_only_leaves_others_out_of_the_file(track: Run, tmp_path: Path) -> None:
    for confirm_after_s, people in (("0.2", 2), ("2", 0)):
        track("--poses", "out.jsonl", "--confirmed-only", "--confirm-after", confirm_after_s, "--overwrite")
        _, *frames = read_lines(tmp_path / "out.jsonl")
        assert [len(frame["people"]) for frame in frames] == [people] * len(TIMES_S)


@pytest.mark.parametrize(
    ("options", "origins"),
    [
        pytest.param(["--speed", "exact"], "dddddddddd", id="every frame"),
        pytest.param([], "ddddddpdcd", id="carried in between"),
        pytest.param(["--detect-every", "3"], "dccdccdcpd", id="every third"),
        pytest.param(["--detect-every", "3", "--flow", "lk"], "dccdccdcpd", id="by Lucas-Kanade"),
        pytest.param(["--detect-every", "3", "--flow", "none"], "dppdppdppd", id="in place"),
        pytest.param(["--speed", "fast"], "dccdcpdccd", id="fast"),
    ],
)
def test_how_people_are_found(track: Run, tmp_path: Path, options: list[str], origins: str) -> None:
    assert track("--poses", "out.jsonl", *options).code == 0
    _, *frames = read_lines(tmp_path / "out.jsonl")
    found = [{person["origin"][0] for person in frame["people"]} or {"-"} for frame in frames]
    assert "".join(map("".join, found)) == origins
    assert {person["track_id"] for frame in frames for person in frame["people"]} == {1, 2}


def test_options_reach_the_networks_and_the_header(track: Run, tmp_path: Path) -> None:
    options = ["--detector-score", "0.85", "--flip-test", "--similarity", "bbox", "--queue-length", "2"]
    options += ["--appearance", "colour"]
    track("--poses", "out.jsonl", *options)
    header, *frames = read_lines(tmp_path / "out.jsonl")
    assert {len(frame["people"]) for frame in frames} == {1}
    settings = header["settings"]
    assert (settings["flip_test"], settings["similarity"], settings["queue_length"]) == (True, "bbox", 2)
    assert (settings["pose_model"], settings["appearance"]) == ("pose.onnx", "colours of torsos")


def test_the_summary_says_how_much_how_fast_and_by_what(track: Run) -> None:
    done = track("--output", "out.mp4", "--poses", "out.jsonl", "--device", "cpu")
    assert done.out == ""
    speed, people, stages, detector, pose, pace, looks, *written = done.err.splitlines()
    assert pace.startswith(
        "speed: balanced: the pose network looks at every frame, every 0.14 s at those who hardly move, "
        "the detector every 0.13 s, every 0.07 s where"
    )
    assert looks == "looks for people: 8; poses estimated: 10, carried instead: 10"
    assert speed.startswith("10 frames in ")
    assert speed.endswith(" frames/s end to end")
    assert people == "20 poses with 2 ids, of which 2 are confirmed people"
    names = [part.split()[0] for part in stages.removeprefix("ms per frame: ").split(", ")]
    assert set(names) == {"decode", "detect", "flow", "track", "pose", "draw", "encode", "write"}
    assert detector.startswith("detector: det.onnx (RTMDet, 96 px), ONNX Runtime ")
    assert pose.startswith("pose: pose.onnx, ONNX Runtime ")
    assert detector.endswith(" on CPU")
    assert written == ["written: out.mp4", "written: out.jsonl"]


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ([], []),
        (["--paper"], ["tracker: the paper's"]),
        (["--paper", "--gate", "0.2"], ["tracker: the paper's, but gate 0.2"]),
        (["--similarity", "pose"], ["tracker: similarity pose"]),
    ],
)
def test_the_summary_says_what_differs_from_the_default_settings(
    track: Run, options: list[str], lines: list[str]
) -> None:
    done = track("--poses", "out.jsonl", *options)
    assert [line for line in done.err.splitlines() if line.startswith("tracker: ")] == lines


def test_litepose_finds_people_without_a_detector(clip: Path, litepose: list[str], run: Run, tmp_path: Path) -> None:
    done = run("track", "--input", clip, *litepose, "--poses", "out.jsonl", "--keypoint-threshold", "0.2")
    assert done.code == 0
    assert "20 poses with 2 ids, of which 2 are confirmed people" in done.err
    assert "detector" not in done.err
    assert "pose: litepose.onnx" in done.err
    header, *frames = read_lines(tmp_path / "out.jsonl")
    assert (header["settings"]["detector"], header["settings"]["pose_model"]) == (None, "litepose.onnx")
    for frame in frames:
        for person in frame["people"]:
            left, top, right, bottom = BOXES[person["track_id"] - 1]
            keypoints = np.array(person["keypoints"])
            assert keypoints.shape == (17, 3)
            assert ((keypoints[:, :2] > [left, top]) & (keypoints[:, :2] < [right, bottom])).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("top-down", "name one with --pose-model FILE"),
        ("bottom-up", "no default bottom-up network"),
        ("litepose", "no default bottom-up network"),  # its old name
    ],
)
def test_without_networks_that_are_included_one_must_be_named(
    clip: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr("tracker.weights.read_manifest", lambda *_: ())
    check_refusal(run("track", "--input", clip, "--pose", name), 1, message)


def test_the_summary_counts_one_of_each(track: Run) -> None:
    done = track("--poses", "out.jsonl", "--max-frames", "1", "--people", "1", "--confirm-after", "0")
    assert done.err.startswith("1 frame in ")
    assert done.err.splitlines()[1] == "1 pose with 1 id, of which 1 is a confirmed person"


def test_an_input_without_its_option_is_told_where_it_belongs(run: Run) -> None:
    told = refused(run("track", "clip.mp4", "--poses", "out.jsonl"), 2)
    assert "clip.mp4 stands alone; name what it is: --input clip.mp4; see" in told


def test_the_summary_counts_people_who_were_never_confirmed(track: Run) -> None:
    said = track("--max-frames", "1").err
    assert "2 poses with 2 ids, of which 0 are confirmed people" in said
    assert "nobody was detected in a scene often enough to be confirmed; --show-unconfirmed draws" in said
    assert "nobody was detected" not in track("--max-frames", "8", "--overwrite").err


def test_unrelated_photos_show_everybody(run: Run, models: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(noise, SIZE_WH, interpolation=cv2.INTER_NEAREST))
    done = run("track", "--input", folder, *models, "--output", "out.mp4", "--poses", "out.jsonl")
    assert "note: 3 of these 4 pictures show nothing of the one before; pass --photos" in done.err
    _, *frames = read_lines(tmp_path / "out.jsonl")
    assert [person["confirmed"] for frame in frames for person in frame["people"]] == [False] * 8
    with open_source(str(tmp_path / "out.mp4")) as overlay:
        for number, frame in enumerate(overlay):
            image = cv2.imread(str(folder / f"{number}.png"))
            assert np.abs(frame.image.astype(int) - image)[BOXES[1][1] : BOXES[1][3]].mean() > 10


@pytest.mark.parametrize(
    ("options", "ids", "line"),
    [
        (["--only", "1"], [1], "whom: person 1 alone"),
        (["--only", "0.7,0.5"], [2], "whom: the person at 0.7,0.5 (shares of the picture) alone"),
        (["--people", "1", "--flow", "none"], [1], "whom: 1 person at most"),
        (["--region", "0,0,50,64"], [1], "whom: who stand in 0,0,50,64 (pixels)"),
        (["--only", "9"], [], "nobody was chosen (person 9 alone); run without --only"),
    ],
)
@pytest.mark.parametrize("how", ["models", "litepose"])
def test_others_do_not_come_out(
    run: Run,
    clip: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    options: list[str],
    ids: list[int],
    line: str,
    how: str,
) -> None:
    done = run("track", "--input", clip, *request.getfixturevalue(how), "--poses", "out.jsonl", *options)
    assert line in done.err
    _, *frames = read_lines(tmp_path / "out.jsonl")
    assert [[person["track_id"] for person in frame["people"]] for frame in frames] == [ids] * len(TIMES_S)


def test_a_region_outside_the_picture_is_told(track: Run) -> None:
    check_refusal(track("--region", "300,0,400,64"), 1, "region 300,0,400,64 is outside the 96 by 64 pixels")


def test_the_summary_says_why_the_cpu_was_taken(track: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_cuda_obstacle", lambda: "no NVIDIA driver found")
    notes = [line for line in track("--poses", "out.jsonl").err.splitlines() if line.startswith("note: ")]
    assert notes == ["note: runs on the CPU: no NVIDIA driver found"]  # once, of both networks


def test_without_a_display_the_run_says_so_and_goes_on(
    track: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "window_problem", lambda: "this machine has no display")
    done = track("--show", "--poses", "out.jsonl")
    assert done.code == 0
    assert done.err.splitlines()[0] == "no live window: this machine has no display; going on without it"
    assert files(tmp_path) == {"out.jsonl"}
    assert len(read_lines(tmp_path / "out.jsonl")) == 11


class ImpatientWindow:
    """A live window whose user quits at the third picture."""

    def __init__(self, title: str) -> None:
        self.sizes: list[Any] = []

    def __enter__(self) -> ImpatientWindow:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.sizes == [(SIZE_WH[1], SIZE_WH[0], 3)] * 3

    def show(self, image: Image, *, hold: bool) -> bool:
        assert not hold
        self.sizes.append(image.shape)
        return len(self.sizes) < 3


def test_quitting_the_window_ends_the_run_and_keeps_the_files(
    track: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "window_problem", lambda: None)
    monkeypatch.setattr(sinks, "LiveWindow", ImpatientWindow)
    done = track("--show", "--output", "out.mp4", "--poses", "out.jsonl")
    assert done.code == 0
    assert files(tmp_path) == {"out.mp4", "out.jsonl"}
    # What is shown waits for what comes within 0.135 s.
    assert len(video_times(tmp_path / "out.mp4")) == len(read_lines(tmp_path / "out.jsonl")) - 1 == 6


def check_refusal(done: Any, code: int, message: str) -> None:
    """One line on stderr, no traceback, nothing on stdout."""
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--detect-every", "0"], "--detect-every: '0' must be 1 or more", id="detect never"),
        pytest.param(
            ["--detect-every", "3", "--no-propagation"], "--detect-every needs propagation", id="nobody carries"
        ),
        pytest.param(["--detector-score", "1.5"], "--detector-score must be within 0 and 1", id="score above 1"),
        pytest.param(["--gate", "high"], "--gate: 'high' is no number, such as 2.5", id="gate in words"),
        pytest.param(["--max-frames", "0"], "--max-frames must be 1 or more, not 0", id="no frames"),
        pytest.param(["--device", "gpu"], "no device 'gpu'; use auto, cpu, cuda or cuda:N", id="unknown device"),
        pytest.param(["--detector-size", "64"], "detector size 64: det.onnx takes 96×64 only", id="fixed size"),
        pytest.param(["--appearance", "hats"], "appearance hats is none; take off, colour or the .onnx", id="looks"),
        pytest.param(["--bogus"], "there is no option --bogus; ", id="unknown option"),
        pytest.param(
            ["--poses", "-5"], "-5 looks like an option, and there is none; for a file write ./-5", id="like a number"
        ),
        pytest.param(["--output", "a.mp4", "--format", "csv"], "--format is for poses, and none are", id="no poses"),
        pytest.param(["--output", "a.mp4", "--stitch", "1"], "a second pass (--smooth, --stitch", id="no second pass"),
        pytest.param(["--poses", "a.csv", "--blur-faces"], "--blur-faces is for overlays, and none", id="no overlay"),
        pytest.param(["--poses", "a.csv", "--no-audio"], "--no-audio is for overlay videos, and none", id="no video"),
        pytest.param(["--poses", "a.csv", "--person-height", "2"], "scales TRC and C3D, and a.csv holds", id="height"),
        pytest.param(["--age-decay", "1"], "the nearest is --tracker age_decay=…; see", id="a number of the tracker"),
        pytest.param(["--tracker", "agedecay=1"], "--tracker knows no agedecay; the nearest is age_decay", id="number"),
        pytest.param(["--tracker", "queue_length=few"], "must be a whole number, such as 8, not 'few'", id="few"),
        pytest.param(["--max-lost", "9"], "--max-lost is now --forget-after, in seconds: of 25 frames", id="in frames"),
        pytest.param(["--tracker", "min_hits=3"], "min_hits is now --confirm-after, in seconds", id="number in frames"),
        pytest.param(
            ["--forget-after", "-1"], "--forget-after must be a number of seconds, 0 or more, not -1", id="less"
        ),
        pytest.param(["--forget-after", "inf"], "must be a number of seconds, 0 or more, not inf", id="for ever"),
        pytest.param(["--only", "tallest"], "or a point X,Y, not 'tallest'; the nearest is largest", id="whom"),
        pytest.param(["--only", "1", "--people", "2"], "--only follows one person, so --people has", id="two of one"),
        pytest.param(["--draw", "boxes,names"], "--draw: there is no part 'names'; name some of boxes", id="parts"),
        pytest.param(["--blur-faces", "--only", "1"], "--only leaves people out, whom --blur-faces would", id="bare"),
        pytest.param(["--region", "0,0,1"], "--region: region must be X1,Y1,X2,Y2, or more points", id="three numbers"),
        pytest.param(["--tracker", "merge=all"], "--merge must be one of prefer-detections, plain, not", id="word"),
    ],
)
def test_wrong_usage_is_refused(track: Run, tmp_path: Path, options: list[str], message: str) -> None:
    check_refusal(track(*options), 2, message)
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--output", "old.mp4"], "old.mp4 exists; move it away or pass --overwrite", id="exists"),
        pytest.param(["--output", "cut.mp4"], "cut.partial.mp4 exists (left by an interrupted run)", id="partial"),
    ],
)
def test_what_exists_is_kept_without_opening_input_and_networks(
    run: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    for name in ("old.mp4", "old.csv", "cut.partial.mp4"):
        (tmp_path / name).write_text("precious")
    before = files(tmp_path)
    check_refusal(run("track", "--input", "absent.mp4", "--detector", "absent.onnx", *options), 1, message)
    assert files(tmp_path) == before
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}


def test_a_pattern_that_nothing_matches_is_named_whatever_exists(run: Run, tmp_path: Path) -> None:
    (tmp_path / f"{tmp_path.name}_tracked.mp4").write_text("precious")
    check_refusal(run("track", "--input", "cl*.mp4"), 1, "nothing matches cl*.mp4; check the pattern")


def test_overwrite_replaces_what_exists(track: Run, tmp_path: Path) -> None:
    for name in ("out.mp4", "out.jsonl", "out.partial.mp4"):
        (tmp_path / name).write_text("old")
    assert track("--output", "out.mp4", "--poses", "out.jsonl", "--overwrite").code == 0
    assert files(tmp_path) == {"out.mp4", "out.jsonl"}
    assert len(video_times(tmp_path / "out.mp4")) == len(read_lines(tmp_path / "out.jsonl")) - 1 == 10


def test_an_image_becomes_a_picture_of_all_people(track: Run, tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "pictures", 1) / "0.png"
    assert track(source=source).code == 0
    assert files(tmp_path) == {"pictures", "0_tracked.png", "0_tracked.jsonl"}
    assert is_drawn(cv2.imread("0_tracked.png"))  # though nobody can be confirmed in one frame


@pytest.mark.parametrize("name", ["out.JPG", "out.mp4"])
def test_a_picture_of_one_frame_has_the_kind_of_its_name(track: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")
    assert track("--output", name, "--max-frames", "1", "--overwrite").code == 0
    assert files(tmp_path) == {name}
    with open_source(name) as source:
        (frame,) = source
    assert is_drawn(frame.image)


def test_markers_are_in_metres_where_a_height_is_given(track: Run, tmp_path: Path) -> None:
    done = track("--poses", "out.trc", "--person-height", "1.8", "--confirmed-only")
    assert done.code == 0
    written = [path.name for path in sorted(tmp_path.glob("*.trc"))]
    assert len(written) == len(BOXES)
    assert [(tmp_path / name).read_text().splitlines()[2].split("\t")[4] for name in written] == ["m"] * len(BOXES)
    assert "written: out_person*.trc (person 1 is" in done.err
    assert "written: out.trc" not in done.err
    assert "'0' must be in metres, from 0.3 to 2.6" in track("--poses", "b.trc", "--person-height", "0").err
