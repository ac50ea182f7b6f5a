"""RTMDet-nano's maps."""

from __future__ import annotations

import torch

from tests.trained import like_trained
from tracker.nets.rtmdet import STRIDES, CSPLayer, RTMDetNano


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
