"""The table of the ablation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import cells
from tracker.cli import main
from tracker.scenes.hard import HARD, USUAL


def test_the_table_has_a_row_per_setting_and_a_column_per_scene(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "--seeds", "1", "--frames", "2", "--flow", "lk"]) == 0
    header, _, *rows = map(cells, capsys.readouterr().out.splitlines())
    assert header[1:] == [
        "crossing", "hidden", "fast", "leaving", "pan", "crowd", "exercise", "shake",
        "switches", "IDF1", "HOTA", "found, %", "false ids",
    ]  # fmt: skip
    assert [row[0] for row in rows] == [
        "bbox", "pose", "flow", "multi-flow", "no propagation", "plain merge",
        "no usual", "no memory", "no newcomers", "no sizes", "no background", "confirmed at once", "paper",
    ]  # fmt: skip
    for row in rows:
        assert sum(map(int, row[1:-5])) == int(row[-5])
        assert 50 < float(row[-2]) <= 100


def test_hard_scenes_have_a_row_each_and_variants_that_are_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    tables = []
    for more in ([], ["--held-out"]):
        command = ["ablate", "--scenes", "hard", "--by-scene", "--seeds", "1", "--frames", "2", "--flow", "none"]
        assert main([*command, *more]) == 0
        tables.append([*map(cells, capsys.readouterr().out.splitlines())])
    assert tables[0][0] == ["scene", "switches", "IDF1", "HOTA", "found, %", "false ids"]
    assert [row[0] for row in tables[0][2:]] == [*HARD, "all"]
    assert tables[0] != tables[1]


def test_other_thresholds_have_rows_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.scenes.hard.SETS", {"usual": {"crossing": USUAL["crossing"]}})
    assert main(["ablate", "--seeds", "1", "--frames", "2", "--flow", "none", "--sweep"]) == 0
    labels = [cells(line)[0] for line in capsys.readouterr().out.splitlines()[9:]]
    assert {"--keypoint-threshold 0.2", "--tracker propagation_score=0.6", "--tracker merge_iou=0.3"} < {*labels}
    assert labels[-4:] == [f"--forget-after {value}" for value in (0, 1.2, 2.4, 6)]
    assert not [label for label in labels if "detector-score" in label]


def test_looks_are_compared_in_scenes_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["ablate", "--input", str(tmp_path), "--appearance", "colour"]) == 2
    assert "--appearance is for rendered scenes here" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--seeds", "--frames"])
def test_numbers_too_small_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", option, "0"]) == 2
    assert "must be" in capsys.readouterr().err
