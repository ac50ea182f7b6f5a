"""Networks that give people, from a video to files: no detector, ids that stay, people carried while unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import Run, read_lines
from tests.pose.people_graphs import OFFSETS, spotted, write_people
from tests.video.clips import write_clip

SIZE_WH, GAIN = (192, 128), 0.5
NUM_FRAMES = 14
# The blue spot goes out for three frames; the person stays.
HIDDEN = range(7, 10)
# Blue and red, in the first frame; the camera turns to the left by a pixel a frame.
STARTS = np.array([[50.0, 70.0], [130.0, 60.0]])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = []
    for frame in range(NUM_FRAMES):
        at = {color: (x + NUM_FRAMES, y) for color, (x, y) in enumerate(STARTS) if color or frame not in HIDDEN}
        wide = spotted((SIZE_WH[0] + NUM_FRAMES, SIZE_WH[1]), at)
        pictures.append(wide[:, NUM_FRAMES - frame :][:, : SIZE_WH[0]].copy())
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures)


@pytest.mark.parametrize("layout", ["rtmo", "cells", "rows"])
def test_people_keep_their_ids_and_are_carried(run: Run, clip: Path, tmp_path: Path, layout: str) -> None:
    model = write_people(tmp_path / "model.onnx", layout)
    done = run("track", "--input", clip, "--pose-model", model, "--output", "out.mp4", "--poses", "out.jsonl")
    assert done.code == 0
    assert "28 poses with 2 ids, of which 2 are confirmed people" in done.err
    assert "detector" not in done.err
    assert done.err.count("note: model.onnx states AGPL-3.0: ") == (layout != "rtmo")
    assert (tmp_path / "out.mp4").stat().st_size > 0
    header, *frames = read_lines(tmp_path / "out.jsonl")
    first_is_red = int(frames[0]["people"][0]["box"][0] > SIZE_WH[0] / 2) ^ (frames[0]["people"][0]["track_id"] == 2)
    assert header["settings"]["keypoint_threshold"] == 0.5
    assert (header["settings"]["detector"], header["settings"]["pose_model"]) == (None, "model.onnx")
    for number, frame in enumerate(frames):
        people = {person["track_id"]: person for person in frame["people"]}
        assert people.keys() == {1, 2}
        origins = sorted(person["origin"] for person in people.values())
        assert origins == ["detected", "propagated" if number in HIDDEN else "detected"]
        middles = np.array([np.array(people[one]["keypoints"])[:, :2].mean(axis=0) for one in (1, 2)])
        truth = STARTS + [number, 0] + OFFSETS.mean(axis=0) / GAIN
        errors = np.abs(middles[[first_is_red, 1 - first_is_red]] - truth).max(axis=1)
        # Where a light goes out, the flow sees more than the camera's turn.
        assert errors[0] < (5 if number in HIDDEN else 1)
        assert errors[1] < 1
    # The other ways to say the same, and a way that contradicts it.
    again = run("track", "--input", clip, "--pose", "bottom-up", "--pose-model", model, "--poses", "again.jsonl")
    assert again.code == 0
    assert read_lines(tmp_path / "again.jsonl")[1:] == frames
    # From 0.81 on no keypoint is left to follow people by.
    run("track", "--input", clip, "--pose-model", model, "--poses", "all.jsonl", "--keypoint-threshold", "0.81")
    header, *frames = read_lines(tmp_path / "all.jsonl")
    assert header["settings"]["keypoint_threshold"] == 0.81
    assert not [one for frame in frames for one in frame["people"] if one["origin"] == "propagated"]
    assert run("track", "--input", clip, "--pose-model", model, "--detector", model, "--poses", "no.csv").code == 1
