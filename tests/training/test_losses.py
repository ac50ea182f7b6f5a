"""Heatmap losses against the official ones, and by hand."""

from __future__ import annotations

import pytest
import torch

from tests.vectors import cases
from tracker.training.losses import joints_mse_loss


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


def test_weights_act_squared_and_the_mean_is_over_all_keypoints():
    heatmaps = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])
    targets = torch.zeros_like(heatmaps)
    weights = torch.tensor([[2.0, 0.0]])
    assert joints_mse_loss(heatmaps, targets, weights).item() == 0.5 * (4 * 1 + 4 * 9) / 4
    assert joints_mse_loss(heatmaps, targets).item() == 0.5 * (1 + 9 + 25 + 25) / 4


def test_equal_maps_cost_nothing():
    heatmaps = torch.rand(2, 3, 4, 5)
    assert joints_mse_loss(heatmaps, heatmaps.clone(), torch.ones(2, 3)).item() == 0
