"""Data sets, folders of videos and of frame folders: what is written, what is left out, what is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.commands.conftest import Run, heatmaps, refused, write_pose_network
from tests.commands.datasets import (
    NUM_FRAMES,
    SEQUENCES,
    annotation_of,
    contents,
    write_dataset,
    write_dataset_17,
    write_dataset_21,
)
from tracker import runtime
from tracker.formats.posetrack import read_posetrack

NAMES = SEQUENCES[:2]
FIRST, SECOND = NAMES
PREDICTIONS = {f"{name}.json" for name in NAMES}

Spoil = Callable[[Path], object]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two sequences."""
    return write_dataset(tmp_path / "data", NAMES)


@pytest.fixture
def track_all(run: Run, models: list[str]) -> Run:
    """Runs `track` with those arguments, of which the first are inputs; flow carries people in every other frame."""
    return lambda *arguments: run("track", *models, "--device", "cpu", "--detect-every", "2", "--input", *arguments)


@pytest.fixture
def track_data(track_all: Run, dataset: Path) -> Run:
    """Runs `track` on the data set into the folder `out`."""
    return lambda *arguments: track_all(dataset.name, "--output", "out", *arguments)


@pytest.fixture
def forbid_networks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on no network may be loaded."""
    return lambda: monkeypatch.setattr("tracker.pipeline.build_pipeline", None)


def names_in(folder: str) -> set[str]:
    return set(contents(Path(folder)))


# --- what is written


def test_predictions_are_those_of_the_images_of_the_ground_truth(track_data: Run, dataset: Path) -> None:
    assert track_data().code == 0
    assert names_in("out") == PREDICTIONS
    for name in NAMES:
        truth, found = read_posetrack(annotation_of(dataset, name)), read_posetrack(Path(f"out/{name}.json"))
        assert [(f.image_id, f.name) for f in found.frames] == [(f.image_id, f.name) for f in truth.frames]
        assert [frame.track_ids.tolist() for frame in found.frames] == [[0, 1]] * NUM_FRAMES


@pytest.mark.parametrize(
    ("make", "options", "version"),
    [
        pytest.param(write_dataset_17, [], "17", id="2017"),
        pytest.param(write_dataset_21, [], "18", id="2021, whose predictions have the form of 2018"),
        pytest.param(write_dataset, ["--format", "posetrack17"], "17", id="2018, in the form of 2017"),
    ],
)
def test_predictions_have_the_form_of_the_data_set(
    track_all: Run, tmp_path: Path, make: Callable[..., Path], options: list[str], version: str
) -> None:
    root = make(tmp_path / "data", [FIRST])
    assert track_all(root, "--output", "out", *options).code == 0
    found = read_posetrack(Path(f"out/{FIRST}.json"))
    assert found.version == version
    files = sorted((root / "images").rglob("*.jpg"))
    assert [root / frame.name for frame in found.frames] == files
    assert [len(frame) for frame in found.frames] == [2] * NUM_FRAMES


def test_the_summary(track_data: Run) -> None:
    first, second, speed, people, times, detector, pose, pace, looks, *written = track_data().err.splitlines()
    assert first.startswith(f"[1/2] {FIRST}: 5 frames, ")
    assert second.startswith(f"[2/2] {SECOND}: 5 frames, ")
    assert speed.startswith("10 frames in ")
    assert people == "20 poses with 4 ids, of which 4 are confirmed people"
    assert [line.split(":")[0] for line in (times, detector, pose)] == ["ms per frame", "detector", "pose"]
    assert pace == (
        "speed: exact: the pose network looks at every frame, the detector at every frame, in 1 of 2 frames at most "
        "(--detect-every)"
    )
    assert looks == "looks for people: 6; poses estimated: 20, carried instead: 0"  # of every second frame
    assert written == [f"written: {Path('out', f'{name}.json')}" for name in (FIRST, SECOND)]


@pytest.mark.parametrize("folder", [".", "out"])
def test_the_summary_counts_many_files(run: Run, clip: Path, models: list[str], folder: str) -> None:
    for name in "abc":
        shutil.copy(clip, f"{name}.mp4")
    done = run("track", "--input", "*.mp4", *models, "--output", folder, "--poses", folder)
    assert done.err.splitlines()[-1] == f"written: 6 files in {'this folder' if folder == '.' else folder}"


def test_a_terminal_shows_a_bar_instead_of_lines(track_data: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    shown = track_data().err
    assert "0/2 sequences" in shown
    assert "[1/2]" not in shown
    assert "\n10 frames in " in shown or "\r10 frames in " in shown


# --- what is left out


def test_what_is_complete_is_left_out(track_data: Run, forbid_networks: Callable[[], None]) -> None:
    assert track_data().code == 0
    Path(f"out/{SECOND}.json").unlink()
    done = track_data()
    assert done.err.splitlines()[0] == "1 of 2 sequences were complete; --overwrite tracks them again"
    assert done.err.splitlines()[1].startswith(f"[2/2] {SECOND}: 5 frames, ")
    forbid_networks()
    done = track_data()
    assert (done.code, done.err) == (0, "2 of 2 sequences were complete; --overwrite tracks them again\n")


def test_what_only_says_who_does_it_and_where_changes_nothing(
    track_all: Run, track_data: Run, dataset: Path, forbid_networks: Callable[[], None]
) -> None:
    assert track_data("--overlays").code == 0
    forbid_networks()
    for options in (["--workers", "2"], ["--threads", "1"], ["--detector-batch", "2"], ["--gpus", "0"], ["-v"]):
        device = ["--device", "auto"] if "--gpus" in options else []
        assert track_data(*options, *device).code == 0
    shutil.move("data", "moved")
    assert track_all("moved", "--output", "out").code == 0


def change_annotation(_: list[str]) -> list[str]:
    path = annotation_of(Path("data"), FIRST)
    path.write_text(path.read_text() + " ")
    return []


def change_network(models: list[str]) -> list[str]:
    write_pose_network(Path("other.onnx"), heatmaps() * 0.9)
    return ["--pose-model", "other.onnx"]


def describe_network(models: list[str]) -> list[str]:
    shutil.copy(models[3], "pose.onnx")
    Path("pose.toml").write_text("color = 'bgr'")
    return ["--pose-model", "pose.onnx"]


def change_program(_: list[str]) -> list[str]:
    path = Path(f"out/{FIRST}.json.fingerprint")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "0.0.1"}))
    return []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda _: ["--gate", "0.5"], "was made with gate 0.15, not 0.5; pass --overwrite", id="setting"),
        pytest.param(lambda _: ["--appearance", "colour"], "was made with appearance None, not colour", id="looks"),
        pytest.param(lambda _: ["--max-frames", "3"], "was made with max_frames None, not 3", id="part"),
        pytest.param(lambda _: ["--stitch", "1"], "was made with stitch_s 0.0, not 1.0; pass", id="second pass"),
        pytest.param(change_network, "was made with another pose network; pass --overwrite", id="network"),
        pytest.param(describe_network, "was made with another pose network", id="settings beside a network"),
        pytest.param(change_annotation, "was made of another state of its input", id="input"),
        pytest.param(
            change_program,
            "was made by another version of the program, 0.0.1; pass",
            id="program",
        ),
    ],
)
def test_what_was_made_otherwise_is_kept_and_nothing_is_done(
    track_data: Run,
    models: list[str],
    forbid_networks: Callable[[], None],
    change: Callable[[list[str]], list[str]],
    reason: str,
) -> None:
    assert track_data().code == 0
    Path(f"out/{SECOND}.json").unlink()
    before = contents(Path("out"))
    options = change(models)
    forbid_networks()
    assert f"out/{FIRST}.json {reason}" in refused(track_data(*options))
    assert contents(Path("out")) == before


def test_predictions_that_were_changed_are_kept(track_data: Run) -> None:
    assert track_data().code == 0
    with Path(f"out/{FIRST}.json").open("a") as file:
        file.write(" ")
    done = track_data()
    assert f"out/{FIRST}.json was changed since it was made; move it away or pass --overwrite" in refused(done)


@pytest.mark.parametrize("text", [None, "[]", '{"settings": {}, "networks": {}, "outputs": 1}'])
def test_predictions_without_a_fingerprint_are_kept(track_data: Run, text: str | None) -> None:
    assert track_data().code == 0
    fingerprint = Path(f"out/{FIRST}.json.fingerprint")
    if text is None:
        fingerprint.unlink()
    else:
        fingerprint.write_text(text)
    assert f"out/{FIRST}.json exists; move it away or pass --overwrite" in refused(track_data())


def test_an_overlay_that_was_not_asked_for_before_is_made(track_data: Run) -> None:
    assert track_data().code == 0
    options = ["--overlays", "--max-frames", "2"]
    assert track_data(*options, "--overwrite").code == 0
    assert names_in("out") == PREDICTIONS | {f"{name}.mp4" for name in NAMES}
    assert track_data(*options).err.startswith("2 of 2 sequences were complete")
    found = read_posetrack(Path(f"out/{FIRST}.json"))
    assert [len(frame) for frame in found.frames] == [2, 2, 0, 0, 0]  # all images are listed


@pytest.mark.parametrize("left", [f"{FIRST}.partial.json", f"{FIRST}.json"])
def test_what_a_killed_run_left_is_replaced(track_data: Run, left: str) -> None:
    assert track_data().code == 0
    whole = contents(Path("out"))
    fingerprint = Path(f"out/{FIRST}.json.fingerprint")
    fingerprint.write_text(json.dumps(json.loads(fingerprint.read_text()) | {"outputs": {}}))
    Path(f"out/{FIRST}.json").unlink()
    Path("out", left).write_text("[1,")
    assert track_data().err.startswith("1 of 2 sequences were complete")
    assert contents(Path("out")) == whole


# --- what fails


def spoil_annotation(root: Path) -> None:
    annotation_of(root, FIRST).write_text('{"images": [')


def lose_image(root: Path) -> None:
    (root / f"images/val/{FIRST}/000003.jpg").unlink()


def spoil_image(root: Path) -> None:
    (root / f"images/val/{FIRST}/000003.jpg").write_bytes(b"")


def empty_annotation(root: Path) -> None:
    content = json.loads(annotation_of(root, FIRST).read_text())
    annotation_of(root, FIRST).write_text(json.dumps(content | {"images": [], "annotations": []}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(spoil_annotation, f"data/annotations/val/{FIRST}.json", id="broken annotation"),
        pytest.param(empty_annotation, f"{FIRST}.json lists no images, so there is nothing to track", id="no images"),
        pytest.param(lose_image, f"{FIRST}.json lists data/images/val/{FIRST}/000003.jpg, which is not", id="missing"),
        pytest.param(spoil_image, f"data/images/val/{FIRST}/000003.jpg is no image or is damaged", id="broken image"),
    ],
)
def test_a_sequence_that_fails_leaves_nothing_and_the_others_are_tracked(
    track_data: Run, dataset: Path, spoil: Spoil, message: str
) -> None:
    spoil(dataset)
    done = track_data("--overlays")
    assert done.code == 1
    (error,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in error
    assert done.err.endswith("1 of 2 sequences failed\n")
    assert {path.name for path in Path("out").iterdir()} == {
        f"{SECOND}.json", f"{SECOND}.mp4", f"{SECOND}.json.fingerprint",
    }  # fmt: skip


def test_a_failure_that_does_not_name_its_sequence_is_told_with_it(
    track_data: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise IndexError("a bug")

    monkeypatch.setattr("tracker.pipeline.Pipeline.run", fail)
    done = track_data()
    assert done.code == 1
    bug = "IndexError: a bug; a fault of the program: -v shows where"
    assert done.err.splitlines() == [
        f"error: {FIRST}: {bug}", f"error: {SECOND}: {bug}", "2 of 2 sequences failed",
    ]  # fmt: skip
    assert 'raise IndexError("a bug")' in track_data("-v").err


# --- usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["data"], "data is a data set; name the folder for its predictions: --output DIR", id="no folder"),
        pytest.param(["data", "clip.mp4", "--output", "o"], "data is a data set, which is tracked alone", id="two"),
        pytest.param(["data", "--output", "o", "--split", "test"], "data has no split 'test'; it has val", id="split"),
        pytest.param(["data", "--output", "o", "--poses", "p"], "--poses has no meaning with the data set", id="poses"),
        pytest.param(["data", "--output", "o", "--start", "1"], "--start has no meaning with the data set", id="start"),
        pytest.param(["data", "--output", "o", "--crf", "9"], "leave it out, or add --overlays", id="no overlays"),
        pytest.param(["clip.mp4", "--split", "val"], "--split is for data sets, and clip.mp4 is no", id="split alone"),
        pytest.param(["clip.mp4", "--workers", "2"], "--workers is for data sets and several inputs", id="one input"),
        pytest.param(["data", "--output", "o", "--workers", "0"], "--workers: '0' must be 1 or more", id="no workers"),
        pytest.param(["data", "--output", "o", "--gpus", "0;1"], "--gpus: '0;1' must be numbers of CUDA", id="gpus"),
        pytest.param(
            ["data", "--output", "o", "--gpus", "0"], "--gpus and --device both say where networks run", id="devices"
        ),
        pytest.param(["a.mp4", "b.mp4", "--show", "--workers", "2"], "--show is for one process", id="window"),
        pytest.param(
            ["data", "--output", "data/annotations/val", "--overwrite"],
            "would overwrite the input",
            id="over the truth",
        ),
    ],
)
def test_wrong_usage(track_all: Run, dataset: Path, arguments: list[str], message: str) -> None:
    before = contents(dataset / "annotations/val")
    assert message in refused(track_all(*arguments), 2)
    assert contents(dataset / "annotations/val") == before
    assert not Path("o").exists() or not names_in("o")


def test_an_absent_gpu_ends_the_run_before_it_begins(
    run: Run, dataset: Path, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.runtime._cuda_obstacle", lambda: "no NVIDIA driver found")
    done = run("track", "--input", dataset, *models, "--output", "out", "--gpus", "3")
    assert "device cuda:3 does not work: no NVIDIA driver found" in refused(done)
    assert names_in("out") == set()


def test_threads_reach_the_engines(
    track_data: Run, clip: Path, track_all: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    real = runtime._session_options
    monkeypatch.setattr(runtime, "_session_options", lambda number: (given.append(number), real(number))[1])
    monkeypatch.setattr(cv2, "setNumThreads", given.append)
    assert track_data("--threads", "3").code == 0
    assert given == [3, 3, 3]
    given.clear()
    assert track_all(clip, "--poses", "one.jsonl", "--threads", "2").code == 0
    assert given == [2, 2, 2]
