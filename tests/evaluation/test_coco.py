"""AP of hand-made people, the same figures as pycocotools used by hand, and what is refused of files."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.people import poses_of
from tests.vectors import evaluations, read_json
from tracker.datasets.coco import GroundTruth, check_pictures, read_ground_truth, read_picture, read_results
from tracker.errors import InputError
from tracker.evaluation.coco import (
    box_recalls,
    box_results,
    evaluate_results,
    false_people,
    keypoint_results,
)
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14, MPII_16
from tracker.tracking.oks import oks
from tracker.types import Detections, Poses

ONE = pytest.approx(1)  # pycocotools adds a rounding error to its divisors

BOX = [20, 10, 100, 50]
# spread over the box, all visible
KEYPOINTS = [value for i in range(17) for value in (20 + 6 * i, 10 + 3 * i, 2)]


def person(image_id: int = 1, **changed: Any) -> dict[str, Any]:
    """An annotation; a field changed to None is left out."""
    full = {"id": 1, "image_id": image_id, "category_id": 1, "bbox": BOX, "keypoints": KEYPOINTS} | changed
    return {field: value for field, value in full.items() if value is not None}


def content(*people: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Ground truth with the images 1, 2 and 3."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 200, "height": 100} for i in (1, 2, 3)]
    return {"images": images, "annotations": list(people), "categories": [{"id": 1, "name": "person"}]} | changed


Truth = Callable[..., GroundTruth]


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    """The ground truth with those people, by way of a file."""

    def truth(*people: dict[str, Any], **changed: Any) -> GroundTruth:
        path = tmp_path / "gt.json"
        path.write_text(json.dumps(content(*people, **changed)))
        return read_ground_truth(path)

    return truth


def found(*boxes_xywh: list[float], scores: list[float]) -> Detections:
    boxes = np.array(boxes_xywh, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, np.array(scores, np.float32))


def poses(*keypoints: Any, scores: float = 1.0) -> Poses:
    """Poses with box score 1 whose keypoints (K, 2) all have that score."""
    return poses_of(keypoints, scores=scores)


def true_points() -> np.ndarray[Any, Any]:
    return np.reshape(KEYPOINTS, (17, 3))[:, :2].astype(np.float32)


def test_sizes_without_anybody_are_undefined(truth: Truth) -> None:
    medium = evaluate_results(truth(person()), box_results({1: found(BOX, scores=[0.9])}), "boxes")
    assert (medium["ap_small"], medium["ap_medium"], medium["ap_large"]) == (None, ONE, None)
    assert set(evaluate_results(truth(), [], "boxes").values()) == {None}


@pytest.mark.parametrize(("area", "oks_area"), [(None, 0.53 * 100 * 50), (3000, 3000)], ids=["0.53 of the box", "own"])
def test_oks_is_scaled_by_the_area(truth: Truth, area: float | None, oks_area: float) -> None:
    nose_only = KEYPOINTS[:3] + [0] * 48
    given = true_points()
    # at OKS 0.72, found at the thresholds 0.5 to 0.7
    given[0, 0] += math.sqrt(-math.log(0.72) * oks_area * 8 * COCO_17.sigmas[0] ** 2)
    results = keypoint_results({1: poses(given)}, COCO_17)
    figures = evaluate_results(truth(person(keypoints=nose_only, area=area)), results, "keypoints")
    assert figures["ap"] == pytest.approx(0.5)


@pytest.mark.parametrize("keypoints", [None, [], [0] * 51], ids=["absent", "empty", "zeros"])
def test_people_without_keypoints_are_neither_found_nor_false(truth: Truth, keypoints: Any) -> None:
    gt = truth(person(1), person(2, keypoints=keypoints))
    results = keypoint_results({1: poses(true_points()), 2: poses(true_points())}, COCO_17)
    assert evaluate_results(gt, results, "keypoints")["ap"] == ONE
    assert len(gt.pictures[1].true_boxes()) == 0


def test_true_boxes_are_those_of_annotated_people(truth: Truth) -> None:
    gt = truth(person(bbox=[1, 2, 3, 4]), person(iscrowd=1), person(keypoints=[0] * 51))
    boxes = gt.pictures[0].true_boxes()
    assert boxes.boxes.tolist() == [[1, 2, 4, 6]]
    assert boxes.scores.tolist() == [1]
    assert gt.num_people == 2


def test_results_of_poses_have_zeros_for_missing_keypoints() -> None:
    people = poses(true_points(), scores=0.5)
    people.keypoints[0, 3], people.scores[0, 3] = np.nan, 0
    (result,) = keypoint_results({7: people}, COCO_17)
    assert result["keypoints"][9:12] == [0, 0, 0]
    assert result["keypoints"][:3] == [20, 10, 0.5]
    assert (result["image_id"], result["category_id"], result["score"]) == (7, 1, 0.5)


def test_results_of_another_skeleton_are_brought_to_cocos() -> None:
    body = np.concatenate([true_points(), [[1, 1], [2, 2]]])
    assert keypoint_results({1: poses(body)}, BODY_19) == keypoint_results({1: poses(true_points())}, COCO_17)
    (mpii,) = keypoint_results({1: poses(np.arange(32).reshape(16, 2))}, MPII_16)
    assert mpii["keypoints"][:15] == [0] * 15  # it has no face
    assert mpii["keypoints"][15:18] == [2 * 13, 2 * 13 + 1, 1]  # the left shoulder


def test_recall_by_score(truth: Truth) -> None:
    gt = truth(person(1), person(2), person(3, iscrowd=1))
    results = box_results(
        {1: found(BOX, BOX, scores=[0.7, 0.6]), 2: found(BOX, scores=[0.4]), 3: found(BOX, scores=[0.9])}
    )
    assert box_recalls(gt, results, (0.3, 0.4, 0.5, 0.7, 0.8)) == [1, 1, 0.5, 0.5, 0]
    assert box_recalls(truth(), results, (0.3,)) == [None]


def test_false_people_by_score(truth: Truth) -> None:
    gt = truth(person(1))
    results = box_results({i: found(BOX, BOX, scores=[0.7, 0.2 * i]) for i in (1, 2, 3)})
    assert false_people(gt, results, (0.2, 0.4, 0.5, 0.8)) == [2, 2, 1.5, 0]
    assert false_people(truth(person(1), person(2), person(3)), results, (0.2,)) == [None]


def test_negatives_are_taken_by_id_from_the_first_on(truth: Truth) -> None:
    images = [{"id": i} for i in (9, 4, "7", 2)] + [{"id": 5, "negative": True}, {"id": 1}]
    gt = truth(person(1), person(5), images=images)
    assert [picture.id for picture in gt.negatives().pictures] == [2, 4, 5, 7, 9]
    assert [picture.id for picture in gt.negatives(2).pictures] == [2, 5, 9]


def test_categories_other_than_person_are_left_out(truth: Truth) -> None:
    categories = [{"id": 3, "name": "dog"}, {"id": 8, "name": "person"}]
    gt = truth(person(category_id=3, keypoints=[1, 2, 3]), person(2, category_id=8), categories=categories)
    assert [len(picture.people) for picture in gt.pictures] == [0, 1, 0]
    path = gt.path.with_name("results.json")
    results = [{"image_id": 2, "category_id": category, "bbox": BOX, "score": 0.5} for category in (3, 8)]
    path.write_text(json.dumps(results))
    assert len(read_results(path, gt, "boxes")) == 1
    path.write_text(json.dumps(results[:1]))
    with pytest.raises(InputError, match="has no results of category 8"):
        read_results(path, gt, "boxes")


def test_image_ids_may_be_digits_in_quotes(truth: Truth) -> None:
    gt = truth(person(image_id="000139"), images=[{"id": "139"}])
    path = gt.path.with_name("results.json")
    path.write_text(json.dumps([{"image_id": 139, "bbox": BOX, "score": 0.5}]))
    assert evaluate_results(gt, read_results(path, gt, "boxes"), "boxes")["ap"] == ONE


def by_hand(truth: Path, results: Path, kind: str) -> list[float]:
    """What pycocotools gives of the files themselves."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluator = COCOeval(coco, coco.loadRes(str(results)), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


