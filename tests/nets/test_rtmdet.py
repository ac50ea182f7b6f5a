"""RTMDet-nano's maps."""

from __future__ import annotations

import pytest
import torch

from tests.trained import like_trained
from tracker.detection.maps import STRIDES as DECODED_STRIDES
from tracker.nets.rtmdet import STRIDES, CSPLayer, RTMDetNano


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (256, 416)])
def test_one_map_per_stride(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        maps = RTMDetNano()(torch.empty(2, 3, *size))
    assert [tuple(m.shape) for m in maps] == [(2, 5, size[0] // s, size[1] // s) for s in STRIDES]
    assert STRIDES == DECODED_STRIDES


def test_distances_are_in_cells_of_their_map_before_they_are_in_pixels() -> None:
    torch.manual_seed(0)
    model, images = like_trained(RTMDetNano()), torch.rand(1, 3, 64, 64)
    seen: list[torch.Tensor] = []
    for head in model.heads:
        head.rtm_reg.register_forward_hook(lambda *given: seen.append(given[-1]))
    with torch.no_grad():
        maps = model(images)
    for stride, cells, given in zip(STRIDES, seen, maps, strict=True):
        assert torch.equal(given[:, 1:], cells * stride)


def test_shortcuts_are_the_trunks_alone() -> None:
    layer = CSPLayer(8, 8, 1, has_shortcuts=True)
    plain = CSPLayer(8, 8, 1)
    plain.load_state_dict(layer.state_dict())
    x = torch.rand(1, 8, 4, 4)
    assert not torch.equal(layer(x), plain(x))
    model = RTMDetNano()
    has_shortcuts = {name: m._has_shortcuts for name, m in model.named_modules() if isinstance(m, CSPLayer)}
    # not in the last stage, which is that of the pools
    assert [name for name, has in has_shortcuts.items() if has] == [f"trunk.stages.{i}.1" for i in range(3)]


def test_a_batch_gives_what_each_image_gives_alone() -> None:
    torch.manual_seed(0)
    model, images = like_trained(RTMDetNano()), torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        for together, first, second in zip(model(images), model(images[:1]), model(images[1:]), strict=True):
            torch.testing.assert_close(together, torch.cat([first, second]), rtol=1e-5, atol=1e-5)
            assert not torch.allclose(first, second, rtol=1e-5, atol=1e-5)


def test_everything_receives_a_gradient() -> None:
    model = RTMDetNano()
    sum(m.square().mean() for m in model(torch.randn(2, 3, 32, 32))).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def test_strided_convolutions_train_as_they_infer() -> None:
    model, images = like_trained(RTMDetNano()), torch.rand(1, 3, 64, 64)
    for inferred, trained in zip(model(images), model.train()(images), strict=True):
        torch.testing.assert_close(trained, inferred, rtol=1e-4, atol=1e-3)
