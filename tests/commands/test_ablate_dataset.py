"""The ablation on a data set whose truth is what the networks find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import BOXES, Outcome, Run, cells, refused, write_detector
from tests.commands.datasets import FOUND as NAMES
from tests.commands.datasets import annotation_of, write_found_dataset
from tests.vectors import read_json

PAPER = [
    "none + bbox", "none + pose", "propagation + bbox", "propagation + pose", "propagation + flow",
    "propagation + multi-flow",
]  # fmt: skip
QUEUES = [f"queue of {length}" for length in (1, 2, 4, 8, 16)]
# The top of the head is above the picture: of a keypoint that nobody has poseval says that its AP is 0.
FULL_AP = 100 * 14 / 15
ORACLES = ["true boxes", "true keypoints", "true association", "all three true"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, models: list[str]) -> Path:
    return write_found_dataset(tmp_path_factory.mktemp("data") / "set", models)


@pytest.fixture
def ablate(run: Run, dataset: Path, models: list[str]) -> Run:
    """Runs the ablation of the data set, without flow, with those further arguments."""
    return lambda *arguments, models=models, root=dataset: run(
        "ablate", "--input", root, *models, "--flow", "none", *arguments
    )


def rows_of(done: Outcome) -> dict[str, list[str]]:
    """The figures by label."""
    assert done.code == 0
    header, rule, *lines = done.out.partition("\n\n")[0].splitlines()
    assert cells(header) == ["setting", "mAP", "MOTA", "switches", "fps"]
    assert len({len(line) for line in (header, rule, *lines)}) == 1
    return {label: figures for label, *figures in map(cells, lines)}


def test_the_papers_table_then_queues(ablate: Run) -> None:
    done = ablate()
    rows = rows_of(done)
    assert list(rows) == [*PAPER, *QUEUES]
    assert {tuple(figures[:3]) for figures in rows.values()} == {("93.3", "100.0", "0")}
    assert all(float(fps) > 0 for *_, fps in rows.values())
    assert done.err.count("ONNX Runtime") == 2


def test_each_detector_has_a_row_and_the_first_is_that_of_the_others(
    ablate: Run, models: list[str], tmp_path: Path
) -> None:
    near_blind = write_detector(tmp_path / "blind.onnx", [[*BOXES[0], 0.9], [*BOXES[1], 0.2]])
    rows = rows_of(ablate("--detector", near_blind, "--json", "out.json", "--queue-length", "3"))
    assert list(rows)[len(PAPER) :] == [*QUEUES[:2], "queue of 3", *QUEUES[2:], models[1], str(near_blind)]
    assert [rows[label][1] for label in ("none + bbox", models[1], str(near_blind))] == ["100.0", "100.0", "50.0"]
    content = read_json(Path("out.json"))
    assert [row["label"] for row in content["rows"]] == list(rows)
    assert (content["sequences"], content["flow"], content["best"]) == (list(NAMES), "none", None)
    assert [name.split()[0] for name in content["detectors"]] == ["det.onnx", "blind.onnx"]
    last = content["rows"][-1]
    assert (last["setting"]["detector"], last["setting"]["config"]["queue_length"]) == (1, 3)
    assert (last["mot"]["Total"], last["ap"]["Total"]) == (50, pytest.approx(FULL_AP / 2))
    assert last["fps"] == pytest.approx(1e3 / sum(last["ms"].values()))


def test_oracles_have_no_speed(ablate: Run) -> None:
    rows = rows_of(ablate("--oracles", "--json", "out.json"))
    assert list(rows)[-4:] == ORACLES
    assert [rows[label][1:] for label in ORACLES[1:]] == [["100.0", "0", "–"]] * 3
    assert read_json(Path("out.json"))["rows"][-1]["fps"] is None


def test_a_sweep_finds_the_best_thresholds(ablate: Run, models: list[str], tmp_path: Path) -> None:
    """A detector that sees a person too many, with score 0.45, and finds one of the two with 0.65."""
    detector = write_detector(tmp_path / "det.onnx", [[*BOXES[0], 0.9], [*BOXES[1], 0.65], [35, 5, 54, 60, 0.45]])
    options = ["--detector", detector, *models[2:], "--no-propagation"]
    done = ablate("--sweep", "--detector-score", "0.7", "--json", "out.json", models=options)
    rows = rows_of(done)
    assert list(rows)[len(PAPER + QUEUES) :] == [
        *(f"--detector-score {value}" for value in (0.3, 0.4, 0.5, 0.6, 0.7)),
        *(f"--keypoint-threshold {value}" for value in (0.2, 0.3, 0.4, 0.5, 0.6)),
        *(f"--tracker propagation_score={value}" for value in (0.2, 0.3, 0.4, 0.5, 0.6)),
        *(f"--tracker merge_iou={value}" for value in (0.3, 0.4, 0.5, 0.6, 0.7)),
        *(f"--gate {value}" for value in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)),
        *(f"--forget-after {value}" for value in (0, 1.2, 2.4, 6)),
        "best of each",
    ]
    by_score = [float(rows[f"--detector-score {value}"][1]) for value in (0.3, 0.4, 0.5, 0.6, 0.7)]
    assert by_score == [50, 50, 100, 100, 50]
    assert {tuple(rows[f"--gate {value}"][1:3]) for value in (0.05, 0.15, 0.4)} == {("50.0", "0")}
    assert rows["best of each"][1] == "100.0"
    assert done.out.endswith("\n\nhighest MOTA: 100.0 with --detector-score 0.5\n")
    assert read_json(Path("out.json"))["best"] == {"options": "--detector-score 0.5", "mota": 100}


def test_another_ground_truth(ablate: Run, dataset: Path) -> None:
    gt = Path("gt")
    gt.mkdir()
    shutil.copy(annotation_of(dataset, NAMES[1]), gt)
    done = ablate("--gt", gt, "--json", "out.json")
    assert "note: left out: 1 sequence without truth in gt\n" in done.err
    assert read_json(Path("out.json"))["sequences"] == [NAMES[1]]
    assert "there is no nowhere/000001_mpii_test.json" in refused(ablate("--gt", "nowhere"))


@pytest.mark.parametrize(
    "option",
    [
        ["--gt", "gt"],
        ["--split", "val"],
        ["--oracles"],
        ["--detector", "det.onnx"],
        ["--json", "out.json"],
    ],
)
def test_options_for_data_sets_need_one(run: Run, option: list[str]) -> None:
    assert f"{option[0]} is for data sets; name one with --input" in refused(run("ablate", *option), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--input", "."], "--input . is no PoseTrack data set", id="a folder of something else"),
        pytest.param(["--split", "test"], "has no split 'test'; it has val", id="another split"),
        pytest.param(["--gate", "2"], "--gate must be within 0 and 1", id="a setting out of range"),
    ],
)
def test_wrong_usage(ablate: Run, arguments: list[str], message: str) -> None:
    assert message in refused(ablate(*arguments), 2)


def without_images(root: Path) -> None:
    (root / "images/val" / NAMES[1] / "000002.jpg").unlink()


def change_people(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for name in NAMES:
            content = read_json(annotation_of(root, name))
            for person in content["annotations"]:
                change(person)
            annotation_of(root, name).write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(without_images, "000002.jpg, which is not there", id="an image is missing"),
        pytest.param(change_people(lambda person: person.pop("bbox_head")), "no head box", id="no head boxes"),
        pytest.param(
            change_people(lambda person: person.update(keypoints=[0] * 51)), "has no keypoints", id="no keypoints"
        ),
    ],
)
def test_truth_that_does_not_serve_is_told_before_networks_are_loaded(
    ablate: Run, dataset: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "damaged"))
    damage(root)
    assert message in refused(ablate(root=root, models=["--detector", "missing.onnx"]))
