"""Folders of training data, made by hand, of every form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.formats.posetrack_files import KEYPOINTS, category
from tests.training.rendered import write_data
from tracker.datasets.coco import read_ground_truth
from tracker.errors import InputError
from tracker.pose.crops import centres_and_scales
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14, MPII_16, POSETRACK_17
from tracker.training.annotations import read_coco
from tracker.training.datasets import read_dataset, read_mpii, read_posetrack, truth_of


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def keypoints(**points: tuple[float, float]) -> list[float]:
    """51 numbers of PoseTrack's 17."""
    values = np.zeros((17, 3))
    for name, point in points.items():
        values[POSETRACK_17.index(name)] = (*point, 1)
    return values.ravel().tolist()


def sequence(name: str = "0001") -> dict[str, Any]:
    """A labelled frame with one person and one without keypoints, and an unlabelled frame."""
    images = [
        {"id": 11, "file_name": f"images/{name}/0.jpg", "is_labeled": True},
        {"id": 10, "file_name": f"images/{name}/1.jpg", "is_labeled": False},
        {"id": 12, "file_name": f"images/{name}/2.jpg"},
    ]
    seen = keypoints(head_bottom=(10, 20), head_top=(12, 0), left_ankle=(30, 100))
    people = [
        {"image_id": 12, "track_id": 0, "bbox": [0, 0, 1, 1], "keypoints": seen},
        {"image_id": 11, "track_id": 0, "bbox": [0, 0, 1, 1], "keypoints": seen},
        {"image_id": 11, "track_id": 1, "keypoints": [0] * 51},
        {"image_id": 10, "track_id": 0, "keypoints": seen},
    ]
    return {"images": images, "annotations": people, "categories": [category(KEYPOINTS)]}


def joints(**points: tuple[float, float]) -> dict[str, Any]:
    values, visible = np.full((16, 2), -1.0), np.zeros(16)
    for name, point in points.items():
        values[MPII_16.index(name)], visible[MPII_16.index(name)] = point, 1
    return {"joints": values.tolist(), "joints_vis": visible.tolist()}


