"""README and the manual: every command and script runs as it stands there, and no link is dead."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, TIMES_S, Run, texture
from tests.commands.datasets import write_found_dataset, write_images
from tests.commands.documents import (
    LINKED,
    PAGES,
    ROOT,
    Example,
    anchors_of,
    read_examples,
    read_links,
    text_of,
    words_of,
)
from tests.commands.test_evaluate import people, write_truth
from tests.commands.test_given import openpose, write_json
from tests.evaluation import mpii_files
from tests.test_appearance import embedder
from tests.trained import BOTTOM_UP, DETECTOR, POSE, write_weights
from tests.training.rendered import write_data
from tracker.cli import build_parser, main

EXAMPLES = {page: read_examples(page) for page in PAGES}
# Options that make commands quick or repeatable.
FURTHER = {
    "track": ["--overwrite"],
    "convert": ["--overwrite"],
    "render": ["--overwrite"],
    "suggest": ["--overwrite"],
    "edit": ["--overwrite"],
    "export": ["--overwrite"],
    "profile": ["--device", "cpu"],
    "doctor": ["--only", "memory"],
    "ablate": ["--flow", "none"],
    "train": ["--steps", "1", "--batch-size", "2", "--device", "cpu"],
    "train pose": ["--input-size", "64", "64"],
    "train detector": ["--size", "64"],
    "train litepose": ["--input-size", "64"],
}
# No port that somebody else may have; quick ones.
REPLACED = {
    "8000": "0",
    "--rounds 50": "--rounds 1",
    "--pictures DIR": "--pictures photo.jpg",
    "export weights/pose": "export tiny",
}


@pytest.fixture(scope="module")
def material(clip: Path, models: list[str], litepose: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the files and folders that examples name."""
    folder = tmp_path_factory.mktemp("material")
    cv2.imwrite(str(folder / "photo.jpg"), texture())
    write_images(folder / "frames", 3)
    write_images(folder / "photos", 2)
    openpose(folder / "openpose_json")
    x1, y1, x2, y2 = BOXES[0]
    rows = [f"{frame},-1,{x1},{y1},{x2 - x1},{y2 - y1},0.9,-1,-1,-1\n" for frame in range(1, len(TIMES_S) + 1)]
    (folder / "det.txt").write_text("".join(rows))
    write_found_dataset(folder / "DATASET", models)
    (folder / "clips").mkdir()
    for name in ("clip.mp4", "a.mp4", "b.mp4", "clips/c.mp4"):
        shutil.copy(clip, folder / name)
    _write_networks(folder / "weights", models[3], litepose[3])
    _write_pictures(folder)
    written = ["--output", folder / "people.mp4", "--poses", folder / "clip_tracked.jsonl"]
    assert main(["track", "--input", str(clip), *models, *map(str, written)]) == 0
    assert (
        main(["convert", str(folder / "clip_tracked.jsonl"), str(folder / "annotations.xml"), "--format", "cvat"]) == 0
    )
    embedder(folder / "embedder.onnx")
    return folder


def _write_networks(folder: Path, pose: str, bottom_up: str) -> None:
    """Small ones where those that are included are, but for one that has to be whole."""
    folder.mkdir()
    for name, file in (("pose.onnx", pose), ("bottom_up.onnx", bottom_up)):
        shutil.copy(file, folder / name)
    write_weights(folder / "pose.safetensors", POSE)
    write_weights(folder.with_name("tiny.safetensors"), BOTTOM_UP)
    write_weights(folder / "detector.safetensors", DETECTOR)
    shutil.copy(ROOT / "weights" / "bottom_up.safetensors", folder)


