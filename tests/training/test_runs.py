"""Runs from recipes and data: who is trained on, with what precision, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.onnx_graphs import write_constant_graph
from tests.training.people import annotate
from tests.training.rendered import write_data, write_set
from tracker.errors import InputError, UsageError
from tracker.pose.networks import load_pose_network
from tracker.runtime import TensorInfo
from tracker.skeletons import BODY_19, COCO_17
from tracker.training.datasets import ValidationSet, read_dataset, truth_of
from tracker.training.loop import TrainingRun
from tracker.training.pose_task import PoseTask
from tracker.training.pose_views import store_crops
from tracker.training.recipes import (
    LITEPOSE_PRESETS,
    POSE_PRESETS,
    DetectorRecipe,
    LitePoseRecipe,
    PoseRecipe,
    without_augmentation,
)
from tracker.training.runs import (
    RunOptions,
    choose_precision,
    choose_rows,
    start_run,
)
from tracker.training.validation import measure_pose

BOX = (10, 10, 50, 90)
LIMBS = [f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip") for side in ("left", "right")]
TINY = PoseRecipe(steps=2, batch_size=4, input_size=(64, 64), frozen_stages=-1, min_keypoints=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def options_in(folder: Path, data: Path, **changes: Any) -> RunOptions:
    return RunOptions(data, folder / "run", folder / "cache", precision="fp32", device="cpu", **changes)


def test_people_are_chosen_by_their_labels_and_boxes() -> None:
    few, many = {"nose": (20.0, 20.0)}, dict.fromkeys(LIMBS, (20.0, 30.0))
    boxes = [BOX, BOX, (10, 10, 10, 10), (np.nan,) * 4, BOX, (10, 10, 10, 90)]
    points = [few, many, many, many, many, many]
    people = annotate([Path("a")], [(0, box, point) for box, point in zip(boxes, points, strict=True)])
    people.box_scores[4] = 0.3
    # 0 has one keypoint, 2 and 3 have no box, 4 no sure one
    assert choose_rows(people, PoseRecipe(true_repeats=1)).tolist() == [1, 5]
    # 1 and 5 have eight true limbs
    assert choose_rows(people, PoseRecipe(true_repeats=3)).tolist() == [1, 5, 1, 5, 1, 5]
    people.weights[1, COCO_17.index("left_hip")] = 0.9
    assert choose_rows(people, PoseRecipe(true_repeats=2)).tolist() == [1, 5, 5]
    paper = POSE_PRESETS["paper-coco"]
    assert choose_rows(people, paper).tolist() == [0, 1, 4, 5]


def test_people_of_some_folders_come_more_often() -> None:
    point = dict.fromkeys(LIMBS, (20.0, 30.0))
    pictures = [Path("all/a/1"), Path("all/b/1"), Path("all/c/1")]
    people = annotate(pictures, [(0, BOX, point), (1, BOX, point), (2, (np.nan,) * 4, point), (2, BOX, point)])
    recipe = PoseRecipe(true_repeats=1, repeats=("b=2", "c=3", "absent=9"))
    assert choose_rows(people, recipe).tolist() == [0, 1, 3, 1, 3, 3]
    assert choose_rows(people, replace(recipe, true_repeats=2)).tolist() == [0, 1, 3] * 2 + [1, 3] * 2 + [3] * 2


@pytest.mark.parametrize(
    ("checks", "precision"),
    [
        pytest.param({"_is_avx512_bf16_supported": True, "_is_amx_tile_supported": False}, "bf16", id="AVX-512"),
        pytest.param({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": True}, "bf16", id="AMX"),
        pytest.param({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": False}, "fp32", id="neither"),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_can(
    monkeypatch: pytest.MonkeyPatch, checks: dict[str, bool], precision: str
) -> None:
    for name, answer in checks.items():
        monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == precision
    assert choose_precision("fp32", cpu) == "fp32"
    with pytest.raises(UsageError, match="fp16 needs CUDA"):
        choose_precision("fp16", cpu)


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_computes_in_fp16_where_it_lacks_bf16(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: has_bf16)
    assert choose_precision("auto", torch.device("cuda", 0)) == precision


def test_a_trained_pose_network_loads(tmp_path: Path, data: Path) -> None:
    run = start_run(TINY, options_in(tmp_path, data))
    run.train()
    network = load_pose_network(run.weights_path, "cpu")
    assert (network.skeleton, network.input_size_hw) == (BODY_19, (64, 64))
    crop = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    inputs = torch.from_numpy(TINY.normalization.apply(crop))
    with torch.inference_mode():
        expected = run.averaged(inputs).numpy()
    np.testing.assert_allclose(network.run(crop)["heatmaps"], expected, atol=1e-4)


def test_a_trained_resnet_loads(tmp_path: Path, data: Path) -> None:
    recipe = replace(POSE_PRESETS["paper-coco"], network="PoseResNet18", epochs=0.3, batch_size=4, accumulate=2)
    recipe = replace(recipe, input_size=(32, 32))
    run = start_run(recipe, options_in(tmp_path, data))
    run.train()
    network = load_pose_network(run.weights_path, "cpu")
    assert (network.skeleton, network.input_size_hw) == (COCO_17, (32, 32))
    assert run.config.steps == 1


def test_a_trained_detector_loads(tmp_path: Path, data: Path) -> None:
    from tracker.detection.detector import open_network

    recipe = DetectorRecipe(steps=2, batch_size=2, size=64, frozen_stages=-1)
    run = start_run(recipe, options_in(tmp_path, data))
    run.train()
    pictures = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = run.averaged(pictures)
    for found, maps in zip(open_network(run.weights_path, "cpu").run(pictures.numpy()), expected, strict=True):
        np.testing.assert_allclose(found, maps.numpy(), rtol=1e-4, atol=1e-4)
    log = run.weights_path.with_name("log.jsonl").read_text()
    assert '"rendered_ap50"' in log
    assert '"false_at_0.3"' in log


def test_what_is_taken_for_an_animal_is_no_person_to_a_detector(tmp_path: Path, data: Path) -> None:
    rows = np.zeros((1, 3549, 85), np.float32)
    # The whole picture is a dog, at the centre of the coarsest map; sizes are powers of e.
    rows[0, 52**2 + 26**2 + 84] = [0, 0, np.log(13), np.log(13), 1, *np.zeros(80)]
    rows[0, 52**2 + 26**2 + 84, 5 + 16] = 0.9
    image = TensorInfo("images", (1, 3, 416, 416), "float32")
    finder = write_constant_graph(tmp_path / "yolox.onnx", [image], {"output": rows})
    recipe = DetectorRecipe(
        steps=1, batch_size=2, size=64, frozen_stages=-1, negatives=1.0, animals=1.0, backgrounds=0.0
    )
    run = start_run(recipe, options_in(tmp_path, data, animal_finder=finder))
    run.train()
    animals = run._task.pictures.animals
    assert len(animals) == len(np.unique(animals.picture)) > 0


def test_a_trained_bottom_up_network_loads_and_goes_on(tmp_path: Path, data: Path) -> None:
    recipe = LitePoseRecipe(steps=2, batch_size=2, input_size=64, tags_at_each_scale=True)
    run = start_run(recipe, options_in(tmp_path, data))
    run.train()
    network = load_pose_network(run.weights_path, "cpu")
    assert (network.skeleton, network.input_size_hw) == (COCO_17, (64, 64))
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 128, 3), dtype=np.uint8)
    maps = network.run(images)
    assert [maps[name].shape for name in ("tags_0", "tags_1")] == [(1, 17, 16, 32), (1, 17, 32, 64)]
    with torch.inference_mode():
        expected = run.averaged(torch.from_numpy(recipe.normalization.apply(images)))
    np.testing.assert_allclose(maps["heatmaps_0"], expected[0][:, :17], atol=1e-4)
    other = replace(recipe, skeleton="crowdpose14", tags_at_each_scale=False)
    fresh = start_run(other, options_in(tmp_path / "other", data, init=run.weights_path))
    name = "stage.0.0.inv.0.weight"
    assert torch.equal(fresh.model.state_dict()[name], run.averaged.state_dict()[name])


def test_a_bottom_up_mobilenet_goes_on_with_its_first_stages_frozen_and_is_used_on_larger_pictures(
    tmp_path: Path, data: Path
) -> None:
    recipe = replace(LITEPOSE_PRESETS["mobilenet"], steps=2, batch_size=2, input_size=64, picture_size=128)
    run = start_run(replace(recipe, frozen_stages=2), options_in(tmp_path, data))
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.train()
    changed = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("trunk.stem.", "trunk.stages.1.")) for name in changed)
    assert "trunk.stages.2.0.project.weight" in changed
    network = load_pose_network(run.weights_path, "cpu")
    assert network.input_size_hw == (128, 128)
    output = network.run(np.zeros((1, 64, 128, 3), np.uint8))
    assert (output["heatmaps_0"].shape, output["tags_0"].shape) == ((1, 17, 16, 32), (1, 34, 16, 32))
    fresh = start_run(recipe, options_in(tmp_path / "other", data, init=run.weights_path))
    assert all(torch.equal(value, run.averaged.state_dict()[name]) for name, value in fresh.model.state_dict().items())


def test_heatmaps_start_empty_and_tags_do_not(tmp_path: Path, data: Path) -> None:
    run = start_run(LitePoseRecipe(steps=2, batch_size=2, input_size=64), options_in(tmp_path, data))
    with torch.inference_mode():
        coarse, fine = run.model(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert max(coarse[:, :17].abs().max(), fine.abs().max()) < 0.05
    assert coarse[:, 17:].std() > 0.1


def test_a_bottom_up_network_is_trained_on_whole_pictures(tmp_path: Path, data: Path) -> None:
    recipe = LitePoseRecipe(steps=2, batch_size=2, input_size=64, repeats=("rendered=3",))
    run = start_run(recipe, options_in(tmp_path, data, limit_people=2))
    task: Any = run._task
    assert len(task.pictures.images) == 2
    assert task.pictures.with_people.tolist() == [0, 0, 0, 1, 1, 1]
    everybody = start_run(recipe, options_in(tmp_path / "all", data))._task
    # four frames, and a picture that shows nobody
    assert len(everybody.pictures.images) == 5
    assert everybody.pictures.negatives.tolist() == [4]


def test_nobody_to_train_a_bottom_up_network_on(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "data" / "train" / "empty.json"
    write_set(path, path.with_suffix(""), "exercise", range(0))
    with pytest.raises(InputError, match=r"nobody in .* has a labelled keypoint of coco17"):
        start_run(LitePoseRecipe(input_size=64), options_in(tmp_path, tmp_path / "data"))


def test_few_people_are_those_of_few_pictures(tmp_path: Path, data: Path) -> None:
    run = start_run(TINY, options_in(tmp_path, data, limit_people=3, validate_on_train=True))
    task: Any = run._task
    assert len(task.crops.store) == 3
    assert sorted(task.rows.tolist()) == [0, 1, 2]
    figures = task.validate(run.averaged)
    assert {"rendered_ap", "train_ap", "train_pck"} <= figures.keys()


def test_nobody_to_train_on(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match=r"nobody in .* has 18 labelled keypoints of body19"):
        start_run(replace(TINY, min_keypoints=18), options_in(tmp_path, data))


class SmallNetwork(nn.Sequential):
    """Heatmaps at a quarter of the size; sees 39 pixels around each cell."""

    def __init__(self, num_keypoints: int) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 48, 5, 2, 2), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 48, 5, padding=4, dilation=2), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, num_keypoints, 1),
        )  # fmt: skip


def test_twenty_people_are_learnt_by_heart(tmp_path: Path) -> None:
    """All parts together: crops, views, targets, loss, steps, averaging, decoding and measuring."""
    data = read_dataset(write_data(tmp_path, "crossing", num_frames=12), BODY_19).train
    people = data.people(choose_rows(data, replace(TINY, true_repeats=1))[:20]).with_people_alone()
    assert len(people) == 20
    recipe = without_augmentation(
        replace(TINY, mean=(127.5,) * 3, std=(127.5,) * 3, sigma=1.5, batch_size=20, steps=120)
    )
    recipe = replace(
        recipe, learning_rate=1e-2, relative_rate=False, trunk_rate=1.0, warmup=5, ema=0.9, max_gradient=10
    )
    sets = [ValidationSet("train", truth_of(people, tmp_path), Path())]
    validate = partial(measure_pose, sets=sets, recipe=recipe, device="cpu")
    task = PoseTask(recipe, store_crops(people, (84, 84), tmp_path / "cache"), np.arange(20), validate)
    torch.manual_seed(0)
    run = TrainingRun(SmallNetwork(19), task, recipe, tmp_path / "run", torch.device("cpu"))
    run.train()
    batch = task.make_batch(0)
    loss = task.loss(run.averaged, batch, torch.Generator()).item()
    # against saying that nothing is there
    assert loss < 0.15 * (batch.targets**2).mean() / 2
    figures = validate(run.averaged)
    assert figures["train_pck"] > 0.75
    assert figures["train_ap50"] > 0.9