MPII = [
    {"image": "b.jpg", "center": [101.0, 201.0], "scale": 1.5, **joints(right_ankle=(51, 61), head_top=(1, 1))},
    {"image": "a.jpg", "center": [11.0, 21.0], "scale": 0.5, **joints(pelvis=(5, 5))},
    {"image": "a.jpg", "center": [-1.0, -1.0], "scale": -1.0, **joints()},
]
COCO = {
    "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}, {"id": 3, "file_name": "3.jpg"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 9], "keypoints": [3, 4, 2] + [0] * 48, "num_keypoints": 1},
        {"image_id": 3, "category_id": 1, "bbox": [1, 1, 8, 9], "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "person"}],
}


def test_posetrack(tmp_path: Path) -> None:
    annotations = read_posetrack(write(tmp_path / "0001.json", sequence()), tmp_path, POSETRACK_17)
    assert [path.relative_to(tmp_path).as_posix() for path in annotations.paths] == [
        "images/0001/0.jpg",
        "images/0001/2.jpg",
    ]
    assert annotations.picture.tolist() == [0, 1]
    # x 10 to 30 and y 0 to 100, 15 % more
    assert annotations.boxes.tolist() == pytest.approx(np.array([[8.5, -7.5, 31.5, 107.5]] * 2))
    assert annotations.weights.sum(axis=1).tolist() == [3, 3]
    assert annotations.keypoints[0, POSETRACK_17.index("left_ankle")].tolist() == [30, 100]


@pytest.mark.parametrize("place", ["annotations", "posetrack_data/annotations"])
def test_a_posetrack_folder(tmp_path: Path, place: str) -> None:
    write(tmp_path / place / "train" / "0002.json", sequence("0002"))
    write(tmp_path / place / "train" / "0001.json", sequence("0001"))
    write(tmp_path / place / "val" / "0003.json", sequence("0003"))
    dataset = read_dataset(tmp_path, POSETRACK_17)
    assert len(dataset.train) == 4
    assert dataset.train.picture.tolist() == [0, 1, 2, 3]
    assert dataset.train.paths[0] == tmp_path / "images/0001/0.jpg"
    (val,) = dataset.validation
    assert (val.name, val.truth.num_people) == ("posetrack", 2)
    assert Path(val.folder / val.truth.pictures[0].file_name) == tmp_path / "images/0003/0.jpg"
    assert val.truth.pictures[0].true_boxes().boxes.tolist() == pytest.approx(np.array([[8.5, -7.5, 31.5, 107.5]]))


def test_mpii_gives_the_regions_of_the_official_code(tmp_path: Path) -> None:
    annotations = read_mpii(write(tmp_path / "train.json", MPII), tmp_path / "images", MPII_16)
    assert [path.name for path in annotations.paths] == ["a.jpg", "b.jpg"]
    assert annotations.picture.tolist() == [0, 1]
    boxes_xywh = np.concatenate([annotations.boxes[:, :2], annotations.boxes[:, 2:] - annotations.boxes[:, :2]], axis=1)
    centres, scales = centres_and_scales(boxes_xywh, (256, 256))
    # centre_y + 15 × scale, scale × 1.25, then everything counted from 0
    assert centres.tolist() == [[10, 27.5], [100, 222.5]]
    assert scales.tolist() == pytest.approx(np.array([[0.625, 0.625], [1.875, 1.875]]))
    # an upright input has the same width
    assert centres_and_scales(boxes_xywh, (192, 256))[1][:, 0].tolist() == pytest.approx([0.625, 1.875])
    assert annotations.keypoints[1, MPII_16.index("right_ankle")].tolist() == [50, 60]
    assert annotations.keypoints[1, MPII_16.index("head_top")].tolist() == [0, 0]
    assert annotations.weights.sum(axis=1).tolist() == [1, 2]


def test_an_mpii_folder(tmp_path: Path) -> None:
    write(tmp_path / "annot" / "train.json", MPII)
    write(tmp_path / "annot" / "valid.json", MPII[1:])
    dataset = read_dataset(tmp_path, BODY_19)
    assert dataset.train.paths == (tmp_path / "images" / "a.jpg", tmp_path / "images" / "b.jpg")
    assert dataset.train.keypoints[1, BODY_19.index("head_top")].tolist() == [0, 0]
    (val,) = dataset.validation
    assert (val.name, val.truth.num_people) == ("mpii", 1)


def test_a_coco_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / "annotations" / f"person_keypoints_{split}2017.json", COCO)
    dataset = read_dataset(tmp_path, COCO_17)
    assert dataset.train.paths[0] == tmp_path / "train2017" / "1.jpg"
    assert dataset.train.is_negative.tolist() == [False, True, False]
    assert dataset.train.boxes.tolist() == [[1, 1, 9, 10]]
    (val,) = dataset.validation
    assert (val.name, val.folder) == ("coco", tmp_path / "val2017")
    assert [picture.id for picture in val.first(5).truth.pictures] == [1, 3]
    assert [picture.id for picture in val.first(1).truth.pictures] == [1]


def crowd(*image_ids: int) -> dict[str, Any]:
    """Pictures with one person each, whose head is at 3, 4, in CrowdPose's form."""
    values = np.zeros((14, 3))
    values[CROWDPOSE_14.index("head")] = 3, 4, 2
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 30, "crowdIndex": 0.5} for i in image_ids],
        "annotations": [
            {"image_id": i, "category_id": 1, "bbox": [1, 1, 8, 9], "keypoints": values.ravel().tolist()}
            for i in image_ids
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(CROWDPOSE_14.keypoint_names)}],
    }


