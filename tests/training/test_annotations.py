"""People read from COCO-keypoints files, and sets of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.people import annotate
from tracker.errors import InputError
from tracker.skeletons import BODY_19, COCO_17
from tracker.training.annotations import Annotations, join_annotations, read_coco

IMAGES = [{"id": 7, "file_name": "b.jpg"}, {"id": 2, "file_name": "a.jpg"}, {"id": 9, "file_name": "c.jpg"}]


def person(image_id: int = 2, **fields: Any) -> dict[str, Any]:
    return {"image_id": image_id, "bbox": [1, 2, 10, 20]} | fields


def read(folder: Path, people: list[dict[str, Any]], images: list[dict[str, Any]] = IMAGES, **how: Any) -> Annotations:
    path = folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": people}))
    return read_coco(path, folder / "people", BODY_19, **how)


def test_people_come_in_the_order_of_image_ids(tmp_path: Path) -> None:
    annotations = read(tmp_path, [person(7, score=0.5), person(2), person(7, iscrowd=1)])
    assert [path.name for path in annotations.paths] == ["a.jpg", "b.jpg", "c.jpg"]
    assert annotations.paths[0] == tmp_path / "people" / "a.jpg"
    assert annotations.picture.tolist() == [0, 1]
    assert annotations.boxes.tolist() == [[1, 2, 11, 22]] * 2
    assert annotations.box_scores.tolist() == [1.0, 0.5]
    assert len(annotations) == 2


def test_pictures_that_show_nobody(tmp_path: Path) -> None:
    images = [IMAGES[0], IMAGES[1] | {"negative": True}, IMAGES[2]]
    assert read(tmp_path, [person(7)], images).is_negative.tolist() == [True, False, False]
    # where everybody is annotated, a crowd is somebody too
    assert read(tmp_path, [person(7, iscrowd=1)], everybody=True).is_negative.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("visibility", "peak", "weight", "is_labelled"),
    [
        pytest.param(2, 1.0, 1.0, True, id="true"),
        pytest.param(2, 0.64, 0.8, True, id="a teacher's: the square root, since the loss squares it"),
        pytest.param(1, 0.25, 0.5, True, id="a doubtful one"),
        pytest.param(0, 0.1, 0.3, False, id="the teacher sees nothing: its map is to be empty"),
        pytest.param(0, 0.2, 0.0, False, id="the teacher is not sure that there is nothing"),
        pytest.param(0, 0.0, 0.0, False, id="nobody looked"),
    ],
)
def test_weights_of_keypoints(tmp_path: Path, visibility: int, peak: float, weight: float, is_labelled: bool) -> None:
    fields = {"keypoints": [5, 6, visibility] + [0] * 48, "keypoint_scores": [peak] + [0] * 16}
    annotations = read(tmp_path, [person(**fields)])
    assert annotations.weights[0, 0] == pytest.approx(weight)
    assert annotations.keypoints[0, 0].tolist() == pytest.approx([5, 6] if is_labelled else [np.nan] * 2, nan_ok=True)
    assert not annotations.weights[0, 1:].any()


@pytest.mark.parametrize(
    ("fields", "certainty"),
    [
        pytest.param({}, 1.0, id="true"),
        pytest.param({"score": 0.4}, 0.4, id="a teacher's, without peaks"),
        pytest.param(
            {"score": 0.36, "keypoint_scores": [0.2] * 9 + [1, 0.8, 0.62] + [0.2] * 4 + [0.82]}, 0.54, id="with peaks"
        ),
        pytest.param({"score": 0.49, "keypoint_scores": [0.01] * 17}, 0.07, id="a dog"),
        pytest.param({"score": 0.6, "keypoint_scores": [0.01] * 17}, 0.6, id="a sure box is not lowered"),
        pytest.param({"score": 1.0, "keypoint_scores": [0.0] * 17}, 1.0, id="a true box without keypoints"),
    ],
)
def test_how_surely_a_box_holds_a_person(tmp_path: Path, fields: dict[str, Any], certainty: float) -> None:
    """The geometric mean of the box's score and of the mean of the four highest peaks."""
    assert read(tmp_path, [person(**fields)]).certainties == pytest.approx([certainty], rel=1e-2)


