"""`evaluate posetrack` gives the figures of the official programs, and says in one line what keeps it from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Outcome, Run, refused
from tests.evaluation.posetrack.people import FIRST_ID
from tests.vectors import FOLDERS, evaluations, read_json
from tracker.skeletons import POSETRACK_17

CASE = FOLDERS["own"] / "posetrack" / "edge_dummy"
NAMES = ["000700_mpii_test", "000701_bonn_train"]
# What newer libraries make of MOTP, and messages of the official programs.
INFORMATIVE = {"motp_with_motmetrics_1_4", "sum_dist_all_events", "hota_pose_error", "posemap_error"}


def to_be_compared(expected: dict[str, Any], check: list[str]) -> dict[str, Any]:
    """The blocks of expected.json that its case allows to compare."""
    kept = {"joints": expected["joints"]}
    kept["poseval"] = {
        name: {block: figures for block, figures in blocks.items() if block in check}
        for name, blocks in expected["poseval"].items()
    }
    kept["poseval_counts"] = expected.get("poseval_counts", {})
    kit = dict(expected.get("posetrack21", {}))
    if "ap" not in check:
        kit.pop("posemap", None)
    return kept | {"posetrack21": kit}


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where something expected is not found, or more than 1e-6 away."""
    if isinstance(expected, dict):
        keys = [key for key in expected if key not in INFORMATIVE]
        missing = [f"{path}/{key} is missing" for key in keys if key not in found]
        return missing + [
            line for key in keys if key in found for line in differences(expected[key], found[key], f"{path}/{key}")
        ]
    if isinstance(expected, list):
        if len(expected) != len(found):
            return [f"{path}: {len(found)} values, not {len(expected)}"]
        rows = enumerate(zip(expected, found, strict=True))
        return [line for row, pair in rows for line in differences(*pair, f"{path}/{row}")]
    is_number = isinstance(expected, int | float) and isinstance(found, int | float)
    same = abs(expected - found) <= 1e-6 if is_number else expected == found
    return [] if same else [f"{path}: {found}, not {expected}"]


@pytest.mark.vectors_posetrack
@pytest.mark.parametrize("case", evaluations("gt"))
def test_the_figures_are_the_official_ones(case: Path, run: Run) -> None:
    expected = read_json(case / "expected.json")
    check = expected.get("check", ["ap", "mot"])
    done = run("evaluate", "posetrack", "--gt", case / "gt", "--pred", case / "pred", "--json", "out.json")
    assert done.code == 0
    assert differences(to_be_compared(expected, check), read_json(Path("out.json"))) == []


def test_the_same_content_in_both_forms_has_the_same_figures(run: Run) -> None:
    """Converted to PoseTrack17, which PoseTrack21's kit does not read, but ours does."""
    for name in ("gt", "pred"):
        assert run("convert", CASE / name, name, "--format", "posetrack17").code == 0
    assert evaluate(run, CASE / "gt", CASE / "pred", "--json", "18.json").code == 0
    assert evaluate(run, "gt", "pred", "--json", "17.json", "--format", "17").code == 0
    (first, second) = (read_json(Path(f"{version}.json"))["poseval"] for version in ("17", "18"))
    assert differences(first, second) == []


def evaluate(run: Run, gt: str | Path, pred: str | Path, *arguments: str | Path) -> Outcome:
    return run("evaluate", "posetrack", "--gt", gt, "--pred", pred, *arguments)


def file(*track_ids: list[int], first: int = 0, **more: Any) -> dict[str, Any]:
    """A ground truth or prediction: people with those ids in each frame, every keypoint of a person at one place."""
    numbers = range(first, first + len(track_ids))
    images = [{"id": FIRST_ID + number, "file_name": f"{number:06d}.jpg", "is_labeled": True} for number in numbers]
    people = [
        {
            "image_id": FIRST_ID + number,
            "track_id": track_id,
            "keypoints": [100 * row + 100, 100, 1] * 17,
            "scores": [0.5] * 17,
            "bbox_head": [0, 0, 30, 40],
        }
        for number, ids in zip(numbers, track_ids, strict=True)
        for row, track_id in enumerate(ids)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK_17.keypoint_names)}
    return {"images": images, "annotations": people, "categories": [category]} | more


def save(folder: str, **files: Any) -> Path:
    path = Path(folder).absolute()
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def test_tables_and_notes(run: Run) -> None:
    gt = save("gt", a=file([1], [1]), b=file([1], [1], [1]))
    pred = save("pred", a=file([7], [7]), b=file([7], [8], [8]), c=file([9]))
    done = evaluate(run, gt, pred)
    assert done.code == 0
    assert done.err == f"note: {pred} has 1 file without ground truth, left out: c.json\n"
    total, by_sequence = done.out.split("\n\n")
    assert "| AP                         | 100.0 |" in total
    # three frames count, one of them a switch
    assert "| MOTA                       |  66.7 |" in total
    assert "| MOTA, every person counted |  80.0 |" in total
    assert [line.split("|")[1].strip() for line in by_sequence.splitlines()] == ["sequence", "-" * 10, "a", "b"]


def test_weak_keypoints_are_left_out_of_mota_alone(run: Run) -> None:
    gt, pred = save("gt", a=file([1], [1])), save("pred", a=file([7], [7]))  # their scores are 0.5
    done = evaluate(run, gt, pred, "--keypoint-score", "0.6")
    assert "| AP                         | 100.0 |" in done.out
    assert "| MOTA                       |   0.0 |" in done.out


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        pytest.param(file([7]), "the prediction for a has 1 images, the ground truth 2", id="an image too few"),
        pytest.param(file([7], [7], first=1), f"lacks the image {FIRST_ID} (000000.jpg)", id="another image"),
        pytest.param(file([7, 7], [7]), "track_id must be that of one person only in an image", id="an id twice"),
        pytest.param(file([7], [7], annotations=None), "annotations must be a list", id="malformed"),
        pytest.param([], "a.json is no object", id="something else"),
    ],
)
def test_predictions_that_cannot_be_measured(run: Run, prediction: Any, message: str) -> None:
    gt, pred = save("gt", a=file([1], [1])), save("pred", a=prediction)
    assert message in refused(evaluate(run, gt, pred, "--json", "out.json"))
    assert not Path("out.json").exists()


def test_missing_predictions_are_told_before_anything_is_read(run: Run) -> None:
    gt, pred = save("gt", a=file([1]), b="broken"), save("pred", a="broken")
    assert "lacks the predictions for 1 of 2 sequences: b.json" in refused(evaluate(run, gt, pred))


def test_plots(run: Run) -> None:
    assert evaluate(run, CASE / "gt", CASE / "pred", "--plot", "new/plots").code == 0
    assert sorted(path.name for path in Path("new/plots").iterdir()) == [
        *(f"{name}_ids.png" for name in NAMES),
        "precision_recall.png",
    ]


def test_outputs_that_exist_are_kept(run: Run) -> None:
    gt = save("gt", a=file([1], [1]))
    for name in ("out.json", "a_ids.png"):
        Path(name).write_text("mine")
    assert "out.json exists; move it away or pass --overwrite" in refused(evaluate(run, gt, gt, "--json", "out.json"))
    assert "a_ids.png exists" in refused(evaluate(run, gt, gt, "--plot", "."))
    assert evaluate(run, gt, gt, "--json", "out.json", "--plot", ".", "--overwrite").code == 0
    assert read_json(Path("out.json"))["poseval"]["total"]["ap"]["table"]["Total"] == 100
    assert Path("a_ids.png").read_bytes().startswith(b"\x89PNG")