def _write_pictures(folder: Path) -> None:
    """Annotated pictures in the forms of COCO, CrowdPose and MPII, data to learn from, and results."""
    write_data(folder / "DIR", num_frames=3)
    write_truth(folder / "pictures.json", people(1) + people(2)).rename(folder / "annotations.json")
    for picture in (folder / "photo.jpg", *(folder / "pictures").iterdir()):
        shutil.copy(picture, folder / "DIR")
    truth = json.loads((folder / "annotations.json").read_text())
    truth["images"].append(truth["images"][0] | {"id": 3, "file_name": "photo.jpg"})
    write_json(folder / "annotations.json", truth)
    write_json(folder / "results.json", [person | {"category_id": 1, "score": 0.9} for person in truth["annotations"]])
    crowd = [person | {"keypoints": person["keypoints"][: 3 * 14]} for person in truth["annotations"]]
    images = [image | {"crowdIndex": 0.5} for image in truth["images"]]
    write_json(folder / "crowdpose_test.json", {"images": images, "annotations": crowd})
    write_json(folder / "crowdpose.json", [person | {"category_id": 1, "score": 0.9} for person in crowd])
    centres = [[(x1 + x2) / 2, (y1 + y2) / 2] for x1, y1, x2, y2 in BOXES]
    write_json(folder / "valid.json", [{"image": "1.png", "center": centre, "scale": 0.2} for centre in centres])
    mpii_files.write_truth(folder / "gt_valid.mat", np.full((2, 16, 2), 30))


@pytest.fixture
def provide(material: Path, tmp_path: Path) -> Callable[[str], None]:
    """Puts what an example names, and what is not there yet, into its folder."""

    def provide(text: str) -> None:
        for path in material.iterdir():
            copy = tmp_path / path.name
            if re.search(rf"(?<![\w./]){re.escape(path.name)}(?![\w.])", text) and not copy.exists():
                (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)

    return provide


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, examples in EXAMPLES.items() if examples])
def test_the_examples_run(
    page: str, run: Run, provide: Callable[[str], None], models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page in a folder of its own, one example after the other."""
    # Networks that see somebody in every picture stand in for the included ones.
    files = {"detector": Path(models[1]), "pose": Path(models[3])}
    for module in ("detection.detector", "pose.loading"):
        monkeypatch.setattr(f"tracker.{module}.find_default", lambda kind, *_, **__: files[kind])
    for example in filter(Example.is_possible, EXAMPLES[page]):
        text = reduce(lambda text, pair: text.replace(*pair), REPLACED.items(), example.text)
        provide(text)
        if example.is_script:
            exec(compile(text, page, "exec"), {})
        else:
            words = words_of(text)
            done = run(*words, *FURTHER.get(words[0], []), *FURTHER.get(" ".join(words[:2]), []))
            assert done.code == 0, f"{text}: {done.err}"


def test_what_does_not_run_says_why() -> None:
    examples = [(page, example) for page in PAGES for example in EXAMPLES[page]]
    left = [(page, each) for page, each in examples if not each.is_possible()]
    assert len(left) < len(examples) / 2
    told = (f"{page} (needs {each.needs}): {each.text.strip().splitlines()[0][:70]}" for page, each in left)
    pytest.skip("\n".join(["these are not run:", *told]))


def test_options_that_are_told_of_exist() -> None:
    known = {"--help-all", "--index-url", "--rm"}.union(*_options(build_parser()))
    for page in LINKED:
        text = re.sub(r"python -m tests\.benchmarks[^`\n]*", "", text_of(page))  # which have options of their own
        told = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
        assert not told - known, page


def test_options_are_told_of() -> None:
    """But for those of training, of which a page says that they are told by the help."""
    told = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", "".join(map(text_of, LINKED)))) | {"--version", "--inside"}
    assert [names for names in _options(build_parser(), without="train") if told.isdisjoint(names)] == []


def _options(parser: Any, without: str = "") -> list[list[str]]:
    """All names of each option of a command and of those below it."""
    found = [action.option_strings for action in parser._actions if action.option_strings]
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    parsers = (each for choices in below for name, each in choices.items() if name != without)
    return found + [names for each in parsers for names in _options(each)]


@pytest.mark.parametrize("page", LINKED)
def test_no_link_is_dead(page: str) -> None:
    for file, anchor in read_links(page):
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), f"{page} links to {file}"
        if anchor:
            assert anchor in anchors_of(os.path.relpath(target, ROOT)), f"{page} links to {file}#{anchor}"


@pytest.mark.parametrize("index", ["README.md", "docs/README.md"])
def test_every_page_is_listed(index: str) -> None:
    listed = {Path(file).name for file, _ in read_links(index)} | {"README.md"}
    assert listed >= {Path(page).name for page in PAGES}
