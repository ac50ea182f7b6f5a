"""The overlay, drawn again from results: the same pictures, and one line where results and video do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, TIMES_S, Run, texture
from tests.commands.runs import video_times
from tests.formats.examples import READABLE
from tests.video.clips import flashes_and_tones, write_clip, write_sounding_clip
from tracker.commands import render as render_command
from tracker.formats import FORMATS
from tracker.video.overlay import OverlayRenderer


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24").astype(int) for frame in container.decode(video=0)]


def drawn(path: Path) -> list[bool]:
    """In which pictures somebody is drawn."""
    left, _, right, bottom = BOXES[1]
    below_the_text = np.s_[24:bottom, left:right]
    return [bool(np.abs(picture - texture())[below_the_text].mean() > 20) for picture in pictures(path)]


@pytest.fixture
def tracked(track: Run) -> None:
    """The clip tracked, its overlay in first.mp4."""
    assert track("--output", "first.mp4", "--poses", "out.jsonl").code == 0


@pytest.mark.parametrize("suffix", [".jsonl", ".npz", ".csv"])
@pytest.mark.usefixtures("tracked")
def test_the_overlay_is_the_same_again(run: Run, clip: Path, suffix: str) -> None:
    if suffix != ".jsonl":
        run("convert", "out.jsonl", f"out{suffix}")
    done = run("render", f"out{suffix}", clip, "--output", "again.mp4")
    assert (done.code, done.out, done.err) == (0, "", "written: again.mp4, 10 frames\n")
    assert video_times(Path("again.mp4")) == pytest.approx(TIMES_S, abs=1e-4)
    first, again = pictures(Path("first.mp4")), pictures(Path("again.mp4"))
    # the line of text says how fast the first one was, which coding lets shine through elsewhere
    differences = [np.abs(a - b)[24:].mean() for a, b in zip(first, again, strict=True)]
    assert max(differences) < 10
    assert drawn(Path("again.mp4")) == drawn(Path("first.mp4")) == [True] * 10


@pytest.mark.usefixtures("tracked")
def test_ctrl_c_names_the_video_so_far(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = OverlayRenderer.draw

    def interrupted(*arguments: Any, time_s: float, **options: Any) -> Any:
        if time_s > TIMES_S[5]:
            raise KeyboardInterrupt
        return draw(*arguments, time_s=time_s, **options)

    monkeypatch.setattr(OverlayRenderer, "draw", interrupted)
    done = run("render", "out.jsonl", clip, "--output", "again.mp4")
    assert (done.code, done.err) == (130, "what was done is in again.partial.mp4\ninterrupted\n")
    assert Path("again.partial.mp4").exists()


@pytest.mark.parametrize("options", [[], ["--show-unconfirmed"]])
def test_unconfirmed_people_are_drawn_on_demand(run: Run, track: Run, clip: Path, options: list[str]) -> None:
    track("--poses", "out.jsonl", "--confirm-after", "2")
    done = run("render", "out.jsonl", clip, "--output", "again.mp4", *options)
    assert drawn(Path("again.mp4")) == [bool(options)] * 10
    said = "note: nobody in out.jsonl is confirmed; --show-unconfirmed draws them" in done.err
    assert said == (not options)


@pytest.mark.parametrize("name", READABLE)
def test_people_of_a_part_are_drawn_where_they_were_tracked(run: Run, track: Run, clip: Path, name: str) -> None:
    """Whatever the format, and however it got there; what states no times is drawn into the whole video."""
    track("--poses", "part.jsonl", "--start", "0.2", "--end", "0.4")
    out = f"out{FORMATS[name].suffix}"
    run("convert", "part.jsonl", out, "--format", name)
    run("convert", out, "back.jsonl")
    has_start = name in ("jsonl", "npz", "parquet")
    for poses in (out, "back.jsonl"):
        done = run("render", poses, clip, "--output", "again.mp4", "--show-unconfirmed", "--overwrite")
        assert (done.code, done.err.splitlines()[0]) == (0, f"note: {poses} ends at frame 7, {clip} at 9")
        frames = range(4 if has_start else 0, 10)
        if name not in ("mot", "openpose"):
            assert drawn(Path("again.mp4")) == [4 <= frame < 8 for frame in frames]
        times_s = [TIMES_S[frame] for frame in frames]
        assert video_times(Path("again.mp4")) == pytest.approx(np.subtract(times_s, times_s[0]), abs=1e-4)


def test_a_longer_video_is_told(run: Run, track: Run, clip: Path) -> None:
    track("--poses", "out.jsonl", "--max-frames", "6")
    done = run("render", "out.jsonl", clip, "--output", "again.mp4")
    assert done.err.splitlines()[0] == f"note: out.jsonl ends at frame 5, {clip} at 9"
    assert drawn(Path("again.mp4")) == [True] * 6 + [False] * 4


def test_a_folder_has_the_rate_of_the_results(run: Run, track: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), texture())
    track("--poses", "out.jsonl", "--fps", "10", source=folder)
    assert run("render", "out.jsonl", folder).code == 0
    assert video_times(Path("pictures_rendered.mp4")) == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-4)


def test_a_video_has_the_rate_that_it_was_given(run: Run, track: Run, clip: Path) -> None:
    track("--poses", "out.jsonl", "--fps", "100")
    assert run("render", "out.jsonl", clip, "--output", "again.mp4").code == 0
    whole = track("--output", "whole.mp4", "--fps", "100")
    assert whole.code == 0
    assert video_times(Path("again.mp4")) == video_times(Path("whole.mp4"))


def test_keypoints_fade_at_the_score_at_which_they_were_dropped(
    run: Run, track: Run, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track("--poses", "out.jsonl", "--keypoint-threshold", "0.6", "--max-frames", "1")
    seen = []
    overlay = render_command._overlay
    monkeypatch.setattr(render_command, "_overlay", lambda *both: seen.append(overlay(*both)) or seen[-1])
    for options in ([], ["--keypoint-threshold", "0.2"]):
        run("render", "out.jsonl", clip, "--output", "again.mp4", "--max-frames", "1", "--overwrite", *options)
    assert [renderer._threshold for renderer in seen] == [0.6, 0.2]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["out.jsonl", "small.mp4"], 1, "has 64 by 48 pixels, out.jsonl was made of 96 by 64", id="size"),
        pytest.param(["out.jsonl", "slow.mp4"], 1, "1 is at 0.500 s of slow.mp4, at 0.040 s of out.jsonl", id="times"),
        pytest.param(["out.txt", "short.mp4"], 1, "ends at frame 2, but out.txt goes on to frame 9", id="length"),
        pytest.param(["out.jsonl", "0"], 2, "camera 0 shows something else now", id="camera"),
        pytest.param(["out.jsonl", "absent.mp4"], 1, "cannot open absent.mp4", id="no video"),
        pytest.param(["out.jsonl", "slow.mp4", "--output", "slow.mp4"], 2, "overwrite the input", id="onto itself"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("tracked")
def test_what_does_not_fit_is_told_with_what_it_leaves(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    write_clip(tmp_path / "small.mp4", [np.zeros((48, 64, 3), np.uint8)] * 10, times_s=TIMES_S)
    write_clip(tmp_path / "slow.mp4", [texture()] * 10, times_s=[number / 2 for number in range(10)])
    write_clip(tmp_path / "short.mp4", [texture()] * 3, times_s=TIMES_S[:3])
    run("convert", "out.jsonl", "out.txt")
    done = run("render", *arguments)
    *told, error = done.err.splitlines()
    assert (done.code, told) == (code, [f"what was done is in {left}" for left in Path().glob("*.partial.mp4")])
    assert message in error
    assert not list(tmp_path.glob("*_rendered.mp4"))


def test_the_sound_is_kept_unless_unwanted(run: Run, models: list[str], tmp_path: Path) -> None:
    clip = write_sounding_clip(tmp_path / "clip.mkv", "flac")
    done = run("track", "--input", clip, *models, "--output", "out.mp4", "--poses", "out.jsonl", "--start", "0.5")
    assert "note: the sound, flac, is encoded as AAC" in done.err
    done = run("render", "out.jsonl", clip, "--output", "again.mp4")
    assert "note: the sound, flac, is encoded as AAC" in done.err
    for name in ("out.mp4", "again.mp4"):
        assert flashes_and_tones(tmp_path / name)[1] == pytest.approx([0.5], abs=0.03)
    run("render", "out.jsonl", clip, "--output", "silent.mp4", "--no-audio")
    assert flashes_and_tones(tmp_path / "silent.mp4")[1] == []


def test_faces_are_blurred_as_they_were_tracked(run: Run, track: Run, clip: Path) -> None:
    done = track("--poses", "out.jsonl", "--output", "out.mp4", "--blur-faces", "--draw", "trails")
    assert "note: faces are blurred where people were found" in done.err
    assert "speed: exact" in done.err
    assert "faces are blurred" in run("render", "out.jsonl", clip, "--blur-faces", "--draw", "trails").err
    again, bare = pictures(Path("clip_rendered.mp4")), pictures(clip)
    for first, second, whole in zip(pictures(Path("out.mp4")), again, bare, strict=True):
        np.testing.assert_allclose(first.astype(int), second.astype(int), atol=12)
        changes = np.abs(first.astype(int) - whole).mean(axis=(0, 2))
        assert changes[10:34].mean() > 2 * changes[90:].mean()  # in a box, and beside the other
