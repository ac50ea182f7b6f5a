"""The detector's maps."""

from __future__ import annotations

import pytest
import torch

from tracker.detection.maps import STRIDES as DECODED_STRIDES
from tracker.nets.person_detector import STRIDES, PersonDetector, _Scaled


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (256, 416)])
def test_one_map_per_stride(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        maps = PersonDetector(8)(torch.empty(2, 3, *size))
    assert [tuple(m.shape) for m in maps] == [(2, 5, size[0] // s, size[1] // s) for s in STRIDES]
    assert STRIDES == DECODED_STRIDES


def test_distances_are_positive_finite_and_four_cells_where_the_head_gives_nothing() -> None:
    x = torch.zeros(1, 5, 1, 3)
    x[:, 1:, 0, 1], x[:, 1:, 0, 2] = 1000, -1000
    x[:, 0] = 7
    scaled = _Scaled(16)(x)
    assert scaled[0, 0].tolist() == [[7, 7, 7]]
    assert scaled[0, 1, 0].tolist() == pytest.approx([64, 64 * 148.413, 64 / 148.413], rel=1e-4)


def test_hardly_any_cell_is_a_person_at_the_start() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        maps = PersonDetector(8).eval()(torch.rand(1, 3, 64, 64) * 2 - 1)
    for cell_map in maps:
        assert cell_map[:, 0].sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)


def test_a_batch_gives_what_each_image_gives_alone() -> None:
    torch.manual_seed(0)
    model = PersonDetector(8).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        for together, first, second in zip(model(images), model(images[:1]), model(images[1:]), strict=True):
            torch.testing.assert_close(together, torch.cat([first, second]), rtol=1e-4, atol=1e-4)


def test_everything_used_receives_a_gradient() -> None:
    model = PersonDetector(8)
    sum(m.square().mean() for m in model(torch.randn(2, 3, 32, 32))).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
