"""`evaluate` on two pictures, with networks that always find the same two people."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, SIZE_WH, Run, cells, refused, texture
from tests.vectors import evaluations, read_json
from tracker.skeletons import CROWDPOSE_14

ONE = pytest.approx(1)
TABLES = ("ap_by_threshold_and_area", "recall_by_threshold_and_area")
THRESHOLDS = [0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8]


def write_truth(path: Path, people: list[dict[str, Any]], num_images: int = 2, first_id: int = 1) -> Path:
    """Ground truth, and its pictures in a folder of the same name."""
    path.with_suffix("").mkdir()
    images = []
    for number in range(first_id, first_id + num_images):
        images.append({"id": number, "file_name": f"{number}.png", "width": SIZE_WH[0], "height": SIZE_WH[1]})
        cv2.imwrite(str(path.with_suffix("") / f"{number}.png"), texture())
    path.write_text(json.dumps({"images": images, "annotations": people}))
    return path


def people(image_id: int, boxes: list[list[int]] = BOXES) -> list[dict[str, Any]]:
    """Annotations with the keypoints that the pose network gives in those boxes, as far as the test cares."""
    return [
        {"image_id": image_id, "bbox": [x, y, right - x, bottom - y], "keypoints": [9, 9, 2] * 17}
        for x, y, right, bottom in boxes
    ]


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    """Two people in the first picture, and in the second one where the detector finds them and one elsewhere."""
    return write_truth(tmp_path / "gt.json", people(1) + people(2, [BOXES[0], [0, 57, 96, 63]]))


@pytest.fixture
def evaluate(run: Run, gt: Path, models: list[str]) -> Run:
    """Runs `evaluate coco` with the networks on the pictures, and those further arguments."""
    return lambda *arguments: run("evaluate", "coco", "--gt", gt, "--images", gt.with_suffix(""), *models, *arguments)


def figures(path: str = "out.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(path).read_text())
    return content


def test_boxes(evaluate: Run) -> None:
    done = evaluate("--kind", "boxes", "--json", "out.json")
    assert done.code == 0
    header, _, row, blank, *table = done.out.splitlines()
    assert cells(header) == ["ap", "ap50", "ap75", "ap small", "ap medium", "ap large", "ar"]
    written = figures()
    assert cells(row)[0] == f"{written['ap']:.3f}"
    assert (written["kind"], written["num_images"], written["num_people"]) == ("boxes", 2, 4)
    # scores 0.9 and 0.8: three of four are found, and the last box is false
    assert written["thresholds"] == [
        {"score": score, "recall": 0.75, "false_people_per_picture": None} for score in THRESHOLDS
    ]
    assert blank == ""
    assert cells(table[0]) == ["score", "recall", "false people per picture"]
    assert cells(table[-1]) == ["0.800", "0.750", "–"]


def test_false_people_are_counted_on_negatives(evaluate: Run, tmp_path: Path) -> None:
    negatives = write_truth(tmp_path / "none.json", people(7), num_images=5, first_id=3)
    options = ["--kind", "boxes", "--json", "out.json", "--negatives", negatives]
    assert evaluate(*options, "--negative-images", negatives.with_suffix("")).code == 0
    assert figures()["num_negatives"] == 4
    assert {row["false_people_per_picture"] for row in figures()["thresholds"]} == {2}
    options += ["--negatives-every", "3", "--overwrite"]
    assert evaluate(*options, "--negative-images", negatives.with_suffix("")).code == 0
    assert figures()["num_negatives"] == 2


def test_saved_poses_are_the_measure_of_themselves(run: Run, evaluate: Run, tmp_path: Path) -> None:
    assert evaluate("--save", "found.json").code == 0
    results = json.loads(Path("found.json").read_text())
    assert [result["image_id"] for result in results] == [1, 1, 2, 2]
    assert {len(result["keypoints"]) for result in results} == {51}
    truth = [
        {"image_id": result["image_id"], "bbox": [0, 0, 24, 48], "area": 2000, "keypoints": result["keypoints"]}
        for result in results
    ]
    gt = write_truth(tmp_path / "found-gt.json", truth)
    done = run("evaluate", "coco", "--gt", gt, "--pred", "found.json", "--json", "out.json")
    assert (done.code, done.err) == (0, "")
    written = figures()
    assert [written.pop(name) for name in ("kind", "num_images", "num_people")] == ["keypoints", 2, 4]
    shown = {"ap": ONE, "ap50": ONE, "ap75": ONE, "ap_medium": ONE, "ap_large": None, "ar": ONE, "mean_oks": ONE}
    assert {name: written.pop(name) for name in shown} == shown
    assert set(written) == {"stats", *TABLES, "iou_thresholds", "area_labels"}


@pytest.mark.vectors_coco
@pytest.mark.parametrize("case", evaluations("gt.json"))
def test_the_figures_are_the_official_ones(case: Path, run: Run) -> None:
    options = ["--gt", case / "gt.json", "--pred", case / "results.json", "--json", "out.json"]
    assert run("evaluate", "coco", *options).code == 0
    written, expected = figures(), read_json(case / "expected.json")
    assert written["stats"] == pytest.approx(expected["stats"], abs=1e-6)
    assert written["area_labels"] == expected["area_labels"]
    for name in ("iou_thresholds", *TABLES):
        np.testing.assert_allclose(np.array(written[name], float), np.array(expected[name], float), rtol=0, atol=1e-6)
    shown = {name: value for name, value in expected["stats"].items() if name.startswith("AP") or name == "AR"}
    assert {name: written[name.lower()] for name in shown} == pytest.approx(shown, abs=1e-6)


def test_networks_on_crowdpose(run: Run, evaluate: Run, gt: Path) -> None:
    content = json.loads(gt.read_text())
    content["categories"] = [{"id": 7, "name": "person", "keypoints": list(CROWDPOSE_14.keypoint_names)}]
    content["annotations"] = [person | {"keypoints": [9, 9, 2] * 14, "category_id": 7} for person in people(1)]
    gt.write_text(json.dumps(content))
    assert evaluate("--boxes", "ground-truth", "--save", "found.json").code == 0
    results = json.loads(Path("found.json").read_text())
    assert [(result["category_id"], result["keypoints"][36:]) for result in results] == [(7, [0] * 6)] * 2
    for person, result in zip(content["annotations"], results, strict=True):
        person["keypoints"] = result["keypoints"]
    content["images"][0]["crowdIndex"] = 0.5
    gt.write_text(json.dumps(content))
    done = run("evaluate", "coco", "--gt", gt, "--pred", "found.json")
    header, _, row = map(cells, done.out.splitlines())
    assert header == ["ap", "ap50", "ap75", "ar", "ap easy", "ap medium", "ap hard", "mean oks"]
    assert row == ["1.000"] * 4 + ["–", "1.000", "–", "1.000"]


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        pytest.param("detector", [0.81, 0.72, 0.81, 0.72], id="of the detector, times their scores"),
        pytest.param("ground-truth", [0.9, 0.9, 0.9, 0.9], id="true"),
    ],
)
def test_poses_in_either_boxes(evaluate: Run, boxes: str, scores: list[float]) -> None:
    assert evaluate("--boxes", boxes, "--save", "found.json").code == 0
    assert [result["score"] for result in json.loads(Path("found.json").read_text())] == pytest.approx(scores)


@pytest.mark.parametrize("is_named", [True, False], ids=["by --pose", "by the file"])
def test_litepose_needs_no_boxes(run: Run, gt: Path, litepose: list[str], is_named: bool) -> None:
    litepose = litepose if is_named else litepose[2:]
    source = ["--gt", gt, "--images", gt.with_suffix("")]
    done = run("evaluate", "coco", *source, *litepose, "--save", "found.json", "--json", "out.json")
    assert done.code == 0
    assert done.err.startswith("litepose.onnx: ")
    results = json.loads(Path("found.json").read_text())
    assert [result["image_id"] for result in results] == [1, 1, 2, 2]
    # the mean over the keypoints, as published: no box score is multiplied
    for result in results:
        assert result["score"] == pytest.approx(np.mean(result["keypoints"][2::3]), abs=1e-3)
    truth = [person | {"keypoints": r["keypoints"]} for person, r in zip(people(1) + people(2), results, strict=True)]
    gt.write_text(json.dumps(json.loads(gt.read_text()) | {"annotations": truth}))
    assert run("evaluate", "coco", *source, *litepose, "--json", "out.json", "--overwrite").code == 0
    assert figures()["mean_oks"] == pytest.approx(1, abs=1e-3)
    told = refused(run("evaluate", "coco", *source, *litepose[-2:], "--boxes", "ground-truth"))
    assert "sees everybody in a picture" in told


def test_a_pose_that_is_found_twice_is_kept_once(evaluate: Run, models: list[str], tmp_path: Path) -> None:
    from tests.onnx_graphs import write_constant_graph
    from tracker.runtime import TensorInfo

    dets = np.array([[[*BOXES[0], 0.9], [*BOXES[0], 0.8]]], np.float32)
    image = TensorInfo("image", (1, 3, SIZE_WH[1], SIZE_WH[0]), "float32")
    twice = write_constant_graph(tmp_path / "twice.onnx", [image], {"dets": dets, "labels": np.zeros((1, 2), np.int64)})
    assert evaluate("--detector", twice, "--save", "found.json").code == 0
    assert [result["image_id"] for result in json.loads(Path("found.json").read_text())] == [1, 2]


def test_pck(run: Run, gt: Path, models: list[str]) -> None:
    source = ["--gt", gt, "--images", gt.with_suffix(""), *models[2:]]
    assert run("evaluate", "pck", *source, "--json", "out.json").code == 0
    # all keypoints of the truth are one point: nobody has a torso
    empty = {"pck": None, "pck_neck": None, "pck_head_top": None}
    assert figures() == empty | {"threshold": 0.2, "num_people": 0}
    assert run("evaluate", "coco", *source, "--boxes", "ground-truth", "--save", "found.json").code == 0
    truth = [
        {"image_id": result["image_id"], "bbox": person["bbox"], "keypoints": result["keypoints"]}
        for result, person in zip(
            json.loads(Path("found.json").read_text()), json.loads(gt.read_text())["annotations"], strict=True
        )
    ]
    content = json.loads(gt.read_text())
    gt.write_text(json.dumps(content | {"annotations": truth}))
    done = run("evaluate", "pck", *source, "--json", "out.json", "--overwrite")
    assert figures() == empty | {"pck": 1, "threshold": 0.2, "num_people": 4}
    assert [cells(line) for line in done.out.splitlines()[::2]] == [
        ["pck", "pck neck", "pck head top"],
        ["1.000", "–", "–"],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ["--kind", "boxes", "--boxes", "ground-truth"], "needs --kind keypoints", id="true boxes as boxes"
        ),
        pytest.param(["--negatives", "x", "--negative-images", "x"], "needs --kind boxes", id="negatives for poses"),
        pytest.param(["--kind", "boxes", "--negatives", "x"], "need each other", id="negatives without pictures"),
        pytest.param(["--negatives-every", "0"], "--negatives-every: '0' must be 1 or more", id="every 0th"),
        pytest.param(["--save", "a", "--json", "a"], "another output", id="one file for two"),
        pytest.param(["--save", "gt.json", "--overwrite"], "overwrite an input", id="output is the input"),
        pytest.param(["--pred", "x"], "not allowed with", id="networks and results"),
        pytest.param(["--pose", "bottom-up"], "leave out --detector", id="a detector for LitePose"),
        pytest.param(["--pose", "bottom-up", "--boxes", "ground-truth"], "no use for true boxes", id="boxes too"),
    ],
)
def test_wrong_usage(evaluate: Run, options: list[str], message: str) -> None:
    assert message in refused(evaluate(*options), code=2)


def test_the_comparison_of_networks_has_moved(run: Run) -> None:
    done = run("evaluate", "networks", "--gt", "gt.json", "--bottom-up", "a.onnx")
    assert "is now `profile --gt FILE --images DIR`" in refused(done, 2)


def test_results_cannot_be_saved_again(run: Run, gt: Path) -> None:
    done = run("evaluate", "coco", "--gt", gt, "--pred", "x.json", "--save", "y.json")
    assert "--save keeps what networks give" in refused(done, 2)


@pytest.mark.parametrize("option", ["--save", "--json"])
def test_existing_outputs_are_refused_before_networks_load(evaluate: Run, option: str) -> None:
    Path("there.json").write_text("precious")
    assert "there.json exists" in refused(evaluate(option, "there.json", "--detector", "absent.onnx"))
    assert Path("there.json").read_text() == "precious"


def test_missing_pictures_are_told_before_networks_load(run: Run, gt: Path, tmp_path: Path) -> None:
    (gt.with_suffix("") / "2.png").unlink()
    for measure in ("coco", "pck"):
        done = run("evaluate", measure, "--gt", gt, "--images", gt.with_suffix(""), "--pose-model", "absent.onnx")
        assert "image 2 has the file name '2.png'" in refused(done)


def test_without_pycocotools_nothing_is_run(evaluate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    assert "pip install 'pycocotools" in refused(evaluate("--detector", "absent.onnx"))