def random_files(folder: Path) -> tuple[Path, Path]:
    """Forty people in ten images, found with noise, and false ones."""
    rng = np.random.default_rng(0)
    people, results = [], []
    for number in range(40):
        x, y, width, height = rng.uniform(0, 200), rng.uniform(0, 200), rng.uniform(20, 200), rng.uniform(20, 300)
        points = rng.uniform((x, y), (x + width, y + height), (17, 2))
        visible = rng.integers(0, 3, 17) * (number % 8 > 0)
        keypoints = np.column_stack([points, visible]).ravel().tolist()
        image = {"image_id": number % 10, "category_id": 1}
        people.append(
            image
            | {"id": number + 1, "bbox": [x, y, width, height], "area": 0.5 * width * height, "keypoints": keypoints}
            | {"num_keypoints": int((visible > 0).sum()), "iscrowd": int(number % 13 == 0)}
        )
        for noise in (0.02, 0.3):
            given = np.column_stack([points + rng.normal(0, noise * width, (17, 2)), np.ones(17)]).ravel().tolist()
            box = (np.array([x, y, width, height]) + rng.normal(0, noise * 20, 4)).tolist()
            results.append(image | {"keypoints": given, "bbox": box, "score": float(rng.uniform())})
    truth = {"images": [{"id": i} for i in range(10)], "annotations": people}
    paths = folder / "truth.json", folder / "results.json"
    paths[0].write_text(json.dumps(truth | {"categories": [{"id": 1, "name": "person"}]}))
    paths[1].write_text(json.dumps(results))
    return paths


