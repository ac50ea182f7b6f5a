"""Losses of bottom-up networks against the official ones, and by hand."""

from __future__ import annotations

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
    if settings_of(case)["type"] != "exp":
        pytest.skip("no published recipe takes this form")
    positions = torch.tensor(case["_joints"])
    for index, name in enumerate(("pull", "push")):
        tags = torch.tensor(case["_tags"], dtype=dtype, requires_grad=True)
        loss = associative_embedding_losses(tags, positions)[index]
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


def test_the_background_counts_as_wished() -> None:
    heatmaps = torch.tensor([[[[1.0, 1.0, 0.5, 3.0]]]])
    targets = torch.tensor([[[[0.0, 1.0, 0.5, 1.0]]]])
    mask = torch.ones(1, 1, 4)
    assert masked_mse_loss(heatmaps, targets, mask).tolist() == [(1 + 4) / 4]
    assert masked_mse_loss(heatmaps, targets, mask, background=0.5).tolist() == [(0.5 + 4) / 4]
