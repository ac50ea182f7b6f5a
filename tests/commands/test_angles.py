"""The command that makes a table of angles."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.commands.conftest import Run, refused
from tests.formats.examples import HEADER, example
from tracker.after.angles import angles_of
from tracker.formats import open_writer, read_results
from tracker.formats.trajectories import trajectories_of
from tracker.skeletons import HAND_21
from tracker.types import TrackedPoses


def test_a_row_is_a_person_in_a_frame(run: Run, poses: Path) -> None:
    done = run("angles", poses)
    assert (done.code, done.out, done.err) == (0, "", "written: in_angles.csv, 2 people\n")
    with Path("in_angles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["time_s"], row["track_id"]) for row in rows] == [
        *(("0", "0.000000", "3"), ("2", "0.080000", "3"), ("0", "0.000000", "8"), ("2", "0.080000", "8")),
    ]  # fmt: skip
    results = read_results(poses)
    first = angles_of(next(iter(trajectories_of(results))), results.header.skeleton)
    for name, values in first.degrees.items():
        assert float(rows[0][name]) == pytest.approx(values[0], abs=0.006)
    assert rows[0]["facing"] == ("right" if first.faces_right[0] else "left")


def test_pictures_are_drawn_of_each_person(run: Run, poses: Path, tmp_path: Path) -> None:
    """Also where the home folder cannot be written to, which costs no line."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `eval`)")
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "tracker", "angles", str(poses), "--plot", "a.png"]
    surroundings = os.environ | {"MPLCONFIGDIR": str(tmp_path / "file" / "none")}
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["written", "written"]
    assert run("convert", poses, "out.csv", "--plot", "k.png").code == 0
    assert {path.name for path in Path().glob("*.png")} == {
        f"{name}_person0{one}.png" for name in "ak" for one in (3, 8)
    }
    message = "a_person03.png exists; move it away or pass --overwrite"
    assert message in refused(run("angles", poses, "--output", "b.csv", "--plot", "a.png"))
    assert not Path("b.csv").exists()


def test_what_is_refused(run: Run, poses: Path, tmp_path: Path) -> None:
    with open_writer(tmp_path / "hands.jsonl", replace(HEADER, skeleton=HAND_21)) as writer:
        writer.write(example().frames[1], TrackedPoses.empty(21))
    assert "hands.jsonl has nobody with an angle" in refused(run("angles", "hands.jsonl"))
    assert "--keypoint-score must be within 0 and 1" in refused(run("angles", poses, "--keypoint-score", "3"), 2)
    assert "would overwrite the input" in refused(run("angles", poses, "--output", poses), 2)
    assert run("convert", poses, "out.json").code == 0
    assert "neither times nor a frame rate are known; pass --fps R" in refused(run("angles", "out.json"))
    assert "--fps must be above 0" in refused(run("angles", "out.json", "--fps", "0"), 2)
    assert run("angles", "out.json", "--fps", "25").code == 0
    Path("in_angles.csv").write_text("precious")
    assert "in_angles.csv exists" in refused(run("angles", poses))