def test_figures_are_those_of_pycocotools_by_hand(tmp_path: Path) -> None:
    truth_path, results_path = random_files(tmp_path)
    truth = read_ground_truth(truth_path)
    stats = by_hand(truth_path, results_path, "bbox")
    boxes = evaluate_results(truth, read_results(results_path, truth, "boxes"), "boxes")
    assert list(boxes.values()) == [*stats[:6], stats[8]]
    keypoints = evaluate_results(truth, read_results(results_path, truth, "keypoints"), "keypoints")
    assert list(keypoints.values()) == by_hand(truth_path, results_path, "keypoints")[:6]
    assert 0 < keypoints["ap"] < 1
    assert 0 < boxes["ap"] < 1


@pytest.mark.vectors_coco
@pytest.mark.parametrize("case", evaluations("gt.json"))
def test_oks_is_the_official_one(case: Path) -> None:
    """That of tracking, with the sigmas and areas that the evaluation takes; of people with visible keypoints."""
    truth = read_ground_truth(case / "gt.json")
    results = read_results(case / "results.json", truth, "keypoints")
    sigmas = truth.skeleton.sigmas
    for image_id, matrix in (
        read_json(case / "expected.json").get("oks_rows_are_score_sorted_detections_top20", {}).items()
    ):
        best = sorted((r for r in results if r["image_id"] == int(image_id)), key=lambda r: -r["score"])[:20]
        given = np.array([result["keypoints"] for result in best]).reshape(len(best), -1, 3)[..., :2]
        (picture,) = (picture for picture in truth.pictures if picture.id == int(image_id))
        for person, column in zip(picture.people, np.transpose(matrix), strict=True):
            if person["num_keypoints"]:
                triples = np.reshape(person["keypoints"], (-1, 3))
                true = np.where(triples[:, 2:] > 0, triples[:, :2], np.nan)
                area = np.array([person["area"] or 0.53 * person["bbox"][2] * person["bbox"][3]])
                similarity = oks(given, area.repeat(len(best)), true[None], area, sigmas)
                np.testing.assert_allclose(similarity[:, 0], column, rtol=0, atol=1e-9)


CROWD_IDS = {1: 0.199, 2: 0.2, 3: 0.799, 4: 0.8, 5: 1.0, 6: None}
CROWD_KEYPOINTS = [value for i in range(14) for value in (20 + 6 * i, 10 + 3 * i, 2)]


def crowd_truth(truth: Truth, *people: dict[str, Any]) -> GroundTruth:
    """Ground truth in CrowdPose's form, with pictures of those crowd indices."""
    images = [{"id": number, "crowdIndex": index} for number, index in CROWD_IDS.items()]
    names = list(CROWDPOSE_14.keypoint_names)
    return truth(*people, images=images, categories=[{"id": 1, "name": "person", "keypoints": names}])


def crowd_person(image_id: int, **changed: Any) -> dict[str, Any]:
    return person(image_id, **{"keypoints": CROWD_KEYPOINTS} | changed)


def found_exactly(*image_ids: int) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "keypoints": CROWD_KEYPOINTS, "score": 0.5} for image_id in image_ids]


def test_crowdpose_is_known_by_its_keypoints(truth: Truth) -> None:
    assert crowd_truth(truth).skeleton is CROWDPOSE_14
    names = [
        {"id": 1, "name": "person", "keypoints": list(names)} for names in (COCO_17.keypoint_names, "abcdefghijklmn")
    ]
    for category in (*names, {"id": 1, "name": "person"}):
        assert truth(categories=[category]).skeleton is COCO_17


def test_crowdpose_has_figures_of_its_groups(truth: Truth) -> None:
    gt = crowd_truth(truth, *map(crowd_person, CROWD_IDS))
    figures = evaluate_results(gt, found_exactly(1, 2, 6), "keypoints")
    assert list(figures) == ["ap", "ap50", "ap75", "ar", "ap_easy", "ap_medium", "ap_hard"]
    assert figures["ap"] == pytest.approx(51 / 101)
    # one of one, one of two and none of two; the picture without an index is in none
    assert [figures[name] for name in ("ap_easy", "ap_medium", "ap_hard")] == [1, 0.505, 0]