@pytest.mark.parametrize("place", ["", "json", "annotations"])
@pytest.mark.parametrize(
    ("files", "trained", "validated"),
    [
        pytest.param({"train": 1, "val": 2, "trainval": 3, "test": 4}, 1, 2, id="all"),
        pytest.param({"trainval": 3, "test": 4}, 3, 4, id="training and validation as one"),
        pytest.param({"train": 1, "test": 4}, 1, None, id="nothing to validate on"),
    ],
)
def test_a_crowdpose_folder(
    tmp_path: Path, place: str, files: dict[str, int], trained: int, validated: int | None
) -> None:
    for split, image_id in files.items():
        write(tmp_path / place / f"crowdpose_{split}.json", crowd(image_id))
    dataset = read_dataset(tmp_path, CROWDPOSE_14, regions=True)
    assert dataset.train.paths == (tmp_path / "images" / f"{trained}.jpg",)
    assert dataset.train.keypoints[0, CROWDPOSE_14.index("head")].tolist() == [3, 4]
    sets = [(part.name, part.truth.skeleton, part.truth.pictures[0].id) for part in dataset.validation]
    assert sets == ([("crowdpose", CROWDPOSE_14, validated)] if validated else [])


def test_a_folder_of_ours(tmp_path: Path) -> None:
    write_data(tmp_path, num_frames=2)
    write(tmp_path / "train" / "a.json", {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": []})
    write(tmp_path / "val" / "tracks" / "annotations.json", {"annotations": [{"track_id": 1}], "images": []})
    (tmp_path / "val" / "elsewhere" / "annotations" / "val").mkdir(parents=True)
    dataset = read_dataset(tmp_path, BODY_19)
    assert dataset.train.paths[:2] == (tmp_path / "train/a/1.jpg", tmp_path / "train/rendered/1.png")
    assert dataset.train.is_negative.tolist() == [False, False, False, True]
    assert [part.name for part in dataset.validation] == ["rendered"]
    assert len(dataset.validation[0].truth.pictures) == 2


def test_boxes_of_keypoints_can_be_wished_for(tmp_path: Path) -> None:
    write(tmp_path / "annotations" / "person_keypoints_train2017.json", COCO)
    assert read_dataset(tmp_path, COCO_17, "keypoints").train.boxes.tolist() == [[3, 4, 3, 4]]


def test_an_unknown_folder(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no person_keypoints|there is no annotations/person_keypoints_train2017\.json"
    ):
        read_dataset(tmp_path, COCO_17)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        pytest.param("annotations/train/0001.json", [], "is no object", id="PoseTrack: a list"),
        pytest.param("annotations/train/0001.json", {"images": []}, "lacks categories", id="PoseTrack: no people"),
        pytest.param("annot/train.json", {"people": 1}, "people must be a list", id="MPII: an object"),
        pytest.param("annot/train.json", [{"image": "a", "scale": 1}], "lacks center", id="MPII: no centre"),
        pytest.param("annot/train.json", [MPII[0] | {"joints": [[1, 2]]}], "joints must be 16 × 2", id="MPII: a joint"),
        pytest.param("train/a.json", {"images": []}, "lacks annotations", id="ours: no people"),
    ],
)
def test_malformed_files(tmp_path: Path, file: str, content: Any, message: str) -> None:
    write(tmp_path / file, content)
    with pytest.raises(InputError, match=message) as raised:
        read_dataset(tmp_path, COCO_17)
    assert file in str(raised.value)
    assert "\n" not in str(raised.value)


def test_annotations_become_a_ground_truth(tmp_path: Path) -> None:
    write_data(tmp_path, num_frames=1)
    path = tmp_path / "train" / "rendered.json"
    truth = truth_of(read_coco(path, path.with_suffix(""), BODY_19), path)
    expected = read_ground_truth(path)
    for picture, same in zip(truth.pictures, expected.pictures, strict=True):
        assert picture.is_negative == same.is_negative
        assert cv2.imread(picture.file_name) is not None
        for person, wanted in zip(picture.people, same.people, strict=True):
            for name in ("bbox", "keypoints", "extra_keypoints"):
                assert person[name] == pytest.approx(wanted[name], abs=1e-4)
            assert person["num_keypoints"] == wanted["num_keypoints"]
