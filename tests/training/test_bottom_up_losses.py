"""Losses of bottom-up networks against the official ones, and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.vectors import Case, cases, read_json
from tracker.training.losses import (
    MapTargets,
    associative_embedding_losses,
    bottom_up_loss,
    masked_mse_loss,
)
from tracker.training.recipes import BottomUpWeights


def settings_of(case: Case) -> Any:
    return read_json(case.path.with_suffix(".json"))[case.name]


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("case", cases("LP-3_*.npz", r"(ae\d+)_tags"))
def test_pull_and_push_are_the_official_ones(case: Case, precision: str) -> None:
    dtype = {"f32": torch.float32, "f64": torch.float64}[precision]
    form = settings_of(case)["type"]
    positions = torch.tensor(case["_joints"])
    for index, name in enumerate(("pull", "push")):
        tags = torch.tensor(case["_tags"], dtype=dtype, requires_grad=True)
        loss = associative_embedding_losses(tags, positions, form)[index]
        loss.backward()
        assert loss.item() == pytest.approx(float(case[f"_{name}_{precision}"]), abs=1e-6)
        expected = torch.tensor(case[f"_{name}_grad_{precision}"])
        torch.testing.assert_close(tags.grad, expected, rtol=0, atol=1e-6)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-3_*.npz", r"(hm\d+)_pred"))
def test_the_loss_of_heatmaps_is_the_official_one(case: Case) -> None:
    heatmaps = torch.tensor(case["_pred"], requires_grad=True)
    losses = masked_mse_loss(heatmaps, torch.tensor(case["_gt"]), torch.tensor(case["_mask"]))
    losses.sum().backward()
    torch.testing.assert_close(losses, torch.tensor(case["_loss"]), rtol=0, atol=1e-6)
    torch.testing.assert_close(heatmaps.grad, torch.tensor(case["_grad_of_sum"]), rtol=0, atol=1e-6)


@pytest.mark.vectors_litepose
@pytest.mark.parametrize("case", cases("LP-3_*.npz", r"(multi_\w+?)_out0"))
def test_the_whole_loss_is_the_official_one(case: Case) -> None:
    stated = settings_of(case)["LOSS"]
    weights = BottomUpWeights(
        heatmaps=tuple(stated["HEATMAPS_LOSS_FACTOR"]),
        pull=stated["PULL_LOSS_FACTOR"][0],
        push=stated["PUSH_LOSS_FACTOR"][0],
    )
    outputs = [torch.tensor(case[f"_out{i}"], requires_grad=True) for i in (0, 1)]
    targets = [MapTargets(*(torch.tensor(case[f"_{name}{i}"]) for name in ("gt", "mask", "joints"))) for i in (0, 1)]
    total = bottom_up_loss(outputs, targets, weights)
    total.backward()
    assert total.item() == pytest.approx(float(case["_total"]), abs=1e-6)
    for i, output in enumerate(outputs):
        torch.testing.assert_close(output.grad, torch.tensor(case[f"_grad{i}"]), rtol=0, atol=1e-6)
    heat = [
        masked_mse_loss(output[:, : target.heatmaps.shape[1]], target.heatmaps, target.mask)
        for output, target in zip(outputs, targets, strict=True)
    ]
    for i in (0, 1):
        torch.testing.assert_close(heat[i], torch.tensor(case[f"_heat{i}"]), rtol=0, atol=1e-6)


def positions_of(*people: tuple[int, ...], num_keypoints: int = 2) -> torch.Tensor:
    """A table for one picture from the indices of each person's tags."""
    table = torch.zeros(1, len(people), num_keypoints, 2, dtype=torch.int32)
    for row, indices in enumerate(people):
        for slot, index in enumerate(indices):
            table[0, row, slot] = torch.tensor([index, 1])
    return table


@pytest.mark.parametrize(
    ("people", "pull", "push"),
    [
        pytest.param([()], 0, 0, id="nobody"),
        pytest.param([(0, 1)], 0.25, 0, id="one person with tags 1 and 2"),
        pytest.param([(0,), (1,)], 0, math.exp(-1) / 2, id="two at a distance of 1"),
        pytest.param([(0, 2)], 0, 0, id="equal tags"),
        pytest.param([(0,), (2,)], 0, 0.5, id="two at the same place"),
        pytest.param([(0,), (), (3,)], 0, math.exp(-0.25) / 2, id="a gap"),
    ],
)
def test_pull_and_push_by_hand(people: list[tuple[int, ...]], pull: float, push: float) -> None:
    found = associative_embedding_losses(torch.tensor([[1.0, 2.0, 1.0, 1.5]]), positions_of(*people))
    assert [value.item() for value in found] == pytest.approx([pull, push], abs=1e-6)


def test_pictures_without_people_count_as_zero() -> None:
    tags = torch.tensor([[1.0, 2.0], [5.0, 5.0]])
    positions = torch.cat([positions_of((0, 1)), positions_of(())])
    pull, push = associative_embedding_losses(tags, positions)
    assert (pull.item(), push.item()) == (0.125, 0)


def test_gradients_of_tags() -> None:
    generator = torch.Generator().manual_seed(0)
    tags = torch.randn(2, 12, dtype=torch.float64, generator=generator).requires_grad_()
    positions = torch.cat([positions_of((0, 5), (7,), (3, 11)), positions_of((2, 4), (), (9, 10))])
    for index in (0, 1):
        assert torch.autograd.gradcheck(lambda t, i=index: associative_embedding_losses(t, positions)[i], tags)


def test_masked_cells_cost_nothing_and_keep_their_place_in_the_mean() -> None:
    heatmaps, targets = torch.full((1, 1, 1, 4), 3.0), torch.full((1, 1, 1, 4), 1.0)
    mask = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])
    assert masked_mse_loss(heatmaps, targets, mask).tolist() == [2 * 4 / 4]


def test_the_background_counts_as_wished() -> None:
    heatmaps = torch.tensor([[[[1.0, 1.0, 0.5, 3.0]]]])
    targets = torch.tensor([[[[0.0, 1.0, 0.5, 1.0]]]])
    mask = torch.ones(1, 1, 4)
    assert masked_mse_loss(heatmaps, targets, mask).tolist() == [(1 + 4) / 4]
    assert masked_mse_loss(heatmaps, targets, mask, background=0.5).tolist() == [(0.5 + 4) / 4]


def test_every_output_with_tags_pulls_and_pushes() -> None:
    outputs = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 4, 4)]
    outputs[0][0, 1, 0, 0] = 2.0
    targets = [MapTargets(torch.zeros(1, 1, n, n), torch.ones(1, n, n), positions_of((0, 1))) for n in (2, 4)]
    both = bottom_up_loss(outputs, targets, BottomUpWeights((1.0, 1.0), pull=1.0, push=0.0))
    assert both.item() == 1.0
    alone = bottom_up_loss([outputs[0], outputs[1][:, :1]], targets, BottomUpWeights((1.0, 1.0), pull=2.0, push=1.0))
    assert alone.item() == 2.0
    with pytest.raises(ValueError, match="shorter"):
        bottom_up_loss(outputs, targets, BottomUpWeights((1.0,)))
