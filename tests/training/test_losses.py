"""Heatmap losses against the official ones, and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tests.vectors import cases
from tracker.training.losses import giou_loss, joints_mse_loss, quality_focal_loss


@pytest.mark.vectors_sb
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("case", cases("SB-5_*.npz", r"(case\d+)_output"))
def test_loss_and_gradient_are_the_official_ones(case, precision):
    dtype = {"f32": torch.float32, "f64": torch.float64}[precision]
    variants = case.matching(rf"_(\w+)_loss_{precision}")
    assert variants
    for (variant,) in variants:
        heatmaps = torch.tensor(case["_output"], dtype=dtype, requires_grad=True)
        weights = None
        if f"_{variant}_target_weight" in case:
            weights = torch.tensor(case[f"_{variant}_target_weight"][..., 0], dtype=dtype)
        loss = joints_mse_loss(heatmaps, torch.tensor(case["_target"], dtype=dtype), weights)
        loss.backward()
        assert loss.item() == pytest.approx(float(case[f"_{variant}_loss_{precision}"]), abs=1e-6)
        expected = torch.tensor(case[f"_{variant}_grad_{precision}"])
        torch.testing.assert_close(heatmaps.grad, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("logit", "target", "loss"),
    [
        pytest.param(0.0, 1.0, math.log(2) / 4, id="half sure of a person"),
        pytest.param(0.0, 0.0, math.log(2) / 4, id="half sure of nobody"),
        pytest.param(0.0, 0.5, 0.0, id="as sure as the label"),
        pytest.param(math.log(3), 0.25, (0.25 * math.log(4 / 3) + 0.75 * math.log(4)) / 4, id="too sure"),
    ],
)
def test_quality_focal_loss_by_hand(logit, target, loss):
    one = quality_focal_loss(torch.tensor([logit]), torch.tensor([target]), torch.ones(1))
    assert one.item() == pytest.approx(loss, abs=1e-6)
    weighed = quality_focal_loss(torch.full((3,), logit), torch.full((3,), target), torch.tensor([1, 0.5, 0]))
    assert weighed.item() == pytest.approx(1.5 * loss, abs=1e-6)


@pytest.mark.parametrize(
    ("found", "wanted", "loss"),
    [
        pytest.param((1, 1, 1, 1), (1, 1, 1, 1), 0, id="equal"),
        pytest.param((1, 1, 1, 1), (2, 2, 2, 2), 0.75, id="inside: 4 of 16"),
        pytest.param((4, 1, 1, 1), (1, 1, 4, 1), 0.75, id="overlap 4 of 16, which fill their hull"),
        pytest.param((2, 1, 0, 1), (0, 1, 2, 1), 1, id="side by side"),
        pytest.param((2, 2, 0, 0), (0, 0, 2, 2), 1.5, id="corner to corner: half of the hull is empty"),
    ],
)
def test_giou_loss_by_hand(found, wanted, loss):
    losses = giou_loss(torch.tensor([found], dtype=torch.float32), torch.tensor([wanted], dtype=torch.float32))
    assert losses.tolist() == pytest.approx([loss], abs=1e-6)
