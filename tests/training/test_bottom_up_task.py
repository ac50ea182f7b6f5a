"""What a BottomUpMobileNet is shown, what it shall see there, and what it costs to see something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_litepose_views import STILL, standing
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet, PeopleMaps
from tracker.skeletons import COCO_17
from tracker.training.bottom_up_task import BottomUpTask, PeopleTargets, people_loss, people_targets
from tracker.training.litepose_views import Scene
from tracker.training.recipes import LitePoseRecipe

SIDE = 32
NOSE, EAR = COCO_17.index("nose"), COCO_17.index("left_ear")


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


def test_larger_people_have_wider_peaks() -> None:
    small, large = (people_targets([scene((UPRIGHT - 14) * factor + 14)]) for factor in (0.5, 1.2))
    for name in ("heatmaps", "middles"):
        assert getattr(large, name).sum() > getattr(small, name).sum() * 1.2


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


def make_task(folder: Path, **changes: Any) -> BottomUpTask:
    recipe = LitePoseRecipe(size="MobileNetV2", input_size=128, batch_size=2, mean=(127.5,) * 3, std=(127.5,) * 3)
    return BottomUpTask(replace(recipe, **changes), standing(folder), (32,), lambda _: {})


def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    first, again, later = task.make_batch(5), task.make_batch(5), task.make_batch(6)
    np.testing.assert_array_equal(first.images, again.images)
    for name, value in vars(first.targets).items():
        torch.testing.assert_close(value, getattr(again.targets, name), equal_nan=True)
    assert not torch.equal(first.targets.heatmaps, later.targets.heatmaps)


def test_a_person_of_a_view_is_where_the_picture_shows_them(tmp_path: Path) -> None:
    targets = make_task(tmp_path, **vars(STILL)).make_batch(0).targets
    # the nose at 40, 25 of 140 pixels; no ear is labelled
    assert int(targets.heatmaps[0, NOSE].max()) == 1
    assert not targets.heatmaps[:, EAR].any()
    assert len(targets.cells) == 2


def test_it_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task, model = make_task(tmp_path, **vars(STILL)), BottomUpMobileNet(17, 0.25)
    batch, optimizer = task.make_batch(0), torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = task.loss(model, batch, torch.Generator().manual_seed(0))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
