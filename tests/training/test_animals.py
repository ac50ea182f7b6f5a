"""What a network of 80 classes takes for animals, and people who are more surely one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.onnx_graphs import write_constant_graph
from tests.training.people import annotate
from tests.vectors import SHARED
from tracker.errors import InputError, ModelError
from tracker.runtime import TensorInfo
from tracker.training.animals import AnimalFinder, Animals, find_animals, without_animals

PERSON, CAT, DOG, CAR, TEDDY_BEAR = 0, 15, 16, 2, 77
NUM_CELLS = 52**2 + 26**2 + 13**2
# Each thing has a cell of the coarsest map; 208 px in the input are 104 px in a picture of 208 px.
FIRST = 52**2 + 26**2


def things(*cells: tuple[int, tuple[float, float], float, dict[int, float]]) -> npt.NDArray[np.float32]:
    """Rows (1, 3549, 85): cell of the coarsest map, its centre in pixels, side, and scores by class."""
    rows = np.zeros((1, NUM_CELLS, 85), np.float32)
    for cell, centre, side, scores in cells:
        column, row = cell % 13, cell // 13
        rows[0, FIRST + cell, :2] = np.array(centre) / 32 - [column, row]
        rows[0, FIRST + cell, 2:4] = np.log(side / 32)
        rows[0, FIRST + cell, 4] = 1
        for number, score in scores.items():
            rows[0, FIRST + cell, 5 + number] = score
    return rows


def write_network(path: Path, rows: npt.NDArray[Any]) -> Path:
    return write_constant_graph(path, [TensorInfo("images", (1, 3, 416, 416), "float32")], {"output": rows})


def find(folder: Path, *cells: tuple[int, tuple[float, float], float, dict[int, float]]) -> Any:
    boxes, scores = AnimalFinder(write_network(folder / "net.onnx", things(*cells))).find(
        np.zeros((208, 208, 3), np.uint8)
    )
    return [(box.round(2).tolist(), round(float(score), 3)) for box, score in zip(boxes, scores, strict=True)]


HERE = (100.0, 200.0)
BOX = [30, 80, 70, 120]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param([(81, HERE, 80, {DOG: 0.8})], [(BOX, 0.8)], id="a dog"),
        pytest.param([(81, HERE, 80, {TEDDY_BEAR: 0.3})], [(BOX, 0.3)], id="a teddy bear at the least score"),
        pytest.param([(81, HERE, 80, {DOG: 0.29})], [], id="too unsure"),
        pytest.param([(81, HERE, 80, {CAR: 0.9})], [], id="a car"),
        pytest.param([(81, HERE, 80, {PERSON: 0.9})], [], id="a person"),
        pytest.param([(81, HERE, 80, {DOG: 0.8, PERSON: 0.39})], [(BOX, 0.8)], id="twice as much a dog"),
        pytest.param([(81, HERE, 80, {DOG: 0.8, PERSON: 0.4})], [], id="not quite"),
        pytest.param(
            [(81, HERE, 80, {DOG: 0.8}), (82, HERE, 90, {PERSON: 0.5})], [], id="a person by a neighbouring cell"
        ),
        pytest.param(
            [(81, HERE, 80, {DOG: 0.8}), (82, (140, 200), 80, {PERSON: 0.9})], [(BOX, 0.8)], id="a person beside it"
        ),
        pytest.param(
            [(81, HERE, 80, {DOG: 0.6}), (82, HERE, 84, {CAT: 0.7})], [([29, 79, 71, 121], 0.7)], id="found twice"
        ),
    ],
)
def test_what_is_taken_for_an_animal(tmp_path: Path, cells: Any, expected: Any) -> None:
    assert find(tmp_path, *cells) == expected


def test_animals_of_all_pictures_are_looked_for_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), np.zeros((208, 208 * (1 + i), 3), np.uint8))
    people = annotate(paths, [])
    network = write_network(tmp_path / "net.onnx", things((81, HERE, 80, {DOG: 0.8}), (20, (300, 60), 40, {CAT: 0.5})))
    first = find_animals(network, people, tmp_path / "cache")
    assert first.picture.tolist() == [0, 0, 1, 1, 2, 2]
    assert first.boxes[2] == pytest.approx([60, 160, 140, 240], abs=0.01)
    for path in paths:
        path.unlink()
    again = find_animals(network, people, tmp_path / "cache")
    np.testing.assert_array_equal(again.boxes, first.boxes)
    assert again[again.picture == 1].scores.tolist() == pytest.approx([0.8, 0.5])
    with pytest.raises(InputError):
        find_animals(network, annotate(paths[:2], []), tmp_path / "cache")


def test_other_networks_find_no_animals(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no YOLOX of COCO's 80 classes"):
        AnimalFinder(write_network(tmp_path / "people.onnx", np.zeros((1, NUM_CELLS, 6), np.float32)))


@pytest.mark.parametrize(
    ("certainty", "box", "expected"),
    [
        pytest.param(0.5, [0, 0, 40, 80], 0, id="more surely an animal"),
        pytest.param(0.6, [0, 0, 40, 80], 0.6, id="as surely a person"),
        pytest.param(0.5, [0, 0, 40, 39], 0.5, id="a part of it"),
    ],
)
def test_people_who_are_more_surely_animals(certainty: float, box: list[float], expected: float) -> None:
    people = annotate([Path("a"), Path("b")], [(0, box, {}), (1, [0, 0, 40, 80], {}), (1, [100, 0, 140, 80], {})])
    people = replace(people, certainties=np.array([certainty, 0.1, 0.1], np.float32))
    animals = Animals(np.array([0]), np.array([[0, 0, 40, 80]], np.float32), np.array([0.6], np.float32))
    assert without_animals(people, animals).certainties.tolist() == pytest.approx([expected, 0.1, 0.1])
    assert people.certainties[0] == pytest.approx(certainty)
    assert without_animals(people, Animals.none()).certainties.tolist() == people.certainties.tolist()


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs the development models")
def test_the_real_network_sees_dogs_where_captions_do() -> None:
    import json

    folder = SHARED / "data" / "train"
    images = json.loads((folder / "flickr8k.json").read_text())["images"]
    finder = AnimalFinder(SHARED / "models" / "yolox_nano.onnx")
    counts = {}
    for is_negative in (True, False):
        chosen = [image for image in images if bool(image.get("negative")) == is_negative][::20][:30]
        found = [finder.find(cv2.imread(str(folder / "flickr8k" / image["file_name"])))[1] for image in chosen]
        counts[is_negative] = sum(len(scores) > 0 for scores in found)
    assert counts[True] >= 20
    assert counts[False] <= 8
