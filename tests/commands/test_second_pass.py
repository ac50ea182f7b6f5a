"""The second pass at the end of `track`: what is written, kept and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.after.walks import results
from tests.commands.conftest import Run, read_lines, refused
from tests.formats.examples import write_results
from tests.video.clips import write_clip
from tracker.formats import read_results


@pytest.fixture
def shaky(tmp_path: Path) -> Path:
    """A clip of 40 frames, and in poses.jsonl somebody in it who shakes."""
    shaken = np.random.default_rng(0).normal(320, 3, 40).tolist()
    write_results(tmp_path / "poses.jsonl", results({1: dict(enumerate(shaken))}, 40))
    pictures = [np.full((480, 640, 3), 90, np.uint8)] * 40
    return write_clip(tmp_path / "shaky.mp4", pictures, times_s=[frame / 25 for frame in range(40)])


def test_poses_are_worked_over_at_the_end(run: Run, shaky: Path) -> None:
    given = ("track", "--input", shaky, "--poses-in", "poses.jsonl", "--flow", "none")
    assert run(*given, "--poses", "raw.jsonl").code == 0
    done = run(*given, "--poses", "out.jsonl", "--smooth", "butterworth")
    assert "second pass: 0 tracks stitched, 0 dropped, 0 people and 0 keypoints filled in, " in done.err
    raw, out = (read_lines(Path(name))[1:] for name in ("raw.jsonl", "out.jsonl"))
    x = [[frame["people"][0]["keypoints"][0][0] for frame in frames] for frames in (raw, out)]
    assert np.std(x[1]) < 0.7 * np.std(x[0])
    assert [frame["people"][0]["raw"][0][0] for frame in out] == x[0]
    assert run("convert", "raw.jsonl", "same.jsonl", "--smooth", "butterworth").code == 0
    again = read_results("same.jsonl").frames
    for frame, other in zip(read_results("out.jsonl").frames, again, strict=True):
        np.testing.assert_allclose(frame.tracked.poses.keypoints, other.tracked.poses.keypoints, atol=0.03)


def test_overlays_are_smoothed_unless_the_user_wants_them_raw(run: Run, shaky: Path) -> None:
    given = ("--input", shaky, "--poses-in", "poses.jsonl", "--flow", "none", "--draw", "skeleton")
    shaken = {}
    for smooth in ([], ["--smooth", "off"]):
        assert run("track", *given, "--output", "out.png", "--max-frames", "1", "--overwrite", *smooth).code == 0
        assert run("track", *given, "--output", "out.mp4", "--overwrite", *smooth).code == 0
        shaken[len(smooth)] = Path("out.mp4").stat().st_size
    assert shaken[0] < shaken[2]


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--poses", "-", "--smooth", "one-euro"], 2, "stdout has none; name a file"),
        (["--poses", "x.jsonl", "--smooth", "butterworth", "--cutoff-hz", "13"], 1, "tell nothing above 12"),
        (["--poses", "x.jsonl", "--stitch", "-1"], 2, "--stitch must be a number of seconds"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    run: Run, shaky: Path, options: list[str], code: int, line: str
) -> None:
    assert line in refused(run("track", "--input", shaky, *options), code)
    assert not Path("x.jsonl").exists()