def test_who_counts_on_crowdpose_is_stated(truth: Truth) -> None:
    """The files count keypoints that are seen, not those that are guessed: who has only those is not looked for."""
    gt = crowd_truth(truth, crowd_person(1), crowd_person(2, num_keypoints=0))
    assert evaluate_results(gt, found_exactly(1, 2), "keypoints")["ap"] == ONE


def test_poses_are_brought_to_crowdpose_by_name(truth: Truth) -> None:
    gt = crowd_truth(truth, crowd_person(1, keypoints=CROWD_KEYPOINTS[:36] + [0] * 6))
    given = np.zeros((19, 2), np.float32)
    given[5:17] = np.reshape(CROWD_KEYPOINTS, (14, 3))[:12, :2]
    given[17:] = (1, 2), (3, 4)
    (result,) = keypoint_results({1: poses(given)}, BODY_19, CROWDPOSE_14)
    assert result["keypoints"][36:] == [3, 4, 1, 1, 2, 1]  # head, neck
    results = keypoint_results({1: poses(given[:17])}, COCO_17, CROWDPOSE_14)
    assert results[0]["keypoints"][36:] == [0] * 6
    assert evaluate_results(gt, results, "keypoints")["ap"] == ONE


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"images": None}, "gt.json: images must be a list", id="no images"),
        pytest.param(
            {"images": [{"id": "a1"}]}, r"images\[0\]: id must be a whole number, not 'a1'", id="id is a word"
        ),
        pytest.param({"images": [{"id": 1}, {"id": "1"}]}, r"images\[1\]: id must be used once", id="id twice"),
        pytest.param(
            {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}, "not exactly one is person", id="pets"
        ),
    ],
)
def test_malformed_ground_truth(truth: Truth, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        truth(**changed)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"image_id": 4}, "image_id must be one of the images of the ground truth, not 4", id="image"),
        pytest.param({"bbox": [1, 2, 3]}, "bbox must be 4 numbers, not a list of 3", id="box of three"),
        pytest.param({"bbox": [1, 2, 3, 10**400]}, "bbox must be 4 numbers", id="box beyond floating point"),
        pytest.param(
            {"area": 1e300}, r"area must be a number within ±1e\+09, not 1e\+300", id="area beyond all pictures"
        ),
        pytest.param({"extra_keypoints": {"neck": [1, 2]}}, r"extra_keypoints: neck must be 3 numbers", id="neck"),
    ],
)
def test_malformed_annotations(truth: Truth, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        truth(person(), person(**changed))
    assert "gt.json: annotations[1]" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is no JSON", id="no JSON"),
        pytest.param("[" * 99_999, "is no JSON", id="too deep"),
        pytest.param('[{"image_id": 9, "bbox": [1, 1, 1, 1], "score": 1}]', r"results\[0\]: image_id must", id="image"),
        pytest.param('[{"image_id": 1, "bbox": [1, 1, 1, 1]}]', r"results\[0\] lacks score", id="no score"),
    ],
)
def test_malformed_results(truth: Truth, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}"):
        read_results(path, truth(), "boxes")


def test_crowdpose_wants_14_keypoints(truth: Truth) -> None:
    with pytest.raises(InputError, match=r"annotations\[0\]: keypoints must be 42 numbers, not a list of 51"):
        crowd_truth(truth, person())
    gt = crowd_truth(truth, crowd_person(1))
    path = gt.path.with_name("results.json")
    path.write_text(json.dumps([{"image_id": 1, "keypoints": KEYPOINTS, "score": 1}]))
    with pytest.raises(InputError, match=r"results\[0\]: keypoints must be 42 numbers, not a list of 51"):
        read_results(path, gt, "keypoints")


def test_files_that_are_not_there(truth: Truth, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json cannot be read"):
        read_ground_truth(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"image 1 has the file name '1\.png', which is no file in"):
        check_pictures(truth(), tmp_path)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match="is no object"):
        read_ground_truth(tmp_path / "list.json")


def test_a_picture_of_another_size_is_refused(truth: Truth, tmp_path: Path) -> None:
    import cv2

    picture = truth().pictures[0]
    cv2.imwrite(str(tmp_path / picture.file_name), np.zeros((100, 200, 3), np.uint8))
    assert read_picture(picture, tmp_path).shape == (100, 200, 3)
    cv2.imwrite(str(tmp_path / picture.file_name), np.zeros((50, 100, 3), np.uint8))
    with pytest.raises(InputError, match="has 100×50 pixels, its ground truth 200×100"):
        read_picture(picture, tmp_path)
