"""What bottom-up networks are shown, what they shall see there, and what it costs to see something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tests.training.people import annotate, assert_batches_depend_on_seed_and_step_alone
from tests.training.test_litepose_views import STANDING, standing
from tracker.nets.bottom_up_mobilenet import PeopleMaps
from tracker.nets.litepose import LitePose, LitePoseConfig
from tracker.skeletons import COCO_17
from tracker.training import runs
from tracker.training.annotations import Annotations
from tracker.training.bottom_up_task import BottomUpTask, LitePoseTask, PeopleTargets, people_loss, people_targets
from tracker.training.datasets import ValidationSet, truth_of
from tracker.training.litepose_views import Scene, store_scenes
from tracker.training.loop import Task, TrainingRun
from tracker.training.recipes import LitePoseRecipe, LoopConfig, without_augmentation
from tracker.training.validation import measure_bottom_up

RECIPE = LitePoseRecipe(input_size=128, max_people=5, batch_size=2, mean=(0.0,) * 3, std=(1.0,) * 3)
STILL = replace(without_augmentation(RECIPE), translation=0)


def make_task(folder: Path, recipe: LitePoseRecipe = RECIPE, **changes: Any) -> LitePoseTask:
    return LitePoseTask(replace(recipe, **changes), standing(folder), (32, 64), lambda _: {})


class Say(nn.Module):
    """Always the same maps; keeps its input."""

    def __init__(self, *maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.seen = x
        return list(self.maps)


def people_task(folder: Path, **changes: Any) -> BottomUpTask:
    recipe = LitePoseRecipe(size="MobileNetV2", input_size=128, batch_size=2, mean=(127.5,) * 3, std=(127.5,) * 3)
    return BottomUpTask(replace(recipe, **changes), standing(folder), (32,), lambda _: {})


@pytest.mark.parametrize("make", [make_task, people_task], ids=["LitePose", "BottomUpMobileNet"])
def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path, make: Callable[..., Task]) -> None:
    assert_batches_depend_on_seed_and_step_alone(make(tmp_path), make(tmp_path, seed=1))


def test_shapes_and_places_of_targets(tmp_path: Path) -> None:
    batch = make_task(tmp_path, STILL).make_batch(0)
    assert batch.images.shape == (2, 128, 128, 3)
    for target, side in zip(batch.targets, (32, 64), strict=True):
        assert target.heatmaps.shape == (2, 17, side, side)
        assert target.mask.shape == (2, side, side)
        assert target.tag_positions.shape == (2, 5, 17, 2)
        nose, unlabelled = COCO_17.index("nose"), COCO_17.index("left_ear")
        # 30, 25 of 140 pixels
        column, row = int(30 * side / 140), int(25 * side / 140)
        assert target.heatmaps[0, nose].argmax() == row * side + column
        assert target.heatmaps[0, nose].max() == 1
        assert not target.heatmaps[:, unlabelled].any()
        num_labelled = int(target.tag_positions[0, 0, :, 1].sum())
        assert num_labelled == 11
        for index in target.tag_positions[0, 0, :num_labelled, 0]:
            assert target.heatmaps[0].flatten()[index] == 1
        assert not target.tag_positions[:, 1:].any()


def test_nobody_off_the_view_takes_a_row_of_tags(tmp_path: Path) -> None:
    task = make_task(tmp_path, STILL, max_people=1)
    task.pictures.annotations.keypoints[0] += 1000
    batch = task.make_batch(0)
    assert sorted(batch.targets[0].tag_positions[..., 1].sum(dim=(1, 2)).tolist()) == [0, 11]


def test_the_network_sees_normalised_pictures_in_rgb(tmp_path: Path) -> None:
    task = make_task(tmp_path, STILL)
    batch = task.make_batch(0)
    batch.images[0, ..., 2] = 200
    network = Say(torch.zeros(2, 34, 32, 32), torch.zeros(2, 17, 64, 64))
    task.loss(network, batch, torch.Generator())
    assert network.seen.shape == (2, 3, 128, 128)
    assert network.seen.is_contiguous(memory_format=torch.channels_last)
    assert network.seen[0, :, 64, 64].tolist() == [200, *batch.images[0, 64, 64, 1::-1]]


def stick_people(folder: Path) -> Annotations:
    """Two pictures of two people side by side, whose limbs have many colours."""
    rng, people, paths = np.random.default_rng(0), [], []
    for number in range(2):
        image = np.full((128, 128, 3), 90, np.uint8)
        for shift in (np.array([5 * number - 15, -8]), np.array([45, 2 - 6 * number])):
            points = {name: np.array(point) + shift for name, point in STANDING.items() if name != "nose"}
            for edge in COCO_17.edges:
                names = [COCO_17.keypoint_names[i] for i in edge]
                if set(names) <= points.keys():
                    ends = [points[name].astype(int).tolist() for name in names]
                    cv2.line(image, *ends, rng.integers(0, 256, 3).tolist(), 5)
            box = (*(shift + 10).tolist(), *(shift + np.array([70, 130])).tolist())
            people.append((number, box, {name: tuple(point.tolist()) for name, point in points.items()}))
        paths.append(folder / f"sticks{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return annotate(paths, people)


def test_pictures_of_two_people_are_learnt_by_heart(tmp_path: Path) -> None:
    """All parts together: views, targets, losses, steps, averaging, peaks, grouping and measuring."""
    data = stick_people(tmp_path)
    truth = ValidationSet("train", truth_of(data, tmp_path), Path())
    recipe = replace(STILL, input_size=64, mean=(127.5,) * 3, std=(127.5,) * 3, sigma=1.0, pull=1e-2, push=1e-2)
    validate = partial(measure_bottom_up, sets=[truth], recipe=recipe, device="cpu")
    task = LitePoseTask(recipe, store_scenes(data, 128, tmp_path / "cache"), (16, 32), validate)
    torch.manual_seed(0)
    model = LitePose(17, LitePoseConfig(16, (16, 16, 24, 24), (16, 24, 24), (1, 1, 1, 1), expansion=3, kernel=5))
    runs._empty_heatmaps(model)
    config = LoopConfig(60, 1e-2, warmup=5, ema=0.9, max_gradient=10)
    run = TrainingRun(model, task, config, tmp_path / "run", torch.device("cpu"))
    run.train()
    figures = task.validate(run.averaged)
    assert figures["train_mean_oks"] > 0.8
    assert figures["train_ap50"] > 0.9


SIDE = 32


def person(*points: tuple[float, float]) -> np.ndarray:
    """A person whose first keypoints are at these columns and rows, the others missing."""
    keypoints = np.full((17, 2), np.nan)
    keypoints[: len(points)] = points
    return keypoints


def scene(*people: np.ndarray, mask: np.ndarray | None = None) -> Scene:
    keypoints = np.reshape(people, (-1, 17, 2))
    mask = np.ones((SIDE, SIDE), bool) if mask is None else mask
    return Scene(np.zeros((128, 128, 3), np.uint8), (keypoints,), (mask,))


UPRIGHT = person((10.6, 4.2), (8.1, 10.9), (12.3, 11.5), (10.2, 24.8))


def maps_of(targets: PeopleTargets) -> PeopleMaps:
    """What a perfect network sees."""
    places = torch.zeros(len(targets.middles), 34, SIDE * SIDE)
    places[targets.pictures, :, targets.cells] = targets.places.nan_to_num()
    logits = [maps.clamp(1e-6, 1 - 1e-6).logit() for maps in (targets.heatmaps, targets.middles)]
    return PeopleMaps(*logits, places.view(-1, 34, SIDE, SIDE))


def test_peaks_are_on_the_cells_of_keypoints_and_middles() -> None:
    targets = people_targets([scene(UPRIGHT)])
    assert targets.heatmaps[0, 0].argmax() == 4 * SIDE + 10
    assert targets.heatmaps[0, 0].max() == targets.middles.max() == 1
    # columns 8.1–12.3, rows 4.2–24.8
    assert targets.cells.tolist() == [14 * SIDE + 10]
    assert targets.middles[0, 0].argmax() == 14 * SIDE + 10
    assert not targets.heatmaps[0, 4:].any()


def test_places_are_rows_and_columns_from_the_middle() -> None:
    targets = people_targets([scene(UPRIGHT)])
    # the middle of cell (10, 14) is (10.5, 14.5)
    torch.testing.assert_close(targets.places[0, :4], torch.tensor([4.2 - 14.5, 0.1, 10.9 - 14.5, 8.1 - 10.5]))
    assert targets.places[0, 8:].isnan().all()
    assert targets.sizes[0] == pytest.approx((4.2 * 20.6) ** 0.5, rel=1e-5)


def test_a_missing_keypoint_counts_nothing_around_its_person() -> None:
    weights = people_targets([scene(UPRIGHT, person((28.0, 28.0)))]).weights[0]
    assert weights[0].all()
    assert weights[4, 14, 10] == 0
    assert weights[4, 14, 25] == weights[4, 2, 30] == 1
    assert weights[4, 28, 28] == 0


def test_whoever_shows_too_little_has_no_middle_and_none_is_denied_there() -> None:
    targets = people_targets([scene(person((8.0, 8.0), (9.0, 12.0), (7.0, 12.0)))])
    assert len(targets.cells) == 0
    assert not targets.middles.any()
    assert targets.middle_weights[0, 0, 10, 8] == 0
    assert targets.middle_weights[0, 0, 30, 30] == 1


def test_keypoints_off_the_map_are_not_seen() -> None:
    targets = people_targets([scene(person((10.6, -3.0), (8.1, 10.9), (12.3, 11.5), (10.2, 24.8), (9.0, 30.0)))])
    assert not targets.heatmaps[0, 0].any()
    assert targets.places[0, :2].isnan().all()
    assert targets.cells.tolist() == [20 * SIDE + 10]


def test_nothing_counts_where_people_are_unlabelled() -> None:
    mask = np.ones((SIDE, SIDE), bool)
    mask[:, 20:] = False
    targets = people_targets([scene(UPRIGHT, mask=mask)])
    assert not targets.weights[..., 20:].any()
    assert not targets.middle_weights[..., 20:].any()
    assert targets.middle_weights[..., :20].all()


def test_people_know_their_pictures_and_a_picture_may_be_empty() -> None:
    targets = people_targets([scene(UPRIGHT), scene(), scene(UPRIGHT, UPRIGHT + 3)])
    assert targets.pictures.tolist() == [0, 2, 2]
    assert targets.heatmaps.shape == (3, 17, SIDE, SIDE)
    assert targets.weights[1].all()


def test_seeing_the_targets_costs_nothing_and_anything_else_does() -> None:
    targets = people_targets([scene(UPRIGHT), scene()])
    seen = maps_of(targets)
    least = float(people_loss(seen, targets))
    assert least < 1e-3
    for name in PeopleMaps._fields:
        noise = torch.randn(getattr(seen, name).shape, generator=torch.Generator().manual_seed(0))
        worse = getattr(seen, name) + 3 * noise
        assert people_loss(seen._replace(**{name: worse}), targets) > least + 0.1, name


def test_what_is_not_known_costs_nothing() -> None:
    targets = people_targets([scene(UPRIGHT)])
    seen = maps_of(targets)
    heatmaps, places = seen.heatmaps.clone(), seen.places.clone()
    heatmaps[0, 4, 14, 10] = 5
    places[0, 8:] = 9
    torch.testing.assert_close(
        people_loss(PeopleMaps(heatmaps, seen.middles, places), targets), people_loss(seen, targets)
    )


def test_nobody_at_all_costs_only_what_is_seen() -> None:
    targets = people_targets([scene()])
    nothing = PeopleMaps(*(torch.full((1, n, SIDE, SIDE), -20.0) for n in (17, 1, 34)))
    assert people_loss(nothing, targets) < 1e-6
    assert people_loss(nothing._replace(middles=-nothing.middles), targets) > 1
