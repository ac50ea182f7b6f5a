"""The bench prints what a frame costs, stage by stage."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Run
from tracker.job import measure

STAGES = ["decode", "flow", "detect", "track", "pose", "write", "draw", "encode"]


def read_table(text: str) -> dict[str, list[float]]:
    rows = re.findall(r"^\| (\w[\w' ]*?) +\| +([\d.]+|–) \| +([\d.]+) \|$", text, re.MULTILINE)
    return {stage: [float(wall.replace("–", "nan")), float(cpu)] for stage, wall, cpu in rows}


@pytest.mark.parametrize("takes_a_clip", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["clip", "crowd"])
def test_it_says_what_a_frame_costs(
    run: Run, clip: Path, models: list[str], tmp_path: Path, takes_a_clip: bool
) -> None:
    source = ["--input", str(clip), *models] if takes_a_clip else ["--people", "2", "--height", "180"]
    start = time.perf_counter()
    done = run("bench", "--max-frames", "2", "--repeat", "1", *source)
    assert (done.code, done.err) == (0, "")
    elapsed_ms = 1e3 * (time.perf_counter() - start)
    table = read_table(done.out)
    assert list(table) == [*STAGES, "libraries' threads", "a frame"]
    wall, cpu = table["a frame"]
    assert 2 * wall <= elapsed_ms  # two frames, and loading beside them
    assert sum(row[1] for row in table.values()) - cpu == pytest.approx(cpu, abs=0.5)
    rate = re.search(r"^([\d.]+) frames/s end to end", done.out, re.MULTILINE)
    assert rate
    assert float(rate[1]) == pytest.approx(1000 / wall, rel=0.02, abs=0.06)  # both are rounded
    overlap = re.search(r"^overlap (\d+)%: ([\w +]+) take ([\d.]+) ms", done.out, re.MULTILINE)
    assert overlap
    assert 0 < int(overlap[1]) <= 101
    assert sum(table[stage][0] for stage in overlap[2].split(" + ")) == pytest.approx(float(overlap[3]), abs=0.3)
    assert list(tmp_path.iterdir()) == []


def test_scales_are_a_table_a_file_and_a_plot(run: Run, clip: Path, models: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = ["--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]
    done = run("bench", "--input", str(clip), "--max-frames", "2", "--repeat", "2", "--scale", "queue", *files, *models)
    assert (done.code, done.err) == (0, "")
    assert re.findall(r"^\| (\d+) ", done.out, re.MULTILINE) == ["1", "4", "8", "16"]
    figures = json.loads((tmp_path / "a.json").read_text())
    assert list(figures) == ["as asked", "queue"]
    asked = figures["as asked"][""]
    assert list(asked["cpu_ms"]) == STAGES
    assert asked["frames"] == 2
    assert asked["frames_per_s"] == pytest.approx(1000 / asked["frame_wall_ms"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(["--max-frames", "0"], 2, "--max-frames", id="no frames"),
        pytest.param(["--input", "absent.mp4"], 1, "cannot open absent.mp4", id="missing input"),
        pytest.param(["--pose", "bottom-up"], 2, "name a clip with --input", id="bottom-up without a clip"),
        pytest.param(["--speed", "fast"], 2, "leaves out no work where the truth answers", id="speed without a clip"),
        pytest.param(["--input", "a.mp4", "--scale", "people"], 2, "are for the drawn crowd", id="people of a clip"),
        pytest.param(["--height", "181"], 2, "--height must be even, not 181", id="odd height"),
        pytest.param(["--networks", "a.onnx"], 2, "--networks is now `profile --rounds 20 FILE`", id="moved"),
    ],
)
def test_refusals(run: Run, options: list[str], code: int, message: str) -> None:
    done = run("bench", *options)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err


def measured(**values: Any) -> measure.Measurement:
    wall_ms = {"decode": 10.0, "track": 20.0, "pose": 25.0}
    usual: dict[str, Any] = {
        "frames": 5,
        "size_wh": (8, 4),
        "wall_ms": wall_ms,
        "cpu_ms": {stage: ms / 5 for stage, ms in wall_ms.items()},
        "chains": [["decode"], ["track", "pose"]],
        "frame_wall_ms": 50.0,
        "frame_cpu_ms": 16.0,
    }
    return measure.Measurement(**usual | values)


def test_overlap_is_that_of_the_slowest_chain_or_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "num_cores", lambda: 2)
    assert measured().overlap == pytest.approx(45 / 50)
    assert measured(frame_cpu_ms=98.0).overlap == pytest.approx(49 / 50)
    assert measured().slowest_chain == (["track", "pose"], 45.0)
    assert measured().other_cpu_ms == pytest.approx(5)


def test_several_runs_have_medians_and_the_most_memory() -> None:
    runs = [measured(frame_wall_ms=wall, memory_mb=mb) for wall, mb in ((50.0, 9.0), (90.0, None), (60.0, 8.0))]
    runs[2].cpu_ms["track"] = 100.0
    both = measure.middle(runs)
    assert (both.frame_wall_ms, both.memory_mb, both.cpu_ms["track"]) == (60.0, 9.0, 4.0)


def test_growth_is_that_of_the_second_half(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = measure._Memory()
    monkeypatch.setattr(measure, "_held_mb", lambda: 100 + 0.002 * memory._frames if memory._frames > 3000 else 9)
    for _ in range(6500):
        memory.sample()
        assert len(memory._samples) < 1000
    assert memory.growth_kb == pytest.approx(2000)
    assert memory.most_mb == pytest.approx(113, abs=0.1)
