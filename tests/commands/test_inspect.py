"""`inspect` on small pictures, with networks that always find the same two people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.commands.conftest import BOXES, Run, refused, texture
from tests.commands.test_evaluate import people, write_truth
from tests.evaluation.bright_spots import BluePictures
from tests.pose.people_graphs import write_people
from tracker.pose.bottom_up import BottomUpEstimator
from tracker.pose.family import FinderSettings

TOP_DOWN = ("heatmaps", "sum", "skeletons", "people")


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    """Two people in 1.png, with keypoints in the middle of their boxes, nobody in 2.png, both in the folder gt."""
    middles = [[(x + right) / 2, (y + bottom) / 2, 2] for x, y, right, bottom in BOXES]
    annotated = [person | {"keypoints": 17 * middle} for person, middle in zip(people(1), middles, strict=True)]
    return write_truth(tmp_path / "gt.json", annotated)


@pytest.fixture
def inspect(run: Run, models: list[str]) -> Run:
    """Runs `inspect` with the networks, into the folder out."""
    return lambda *arguments: run("inspect", *arguments, "--output", "out", *models)


def written() -> list[str]:
    return sorted(path.name for path in Path("out").iterdir())


def names(*stems: str) -> list[str]:
    return sorted(f"{stem}_{name}.png" for stem in stems for name in TOP_DOWN)


def size_wh(name: str) -> tuple[int, int]:
    picture: Any = cv2.imread(f"out/{name}")
    return picture.shape[1], picture.shape[0]


def test_an_image(inspect: Run, gt: Path) -> None:
    done = inspect("gt/1.png")
    assert (done.code, done.out) == (0, "")
    assert written() == names("1")
    lines = done.err.splitlines()
    assert lines[-4:] == [f"written: {Path('out', f'1_{name}.png')}" for name in TOP_DOWN]
    assert any(line.startswith("pose.onnx: ") for line in lines)
    # 96×64 is drawn at a width of 960, under a strip of text.
    assert size_wh("1_sum.png") == size_wh("1_skeletons.png") == (960, 660)
    assert size_wh("1_people.png") == (18 * 112 - 4, 2 * 164)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(["gt"], id="a folder"),
        pytest.param(["gt/*.png"], id="a pattern"),
        pytest.param(["gt", "gt/2.png"], id="one of them twice"),
    ],
)
def test_several_images(inspect: Run, gt: Path, images: list[str]) -> None:
    assert inspect(*images).code == 0
    assert written() == names("1", "2")


def test_true_boxes_need_no_detector(run: Run, gt: Path, models: list[str]) -> None:
    options = ["--gt", gt, "--boxes", "ground-truth", "--output", "out", *models[2:]]
    assert run("inspect", "gt/1.png", "gt/2.png", *options).code == 0
    # Nobody is annotated in the second, so there is no sheet of people.
    assert written() == sorted({*names("1", "2")} - {"2_people.png"})


def test_litepose(run: Run, gt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []

    def load(*arguments: Any, **options: Any) -> BottomUpEstimator:
        loaded.append((arguments, options))
        return BottomUpEstimator(BluePictures())

    monkeypatch.setattr("tracker.pose.load_poses", load)
    options = ["--pose", "bottom-up", "--pose-model", "xs.pth", "--device", "cpu", "--flip-test", "--gt", gt]
    done = run("inspect", "gt", *options, "--output", "out")
    assert (done.code, done.err.splitlines()[0]) == (0, "blue: numpy")
    sees = {"bottom_up": True, "has_boxes": False}
    assert loaded == [((Path("xs.pth"), "cpu"), sees | {"settings": FinderSettings(flip_test=True), "engine": "auto"})]
    drawn = ("heatmaps", "sum", "skeletons", "tags")
    assert written() == sorted(f"{stem}_{name}.png" for stem in (1, 2) for name in drawn)


def test_networks_that_need_no_boxes_are_told_by_their_files(run: Run, gt: Path, litepose: list[str]) -> None:
    Path("out").mkdir()
    Path("out/1_tags.png").write_text("precious")
    source = ["inspect", "gt/1.png", "--output", "out", "--pose-model"]
    assert run(*source, litepose[3]).err.endswith("1_tags.png exists; move it away or pass --overwrite\n")
    assert run(*source, litepose[3], "--overwrite").code == 0
    assert written() == [f"1_{name}.png" for name in ("heatmaps", "skeletons", "sum", "tags")]
    assert "gives people and no maps" in run(*source, write_people(Path("rtmo.onnx"), "rtmo"), "--overwrite").err


@pytest.mark.parametrize("options", [["--max-people", "1"], ["--detector-score", "0.85"]], ids=["number", "score"])
def test_people_can_be_limited(inspect: Run, gt: Path, options: list[str]) -> None:
    assert inspect("gt/1.png", *options).code == 0
    assert size_wh("1_people.png") == (18 * 112 - 4, 164)


def test_images_of_one_name_are_told_apart_by_their_folders(inspect: Run, gt: Path) -> None:
    content = json.loads(gt.read_text())
    for image, name in zip(content["images"], ("elsewhere/1.png", "gt/1.png"), strict=True):
        image["file_name"] = name
    gt.write_text(json.dumps(content))
    assert inspect("gt/1.png", "--gt", gt).code == 0
    # The people are in the other one.
    assert size_wh("1_people.png") == (18 * 112 - 4, 2 * 164)


def test_existing_pictures_are_refused_before_networks_load(run: Run, gt: Path) -> None:
    Path("out").mkdir()
    Path("out/1_sum.png").write_text("precious")
    assert "1_sum.png exists" in refused(run("inspect", "gt/1.png", "--output", "out", "--detector", "absent.onnx"))
    assert Path("out/1_sum.png").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["absent.png"], 1, "absent.png is no image and no folder", id="absent"),
        pytest.param(["gt/1.png", "--max-people", "0"], 2, "--max-people: '0' must be 1 or more", id="nobody"),
        pytest.param(["gt/1.png", "--boxes", "ground-truth"], 2, "name them with --gt", id="no true boxes"),
        pytest.param(["gt/1.png", "--pose", "bottom-up"], 2, "leave out --detector", id="litepose with a detector"),
        pytest.param(["gt/1.png", "copy/1.jpg"], 2, "2 of the images would be drawn to", id="the same name twice"),
        pytest.param(["copy/1.jpg", "--gt", "gt.json"], 1, "has no images of the name 1.jpg", id="not in the truth"),
    ],
)
def test_wrong_input(inspect: Run, gt: Path, arguments: list[str], code: int, message: str) -> None:
    Path("copy").mkdir()
    cv2.imwrite("copy/1.jpg", texture())
    assert message in refused(inspect(*arguments), code)


def test_an_image_is_not_overwritten(run: Run, gt: Path) -> None:
    precious = Path("gt/1.png").rename("gt/2_sum.png").read_bytes()
    done = run("inspect", "gt", "--output", "gt", "--overwrite", "--detector", "absent.onnx")
    assert "would overwrite one of the images" in refused(done, 2)
    assert Path("gt/2_sum.png").read_bytes() == precious
