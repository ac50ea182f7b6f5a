"""`evaluate pckh` of a file of keypoints, and of a network on pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import Run, cells, refused, texture
from tests.evaluation.mpii_files import write_predictions, write_truth
from tracker.skeletons import COCO_17, MPII_16

IMAGES = ["b.png", "a.png", "b.png"]
CENTRES = [[21, 25], [61, 33], [71, 30]]
SCALE = 0.2


def keypoints(count: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(10, 90, (count, 16, 2))


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    return write_truth(tmp_path / "gt_valid.mat", keypoints())


def test_keypoints_in_a_file(run: Run, gt: Path) -> None:
    found = keypoints()
    found[0, MPII_16.index("head_top")] += 99
    for name in ("pred.mat", "pred.json"):
        done = run(
            "evaluate", "pckh", "--gt", gt, "--pred", write_predictions(Path(name), found), "--json", f"{name}.out"
        )
        assert (done.code, done.err) == (0, "")
        header, _, row = done.out.splitlines()
        assert cells(header) == ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean", "Mean@0.1"]
        assert cells(row)[:2] == ["66.667", "100.000"]
        written = json.loads(Path(f"{name}.out").read_text())
        assert (written["Mean"], written["num_people"]) == (pytest.approx(100 * 41 / 42), 3)


@pytest.fixture
def annotations() -> Path:
    """Who is in the pictures of the folder `images`; the people of one of them stand apart in the file."""
    Path("images").mkdir()
    for name in set(IMAGES):
        cv2.imwrite(f"images/{name}", texture())
    people = [{"image": name, "center": centre, "scale": SCALE} for name, centre in zip(IMAGES, CENTRES, strict=True)]
    path = Path("valid.json")
    path.write_text(json.dumps(people))
    return path


def test_a_network_on_pictures(run: Run, models: list[str], annotations: Path) -> None:
    """Against what `evaluate coco` keeps of the same network in the same boxes."""
    side = 200 * SCALE
    boxes = [[x - 1 - side / 2, y - 1 + 15 * SCALE - side / 2, side, side] for x, y in CENTRES]
    content = {
        "images": [{"id": row, "file_name": name} for row, name in enumerate(IMAGES)],
        "annotations": [{"image_id": row, "bbox": box, "keypoints": [9, 9, 2] * 17} for row, box in enumerate(boxes)],
    }
    Path("coco.json").write_text(json.dumps(content))
    source = ["--images", "images", *models[2:]]
    kept = run("evaluate", "coco", "--gt", "coco.json", *source, "--boxes", "ground-truth", "--save", "found.json")
    assert kept.code == 0
    found = np.array([person["keypoints"] for person in json.loads(Path("found.json").read_text())])
    true = keypoints()
    for row, name in enumerate(MPII_16.keypoint_names):
        if name in COCO_17.keypoint_names:
            true[:, row] = found.reshape(3, 17, 3)[:, COCO_17.index(name), :2] + 1
    gt = write_truth(Path("gt.mat"), true, heads=((0, 0), (0.3, 0.4)))
    done = run("evaluate", "pckh", "--gt", gt, *source, "--annotations", annotations, "--json", "out.json")
    assert done.code == 0
    written = json.loads(Path("out.json").read_text())
    # Neck and head top are none of the network's keypoints.
    assert [written[name] for name in ("Head", "Shoulder", "Ankle", "Mean")] == [0, 100, 100, pytest.approx(1200 / 14)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--images", "images"], "--images needs --annotations", id="no annotations"),
        pytest.param(["--pred", "x.mat", "--annotations", "valid.json"], "and these nothing else", id="both"),
        pytest.param(["--pred", "x.mat", "--images", "images"], "not allowed with", id="file and network"),
        pytest.param([], "one of the arguments --pred --images is required", id="nothing to measure"),
        pytest.param(["--pred", "x.mat", "--json", "x.mat", "--overwrite"], "overwrite an input", id="same file"),
    ],
)
def test_wrong_usage(run: Run, gt: Path, options: list[str], message: str) -> None:
    assert message in refused(run("evaluate", "pckh", "--gt", gt, *options), code=2)


def test_annotations_of_another_split(run: Run, annotations: Path) -> None:
    gt = write_truth(Path("gt.mat"), keypoints(2))
    done = run("evaluate", "pckh", "--gt", gt, "--images", "images", "--annotations", annotations)
    assert "valid.json lists 3 people, gt.mat 2; name files of the same split" in refused(done)