def test_keypoints_that_coco_lacks(tmp_path: Path) -> None:
    extra = {"neck": [3, 4, 2], "head_top": [0, 0, 0], "tail": [1, 1, 2]}
    annotations = read(tmp_path, [person(extra_keypoints=extra)])
    neck, head_top = BODY_19.index("neck"), BODY_19.index("head_top")
    assert annotations.keypoints[0, neck].tolist() == [3, 4]
    assert annotations.weights[0, [neck, head_top]].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param('{"images": []}', "lacks annotations", id="without annotations"),
        pytest.param(
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1]}]}',
            r"annotations\[0\]: bbox must be 4 numbers, not a list of 1",
            id="a box of one number",
        ),
    ],
)
def test_malformed_files(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "people.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        read_coco(path, tmp_path, COCO_17)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_sets_join_and_part() -> None:
    box = (0, 0, 9, 9)
    first = annotate([Path("a"), Path("b")], [(0, box, {"nose": (1, 1)}), (1, box, {})], negatives=[])
    second = annotate([Path("c"), Path("d")], [(1, box, {"nose": (2, 2)})], negatives=[0])
    joined = join_annotations([first, second])
    assert joined.picture.tolist() == [0, 1, 3]
    assert joined.is_negative.tolist() == [False, False, True, False]
    without = joined.without_pictures(np.array([1]))
    assert [path.name for path in without.paths] == ["a", "c", "d"]
    assert without.picture.tolist() == [0, 2]
    assert without.keypoints[:, 0].tolist() == [[1, 1], [2, 2]]
    alone = joined.people(np.array([False, True, True])).with_people_alone()
    assert [path.name for path in alone.paths] == ["b", "d"]
    assert alone.picture.tolist() == [0, 1]


SIZED = [image | {"width": 20, "height": 30} for image in IMAGES]
LABELLED = {"keypoints": [3, 4, 2] + [0] * 48}


@pytest.mark.parametrize(
    ("fields", "cells"),
    [
        pytest.param({"iscrowd": 1, "segmentation": {"size": [30, 20], "counts": [30, 60, 510]}}, 60, id="a crowd"),
        pytest.param({"iscrowd": 1, "segmentation": {"size": [30, 20], "counts": "n0l1Pa0"}}, 60, id="compressed"),
        pytest.param({"segmentation": [[2, 3, 12, 3, 12, 8, 2, 8]]}, 50, id="nobody's keypoints"),
        pytest.param({"segmentation": [[2, 3, 4, 3, 4, 5, 2, 5], [9, 9, 11, 9, 11, 11, 9, 11]]}, 8, id="two outlines"),
        pytest.param({}, 200, id="a box alone"),
        pytest.param(LABELLED, 0, id="somebody with keypoints"),
        pytest.param(LABELLED | {"iscrowd": 1}, 200, id="a crowd with keypoints"),
    ],
)
def test_where_people_are_unlabelled(tmp_path: Path, fields: dict[str, Any], cells: int) -> None:
    from pycocotools import mask

    annotations = read(tmp_path, [person(2, **fields), person(7, **LABELLED)], SIZED, regions=True)
    areas = {row: int(mask.area(region)) for row, region in annotations.unlabelled.items()}
    assert areas == ({0: cells} if cells else {})
    # who is a region is no person
    assert annotations.picture.tolist() == ([1] if cells else [0, 1])
    assert read(tmp_path, [person(2, **fields)], SIZED).unlabelled == {}


def test_unlabelled_regions_stay_with_their_pictures(tmp_path: Path) -> None:
    people = [person(2, bbox=[0, 0, 1, 1]), person(9, bbox=[0, 0, 2, 2]), person(9, bbox=[4, 4, 1, 1])]
    annotations = read(tmp_path, people, SIZED, regions=True)
    assert list(annotations.unlabelled) == [0, 2]
    region = annotations.unlabelled[2]
    assert annotations.without_pictures(np.array([0])).unlabelled == {1: region}
    both = join_annotations([annotations, annotations])
    assert list(both.unlabelled) == [0, 2, 3, 5]
    assert both.unlabelled[5] == region


def test_a_malformed_outline(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"people\.json: the outlines in image 2 make no sense"):
        read(tmp_path, [person(2, iscrowd=1, segmentation={"counts": 3})], SIZED, regions=True)
    with pytest.raises(InputError, match="its width or height is not stated"):
        read(tmp_path, [person(2)], IMAGES, regions=True)
