"""From a list of doubtful moments to a mended overlay in three commands, and what is refused on the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.after.test_suggestions import exchanged
from tests.after.walks import results, walk
from tests.commands.conftest import Run, read_lines, refused
from tests.formats.examples import write_results
from tests.video.clips import write_clip
from tracker.formats import FORMATS, open_writer
from tracker.video.overlay import id_color

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    """Results in which two get one another's ids in frame 20, and their clip."""
    write_clip(tmp_path / "clip.mp4", [np.full((480, 640, 3), 90, np.uint8)] * 40, times_s=[i / 25 for i in range(40)])
    given = exchanged()
    with open_writer(tmp_path / "clip.jsonl", given.header) as writer:
        for frame in given.frames:
            writer.write(frame, frame.tracked)
    return tmp_path / "clip.jsonl"


def test_suggest_edit_render(run: Run, poses: Path) -> None:
    done = run("suggest", poses, "--video", "clip.mp4", "--output", "edits.txt")
    assert (done.code, done.err) == (0, "written: 1 strip in clip_strips\nwritten: edits.txt, 1 moment\n")
    text = Path("edits.txt").read_text()
    assert re.search(
        r"^# 0.80 s: 1 and 2 change places .*clip_strips.01.jpg\)\n# swap 1 2 @ 0.800$", text, re.MULTILINE
    )
    strip = cv2.imread("clip_strips/01.jpg")
    assert strip is not None
    assert strip.shape[0] == 270
    assert strip.shape[1] > 6 * 200
    Path("edits.txt").write_text(f"{text.replace('# swap', 'swap')}name 2 Zoë\n", encoding="utf-8")
    done = run("edit", poses, "edits.txt")
    assert (done.code, done.err) == (0, "written: clip_edited.jsonl, 2 edits applied, 2 ids of 2\n")
    header, *frames = read_lines(Path("clip_edited.jsonl"))
    assert (header["names"], header["edits"]) == ({"2": "Zoë"}, ["swap 1 2 @ 0.800", "name 2 Zoë"])
    for frame in frames:
        ids = {person["track_id"]: (person["box"][0], person["original_id"]) for person in frame["people"]}
        assert ids == {1: (70, 1 if frame["frame"] < 20 else 2), 2: (370, 2 if frame["frame"] < 20 else 1)}
    assert "as they were" in run("edit", "clip_edited.jsonl", "edits.txt", "--output", "again.jsonl").err
    assert Path("again.jsonl").read_text() == Path("clip_edited.jsonl").read_text()
    assert run("render", "clip_edited.jsonl", "clip.mp4", "--output", "out.mp4", "--draw", "boxes,ids").code == 0
    with av.open("out.mp4") as film:
        pictures = [frame.to_ndarray(format="bgr24").astype(int) for frame in film.decode(video=0)]
    for picture in (pictures[5], pictures[35]):  # each keeps the colour of their box
        for x, track_id in ((70, 1), (370, 2)):
            assert np.abs(picture[100, x] - id_color(track_id)).max() < 60


@pytest.mark.parametrize("name", ["csv", "coco", "mot", "npz", "openpose", "posetrack"])
def test_every_format_that_holds_ids_can_be_edited(run: Run, poses: Path, name: str) -> None:
    given, out = (f"{stem}{FORMATS[name].suffix}" for stem in ("given", "out"))
    assert run("convert", poses, given, "--format", name).code == 0
    first, second = (0, 1) if name == "posetrack" else (1, 2)
    Path("edits.txt").write_text(f"swap {first} {second} @ 0.8")
    assert run("edit", given, "edits.txt", "--output", out, "--format", name, "--fps", "25").code == 0
    run("convert", out, "back.jsonl")
    keeps = name == "npz"
    again = run("edit", out, "edits.txt", "--output", f"2{out}", "--format", name, "--fps", "25")
    said = f"warning: 2{out} keeps no edits: apply these lines to {out} itself, once\n" in again.err
    assert (said, "as they were, 2 ids of 2" in again.err) == (not keeps, keeps)
    frames = [frame["people"] for frame in read_lines(Path("back.jsonl"))[1:]]
    sides = [{person["track_id"]: person["box"][0] < 200 for person in people} for people in frames if people]
    assert all(side == sides[0] for side in sides)
    assert len(sides) == 40


def test_folders_and_pipes_are_edited_as_what_they_are(run: Run, poses: Path) -> None:
    Path("edits.txt").write_text("drop 2")
    assert run("edit", poses, "edits.txt").err == "written: clip_edited.jsonl, 1 edit applied, 1 id of 2\n"
    run("convert", poses, "folder", "--format", "openpose")
    assert run("edit", "folder", "edits.txt", "--fps", "25").code == 0
    assert len(list(Path("folder_edited").iterdir())) == 40
    command = [sys.executable, "-m", "tracker", "edit", "-", "edits.txt"]
    with poses.open("rb") as file:
        done = subprocess.run(
            command, stdin=file, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
    assert [len(json.loads(line)["people"]) for line in done.stdout.splitlines()[1:]] == [1] * 40


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["edit", "clip.jsonl", "wrong.txt"], 1, "wrong.txt: line 1 (drop 9): there is no 9; ids are 1, 2"),
        (
            ["edit", "clip.jsonl", "absent.txt"],
            1,
            "absent.txt cannot be read (No such file or directory); check the name",
        ),
        (["edit", "clip.jsonl", "wrong.txt", "--output", "clip.jsonl"], 2, "would overwrite the input"),
        (["edit", "clip.jsonl", "wrong.txt", "--output", "clip.mp4"], 2, "cannot tell the format of clip.mp4"),
        (["edit", "clip.txt", "wrong.txt"], 1, "these results state no times of their frames; say --fps R"),
        (["suggest", "clip.jsonl", "--strips", "x"], 2, "name the --video that was tracked"),
        (["suggest", "clip.jsonl", "--fps", "0"], 2, "--fps must be above 0 and at most 10000, not 0.0"),
        (["suggest", "clip.jsonl", "--output", "wrong.txt"], 1, "wrong.txt exists; move it away or pass --overwrite"),
        (["suggest", "clip.jsonl", "--video", "absent.mp4"], 1, "absent.mp4"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    run: Run, poses: Path, arguments: list[str], code: int, message: str
) -> None:
    Path("wrong.txt").write_text("drop 9\n")
    run("convert", poses, "clip.txt")
    assert message in refused(run(*arguments), code)
    assert not Path("clip_edited.jsonl").exists()


def test_a_video_that_is_not_there_is_told_where_no_moment_needs_it(run: Run, tmp_path: Path) -> None:
    write_results(tmp_path / "calm.jsonl", results({1: walk(0, 20, 100)}, 20))
    assert run("suggest", "calm.jsonl").out == "# Nothing in calm.jsonl looks doubtful.\n"
    assert "absent.mp4" in refused(run("suggest", "calm.jsonl", "--video", "absent.mp4", "--output", "edits.txt"))
    assert not Path("edits.txt").exists()
